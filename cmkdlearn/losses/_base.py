"""What all distillation losses share: their input, their interface and their table."""

from typing import NamedTuple

from torch import Tensor, nn

from cmkdlearn._validation import check_option


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


class DistillationLoss(nn.Module):
    """Base class of the distillation losses.

    A subclass computes ``forward(student, teacher, y)`` from two :class:`Output` and the
    encoded labels (n,), of which -1 marks an unlabelled sample, and returns the batch mean as
    a scalar tensor. Parameters of its own (a regressor, say) are trained with the student.
    """

    def forward(self, student, teacher, y):
        """Return the batch mean of the loss."""
        raise NotImplementedError(f"{type(self).__name__} must define forward(student, teacher, "
                                  "y).")


LOSSES = {}
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
