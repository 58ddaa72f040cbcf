"""The bridge from scikit-learn to skorch, and the protocol of teachers.

An estimator here *has* a skorch net (``net_``) and says, batch by batch, what it costs.
A method is a subclass that defines

- ``_prepare(X, y, data)``: once, what else belongs to each sample, as tensors;
- ``_loss(module, batch, output)``: the terms of the loss, of which ``"loss"`` is minimised;

and, seldom, ``_step`` (the training step itself), ``_output`` (how the network is called) or
``_read`` (what it is fed).
"""

import copy
import difflib
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model._base import LinearClassifierMixin
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing, check_array, check_random_state
from sklearn.utils.validation import (
    check_consistent_length,
    check_is_fitted,
    column_or_1d,
    validate_data,
)
from skorch.callbacks import EarlyStopping
from skorch.utils import noop
from torch import nn
from torch.utils.data import DataLoader

from cmkdlearn._hashing import content_hash
from cmkdlearn._labels import UNLABELLED, encode_labels
from cmkdlearn._validation import check_number, check_option
from cmkdlearn.losses import Output
from cmkdlearn.nn.augment import augmentation
from cmkdlearn.nn.checkpoint import Checkpoint
from cmkdlearn.nn.data import (
    BatchLoader,
    TensorData,
    as_tensor,
    move,
    resolve_device,
    seeded,
    whole,
)
from cmkdlearn.nn.inputs import canonical
from cmkdlearn.nn.lazy import (
    READING,
    Column,
    LazyDataset,
    as_rows,
    check_dataset,
    first_of,
    is_dataset,
    is_mapped,
    labels_of,
    lazily,
    take_lazily,
)
from cmkdlearn.nn.memory import in_parts
from cmkdlearn.nn.modules import build_classifier, linear_head, mlp
from cmkdlearn.nn.net import Net
from cmkdlearn.nn.processes import make_accelerator

NET_PARAMS = ("accelerator", "callbacks", "compile", "iterator_train", "torch_load_kwargs")
NET_PREFIXES = ("accelerator", "module", "optimizer", "callbacks", "compile",
                "iterator_train")
# Fewer rows than this are padded for inference: matrix products take another path for a handful of
# rows, and a sample's prediction should not depend, to the last bit, on how many came with it.
MIN_ROWS = 32
# What an array is read as: integers stay until it is known whether they are bytes of an image.
KEY_ROWS = 256  # by which a checkpoint knows the data
READ_AS = [np.float32, *np.typecodes["AllInteger"], "?"]


