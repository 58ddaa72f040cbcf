"""The estimators that others are made of: a network, a classifier, a teacher.

An estimator here *has* a skorch net (``net_``) and says, batch by batch, what it costs.
A method is a subclass that defines

- ``_prepare(X, y, data)``: once, what else belongs to each sample, as tensors;
- ``_loss(module, batch, output)``: the terms of the loss, of which ``"loss"`` is minimised;

and, seldom, ``_step`` (the training step itself), ``_output`` (how the network is called) or
``_read`` (what it is fed).
"""

import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.base import ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_consistent_length, check_is_fitted
from torch import nn

from cmkdlearn._bridge.checkpoint import Checkpoint, key_of
from cmkdlearn._bridge.inference import ROWS_AT_ONCE, infer
from cmkdlearn._bridge.net import as_it_was, go_on, make_net, split
from cmkdlearn._bridge.processes import make_accelerator
from cmkdlearn._bridge.reading import Reader
from cmkdlearn._bridge.routing import RoutedParams
from cmkdlearn._bridge.schedule import Schedule, check_schedule
from cmkdlearn._labels import (
    UNLABELLED,
    class_weights,
    encode_labels,
    label_codes,
    labelled_mask,
    one_label_each,
)
from cmkdlearn._protocol import as_teacher
from cmkdlearn._validation import check_number, check_option, check_weights
from cmkdlearn.losses import Output
from cmkdlearn.nn.augment import augmentation
from cmkdlearn.nn.data import TensorData, of_mean_one, resolve_device, seeded
from cmkdlearn.nn.lazy import LazyDataset
from cmkdlearn.nn.modules import build_classifier, mlp
from cmkdlearn.nn.samples import check_same_order, drop_weightless, labels_of, take

__all__ = ["TorchClassifier", "TorchEstimator", "TorchTeacher", "as_teacher"]

# What max_epochs and batch_size="auto" come to, as benchmarks/toy_sets.py chose it.
LEAST_EPOCHS, LEAST_STEPS = 20, 140
LEAST_BATCH, BATCHES = 20, 30


