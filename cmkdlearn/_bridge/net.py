"""skorch's training loop over batches that are sliced from tensors."""

import contextlib
import copy
import inspect
import math
import operator
import warnings

import numpy as np
import torch
from sklearn.model_selection import train_test_split
from skorch import NeuralNet
from skorch.callbacks import Callback, EarlyStopping, EpochTimer, LRScheduler
from skorch.history import History
from skorch.utils import TeeGenerator, noop

from cmkdlearn._bridge.memory import StepsInParts
from cmkdlearn._bridge.processes import Processes, mixed_precision
from cmkdlearn._bridge.progress import Progress, verbosity
from cmkdlearn.nn.data import SINGLE, BatchLoader, fits_on, move, whole

NO_TERM = ("loss", "acc", "kappa")  # what is reported beside the terms of the loss


class Net(NeuralNet):
    """A ``skorch.NeuralNet`` that asks an estimator what a step costs.

    Parameters
    ----------
    method : TorchEstimator
        Gives ``_augment(batch)`` where it ``_augments``, ``_output(module, batch)``,
        ``_loss(module, batch, output)`` and ``_step(net, batch)``.
    **kwargs
        As for ``skorch.NeuralNet``.
    """

    accelerator = None  # while training by one: an accelerate.Accelerator
    in_parts: StepsInParts | None = None  # from the first batch on that memory did not hold

    def __init__(self, *args, method, **kwargs):
        super().__init__(*args, **kwargs)
        self.method = method

    def __getstate__(self):
        """Leave the networks to the part that skorch reads where there is no GPU: once."""
        return {**super().__getstate__(), "module": None, "criterion": None}

    def __setstate__(self, state):
        super().__setstate__(state)
        self.module, self.criterion = self.module_, self.criterion_

    def get_default_callbacks(self):
        """Time each epoch and print its line; losses are recorded by the epoch itself."""
        return [("epoch_timer", EpochTimer()), ("print_log", Progress())]

    def get_split_datasets(self, X, y=None, **fit_params):
        """Take the pair of training and validation data that X is; to the GPU if they fit."""
        resident = (not self.get_params_for("iterator_train").get("num_workers")
                    and fits_on(self.device, sum(part.nbytes for part in X if part is not None)))
        return [part.to(self.device) if resident and part is not None else part for part in X]

    def torch_compile(self, module, name):
        """Compile the network in place: to whoever reads or saves it, it stays what it is.

        What cannot be compiled is found out by its first call, and goes on without.
        """
        if not self.compile or name != "module":
            return module
        from torch._dynamo.exc import TorchDynamoException

        compiled = torch.compile(module._call_impl, **self.get_params_for("compile"))

        def call(*args):
            try:
                return compiled(*args)
            except TorchDynamoException as error:
                warnings.warn(f"compile={self.compile!r}: this network cannot be compiled here, "
                              f"and runs as it is. {error}", stacklevel=2)
                module._compiled_call_impl = None
                return module._call_impl(*args)

        module._compiled_call_impl = call
        return module

    def initialize_optimizer(self, *args, **kwargs):
        """As skorch's, and find out whether it is one that calls a closure, as L-BFGS does."""
        super().initialize_optimizer(*args, **kwargs)
        closure = inspect.signature(self.optimizer_.step).parameters.get("closure")
        self._closes = closure is not None and closure.default is closure.empty
        return self

    def train_step(self, batch, **fit_params):
        """Make a step; without a closure, where the optimiser does not ask for one."""
        if self._closes:
            return super().train_step(batch, **fit_params)
        self.optimizer_.zero_grad()
        step = self.train_step_single(batch)
        if self._gradients_are_looked_at:
            self.notify("on_grad_computed", batch=(batch.X, batch.get("y")), training=True,
                        named_parameters=TeeGenerator(self.get_all_learnable_params()))
        self.optimizer_.step()
        return step

    def train_step_single(self, batch, **fit_params):
        """Forward and backward pass of one batch."""
        if not self.module_.training:  # a callback may have predicted
            self._set_training(True)
        if batch.X.device != self.device:
            batch = move(batch, self.device)
        if self.method._augments:
            batch = self.method._augment(batch)
        if self.in_parts is None:
            try:
                step = self.method._step(self, batch)
            except torch.OutOfMemoryError as error:
                self.in_parts = StepsInParts(self, batch, error)
        if self.in_parts is not None:
            step = self.in_parts.train(batch)
        if self.processes:
            learnable = (p for _, p in self.get_all_learnable_params())
            self.processes.average_gradients(learnable, len(batch.X))
        return step

    def validation_step(self, batch, **fit_params):
        """Losses of one batch of the validation split, and its share of right answers."""
        self._set_training(False)
        with torch.no_grad():
            batch = move(batch, self.device)
            if self.in_parts is None:
                try:
                    return self.look_at(batch)
                except torch.OutOfMemoryError as error:
                    self.in_parts = StepsInParts(self, batch, error)
            return self.in_parts.validate(batch)

    def look_at(self, batch):
        """Return what a batch costs, without a step."""
        output = self.method._output(self.module_, batch)
        terms = self.method._loss(self.module_, batch, output)
        return {"loss": terms["loss"], "y_pred": output.logits,
                "terms": {**terms, **self.method._scores(batch, output)}}

    def evaluation_step(self, batch, training=False):
        """Return what the network says of a batch: what skorch's own scoring asks for."""
        self._set_training(training)
        with torch.set_grad_enabled(training):
            return self.method._output(self.module_, move(batch, self.device)).logits

    def predict(self, X):
        """Return the codes of the most probable classes, or a regressor's standardised targets."""
        said = self.predict_proba(X)
        return said.argmax(axis=1) if hasattr(self.method, "classes_") else said

    @property
    def processes(self):
        """What several processes share out; None where there is one."""
        several = self.accelerator is not None and self.accelerator.num_processes > 1
        return Processes(self.accelerator) if several else None

    @property
    def writes(self):
        """Whether files are this process's to write."""
        return self.accelerator is None or self.accelerator.is_main_process

    def get_iterator(self, dataset, training=False):
        """Return the batches; where there are several processes, this one's share of each."""
        iterator = super().get_iterator(dataset, training=training)
        if training and self.method._balances:
            if not isinstance(iterator, BatchLoader):
                raise ValueError(f"sampler={self.method.sampler!r} draws the batches, and so does "
                                 f"iterator_train={type(iterator).__name__}; leave one of them at "
                                 "its default.")
            iterator.sampler.balances = True
        if self.processes:
            self.processes.share_out(iterator)
        return iterator

    def partial_fit(self, X, y=None, **fit_params):
        """As skorch's, but what the user interrupts does not pass for finished."""
        self._interrupted = False
        self._gradients_are_looked_at = any(
            type(callback).on_grad_computed is not Callback.on_grad_computed
            for _, callback in self.callbacks_)
        half = self.accelerator is not None and self.accelerator.mixed_precision != "no"
        with mixed_precision(self.module_, self.accelerator) if half else contextlib.nullcontext():
            super().partial_fit(X, y, **fit_params)
        if self._interrupted:
            raise KeyboardInterrupt
        return self

    def run_single_epoch(self, iterator, training, prefix, step_fn, **fit_params):
        """As skorch's; early stopping, too, is a KeyboardInterrupt, but one between epochs."""
        try:
            if iterator is not None:
                self._run_epoch(iterator, training, prefix, step_fn, **fit_params)
        except KeyboardInterrupt:
            self._interrupted = True
            raise
        except FloatingPointError as error:
            said = f"In epoch {len(self.history)}, at lr={self.lr}: {error}"
            raise FloatingPointError(said).with_traceback(error.__traceback__) from None

    def _run_epoch(self, iterator, training, prefix, step_fn, **fit_params):
        """Keep the terms of the loss where they are, and read them once."""
        if training:
            self._set_training(True)
        terms: dict[str, list[torch.Tensor]] = {}
        sizes: list[int] = []
        whole = iterator.sampler.sizes if self.processes else None
        for batch in iterator:
            pair = batch.X, batch.get("y")  # as skorch's callbacks know a batch
            self.notify("on_batch_begin", batch=pair, training=training)
            step = step_fn(batch, **fit_params)
            n = whole[len(sizes)] if whole else len(batch.X)
            sizes.append(len(batch.X))
            for name, value in step["terms"].items():
                terms.setdefault(name, []).append(value.detach())
            self.history.record_batch(f"{prefix}_batch_size", n)
            self.notify("on_batch_end", batch=pair, training=training, **step)
        if not sizes:
            raise ValueError(f"batch_size={self.batch_size} and iterator_train__drop_last leave "
                             "no batch.")
        values = torch.stack([torch.stack(batches) for batches in terms.values()]).cpu().double()
        totals = values @ torch.tensor(sizes, dtype=torch.float64)
        if self.processes:
            totals = self.processes.total(totals)
            if training:
                self.processes.average_buffers(self.module_, self.criterion_)
        means = dict(zip(terms, (totals / sum(whole or sizes)).tolist(), strict=True))
        if "labelled" in means:  # only these can be right
            means["acc"] /= max(means.pop("labelled"), 1 / sum(whole or sizes))
        self._refuse_non_finite(prefix, means)
        for name, value in means.items():
            key = f"{prefix}_{name}" if name in NO_TERM else f"{prefix}_{name}_loss"
            self.history.record(key, value)
        for name, better in (("loss", operator.lt), ("acc", operator.gt)):
            if name in means:
                key = f"{prefix}_{name}"
                best = next((epoch[key] for epoch in reversed(self.history)
                             if epoch.get(f"{key}_best")), None)
                self.history.record(f"{key}_best", best is None or better(means[name], best))

    def _refuse_non_finite(self, prefix, means):
        wrong = [name for name, value in means.items() if not math.isfinite(value)]
        if wrong:
            term = next((name for name in wrong if name != "loss"), "loss")
            raise FloatingPointError(
                f"The {prefix} loss became {means[term]} (term {term!r}). Lower lr, or look at the "
                "scale of X.")