class TorchEstimator(BaseEstimator):
    """Bridge to skorch: parameters, validation, batches, devices and seeds.

    Parameters
    ----------
    max_epochs : int, default=20
        Passes over the training data.
    batch_size : int, default=128
        Samples a step; -1 takes all at once.
    lr : float, default=1e-3
        Learning rate.
    optimizer : torch.optim.Optimizer class, default=torch.optim.AdamW
    early_stopping : bool, default=False
        Set ``validation_fraction`` of the samples aside (stratified), stop when their loss has
        not improved for ``n_iter_no_change`` epochs, and keep the best epoch's weights.
    validation_fraction : float, default=0.1
        In (0, 1); used if ``early_stopping``.
    n_iter_no_change : int, default=10
        Epochs; used if ``early_stopping``.
    input_type : {None, "table", "image", "sequence", "channels_first", "channels_last"}
        What ``X`` holds, where its shape and dtype leave it open
        (see :func:`cmkdlearn.nn.inputs.canonical`).
    device : str or torch.device, default="auto"
        "auto" takes the GPU where there is one.
    random_state : int, RandomState or None, default=None
        Weights, batches, augmentation; with an integer, a run on the CPU can be repeated bit for
        bit. Global random states are left alone.
    warm_start : bool, default=False
        Go on from the weights of the last ``fit``.
    checkpoint : str or os.PathLike, default=None
        A folder in which the state of training is kept after each epoch, until it is finished.
        Where ``fit`` was killed, the same call (same parameters, same data) goes on from there,
        with an integer ``random_state`` to the same result.
    verbose : int, default=0
        1 prints a line per epoch.
    **net_params
        Anything else that ``skorch.NeuralNet`` takes: ``callbacks``, ``compile``,
        ``iterator_train``, and what is routed by prefix, as ``optimizer__weight_decay``,
        ``module__dropout`` or ``iterator_train__num_workers``. ``accelerator=Accelerator``, the
        class of Hugging Face Accelerate, trains in all processes that ``accelerate launch``
        started, or with ``accelerator__mixed_precision="bf16"``; see the user guide.

    Attributes
    ----------
    net_ : skorch.NeuralNet
        The trained net.
    history_ : skorch.history.History
        Losses and durations (seconds) per epoch.
    interrupted_ : bool
        Whether ``fit`` was broken off by Ctrl-C, which it hands on; the network is then what it
        was after the last step, and can be used.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Only where ``X`` is a DataFrame with string column names.
    """

    def __init__(self, *, max_epochs=20, batch_size=128, lr=1e-3, optimizer=torch.optim.AdamW,
                 early_stopping=False, validation_fraction=0.1, n_iter_no_change=10,
                 input_type=None, device="auto", random_state=None, warm_start=False,
                 checkpoint=None, verbose=0, **net_params):
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.lr = lr
        self.optimizer = optimizer
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.input_type = input_type
        self.device = device
        self.random_state = random_state
        self.warm_start = warm_start
        self.checkpoint = checkpoint
        self.verbose = verbose
        for name in net_params:
            if not _is_net_param(name):
                known = [*self._get_param_names(), *NET_PARAMS, *(f"{p}__" for p in NET_PREFIXES)]
                near = difflib.get_close_matches(name, known, n=3)
                hint = f" Did you mean {' or '.join(near)}?" if near else ""
                raise TypeError(f"{type(self).__name__} got an unexpected keyword {name!r}.{hint}")
        self.__dict__.update(net_params)

    # ---------------------------------------------------------------- parameters

    def __init_subclass__(cls, **kwargs):
        """Show the inherited keywords in the subclass's signature, where scikit-learn reads them.

        Those that are routed to skorch stay out of it: they are no parameter of this name.
        """
        super().__init_subclass__(**kwargs)
        own = list(inspect.signature(cls.__init__).parameters.values())
        if "__init__" in vars(cls) and own[-1].kind is inspect.Parameter.VAR_KEYWORD:
            taken = {parameter.name for parameter in own}
            inherited = [parameter for name, parameter
                         in inspect.signature(super(cls, cls).__init__).parameters.items()
                         if name not in taken and parameter.kind is not parameter.VAR_KEYWORD]
            signature = inspect.Signature(own[:-1] + inherited)
            cls.__init__.__signature__ = signature  # type: ignore[attr-defined]

    def _net_params(self):
        explicit = set(self._get_param_names())
        return {name: value for name, value in vars(self).items()
                if _is_net_param(name) and name not in explicit}

    def get_params(self, deep=True):
        """Return the parameters by name, those routed to skorch included."""
        return {**super().get_params(deep=deep), **self._net_params()}

    def set_params(self, **params):
        """Set parameters by name, those routed to skorch included."""
        explicit = set(self._get_param_names())
        routed = [name for name in params if _is_net_param(name) and name not in explicit]
        for name in routed:
            setattr(self, name, params.pop(name))
        return super().set_params(**params)

    def _check_params(self):
        """Refuse parameters that cannot work, before any work starts."""
        check_number("max_epochs", self.max_epochs, low=0, integer=True)
        if self.batch_size != -1:
            check_number("batch_size", self.batch_size, low=1, integer=True)
        check_number("lr", self.lr, low=0)
        if self.early_stopping:
            check_number("validation_fraction", self.validation_fraction, low=0, high=1)
            check_number("n_iter_no_change", self.n_iter_no_change, low=1, integer=True)
        resolve_device(self.device)
        self._accelerator()
        if not callable(self.optimizer):
            raise TypeError(f"optimizer={self.optimizer!r} must be a torch.optim.Optimizer class, "
                            "such as torch.optim.SGD.")
        module = getattr(self, "module", None)
        for prefix, target in (("optimizer", self.optimizer), ("iterator_train", DataLoader),
                               ("module", module if inspect.isclass(module) else None)):
            self._check_routed(prefix, target)

    def _check_routed(self, prefix, target):
        """Refuse what is routed to a callable that does not take it."""
        known = inspect.signature(target).parameters if target else {}
        if not target or any(p.kind is p.VAR_KEYWORD for p in known.values()):
            return
        for name in self._routed(f"{prefix}__"):
            key = name.removeprefix(f"{prefix}__")
            if key not in known and not key.startswith("param_groups"):
                near = difflib.get_close_matches(key, known, n=3) or list(known)
                raise TypeError(f"{name}: {target.__name__} takes no {key!r}, but "
                                f"{', '.join(near)}.")

    # ---------------------------------------------------------------- what a method may define

    # Whether the loss of a batch is the mean of its samples', so that parts of it add up: what a
    # batch is read in where the device's memory does not hold it.
    _adds_up = True

    def _read(self, X, reset):
        """Return what the network is fed, as a dict of tensors with an "X" among them."""
        X = select_modality(X, self.modality, fitting=reset)
        lazy = lazily(X, self.input_type, lambda first: self._canonical(first, reset),
                      self._reading())
        return {"X": as_tensor(self._canonical(X, reset)) if lazy is None else lazy}

    def _canonical(self, X, reset):
        """Return an array as the network reads it: checked, in canonical layout and dtype."""
        if reset or getattr(X, "ndim", 2) <= 2:
            X = validate_data(self, X, reset=reset, allow_nd=True, dtype=READ_AS)
        else:  # the second axis need not be the features': the whole shape is compared below
            X = check_array(X, allow_nd=True, dtype=READ_AS, estimator=self, input_name="X")
        X, kind = canonical(X, self.input_type)
        if kind == "table" or X.dtype != np.uint8:
            X = X.astype(np.float32, copy=False)
        if reset:
            self._kind, self._shape = kind, X.shape[1:]
        elif (kind, X.shape[1:]) != (self._kind, self._shape):
            raise ValueError(f"X holds a {kind} of shape {X.shape[1:]} per sample, but "
                             f"{type(self).__name__} was fitted on a {self._kind} of shape "
                             f"{self._shape}.")
        return X

    def _prepare(self, X, y, data):
        """Return what else belongs to each training sample, as a dict of tensors.

        ``X`` and ``y`` are as the user gave them, ``data`` holds them as tensors.
        """
        return {}

    def _build(self, data):
        """Return the torch module to train."""
        raise NotImplementedError

    def _criterion(self):
        """Return a module whose parameters are trained beside the network's."""
        return nn.Identity()

    def _criterion_for(self, module, data):
        """Return the criterion, where its shapes depend on what the network says of the data."""
        return self._criterion()

    def _output(self, module, batch):
        """Call the network on a batch."""
        return module(batch.X)

    def _loss(self, module, batch, output):
        """Return the terms of the loss as a dict of scalars; "loss" is what is minimised."""
        raise NotImplementedError

    def _step(self, net, batch):
        """Leave the gradient of one batch in the parameters, and report its terms."""
        output = self._output(net.module_, batch)
        terms = self._loss(net.module_, batch, output)
        terms["loss"].backward()
        return {"loss": terms["loss"], "y_pred": output.logits, "terms": terms}

    def _scores(self, batch, output):
        """Return what else to report of a validation batch."""
        return {}

    def _augment(self, batch):
        """Change a training batch's inputs at random."""
        return batch

    # ---------------------------------------------------------------- fitting

    def _train(self, data, stratify):
        """Train on a dict of tensors, in a random stream of its own."""
        accelerator = self._accelerator()
        device = accelerator.device if accelerator else resolve_device(self.device)
        with seeded(self._draw_seed(), device):
            if not (self.warm_start and hasattr(self, "net_")):
                module = self._build(data)
                self.net_ = self._make_net(module, self._criterion_for(module, data), device)
            elif not list(self.net_.criterion_.parameters()):
                self.net_.criterion_ = self._criterion_for(self.net_.module_, data)
            self.net_.set_params(max_epochs=self.max_epochs, batch_size=self.batch_size, lr=self.lr,
                                 verbose=self.verbose, **self._routed("optimizer__"))
            self.interrupted_ = False
            if self.max_epochs:
                key = self._key_of(data)
                self._run_epochs(self._split(TensorData(**data), stratify), key, accelerator)

    def _accelerator(self):
        """Return this process's Accelerator, of which a pickle or a clone has none."""
        params = {name.removeprefix("accelerator__"): value
                  for name, value in self._routed("accelerator__").items()}
        accelerator = make_accelerator(getattr(self, "accelerator", None), params,
                                       self.random_state)
        if accelerator and self.device != "auto":
            raise ValueError(f'device={self.device!r}: accelerator= gives each process its own; '
                             'use device="auto".')
        return accelerator

    def _run_epochs(self, data, key, accelerator):
        callbacks = self.net_.callbacks_
        self.net_.accelerator = accelerator
        if not self.net_.writes:  # dropout and augmentation are not the first process's
            self.net_.verbose = 0
            torch.manual_seed(torch.initial_seed() + accelerator.process_index)
        if self.checkpoint is not None:
            file = Path(self.checkpoint) / f"{key}.ckpt"
            self.net_.callbacks_ = [*callbacks, ("checkpoint", Checkpoint(file, self))]
        try:
            self.net_.partial_fit(data)
        except KeyboardInterrupt:
            self.interrupted_ = True
            raise
        finally:
            self.net_.callbacks_, self.net_.accelerator = callbacks, None

    def _key_of(self, data):
        """Name this training: by parameters, data (some of them), and weights if they are old."""
        if self.checkpoint is None:
            return None
        params = {name: value for name, value in self.get_params(deep=False).items()
                  if name not in ("checkpoint", "verbose", "device")}
        rows = torch.linspace(0, len(data["X"]) - 1, min(len(data["X"]), KEY_ROWS)).long()
        old = self.net_.module_.state_dict() if len(self.net_.history) else None
        try:
            return content_hash([type(self).__qualname__, params, len(data["X"]),
                                 TensorData(**data)[rows], old])
        except Exception as error:  # pickling fails in many ways
            raise ValueError(f"checkpoint={self.checkpoint!r} needs parameters that can be "
                             f"pickled, to know this training again. {error}") from error

    def _training_state(self):
        """Return what training changes beside networks, optimiser and torch's random state."""
        return {}

    def _resume(self, state):
        """Take back what :meth:`_training_state` returned."""

    def _draw_seed(self):
        return int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))

    def _make_net(self, module, criterion, device):
        callbacks = copy.deepcopy(getattr(self, "callbacks", None)) or []
        if self.early_stopping:
            callbacks = [*callbacks, ("early_stopping", EarlyStopping(
                patience=self.n_iter_no_change, load_best=True, sink=noop))]
        params = {"iterator_train": BatchLoader, "iterator_train__shuffle": True,
                  "iterator_train__collate_fn": whole,
                  **{f"iterator_valid__{name}": value for name, value in self._reading().items()},
                  **{name: value for name, value in self._net_params().items()
                     if not name.startswith(("module__", "accelerator"))},
                  "callbacks": callbacks}
        return Net(module, criterion, method=self, optimizer=self.optimizer, lr=self.lr,
                   batch_size=self.batch_size, device=device, iterator_valid=BatchLoader,
                   **params).initialize()

    def _reading(self):
        """Return how a ``DataLoader`` is to read: workers, prefetch, pinned memory."""
        routed = self._routed("iterator_train__")
        return {name: routed[key] for name in READING
                if (key := f"iterator_train__{name}") in routed}

    def _routed(self, prefix):
        return {name: value for name, value in self._net_params().items()
                if name.startswith(prefix)}

    def _module_params(self):
        return {name.removeprefix("module__"): value
                for name, value in self._routed("module__").items()}

    def _split(self, data, stratify):
        if not self.early_stopping:
            return data, None
        try:
            train, valid = train_test_split(
                np.arange(len(data)), test_size=self.validation_fraction, stratify=stratify,
                random_state=int(torch.randint(2**31 - 1, ())))
        except ValueError as error:
            raise ValueError(f"early_stopping=True cannot set validation_fraction="
                             f"{self.validation_fraction} of every class aside. {error}") from None
        return tuple(data.subset(torch.from_numpy(part)) for part in (train, valid))

    def _run(self, X, **extra):
        """Return the network's Output for all of X, as arrays; ``extra`` tensors go beside X."""
        check_is_fitted(self)
        return self._outputs({**self._read(X, reset=False), **extra})

    def _outputs(self, data):
        """Return the network's Output for a dict of tensors, as arrays."""
        data = TensorData(**data)
        module, device = self.net_.module_.eval(), self.net_.device

        def ask(part, seen):
            output = self._output(module, move(part, device))
            features = output.features
            return output.logits.cpu(), None if features is None else features.cpu()

        outputs, size = [], None
        with torch.inference_mode():
            for n, batch in data.in_order(self.batch_size, MIN_ROWS):
                parts, size = in_parts(ask, batch, size or len(batch.X))
                logits = torch.cat([part[0] for part in parts])[:n]
                features = [part[1] for part in parts]
                outputs.append((logits, None if features[0] is None else torch.cat(features)[:n]))
                if not logits.isfinite().all():
                    raise FloatingPointError(f"The network's logits are NaN or infinite. Lower "
                                             f"lr={self.lr}, or look at the scale of X.")
        arrays: list[Any] = [None if parts[0] is None else torch.cat(parts).numpy()
                             for parts in zip(*outputs, strict=True)]
        return Output(*arrays)

    def __sklearn_is_fitted__(self):
        return hasattr(self, "net_")

    @property
    def history_(self):
        """Losses and durations per epoch."""
        check_is_fitted(self)
        return self.net_.history

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags


