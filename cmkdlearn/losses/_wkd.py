"""Wasserstein distance of class probabilities, where confusing neighbours costs little."""

import numpy as np
import torch
import torch.nn.functional as F

from cmkdlearn._validation import check_number
from cmkdlearn.losses._base import DistillationLoss, register
from cmkdlearn.losses._dkd import without

SMALL = 0.03  # an epsilon, in units of the largest cost


@register("wkd")
class WKD(DistillationLoss):
    r"""Wasserstein distance of logits (WKD-L).

    .. math::

        L = -p_y^T \log p_y^S + \lambda\, W_\varepsilon(\hat p^T, \hat p^S), \qquad
        c_{ij} = 1 - e^{-\kappa (1 - \mathrm{IR}_{ij})}

    The label's class is taught by a cross-entropy, the others, renormalised and softened, by
    optimal transport: moving probability between classes that the teacher finds alike
    (interrelation IR near 1) costs little.

    Parameters
    ----------
    temperature : float, default=4.0
        :math:`\tau > 0`, of the transported probabilities.
    weight : float, default=30.0
        :math:`\lambda \ge 0`.
    sharpness : float, default=1.0
        :math:`\kappa > 0`.
    sinkhorn_reg : float, default=0.05
        :math:`\varepsilon`, at least 0.01; costs lie in [0, 1].
    n_iter : int, default=10
        Sinkhorn iterations.
    relations : array-like of shape (n_classes, n_classes), default=None
        IR. None: the correlation of the teacher's logits over the samples that ``build`` is
        shown (all training samples, in :class:`~cmkdlearn.students.MultiTeacherDistiller`),
        negative ones taken as 0. The paper has centred kernel alignment of features, or cosines
        of the head's weights.

    Notes
    -----
    :math:`W_\varepsilon` is the transport's cost plus :math:`\varepsilon` times its divergence from
    independence; the gradient is that of the converged transport (its dual potentials). As every
    entropic distance it is not 0 between equal distributions. A step costs a product of all pairs
    of classes per iteration, which no other logit loss does.

    References
    ----------
    .. [1] Lv, Yang, Li. "Wasserstein Distance Rivals Kullback-Leibler Divergence for Knowledge
       Distillation", NeurIPS 2024.

    Examples
    --------
    >>> import torch
    >>> from cmkdlearn.losses import Output, get_loss
    >>> T = Output(torch.tensor([[3.0, 2.0, 0.0], [0.0, 1.0, 3.0], [2.0, 3.0, 0.0]]))
    >>> loss = get_loss("wkd").build(T, T)
    >>> S = Output(torch.tensor([[3.0, 0.0, 2.0], [0.0, 1.0, 3.0], [2.0, 3.0, 0.0]]))
    >>> y = torch.tensor([0, 2, 1])
    >>> bool(loss(T, T, y) < loss(S, T, y))
    True
    """

    needs_labels = True
    must_build = True
    min_classes = 3
    paper, equation = "Lv et al. 2024", "WKD-L"

    def __init__(self, temperature=4.0, weight=30.0, sharpness=1.0, sinkhorn_reg=0.05, n_iter=10,
                 relations=None):
        super().__init__()
        self.temperature = check_number("temperature", temperature, low=0, open_low=True)
        self.weight = check_number("weight", weight, low=0)
        self.sharpness = check_number("sharpness", sharpness, low=0, open_low=True)
        self.sinkhorn_reg = check_number("sinkhorn_reg", sinkhorn_reg, low=0.01)
        self.n_iter = check_number("n_iter", n_iter, low=1, integer=True)
        self.relations = relations

    def build(self, student, teacher):
        """Work out the costs."""
        super().build(student, teacher)
        n_classes = teacher.logits.shape[1]
        if self.relations is None:
            centred = teacher.logits.double() - teacher.logits.double().mean(dim=0)
            columns = F.normalize(centred, dim=0)
            relations = (columns.T @ columns).clamp(0, 1)
        else:
            relations = torch.as_tensor(np.asarray(self.relations, dtype=float))
            if relations.shape != (n_classes, n_classes) or not ((relations >= 0)
                                                                 & (relations <= 1)).all():
                raise ValueError(f"relations must be ({n_classes}, {n_classes}) numbers in [0, 1];"
                                 f" got shape {tuple(relations.shape)}.")
        cost = 1 - (-self.sharpness * (1 - relations)).exp()
        self.register_buffer("cost", cost.fill_diagonal_(0).to(teacher.logits.dtype))
        return self

    def per_sample(self, student, teacher, y):
        """Return the loss of each sample, (n,)."""
        target = y[:, None]
        p_y = teacher.logits.softmax(dim=1).gather(1, target)
        ce = -(p_y * student.logits.log_softmax(dim=1).gather(1, target))[:, 0]
        p_s, p_t = ((without(z / self.temperature, y)).softmax(dim=1)
                    for z in (student.logits, teacher.logits))
        return ce + self.weight * transport(p_s, p_t, self.cost.to(p_s), self.sinkhorn_reg,
                                            self.n_iter)


def transport(p, q, cost, reg, n_iter):
    """Entropic transport cost (n,) between rows of probabilities, by its dual potentials.

    Costs in [0, 1] keep exp(-cost / reg) above 1e-44, and above 1e-14 where reg is not small, so
    that its precision needs no logarithms; sums of what is positive lose no digits.
    """
    with torch.no_grad():
        precision = torch.float64 if reg < SMALL else p.dtype
        kernel = (-cost.to(precision) / reg).exp()
        p_, q_ = p.to(precision), q.to(precision)
        a = torch.ones_like(p_)
        for _ in range(n_iter):
            b = 1 / ((a * p_) @ kernel)
            a = 1 / ((b * q_) @ kernel.T)
        f, g = (reg * a.log()).to(p), (reg * b.log()).to(q)
    return (f * p + g * q).sum(dim=1)
