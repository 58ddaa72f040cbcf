"""Distillation of softened class probabilities."""

import torch

from cmkdlearn._validation import check_number
from cmkdlearn.losses._base import DistillationLoss, register


def kd(student_logits, teacher_logits, temperature=4.0):
    r"""Knowledge distillation of logits.

    .. math:: \tau^2 \, \mathrm{KL}(\mathrm{softmax}(T/\tau) \,\|\, \mathrm{softmax}(S/\tau))

    averaged over the batch. The factor :math:`\tau^2` keeps the gradient's size independent of
    the temperature; up to the teacher's entropy, which has no gradient, this is the second term
    of equation 3 in [2]_.

    Parameters
    ----------
    student_logits, teacher_logits : Tensor of shape (n, n_classes)
    temperature : float, default=4.0
        :math:`\tau > 0`.

    Returns
    -------
    Tensor of shape ()
        In nats.

    Raises
    ------
    ValueError
        If the temperature is not above 0.

    References
    ----------
    .. [1] Hinton, Vinyals, Dean. "Distilling the Knowledge in a Neural Network", 2015.
    .. [2] Guo et al. "Crossmodal Knowledge Distillation with WordNet-Relaxed Text Embeddings
       for Robust Image Classification".

    Examples
    --------
    >>> import torch
    >>> from cmkdlearn.losses import kd
    >>> T = torch.tensor([[2.0, 0.0]])
    >>> kd(T, T).item()
    0.0
    >>> round(kd(torch.zeros(1, 2), T, temperature=1.0).item(), 4)   # ln 2 - H(0.88, 0.12)
    0.3278
    """
    check_number("temperature", temperature, low=0, open_low=True)
    return kd_rows(student_logits, teacher_logits, temperature).mean()


def kd_rows(student_logits, teacher_logits, temperature):
    """:func:`kd` of each sample, (n,), at a temperature that was checked before."""
    return temperature**2 * kl(student_logits / temperature, teacher_logits / temperature)


def kl(student_logits, teacher_logits):
    """KL(softmax(T) || softmax(S)) of each row, in nats."""
    return kl_rows(student_logits.log_softmax(dim=1), teacher_logits.log_softmax(dim=1))


def kl_rows(log_q, log_p):
    """KL(p || q) of each row of log-probabilities, in nats."""
    return torch.linalg.vecdot(log_p.exp(), log_p - log_q)


@register("kd")
class KD(DistillationLoss):
    """:func:`kd` as a loss object.

    Parameters
    ----------
    temperature : float, default=4.0
    """

    paper, equation = "Hinton et al. 2015", "section 2"

    def __init__(self, temperature=4.0):
        super().__init__()
        self.temperature = check_number("temperature", temperature, low=0, open_low=True)

    def per_sample(self, student, teacher, y):
        """Return the loss of each sample, (n,)."""
        return kd_rows(student.logits, teacher.logits, self.temperature)