class TorchClassifier(ClassifierMixin, TorchEstimator):
    """A classifier on the bridge: labels, cross-entropy and predictions.

    Parameters
    ----------
    label_smoothing : float, default=0.0
        Share of the target that is spread evenly over the classes, in [0, 1].
    **training
        As for :class:`TorchEstimator`.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    """

    classes_: np.ndarray
    modality = None
    augmentation = None
    _takes_unlabelled = False

    def __init__(self, *, label_smoothing=0.0, **training):
        self.label_smoothing = label_smoothing
        super().__init__(**training)

    def _check_params(self):
        super()._check_params()
        check_number("label_smoothing", self.label_smoothing, low=0, high=1)
        self._augmentation = augmentation(self.augmentation)

    def fit(self, X, y):
        """Train the network.

        Parameters
        ----------
        X : array-like, Dataset, or dict of these
            A table (n, d), images (n, H, W), (n, H, W, C) or (n, C, H, W), sequences (n, T, d),
            or several modalities by name, of which ``modality`` is read. A memory-mapped array and
            a ``torch.utils.data.Dataset`` are read a batch at a time; see the user guide.
        y : array-like of shape (n,)
            Labels: numbers or strings. None takes those of a ``Dataset`` of pairs (x, y).

        Returns
        -------
        self
        """
        return self._fit(X, y)

    def _fit(self, X, y, **beside):
        """Fit; what a method's ``fit`` takes beside X and y goes to its ``_prepare``."""
        self._check_params()
        y = labels_of(X, y, **self._reading())
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is "
                             "None.")
        y = column_or_1d(y, warn=True)
        warm = self.warm_start and hasattr(self, "net_")
        data = self._read(X, reset=not warm)
        check_consistent_length(data["X"], y)
        if isinstance(data["X"], LazyDataset):
            data["X"].labels = y
        codes, classes = encode_labels(y, type(self).__name__, self._takes_unlabelled)
        if warm and not np.array_equal(classes, self.classes_):
            raise ValueError(f"warm_start=True needs the classes of the last fit, "
                             f"{self.classes_.tolist()}; y has {classes.tolist()}.")
        self.classes_ = classes
        self._labelled_share = float(np.mean(codes >= 0))
        if self._augmentation is not None and self._kind != "image":
            raise ValueError(f"augmentation={self.augmentation!r} is for images, but X holds a "
                             f"{self._kind}; use augmentation=None.")
        if isinstance(self.module, str) and self.module == "auto" and self._kind != "image":
            self._check_routed("module", mlp)
        data["y"] = torch.from_numpy(codes)
        data.update(self._prepare(X, y, data, **beside))
        try:
            self._train(data, stratify=codes)
        except KeyboardInterrupt:
            self._remember(data, y)
            raise
        self._remember(data, y)
        return self

    def _remember(self, data, y):
        """Keep what is needed of the training data, which has been read already."""

    def _build(self, data):
        return build_classifier(self.module, data["X"], self._kind, len(self.classes_),
                                **self._module_params())

    def _cross_entropy(self, output, batch):
        """Cross-entropy of the labelled samples.

        Divided by the number of them that a batch of this size holds on average, so that every
        labelled sample weighs the same, whatever batch it falls into.
        """
        if self._labelled_share == 1:
            return F.cross_entropy(output.logits, batch.y, label_smoothing=self.label_smoothing)
        total = F.cross_entropy(output.logits, batch.y, ignore_index=UNLABELLED, reduction="sum",
                                label_smoothing=self.label_smoothing)
        return total / (len(batch.y) * self._labelled_share)

    def _loss(self, module, batch, output):
        return {"loss": self._cross_entropy(output, batch)}

    def _scores(self, batch, output):
        right = output.logits.argmax(1) == batch.y
        return {"acc": right.float().mean(), "labelled": (batch.y >= 0).float().mean()}

    def _augment(self, batch):
        if self._augmentation is not None:
            batch.X = self._augmentation(batch.X)
        return batch

    def decision_function(self, X):
        """Return the logits.

        Returns
        -------
        ndarray of shape (n, n_classes), or (n,) for two classes
            float32. For two classes the second one's logit minus the first one's, as everywhere
            in scikit-learn; :meth:`teaching_logits` of a teacher has both.
        """
        logits = self._run(X).logits
        return logits[:, 1] - logits[:, 0] if len(self.classes_) == 2 else logits

    def predict_proba(self, X):
        """Return the class probabilities, (n, n_classes) float32."""
        return torch.from_numpy(self._run(X).logits).softmax(dim=1).numpy()

    def predict(self, X):
        """Return the most probable class of each sample, (n,)."""
        winners = self._run(X).logits.argmax(axis=1)
        return self.classes_[winners]

    def encode(self, X):
        """Return the features that the classification head reads, (n, d) float32."""
        features = self._run(X).features
        if features is None:
            raise ValueError(f"module={self.module!r} does not end in a linear layer, so its "
                             "features cannot be told from its logits. Let its last layer be a "
                             "torch.nn.Linear.")
        return features

    @property
    def head_(self):
        """Torch module from features to logits."""
        check_is_fitted(self)
        if not hasattr(self.net_.module_, "head"):
            raise AttributeError(f"module={self.module!r} does not end in a linear layer.")
        return self.net_.module_.head