def make_net(method, module, criterion, device):
    """Return the net of an estimator, by its parameters."""
    callbacks = copy.deepcopy(getattr(method, "callbacks", None)) or []
    if method.early_stopping:
        callbacks = [*callbacks, ("early_stopping", EarlyStopping(
            patience=method.n_iter_no_change, load_best=True, sink=noop))]
    params = {"iterator_train": BatchLoader, "iterator_train__shuffle": True,
              "iterator_train__collate_fn": whole,
              **{f"iterator_valid__{name}": value for name, value in method._reading().items()},
              **{name: value for name, value in method._net_params().items()
                 if not name.startswith(("module__", "accelerator"))},
              "callbacks": callbacks}
    if takes_fused(method.optimizer, module, device, params):
        params["optimizer__fused"] = True  # torch's optimisers make an operation of a step if told
    if torch.device(device).type in SINGLE:
        module.float()  # its means, which are centred in double precision elsewhere
    if hasattr(method, "classes_"):
        params["predict_nonlinearity"] = torch.nn.Softmax(dim=1)
    return Net(module, criterion, method=method, optimizer=method.optimizer, lr=method.lr,
               batch_size=method.batch_size_, max_epochs=method.max_epochs_,
               verbose=verbosity(method), device=device, iterator_valid=BatchLoader,
               **params).initialize()


