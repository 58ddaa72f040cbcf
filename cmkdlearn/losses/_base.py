"""What all distillation losses share: their input, their interface, their sum and their table."""

import inspect
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cmkdlearn._labels import UNLABELLED
from cmkdlearn._validation import check_number, check_option


class Output(NamedTuple):
    """What a network says about a batch.

    Attributes
    ----------
    logits : Tensor of shape (n, n_classes)
    features : Tensor of shape (n, d), optional
        What the classification head reads.
    feature_maps : tuple of Tensor of shape (n, c, h, w), optional
        Intermediate maps, from the finest to the coarsest.
    """

    logits: Tensor
    features: Tensor | None = None
    feature_maps: tuple | None = None

    def map(self, function):
        """Return the same with every tensor replaced by a function of it."""
        return Output._make(
            None if part is None else
            tuple(map(function, part)) if isinstance(part, tuple) else function(part)
            for part in self)


class DistillationLoss(nn.Module):
    """Base class of the distillation losses.

    A subclass computes ``per_sample(student, teacher, y)`` from two :class:`Output` and the
    encoded labels (n,) and returns the loss of each sample (n,); or, where it is no mean over
    samples, ``forward`` with the same arguments, the loss of the batch as a scalar tensor. It says
    by class attributes what it takes. A loss is called, as any module is; the call refuses what
    does not fit before the formula sees it, and brings half precision to float32.

    Losses add up: ``0.5 * get_loss("dkd") + get_loss("rkd")`` is a loss.

    Attributes
    ----------
    needs : tuple of {"logits", "features", "feature_maps"}
        The parts of an :class:`Output` that it reads, of both sides.
    needs_labels : bool
        Whether it reads ``y``. Then unlabelled samples (-1) are left out and count as zero, so
        that a labelled sample weighs the same in every batch, and ``forward`` never sees them.
    must_build : bool
        Whether :meth:`build` has to make something first: parameters, which are trained with the
        student, or what else depends on the networks.
    min_classes, min_samples : int
        The least that it is defined for; more than one sample where the loss compares the samples
        of a batch with each other, and is no mean over them.
    takes_weights : bool
        Whether samples may weigh differently: whether it has a ``per_sample``.
    paper, equation : str
        Where it comes from, and what it is called or numbered there.
    """

    needs: tuple[str, ...] = ("logits",)
    needs_labels = False
    must_build = False
    min_classes = 2
    min_samples = 1
    paper = equation = ""
    _built = False

    def build(self, student, teacher):
        """Make the parameters, whose shapes depend on what the networks say.

        Called once, before there is an optimiser. A subclass with ``must_build = True`` extends it.

        Parameters
        ----------
        student, teacher : Output
            Of a few samples, the same ones of both sides or not.

        Returns
        -------
        self
        """
        self.check(student, teacher)
        self._built = True
        return self

    def per_sample(self, student, teacher, y):
        """Return the loss of each sample, (n,)."""
        raise NotImplementedError(f"{type(self).__name__} must define forward(student, teacher, "
                                  "y), or per_sample where it is a mean over samples.")

    def forward(self, student, teacher, y):
        """Return the batch mean of the loss."""
        return self.per_sample(student, teacher, y).mean()

    @property
    def takes_weights(self):
        """Whether samples may weigh differently: whether the loss is a mean over them."""
        return type(self).per_sample is not DistillationLoss.per_sample

    def __call__(self, student, teacher, y=None, weight=None):
        """Return the batch mean of the loss, of outputs that fit it.

        ``weight`` (n,), 1 on average, weighs the samples of a loss that ``takes_weights``.
        """
        student, teacher = student.map(_full), teacher.map(_full)
        self.check(student, teacher)
        n = len(student.logits)
        if n != len(teacher.logits):
            raise ValueError(f"{self._name} compares sample by sample, but the student speaks of "
                             f"{n} samples and the teacher of {len(teacher.logits)}.")
        if y is not None and (y.shape != (n,) or y.is_floating_point()):
            raise ValueError(f"y holds {y.dtype} of shape {tuple(y.shape)}; {self._name} needs one "
                             f"whole number for each of the {n} samples.")
        if n < self.min_samples:
            raise ValueError(f"{self._name} compares samples with each other and needs "
                             f"{self.min_samples} at least; the batch has {n}. Raise batch_size.")
        if self.must_build and not self._built:
            raise RuntimeError(f"{self._name} is not built yet: call build(student, teacher), "
                               "and then make the optimiser.")
        if weight is not None and not self.takes_weights:
            raise ValueError(f"{self._name} is no mean over samples, so they cannot be weighted; "
                             "pass weight=None.")
        value = self._of_labelled(student, teacher, y, weight) if self.needs_labels \
            else self._mean(student, teacher, y, weight)
        # a GPU is not made to wait for this: there, the epoch's end finds out
        if value.device.type == "cpu" and not value.isfinite():
            for who, output in (("student", student), ("teacher", teacher)):
                for part in self.needs:
                    _refuse_non_finite(self._name, who, part, getattr(output, part))
            raise FloatingPointError(f"{self._name} is {value.item()}: what it compares is finite, "
                                     "but too large for its square or its exponential. Lower lr, "
                                     "or look at the scale of X.")
        return value

    def _mean(self, student, teacher, y, weight):
        if weight is None:
            return super().__call__(student, teacher, y)
        return (weight * self.per_sample(student, teacher, y)).mean()

    def _of_labelled(self, student, teacher, y, weight):
        if y is None:
            raise ValueError(f"{self._name} reads the labels, but y is None; pass one for each "
                             f"sample, {UNLABELLED} where there is none.")
        n_classes = student.logits.shape[1]
        # not on a GPU, which would have to wait for it
        if y.device.type == "cpu" and not ((y >= UNLABELLED) & (y < n_classes)).all():
            raise ValueError(f"y holds {y[(y < UNLABELLED) | (y >= n_classes)][0].item()}; labels "
                             f"must be 0 to {n_classes - 1}, for the {n_classes} classes of the "
                             f"logits, or {UNLABELLED} where there is none.")
        labelled = y != UNLABELLED
        if labelled.all():
            return self._mean(student, teacher, y, weight)
        if not labelled.any():
            return 0 * student.logits.sum()
        value = self._mean(student.map(lambda t: t[labelled]), teacher.map(lambda t: t[labelled]),
                           y[labelled], None if weight is None else weight[labelled])
        return value * labelled.sum() / len(y)

    def check(self, student, teacher):
        """Raise a ValueError if the outputs lack what the loss needs, or do not go together."""
        for who, output in (("student", student), ("teacher", teacher)):
            missing = [part for part in self.needs if getattr(output, part) is None]
            if missing:
                raise ValueError(f"{self._name} needs the {who}'s {_words(missing[0])}, and there "
                                 f"are none. Pass Output(logits, {missing[0]}=...), or take a "
                                 "network that has them, or another loss.")
        ours, theirs = student.logits.shape[1], teacher.logits.shape[1]
        if ours != theirs:
            raise ValueError(f"The student has logits of {ours} classes and the teacher of "
                             f"{theirs}; {self._name} needs the same classes in the same order.")
        self.check_classes(ours)

    def check_classes(self, n_classes):
        """Raise a ValueError if the loss is not defined for so few classes."""
        if n_classes < self.min_classes:
            raise ValueError(f"{self._name} compares the classes that are not the label's, so it "
                             f"needs {self.min_classes} classes at least; there are {n_classes}. "
                             "Use loss='kd'.")

    @property
    def _name(self):
        return next((name for name, cls in LOSSES.items() if cls is type(self)),
                    type(self).__name__)

    def __add__(self, other):
        if not isinstance(other, DistillationLoss):
            return NotImplemented
        return WeightedSum(self._terms() + other._terms())

    def __mul__(self, weight):
        if isinstance(weight, DistillationLoss):
            return NotImplemented
        check_number("weight", weight, low=0)
        return WeightedSum([(float(weight * w), loss) for w, loss in self._terms()])

    __rmul__ = __mul__

    def _terms(self):
        return [(1.0, self)]

    def __repr__(self):
        names = inspect.signature(type(self)).parameters
        values = (f"{name}={getattr(self, name)!r}" for name in names if hasattr(self, name))
        return f"{type(self).__name__}({', '.join(values)})"


