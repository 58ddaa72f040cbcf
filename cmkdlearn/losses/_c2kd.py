"""C2KD: crossmodal distillation through proxies, of samples on which both modalities agree."""

from scipy.stats import kendalltau
from torch import nn

from cmkdlearn._validation import check_number
from cmkdlearn.losses._base import DistillationLoss, register
from cmkdlearn.losses._dkd import without
from cmkdlearn.losses._kd import kd_rows

MANY_PAIRS = 2**22  # of classes; with more, sorting each row is faster


@register("c2kd")
class C2KD(DistillationLoss):
    r"""Customised crossmodal knowledge distillation.

    Each side has a proxy, a linear head of its own on its features (:math:`\tilde s, \tilde t`),
    which agrees with the side's logits in both directions; the modalities only meet in the
    proxies. Of those samples for which Kendall's rank correlation of the proxies' logits
    exceeds a threshold (on-the-fly selection), the proxies are distilled into each other, without
    the label's class (NTKL):

    .. math::

        L = D(s, \tilde s) + D(\tilde s, s) + D(t, \tilde t)
          + \mathbb 1[\tau_K(\tilde s, \tilde t) > \omega]
            \big(D_{\setminus y}(\tilde t, \tilde s) + D_{\setminus y}(\tilde s, \tilde t)\big)

    where D is the tempered divergence :func:`kd`, and its first argument, the target, is held
    constant.

    Parameters
    ----------
    temperature : float, default=1.0
        :math:`\tau > 0`.
    threshold : float, default=0.0
        :math:`\omega` in [-1, 1]; 0 is the authors' default.

    Notes
    -----
    In the paper the teacher's network is trained too. Here teachers are frozen: what flows back
    goes into the teacher's proxy, which so becomes a teacher that the student can follow.

    References
    ----------
    .. [1] Huo, Xu, Guo, Wang, Guo. "C2KD: Bridging the Modality Gap for Cross-Modal Knowledge
       Distillation", CVPR 2024.

    Examples
    --------
    >>> import torch
    >>> from cmkdlearn.losses import Output, get_loss
    >>> S, T = (Output(torch.randn(4, 3), torch.randn(4, d)) for d in (5, 8))
    >>> loss = get_loss("c2kd").build(S, T)
    >>> bool(loss(S, T, torch.tensor([0, 1, 2, -1])) > 0)
    True
    """

    needs = ("logits", "features")
    needs_labels = True
    must_build = True
    min_classes = 3
    paper, equation = "Huo et al. 2024", "OFSD, NTKL"

    def __init__(self, temperature=1.0, threshold=0.0):
        super().__init__()
        self.temperature = check_number("temperature", temperature, low=0, open_low=True)
        self.threshold = check_number("threshold", threshold, low=-1, high=1)

    def build(self, student, teacher):
        """Make the proxies."""
        super().build(student, teacher)
        self.student_proxy, self.teacher_proxy = (
            nn.Linear(side.features.shape[1], side.logits.shape[1]) for side in (student, teacher))
        return self

    def per_sample(self, student, teacher, y):
        """Return the loss of each sample, (n,)."""
        s, t = student.logits, teacher.logits
        s_proxy = self.student_proxy(student.features)
        t_proxy = self.teacher_proxy(teacher.features)
        loss = self._towards(s, s_proxy) + self._towards(s_proxy, s) + self._towards(t, t_proxy)
        agree = kendall(s_proxy.detach(), t_proxy.detach()) > self.threshold
        if agree.any():
            s_rest, t_rest = (without(z, y)[agree] for z in (s_proxy, t_proxy))
            both = self._towards(t_rest, s_rest) + self._towards(s_rest, t_rest)
            loss = loss.index_add(0, agree.nonzero()[:, 0], both)
        return loss

    def _towards(self, target, logits):
        return kd_rows(logits, target.detach(), self.temperature)


def kendall(a, b):
    r"""Kendall's rank correlation :math:`\tau_b` of each row of (n, C) with the other's, (n,).

    0 where all values of a row are equal.
    """
    if len(a) * a.shape[1] ** 2 > MANY_PAIRS:
        rows = zip(a.cpu().numpy(), b.cpu().numpy(), strict=True)
        return a.new_tensor([kendalltau(*pair).statistic for pair in rows]).nan_to_num()
    a, b = ((z[:, :, None] - z[:, None, :]).sign() for z in (a, b))
    agreement, a_pairs, b_pairs = ((x * y).sum(dim=(1, 2)) for x, y in ((a, b), (a, a), (b, b)))
    return agreement / (a_pairs * b_pairs).sqrt().clamp(min=1)