class TorchTeacher(TorchClassifier):
    """A classifier that can teach.

    The protocol, which any object may follow: ``classes_``, ``encode(X)``,
    ``decision_function(X)``, ``head_``, ``feature_bank_`` and ``teaching_logits(X, y)``.

    Attributes
    ----------
    feature_bank_ : ndarray of shape (n, d)
        The training samples' features, float32: an unpaired student needs nothing else.
    feature_bank_labels_ : ndarray of shape (n,)
        Their labels.
    needs_labels_to_teach : bool
        Whether this teacher has nothing to say about a sample without a label.
    """

    needs_labels_to_teach = False

    def _remember(self, data, y):
        if hasattr(self.net_.module_, "head"):
            self.feature_bank_ = self._outputs(data).features
            self.feature_bank_labels_ = y

    def teaching_logits(self, X, y=None):
        """Return what a student is shown while training, (n, n_classes) float32 logits.

        Parameters
        ----------
        X : array-like
        y : array-like of shape (n,), optional
            Labels, for a teacher that reads them; this one does not.
        """
        return self._run(X).logits


class _ClassifierTeacher:
    """A fitted scikit-learn classifier in the role of a teacher."""

    needs_labels_to_teach = False

    def __init__(self, estimator, X=None, y=None):
        self.estimator, self.classes_ = estimator, estimator.classes_
        last = estimator[-1] if isinstance(estimator, Pipeline) else estimator
        self._linear = isinstance(last, LinearClassifierMixin)
        if self._linear:
            self.head_ = linear_head(last.coef_, last.intercept_)
        else:
            self.head_ = linear_head(np.eye(len(self.classes_)), 0)
        self._soft = hasattr(estimator, "predict_proba") and not self._linear
        pairs = getattr(last, "decision_function_shape", None) == "ovo" and len(self.classes_) > 2
        if pairs and not self._soft:
            raise ValueError(f"{last!r} has one output a pair of classes; a teacher needs one a "
                             'class. Set decision_function_shape="ovr".')
        if X is not None:
            self.feature_bank_ = self.encode(X)
            self.feature_bank_labels_ = None if y is None else np.asarray(y)

    def decision_function(self, X):
        """Logits (n, n_classes): log-probabilities, or decision values."""
        if self._soft:
            p = self.estimator.predict_proba(X)
            return np.log(np.clip(p, np.finfo(np.float32).tiny, None)).astype(np.float32)
        values = np.asarray(self.estimator.decision_function(X), dtype=np.float32)
        return np.column_stack([-values / 2, values / 2]) if values.ndim == 1 else values

    def teaching_logits(self, X, y=None):
        """The same."""
        return self.decision_function(X)

    def encode(self, X):
        """A linear model's input; of any other model, its logits."""
        if not self._linear:
            return self.decision_function(X)
        if isinstance(self.estimator, Pipeline) and len(self.estimator) > 1:
            X = self.estimator[:-1].transform(X)
        return np.asarray(X.toarray() if hasattr(X, "toarray") else X, dtype=np.float32)