class WeightedSum(DistillationLoss):
    """A weighted sum of losses, as ``0.5 * get_loss("dkd") + get_loss("rkd")`` makes it.

    It needs all that one of its terms needs. Terms leave unlabelled samples out one by one.

    Parameters
    ----------
    terms : list of (float, DistillationLoss)
        Non-negative weights, and what they weigh.

    Examples
    --------
    >>> from cmkdlearn.losses import get_loss
    >>> both = 0.5 * get_loss("dkd") + get_loss("rkd")
    >>> both
    0.5 * DKD(temperature=4.0, alpha=1.0, beta=8.0) + RKD(distance=25.0, angle=50.0)
    >>> both.needs
    ('logits', 'features')
    """

    def __init__(self, terms):
        super().__init__()
        self.weights = [check_number("weight", weight, low=0) for weight, _ in terms]
        self.losses = nn.ModuleList(loss for _, loss in terms)

    needs = property(lambda self: tuple(dict.fromkeys(
        part for loss in self.losses for part in loss.needs)))
    needs_labels = property(lambda self: any(loss.needs_labels for loss in self.losses))
    must_build = property(lambda self: any(loss.must_build for loss in self.losses))
    min_samples = property(lambda self: max(loss.min_samples for loss in self.losses))

    def build(self, student, teacher):
        """Make the parameters of all terms."""
        for loss in self.losses:
            loss.build(student, teacher)
        return self

    def check(self, student, teacher):
        """Let every term check for itself."""
        for loss in self.losses:
            loss.check(student, teacher)

    def check_classes(self, n_classes):
        """Let every term check for itself."""
        for loss in self.losses:
            loss.check_classes(n_classes)

    takes_weights = property(lambda self: any(loss.takes_weights for loss in self.losses))

    def __call__(self, student, teacher, y=None, weight=None):
        """Return the sum; each term looks after its own input, and weighs samples if it can."""
        return nn.Module.__call__(self, student, teacher, y, weight)

    def forward(self, student, teacher, y, weight=None):
        """Return the batch mean of the loss."""
        return sum(share * loss(student, teacher, y, weight if loss.takes_weights else None)
                   for share, loss in self._terms())

    def _terms(self):
        return list(zip(self.weights, self.losses, strict=True))

    def __repr__(self):
        return " + ".join(repr(loss) if weight == 1 else f"{weight:g} * {loss!r}"
                          for weight, loss in self._terms())


