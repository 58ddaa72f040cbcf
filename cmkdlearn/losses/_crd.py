"""Contrastive representation distillation."""

import torch
import torch.nn.functional as F
from torch import nn

from cmkdlearn._labels import UNLABELLED
from cmkdlearn._validation import check_number
from cmkdlearn.losses._base import DistillationLoss, register


@register("crd")
class CRD(DistillationLoss):
    r"""Contrastive representation distillation, both ways.

    Linear maps to a common space, normalised, give :math:`g_{ij} = g^S(s_i)^\top g^T(t_j)/\tau`.
    Of a sample's own pair and of N others the critic
    :math:`h_{ij} = e^{g_{ij}} / (e^{g_{ij}} + N/M)` has to tell the own one, once with the
    student's sample as the anchor, among the teacher's, and once with the teacher's, among the
    student's:

    .. math:: L = -\operatorname*{mean}_i \Big(\log h_{ii} + \sum_{j} \log (1 - h_{ij})\Big)
                  -\operatorname*{mean}_i \Big(\log h_{ii} + \sum_{j} \log (1 - h_{ji})\Big)

    What an anchor is compared with is held constant, as out of a memory. The others are those of
    the batch, and of the banks if there are any, that have another label; an unlabelled sample
    differs from all. M is the number that they are drawn from.

    Parameters
    ----------
    dim : int, default=128
        Dimension of the common space; the authors' default.
    nce_temperature : float, default=0.07
        :math:`\tau > 0`; the authors' default.
    bank_size : int, default=0
        How many representations of earlier batches are kept of either side, as further others.
        The authors' default is a memory of all training samples, out of which 16,384 others are
        drawn for each; those of a batch alone are fewer and fresher.

    Notes
    -----
    In the authors' code [2]_ the own pair, too, comes out of the memory, where a representation is
    the running mean of its epochs with a momentum of 0.5; and their :math:`e^{g}` is divided by M
    times its mean in the first batch, which it is not in the paper. They weigh the loss by 0.8
    beside cross-entropy of weight 1.

    References
    ----------
    .. [1] Tian, Krishnan, Isola. "Contrastive Representation Distillation", ICLR 2020.
    .. [2] The authors' code, https://github.com/HobbitLong/RepDistiller.

    Examples
    --------
    >>> import torch
    >>> from cmkdlearn.losses import Output, get_loss
    >>> S, T = (Output(torch.zeros(4, 3), torch.randn(4, d)) for d in (5, 8))
    >>> loss = get_loss("crd", dim=16).build(S, T)
    >>> bool(loss(S, T) > 0)
    True
    """

    needs = ("features",)
    must_build = True
    min_samples = 2
    paper, equation = "Tian et al. 2020", "contrastive loss"
    student_bank: torch.Tensor
    teacher_bank: torch.Tensor
    bank_labels: torch.Tensor

    def __init__(self, dim=128, nce_temperature=0.07, bank_size=0):
        super().__init__()
        self.dim = check_number("dim", dim, low=1, integer=True)
        self.nce_temperature = check_number("nce_temperature", nce_temperature, low=0,
                                            open_low=True)
        self.bank_size = check_number("bank_size", bank_size, low=0, integer=True)

    def build(self, student, teacher):
        """Make the projections, and empty banks."""
        super().build(student, teacher)
        self.project_student = nn.Linear(student.features.shape[1], self.dim)
        self.project_teacher = nn.Linear(teacher.features.shape[1], self.dim)
        self.register_buffer("student_bank", torch.zeros(0, self.dim))
        self.register_buffer("teacher_bank", torch.zeros(0, self.dim))
        self.register_buffer("bank_labels", torch.zeros(0, dtype=torch.long))
        return self

    def forward(self, student, teacher, y):
        """Return the batch mean of the loss."""
        ours = F.normalize(self.project_student(student.features), dim=1)
        theirs = F.normalize(self.project_teacher(teacher.features), dim=1)
        n = len(ours)
        y = torch.full((n,), UNLABELLED, device=ours.device) if y is None else y
        known_ours = torch.cat([ours.detach(), self.student_bank.to(ours)])
        known_theirs = torch.cat([theirs.detach(), self.teacher_bank.to(theirs)])
        labels = torch.cat([y, self.bank_labels])
        others = (y[:, None] != labels) | (y[:, None] == UNLABELLED)
        others.diagonal().fill_(False)
        loss = self._contrast(ours, known_theirs, others) \
            + self._contrast(theirs, known_ours, others)
        if self.bank_size and self.training:
            self.student_bank = known_ours[: self.bank_size]
            self.teacher_bank = known_theirs[: self.bank_size]
            self.bank_labels = labels[: self.bank_size]
        return loss

    def _contrast(self, anchors, known, others):
        """Tell each anchor's own pair, which is known by the same row, from the others."""
        N, M = others.sum(dim=1, keepdim=True).clamp(min=1), len(known)
        odds = anchors @ known.T / self.nce_temperature
        odds = odds - (N.to(odds) / M).log()  # log h = log sigmoid(odds)
        own = F.logsigmoid(odds.diagonal())
        rest = F.logsigmoid(-odds).masked_fill(~others, 0).sum(dim=1)
        return -(own + rest).mean()