def as_teacher(estimator, X=None, y=None):
    """Give a fitted classifier the interface of a teacher.

    Parameters
    ----------
    estimator : fitted classifier
        A teacher of this library is returned as it is. A linear classifier of scikit-learn (or
        Pipeline that ends in one) teaches by its decision values, any other by its
        log-probabilities, or by its decision values where it has no ``predict_proba``.
    X : array-like, optional
        Training data, for the feature bank that unpaired students need.
    y : array-like of shape (n,), optional
        Its labels.

    Returns
    -------
    teacher
        With ``classes_``, ``encode``, ``decision_function`` (n, n_classes), ``head_``,
        ``teaching_logits`` and, if ``X`` is given, ``feature_bank_``. The features of a linear
        model are its inputs, those of any other model its logits.

    Raises
    ------
    TypeError
        If ``estimator`` is no classifier.
    sklearn.exceptions.NotFittedError
        If it is not fitted.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from cmkdlearn.base import as_teacher
    >>> X, y = load_iris(return_X_y=True)
    >>> teacher = as_teacher(LogisticRegression(max_iter=500).fit(X, y))
    >>> teacher.teaching_logits(X).shape, teacher.encode(X).shape
    ((150, 3), (150, 4))
    """
    if hasattr(estimator, "teaching_logits"):
        check_is_fitted(estimator) if hasattr(estimator, "fit") else None
        return estimator
    if not (hasattr(estimator, "predict_proba") or hasattr(estimator, "decision_function")):
        raise TypeError(f"{estimator!r} cannot teach: it has neither predict_proba nor "
                        "decision_function nor teaching_logits.")
    check_is_fitted(estimator)
    inner = estimator.estimator if isinstance(estimator, FrozenEstimator) else estimator
    return _ClassifierTeacher(inner, X, y)