LOSSES: dict[str, type[DistillationLoss]] = {}
"""The table of losses: a name and the class that it stands for."""


def register(name):
    """Enter a loss class into the table under ``name``."""
    def enter(cls):
        LOSSES[name] = cls
        return cls
    return enter


def get_loss(loss, **params):
    """Return a distillation loss by name.

    Parameters
    ----------
    loss : str or DistillationLoss
        A name from ``LOSSES``, or a loss, which is returned as it is.
    **params
        What the named loss takes, such as ``temperature``.

    Returns
    -------
    DistillationLoss

    Raises
    ------
    ValueError
        If the name is unknown (near matches are listed).
    TypeError
        If ``loss`` is neither a name nor a DistillationLoss.

    Examples
    --------
    >>> from cmkdlearn.losses import get_loss
    >>> get_loss("kd", temperature=2.0)
    KD(temperature=2.0)
    """
    if isinstance(loss, DistillationLoss):
        return loss
    if not isinstance(loss, str):
        raise TypeError(f"loss={loss!r} must be a name ({', '.join(map(repr, LOSSES))}) or an "
                        "instance of cmkdlearn.losses.DistillationLoss.")
    return LOSSES[check_option("loss", loss, LOSSES)](**params)


def layer(output, hint):
    """Return the features (n, d), or the feature map (n, c, h, w) at a position."""
    if hint == "features":
        return output.features
    if not -len(output.feature_maps) <= hint < len(output.feature_maps):
        n = len(output.feature_maps)
        raise ValueError(f"hint={hint} is out of range: the network has {n} feature maps, "
                         f"{-n} to {n - 1}.")
    return output.feature_maps[hint]


def check_hint(hint):
    """Return ``hint`` and the part of an output that it reads."""
    if hint == "features":
        return hint, ("features",)
    if isinstance(hint, str):
        raise ValueError(f"hint={hint!r} must be \"features\" or the position of a "
                         "feature map, such as -1 for the last.")
    return check_number("hint", hint, integer=True), ("feature_maps",)


def squared_error(a, b):
    """Return the mean squared difference of each sample, (n,)."""
    return F.mse_loss(a, b, reduction="none").flatten(1).mean(dim=1)


def _full(tensor):
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def _refuse_non_finite(name, who, part, values):
    values = values if isinstance(values, tuple) else (values,)
    if not all(value.isfinite().all() for value in values):
        raise FloatingPointError(f"The {who}'s {_words(part)} are NaN or infinite in {name}. Lower "
                                 "lr, or look at the scale of X.")


def _words(part):
    return part.replace("_", " ")
