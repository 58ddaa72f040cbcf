"""Decoupled knowledge distillation: the label's class, and the others among themselves."""

import torch

from cmkdlearn._validation import check_number
from cmkdlearn.losses._base import DistillationLoss, register
from cmkdlearn.losses._kd import kl, kl_rows

OUT = -1e9  # a logit of no weight; finite, so that a row of nothing else has a softmax


@register("dkd")
class DKD(DistillationLoss):
    r"""Decoupled knowledge distillation.

    With :math:`p_t` the softened probability of the label's class and :math:`\hat p` those of the
    others, renormalised,

    .. math::

        L &= \tau^2\,(\alpha\,\mathrm{TCKD} + \beta\,\mathrm{NCKD}), \\
        \mathrm{TCKD} &= \mathrm{KL}\big((p_t^T, 1-p_t^T) \,\|\, (p_t^S, 1-p_t^S)\big), \\
        \mathrm{NCKD} &= \mathrm{KL}(\hat p^T \,\|\, \hat p^S).

    With :math:`\alpha = 1` and a sample's own :math:`\beta = 1 - p_t^T` this is :func:`kd`
    (equation 7): there, a confident teacher says little about the other classes.

    Parameters
    ----------
    temperature : float, default=4.0
        :math:`\tau > 0`.
    alpha : float, default=1.0
    beta : float, default=8.0

    Notes
    -----
    The authors' defaults are these three. Beside cross-entropy of weight 1, theirs rises linearly
    over the first 20 epochs; here its weight does not change.

    References
    ----------
    .. [1] Zhao, Cui, Song, Qiu, Liang. "Decoupled Knowledge Distillation", CVPR 2022.

    Examples
    --------
    >>> import torch
    >>> from cmkdlearn.losses import Output, get_loss
    >>> T = torch.tensor([[2.0, 0.0, 1.0]])
    >>> get_loss("dkd")(Output(T), Output(T), torch.tensor([0])).item()
    0.0
    """

    needs_labels = True
    min_classes = 3
    paper, equation = "Zhao et al. 2022", "equation 7"

    def __init__(self, temperature=4.0, alpha=1.0, beta=8.0):
        super().__init__()
        self.temperature = check_number("temperature", temperature, low=0, open_low=True)
        self.alpha = check_number("alpha", alpha, low=0)
        self.beta = check_number("beta", beta, low=0)

    def per_sample(self, student, teacher, y):
        """Return the loss of each sample, (n,)."""
        tau = self.temperature
        student_pair, student_rest = split(student.logits / tau, y)
        teacher_pair, teacher_rest = split(teacher.logits / tau, y)
        tckd = kl(student_pair, teacher_pair)
        nckd = kl_rows(student_rest, teacher_rest)
        return tau**2 * (self.alpha * tckd + self.beta * nckd)


def split(logits, index):
    """Tell one class a row from the others.

    Returns logits (n, 2), of that class and of all the others as one; and the log-probabilities
    (n, C) of the others among themselves.
    """
    rest = without(logits, index).log_softmax(dim=1)
    one, other = index[:, None], (index[:, None] + 1) % logits.shape[1]
    as_one = logits.gather(1, other) - rest.gather(1, other)
    return torch.cat([logits.gather(1, one), as_one], dim=1), rest


def without(logits, index):
    """Return the logits with one class a row out of the running."""
    return logits.scatter(1, index[:, None], OUT)