def take(X, index):
    """Return the samples at ``index`` of X, or of each modality of a dict.

    Those of a ``Dataset`` or of a memory-mapped array stay unread.
    """
    if isinstance(X, Mapping):
        return type(X)(**{name: take(part, index) for name, part in X.items()})
    return take_lazily(X, index) if is_dataset(X) or is_mapped(X) else _safe_indexing(X, index)


def select_modality(X, modality, fitting):
    """Return the modality to read of a dict by its name, or of a table by its columns.

    To predict, the modality alone will do in place of the dict.
    """
    if isinstance(X, Mapping):
        if modality is None:
            raise ValueError(f"X holds the modalities {list(X)}: say which one to read, as in "
                             f"modality={next(iter(X), 'name')!r}.")
        check_option("modality", modality, list(X))
        for part in filter(is_dataset, X.values()):
            check_dataset(part)
        check_consistent_length(*X.values())
        return select_modality(X[modality], None, fitting)
    if is_dataset(X):
        return _select_of_items(X, modality, fitting)
    if isinstance(modality, str) and fitting:
        raise ValueError(f"modality={modality!r} names a modality, but X is a {type(X).__name__}; "
                         "pass a dict (or skorch.helper.SliceDict) of arrays, or a list of columns "
                         "as modality.")
    elif not (modality is None or isinstance(modality, str)):
        X = X if hasattr(X, "shape") else np.asarray(X)
        try:
            lists = is_mapped(X) and not isinstance(modality, slice)
            X = as_rows(X).select(modality) if lists else _safe_indexing(X, modality, axis=1)
        except IndexError:
            raise ValueError(f"modality={modality!r} reads columns that X of shape {X.shape} does "
                             "not have; pass a table with all the columns.") from None
    return X.detach().cpu().numpy() if isinstance(X, torch.Tensor) else X


def _select_of_items(dataset, modality, fitting):
    """Return the ``Dataset`` of one modality, where the items of this one are dicts of several."""
    check_dataset(dataset)
    item = first_of(dataset)
    if isinstance(item, Mapping):
        if modality is None:
            raise ValueError(f"The items of X, a {type(dataset).__name__}, hold {list(item)}: say "
                             f"which to read, as in modality={next(iter(item), 'name')!r}.")
        check_option("modality", modality, list(item))
    elif isinstance(modality, str) and fitting:
        raise ValueError(f"modality={modality!r} names a modality, but the items of X, a "
                         f"{type(dataset).__name__}, are no dicts of several.")
    elif modality is None or isinstance(modality, str):
        return dataset
    return Column(dataset, modality)


def _is_net_param(name):
    return name in NET_PARAMS or name.partition("__")[0] in NET_PREFIXES and "__" in name
