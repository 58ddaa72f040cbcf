"""skorch's training loop over batches that are sliced from tensors."""

import contextlib
import math
import warnings

import torch
from skorch import NeuralNet
from skorch.callbacks import EpochTimer, PrintLog
from torch.nn.modules.batchnorm import _BatchNorm

from cmkdlearn.nn.data import fits_on, move
from cmkdlearn.nn.memory import in_parts
from cmkdlearn.nn.processes import Processes, mixed_precision

NO_TERM = ("loss", "acc", "kappa")  # what is reported beside the terms of the loss


class Net(NeuralNet):
    """A ``skorch.NeuralNet`` that asks an estimator what a step costs.

    Parameters
    ----------
    method : TorchEstimator
        Gives ``_augment(batch)``, ``_output(module, batch)``, ``_loss(module, batch, output)``
        and ``_step(net, batch)``.
    **kwargs
        As for ``skorch.NeuralNet``.
    """

    accelerator = None  # while training by one: an accelerate.Accelerator
    largest_part: int | None = None  # of a batch, where memory does not hold all of it

    def __init__(self, *args, method, **kwargs):
        super().__init__(*args, **kwargs)
        self.method = method

    def get_default_callbacks(self):
        """Time each epoch and print its line; losses are recorded by the epoch itself."""
        return [("epoch_timer", EpochTimer()), ("print_log", PrintLog())]

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

    def train_step_single(self, batch, **fit_params):
        """Forward and backward pass of one batch."""
        if not self.module_.training:  # a callback may have predicted
            self._set_training(True)
        batch = self.method._augment(move(batch, self.device))
        step = self._in_parts(self._accumulate, batch)
        if self.processes:
            learnable = (p for _, p in self.get_all_learnable_params())
            self.processes.average_gradients(learnable, len(batch.X))
        return step

    def _accumulate(self, part, seen):
        """Leave the mean gradient of a part, and of the samples of the batch before it."""
        n = len(part.X)
        self._scale_gradients(seen / n if seen else 1)
        step = self.method._step(self, part)
        self._scale_gradients(n / (seen + n))
        return {"n": n, **step}

    def _scale_gradients(self, factor):
        if factor != 1:
            for _, p in self.get_all_learnable_params():
                if p.grad is not None:
                    p.grad *= factor

    def _in_parts(self, step, batch):
        """Make a step of a batch, by parts if the device's memory does not hold it."""
        n, whole = len(batch.X), not self.method._adds_up
        try:
            steps, size = in_parts(step, batch, self.largest_part or n, n if whole else 1,
                                   self._zero_grad_optimizer)
        except torch.OutOfMemoryError as error:
            cannot = (f"Its loss compares the samples of a batch with each other, so that halves "
                      f"do not add up to it. Lower batch_size={self.batch_size}." if whole
                      else "Not even a single sample fits.")
            raise torch.OutOfMemoryError(
                f"The memory of {self.device} is too small for {type(self.method).__name__}. "
                f"{cannot} {error}") from error
        if len(steps) == 1:
            return steps[0]
        if size != self.largest_part:
            self.largest_part = size
            normalises = any(isinstance(layer, _BatchNorm) for layer in self.module_.modules())
            warnings.warn(
                f"The memory of {self.device} is too small for a batch of {n}: it is read in parts "
                f"of {size}, whose gradients add up to the same step. "
                + "Batch normalisation has the statistics of the parts." * normalises, stacklevel=2)

        def mean(values):
            return sum(part["n"] / n * value.detach()
                       for part, value in zip(steps, values, strict=True))

        return {"n": n, "loss": mean(part["loss"] for part in steps),
                "y_pred": torch.cat([part["y_pred"] for part in steps]),
                "terms": {name: mean(part["terms"][name] for part in steps)
                          for name in steps[0]["terms"]}}

    def validation_step(self, batch, **fit_params):
        """Losses of one batch of the validation split, and its share of right answers."""
        self._set_training(False)
        with torch.no_grad():
            batch = move(batch, self.device)
            return self._in_parts(self._look_at, batch)

    def _look_at(self, part, seen):
        output = self.method._output(self.module_, part)
        terms = self.method._loss(self.module_, part, output)
        return {"n": len(part.X), "loss": terms["loss"], "y_pred": output.logits,
                "terms": {**terms, **self.method._scores(part, output)}}

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
        if self.processes:
            self.processes.share_out(iterator)
        return iterator

    def partial_fit(self, X, y=None, **fit_params):
        """As skorch's, but what the user interrupts does not pass for finished."""
        self._interrupted = False
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
            self.notify("on_batch_begin", batch=batch, training=training)
            step = step_fn(batch, **fit_params)
            n = whole[len(sizes)] if whole else step["n"]
            sizes.append(step["n"])
            for name, value in step["terms"].items():
                terms.setdefault(name, []).append(value.detach())
            self.history.record_batch(f"{prefix}_batch_size", n)
            self.notify("on_batch_end", batch=batch, training=training, **step)
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

    def _refuse_non_finite(self, prefix, means):
        wrong = [name for name, value in means.items() if not math.isfinite(value)]
        if wrong:
            term = next((name for name in wrong if name != "loss"), "loss")
            raise FloatingPointError(
                f"The {prefix} loss became {means[term]} (term {term!r}). Lower lr, or look at the "
                "scale of X.")