class TorchEstimator(RoutedParams):
    """Bridge to skorch: parameters, validation, batches, devices and seeds.

    Parameters
    ----------
    module : "auto", str, torch.nn.Module class or instance, default="auto"
        The network. "auto" chooses by the data: an MLP for tables, timm's ResNet-18 for images
        (with its small-image stem below 64 pixels), the mean over time and an MLP for sequences.
        Any other string is the name of a timm model.
    modality : str or list, default=None
        What the network reads, where ``X`` is a dict of modalities, or the columns of one table.
    max_epochs : int or "auto", default="auto"
        Passes over the training data. "auto": 20, or more where these would be fewer than 140
        steps.
    batch_size : int or "auto", default="auto"
        Samples a step; -1 takes all at once. "auto": a thirtieth of the samples, but at least
        20 and at most 128.
    lr : float, default=1e-3
        Learning rate.
    schedule : {None, "cosine"}, default=None
        "cosine" lets the rate fall along half a cosine to zero, step by step. Any other goes by
        ``callbacks``.
    warmup : float, default=0.0
        Share of the steps, in [0, 1), over which the rate first rises linearly to ``lr``.
    optimizer : torch.optim.Optimizer class, default=torch.optim.AdamW
    early_stopping : bool, default=False
        Set ``validation_fraction`` of the samples aside (stratified), stop when their loss has
        not improved for ``n_iter_no_change`` epochs, and keep the best epoch's weights. Where
        ``fit`` is given ``X_val``, its loss is watched, and nothing is set aside.
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
    verbose : int or "auto", default="auto"
        0 is silent, 1 prints a line per epoch. "auto": where stderr is a terminal or a notebook,
        a fit that takes more than ten seconds says how long, and then a line per epoch.
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
    max_epochs_, batch_size_ : int
        What ``max_epochs`` and ``batch_size`` came to.
    interrupted_ : bool
        Whether ``fit`` was broken off by Ctrl-C, which it hands on; the network is then what it
        was after the last step, and can be used.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Only where ``X`` is a DataFrame with string column names.
    """

    def __init__(self, module="auto", *, modality=None, max_epochs="auto",
                 batch_size="auto", lr=1e-3, schedule=None, warmup=0.0, optimizer=torch.optim.AdamW,
                 early_stopping=False, validation_fraction=0.1, n_iter_no_change=10,
                 input_type=None, device="auto", random_state=None, warm_start=False,
                 checkpoint=None, verbose="auto", **net_params):
        self.module = module
        self.modality = modality
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.lr = lr
        self.schedule = schedule
        self.warmup = warmup
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
        super().__init__(**net_params)

    def _check_params(self):
        """Refuse parameters that cannot work, before any work starts."""
        if self.max_epochs != "auto":
            check_number("max_epochs", self.max_epochs, low=0, integer=True)
        if self.batch_size not in ("auto", -1):
            check_number("batch_size", self.batch_size, low=1, integer=True)
        check_number("lr", self.lr, low=0)
        check_schedule(self)
        if isinstance(self.verbose, str):
            check_option("verbose", self.verbose, ["auto"])
        if self.early_stopping:
            check_number("validation_fraction", self.validation_fraction, low=0, high=1)
            check_number("n_iter_no_change", self.n_iter_no_change, low=1, integer=True)
        resolve_device(self.device)
        self._accelerator()
        if not callable(self.optimizer):
            raise TypeError(f"optimizer={self.optimizer!r} must be a torch.optim.Optimizer class, "
                            "such as torch.optim.SGD.")
        self._check_all_routed()

    def _check_kind(self):
        """Refuse parameters that do not go with what X holds."""
        if isinstance(self.module, str) and self.module == "auto" and self._kind != "image":
            self._check_routed("module", mlp)
        if self._kind == "image" and self._routed("module").get("pretrained"):
            self.reader_.refuse_other_units()

    # ---------------------------------------------------------------- what a method may define

    # Whether the loss of a batch is the mean of its samples', so that parts of it add up: what a
    # batch is read in where the device's memory does not hold it.
    _adds_up = True
    _augments = False  # whether training batches go through _augment
    _balances = False  # whether batches are drawn so that classes come equally often

    def _read(self, X, reset):
        """Return what the network is fed, as a dict of tensors with an "X" among them."""
        if reset:
            self.reader_ = Reader(self.modality, self.input_type)
        return {"X": self.reader_.read(X, owner=self, reset=reset, **self._reading())}

    def _read_validation(self, X):
        """Return a validation set, before ``_prepare``; ``_beside`` may change what is read."""
        return self._read(X, reset=False)

    @property
    def _kind(self):
        """What the network reads: "table", "image" or "sequence"."""
        return self.reader_.kind

    def _check_targets(self, y):
        """Return ``y`` as an array, or say why it cannot be learned."""
        raise NotImplementedError

    def _encode_targets(self, y, warm, weight):
        """Return the targets as a tensor, and what a validation split is stratified by, if any."""
        raise NotImplementedError

    def _encode_validation(self, y):
        """Return the validation set's targets as a tensor."""
        raise NotImplementedError

    def _prepare(self, X, y, data):
        """Return what else belongs to each training sample, as a dict of tensors.

        ``X`` and ``y`` are as the user gave them, ``data`` holds them as tensors, and as "weight"
        (n,) the samples' weights, where they are not all alike.
        """
        return {}

    def _beside(self, X, y, data):
        """Return what else belongs to each sample of a validation set, once all is prepared."""
        return {}

    def _weighed(self, data):
        """Return samples with what each weighs in the loss: 1 on average, if not all the same."""
        return {**data, "weight": of_mean_one(data["weight"])} if "weight" in data else data

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

    def _as_predicted(self, data):
        """Return samples set aside as ``predict`` would see them, without what a label tells."""
        return data

    def _augment(self, batch):
        """Change a training batch's inputs at random."""
        raise NotImplementedError

    def _remember(self, data, y):
        """Keep what is needed of the training data, which has been read already."""

    # ---------------------------------------------------------------- fitting

    def _fit(self, X, y, sample_weight=None, validation=(None, None, None), **beside):
        """Fit; what a method's ``fit`` takes beside these goes to its ``_prepare``.

        Where it fails, the estimator is what it was before.
        """
        with as_it_was(self):
            return self._fit_or_fail(X, y, sample_weight, validation, **beside)

    def _fit_or_fail(self, X, y, sample_weight, validation, **beside):
        self._check_params()
        X, y, weight = self._samples(X, y, sample_weight)
        warm = self._goes_on()
        data = self._tensors(self._read(X, reset=not warm), y, weight)
        data["y"], stratify = self._encode_targets(y, warm, weight)
        self._check_kind()
        X_val, y_val, data_val = self._validation_set(*validation)
        data.update(self._prepare(X, y, data, **beside))
        if data_val is not None:
            data_val.update(self._beside(X_val, y_val, data_val))
        try:
            self._train(data, stratify, data_val)
        except KeyboardInterrupt:
            self._remember(data, y)
            raise
        self._remember(data, y)
        return self

    def _samples(self, X, y, sample_weight, suffix=""):
        """Return samples, checked targets, and weights (None: all alike); none that weighs 0."""
        y = labels_of(X, y, **self._reading())
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y{suffix} to be passed, but the "
                             f"target y{suffix} is None.")
        check_same_order(X, y)
        y = self._check_targets(y)
        if sample_weight is None:
            return X, y, None
        return drop_weightless(X, y, check_weights(f"sample_weight{suffix}", sample_weight,
                                                   len(y)))

    def _tensors(self, data, y, weight):
        """Return what was read with the samples' weights, if it goes together."""
        check_consistent_length(data["X"], y)
        if isinstance(data["X"], LazyDataset):
            data["X"].labels = y
        return data if weight is None else {**data, "weight": torch.from_numpy(weight)}

    def _validation_set(self, X, y, sample_weight):
        """Return a validation set of the user's, and as tensors; None where there is none."""
        if X is None:
            if y is not None or sample_weight is not None:
                raise ValueError("y_val and sample_weight_val belong to an X_val, which is None.")
            return None, None, None
        X, y, weight = self._samples(X, y, sample_weight, "_val")
        data = self._tensors(self._read_validation(X), y, weight)
        return X, y, {**data, "y": self._encode_validation(y)}

    def _budget(self, n):
        """Return the epochs, and the samples of a step, of a training on ``n`` samples."""
        epochs, size = self.max_epochs, self.batch_size
        if size == "auto":
            size = min(max(n // BATCHES, LEAST_BATCH), ROWS_AT_ONCE)
        if epochs == "auto":
            steps = 1 if size == -1 else math.ceil(n / size)
            epochs = max(LEAST_EPOCHS, math.ceil(LEAST_STEPS / steps))
        return epochs, size

    def _goes_on(self):
        """Tell whether ``fit`` goes on from the last one's weights."""
        return self.warm_start and hasattr(self, "net_")

    def _train(self, data, stratify, data_val=None):
        """Train on a dict of tensors, in a random stream of its own."""
        accelerator = self._accelerator()
        device = accelerator.device if accelerator else resolve_device(self.device)
        seed = self._draw_seed()
        self.max_epochs_, self.batch_size_ = self._budget(len(data["X"]))
        with seeded(seed, device):
            if not self._goes_on():
                module = self._build(data)
                self.net_ = make_net(self, module, self._criterion_for(module, data), device)
            else:
                if not list(self.net_.criterion_.parameters()):
                    self.net_.criterion_ = self._criterion_for(self.net_.module_, data)
                go_on(self.net_)
            self.interrupted_ = False
            if self.max_epochs_:
                file = None if self.checkpoint is None else \
                    Path(self.checkpoint) / f"{key_of(self, data, data_val, seed)}.ckpt"
                if self.early_stopping and data_val is None:
                    data, data_val = split(self, TensorData(**data), stratify)
                parts = (None if part is None else TensorData(**self._weighed(part))
                         for part in (data, data_val))
                self._run_epochs(tuple(parts), file, accelerator)

    def _run_epochs(self, data, file, accelerator):
        callbacks = self.net_.callbacks_
        self.net_.accelerator = accelerator
        if not self.net_.writes:  # dropout and augmentation are not the first process's
            self.net_.verbose = 0
            torch.manual_seed(torch.initial_seed() + accelerator.process_index)
        of_this_training = []
        if self.schedule is not None or self.warmup:
            of_this_training.append(("schedule", Schedule(self.schedule, self.warmup)))
        if file is not None:
            of_this_training.append(("checkpoint", Checkpoint(file, self)))
        self.net_.callbacks_ = [*callbacks, *of_this_training]
        try:
            self.net_.partial_fit(data)
        except KeyboardInterrupt:
            self.interrupted_ = True
            raise
        finally:
            self.net_.callbacks_, self.net_.accelerator = callbacks, None

    def _accelerator(self):
        """Return this process's Accelerator, of which a pickle or a clone has none."""
        accelerator = make_accelerator(getattr(self, "accelerator", None),
                                       self._routed("accelerator"), self.random_state)
        if accelerator and self.device != "auto":
            raise ValueError(f'device={self.device!r}: accelerator= gives each process its own; '
                             'use device="auto".')
        return accelerator

    def _training_state(self):
        """Return what training changes beside networks, optimiser and torch's random state."""
        return {}

    def _resume(self, state):
        """Take back what :meth:`_training_state` returned."""

    def _draw_seed(self):
        return int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))

    # ---------------------------------------------------------------- asking the network

    def _run(self, X, **extra):
        """Return the network's Output for all of X, as arrays; ``extra`` tensors go beside X."""
        check_is_fitted(self)
        return self._outputs({**self._read(X, reset=False), **extra})

    def _outputs(self, data):
        """Return the network's Output for a dict of tensors, as arrays."""
        module = self.net_.module_.eval()

        def ask(batch):
            output = self._output(module, batch)
            return output.logits, output.features

        logits, features = infer(ask, TensorData(**data), device=self.net_.device,
                                 batch_size=self.batch_size)
        if not logits.isfinite().all():
            raise FloatingPointError(f"The network's logits are NaN or infinite. Lower "
                                     f"lr={self.lr}, or look at the scale of X.")
        return Output(logits.numpy(), None if features is None else features.numpy())

    def encode(self, X):
        """Return the features that the network's last layer reads, (n, d) float32."""
        features = self._run(X).features
        if features is None:
            raise ValueError(f"module={self.module!r} does not end in a linear layer, so its "
                             "features cannot be told from its output. Let its last layer be a "
                             "torch.nn.Linear.")
        return features

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