def takes_fused(optimizer, module, device, params):
    """Tell whether an optimiser has a fused step here, and its user has asked for no other."""
    others = ("fused", "foreach", "capturable", "differentiable")
    return ("fused" in inspect.signature(optimizer).parameters
            and torch.device(device).type in ("cpu", "cuda")
            and not any(f"optimizer__{name}" in params for name in others)
            and all(p.is_floating_point() for p in module.parameters())
            and not any(getattr(part, "sparse", False) for part in module.modules()))


def go_on(net):
    """Let a net that has been trained be trained again, by its estimator's parameters of today.

    Its learning rates are those that it began with, and schedules begin anew.
    """
    method = net.method
    for group in net.optimizer_.param_groups:
        group["lr"] = group.pop("initial_lr", group["lr"])
    wanted = {"max_epochs": method.max_epochs_, "batch_size": method.batch_size_, "lr": method.lr,
              "verbose": verbosity(method),
              **{name: value for name, value in method._net_params().items()
                 if name.startswith("optimizer__")}}
    # only what has changed: to set a rate is to set it for all groups of parameters
    net.set_params(**{name: value for name, value in wanted.items()
                      if getattr(net, name, None) != value})
    for _, callback in net.callbacks_:
        if isinstance(callback, LRScheduler) \
                and "last_epoch" in inspect.signature(callback.policy_).parameters:
            vars(callback).setdefault("last_epoch", -1)  # skorch's would go on where it ended


@contextlib.contextmanager
def as_it_was(method):
    """Let an estimator be what it was before, if an error ends the block; Ctrl-C is none."""
    before, net = dict(vars(method)), getattr(method, "net_", None)
    parts, history = [], []
    if net is not None and method.warm_start:
        parts, history = [net.module_, net.criterion_, net.optimizer_], net.history.to_list()
    kept = [copy.deepcopy(part.state_dict()) for part in parts]
    try:
        yield
    except Exception:
        vars(method).clear()
        vars(method).update(before)
        for part, state in zip(parts, kept, strict=True):
            part.load_state_dict(state)
        if net is not None and parts:
            net.history = History(history)
        raise


def split(method, data, stratify):
    """Set samples aside for early stopping; return those to train on, and these."""
    try:
        train, valid = train_test_split(
            np.arange(len(data)), test_size=method.validation_fraction, stratify=stratify,
            random_state=int(torch.randint(2**31 - 1, ())))
    except ValueError as error:
        raise ValueError(f"early_stopping=True cannot set validation_fraction="
                         f"{method.validation_fraction} of every class aside. {error}") from None
    train, valid = (data.subset(torch.from_numpy(part)) for part in (train, valid))
    return train.tensors, method._as_predicted(valid.tensors)