def reads_one_tensor(estimator):
    """Tell whether an estimator is a network that is fed ``X`` and nothing beside it."""
    return getattr(type(estimator), "_output", None) is TorchEstimator._output


class TorchClassifier(ClassifierMixin, TorchEstimator):
    """A classifier on the bridge: labels, cross-entropy and predictions.

    Parameters
    ----------
    module : "auto", str, torch.nn.Module class or instance, default="auto"
        The network; see :class:`TorchEstimator`.
    modality : str or list, default=None
        What it reads, where ``X`` is a dict of modalities (or the columns of a table).
    augmentation : {None, "weak", "strong"} or callable, default=None
        Of images. "weak" crops, flips and jitters colours mildly, "strong" applies RandAugment
        or AutoAugment as well; a callable takes and returns a batch (n, C, H, W).
    label_smoothing : float, default=0.0
        Share of the target that is spread evenly over the classes, in [0, 1].
    class_weight : "balanced", dict or None, default=None
        Weights of the classes, by which those of their samples are multiplied in the loss: a dict
        from label to weight, or "balanced", n / (n_classes · n_k) for a class of n_k of the n
        labelled samples. A sample without a label weighs what ``fit`` is told.
    sampler : {None, "balanced"}, default=None
        "balanced" draws the samples of an epoch, as many as there are, with replacement and every
        class equally often. All must have a label.
    **training
        As for :class:`TorchEstimator`.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    class_weight_ : ndarray of shape (n_classes,)
        What ``class_weight`` came to, float64.
    """

    classes_: np.ndarray
    _takes_unlabelled = False

    def __init__(self, module="auto", *, modality=None, augmentation=None, label_smoothing=0.0,
                 class_weight=None, sampler=None, **training):
        self.augmentation = augmentation
        self.label_smoothing = label_smoothing
        self.class_weight = class_weight
        self.sampler = sampler
        super().__init__(module, modality=modality, **training)

    def _check_params(self):
        super()._check_params()
        check_number("label_smoothing", self.label_smoothing, low=0, high=1)
        if not (self.sampler is None or isinstance(self.sampler, str) and self._balances):
            raise ValueError(f"sampler={self.sampler!r} is unknown. Use None or 'balanced'; "
                             "weights of samples go to fit(X, y, sample_weight=...), those of "
                             "classes to class_weight.")
        self._augmentation = augmentation(self.augmentation)
        self._augments = self._augmentation is not None

    def _check_kind(self):
        super()._check_kind()
        if self._augmentation is not None and self._kind != "image":
            raise ValueError(f"augmentation={self.augmentation!r} is for images, but X holds a "
                             f"{self._kind}; use augmentation=None.")

    @property
    def _balances(self):  # type: ignore[override]
        return self.sampler == "balanced"

    def fit(self, X, y, sample_weight=None, *, X_val=None, y_val=None, sample_weight_val=None):
        """Train the network.

        Parameters
        ----------
        X : array-like, Dataset, or dict of these
            A table (n, d), images (n, H, W), (n, H, W, C) or (n, C, H, W), sequences (n, T, d),
            or several modalities by name, of which ``modality`` is read. A memory-mapped array and
            a ``torch.utils.data.Dataset`` are read a batch at a time; see the user guide.
        y : array-like of shape (n,)
            Labels: numbers or strings. None takes those of a ``Dataset`` of pairs (x, y).
        sample_weight : array-like of shape (n,), default=None
            How often each sample counts, not below 0: in the loss, in the standardisation of X
            and to the teachers. One that weighs 0 is as good as not there. See the user guide for
            what no weight reaches.
        X_val, y_val : as X and y, default=None
            A validation set. The history then has ``valid_loss``, which early stopping watches,
            and ``valid_acc``.
        sample_weight_val : array-like, default=None
            Weights of the validation set.

        Returns
        -------
        self
        """
        return self._fit(X, y, sample_weight, (X_val, y_val, sample_weight_val))

    def _check_targets(self, y):
        return one_label_each(y, type(self).__name__)

    def _encode_targets(self, y, warm, weight):
        codes, classes = encode_labels(y, type(self).__name__, self._takes_unlabelled)
        if warm and not np.array_equal(classes, self.classes_):
            raise ValueError(f"warm_start=True needs the classes of the last fit, "
                             f"{self.classes_.tolist()}; y has {classes.tolist()}.")
        if self._balances and (codes < 0).any():
            raise ValueError(f"sampler={self.sampler!r} draws every class equally often, but "
                             f"{(codes < 0).sum()} samples of y have no label. Leave them out, or "
                             'use class_weight="balanced".')
        self.classes_ = classes
        self.class_weight_ = class_weights(self.class_weight, codes, classes, weight)
        return torch.from_numpy(codes), codes

    def _encode_validation(self, y):
        codes = label_codes(y, self.classes_, "y_val")
        if (codes < 0).any():
            raise ValueError(f"y_val holds {(codes < 0).sum()} samples without a label, which "
                             "cannot be validated on; leave them out.")
        return torch.from_numpy(codes)

    def _build(self, data):
        return build_classifier(self.module, data["X"], self._kind, len(self.classes_), None,
                                data.get("weight"), **self._routed("module"))

    def _weighed(self, data):
        """Return samples with what each weighs, and what it weighs in cross-entropy."""
        labelled, weight = data["y"] >= 0, data.get("weight")
        if self.class_weight is not None:
            of_class = torch.from_numpy(self.class_weight_)[data["y"].clamp(min=0)]
            weight = torch.where(labelled, of_class, 1) * (1 if weight is None else weight)
        if weight is not None:
            data = {**data, "weight": of_mean_one(weight)}
        if weight is None and labelled.all():
            return data
        return {**data, "ce_weight": of_mean_one(labelled.double()
                                                 * (1 if weight is None else weight))}

    def _cross_entropy(self, output, batch):
        """Cross-entropy of the labelled samples.

        Their weights are 1 on average over all samples, those without a label having none, so
        that a sample counts the same, whatever batch it falls into.
        """
        weight = batch.get("ce_weight")
        if weight is None:
            return F.cross_entropy(output.logits, batch.y, label_smoothing=self.label_smoothing)
        each = F.cross_entropy(output.logits, batch.y, ignore_index=UNLABELLED, reduction="none",
                               label_smoothing=self.label_smoothing)
        return (weight * each).mean()

    def _loss(self, module, batch, output):
        return {"loss": self._cross_entropy(output, batch)}

    def _scores(self, batch, output):
        right = output.logits.argmax(1) == batch.y
        return {"acc": right.float().mean(), "labelled": (batch.y >= 0).float().mean()}

    def _augment(self, batch):
        batch.X = self._augmentation(batch.X)
        return batch

    def score(self, X, y, sample_weight=None):
        """Return the accuracy on the samples that have a label.

        Parameters
        ----------
        X : array-like, Dataset, or dict of these
        y : array-like of shape (n,)
            -1 (None among strings) marks a sample without a label, where ``fit`` takes such.
        sample_weight : array-like of shape (n,), default=None

        Returns
        -------
        float
            In [0, 1].
        """
        if self._takes_unlabelled:
            known = np.flatnonzero(labelled_mask(y))
            if len(known) == 0:
                raise ValueError("Every sample of y is unlabelled, so there is nothing to score.")
            if len(known) < len(y):
                X, y = take(X, known), np.asarray(y)[known]
                sample_weight = None if sample_weight is None else np.asarray(sample_weight)[known]
        return super().score(X, y, sample_weight)

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

    Parameters
    ----------
    module : "auto", str, torch.nn.Module class or instance, default="auto"
        The network; see :class:`TorchEstimator`.
    modality : str or list, default=None
        What it reads, where ``X`` is a dict of modalities (or the columns of a table).
    augmentation : {None, "weak", "strong"} or callable, default=None
        Of images; see :class:`TorchClassifier`.
    label_smoothing : float, default=0.0
        Share of the target that is spread evenly over the classes, in [0, 1].
    class_weight : "balanced", dict or None, default=None
        Of the classes, in the loss; see :class:`TorchClassifier`.
    sampler : {None, "balanced"}, default=None
        "balanced" draws every class equally often.
    **training
        As for :class:`TorchEstimator`.

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

    # For a student that shows it batches: what teaching_logits does, in two steps. A subclass that
    # overrides that and not these is asked by arrays.

    def _fed(self, X):
        """Return what the network is fed of a batch as the reader gives it, a dict of tensors."""
        return {"X": X}

    def _label_inputs(self, y):
        """Return what of each sample's label goes with it as "shown", a tensor; None: nothing."""
        return None
