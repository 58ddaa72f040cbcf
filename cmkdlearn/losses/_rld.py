"""Refined logit distillation: what a teacher says, without what the label contradicts."""

from cmkdlearn._validation import check_number
from cmkdlearn.losses._base import DistillationLoss, register
from cmkdlearn.losses._dkd import OUT, split, without
from cmkdlearn.losses._kd import kl, kl_rows


@register("rld")
class RLD(DistillationLoss):
    r"""Refined logit distillation.

    .. math:: L = \tau^2\,(\alpha\,\mathrm{SCD} + \beta\,\mathrm{MCD})

    Sample confidence distillation gives the student's *label* the confidence that the teacher has
    in its *winner*, right or wrong:
    :math:`\mathrm{KL}\big((p_{max}^T, 1-p_{max}^T) \,\|\, (p_y^S, 1-p_y^S)\big)`.
    Masked correlation distillation compares the softmaxes over those classes that the teacher
    ranks below the label; where it is wrong, the classes that it prefers are left out. A sample
    for which no class is left adds nothing.

    Parameters
    ----------
    temperature : float, default=4.0
        :math:`\tau > 0`.
    alpha : float, default=1.0
    beta : float, default=8.0

    References
    ----------
    .. [1] Sun, Chen, Lyu, Chen, Chen, Wang. "Knowledge Distillation with Refined Logits",
       ICCV 2025.

    Examples
    --------
    >>> import torch
    >>> from cmkdlearn.losses import Output, get_loss
    >>> T = torch.tensor([[1.0, 2.0, 0.0]])
    >>> S = torch.tensor([[2.0, 1.0, 0.0]])          # as sure, of the label
    >>> get_loss("rld")(Output(S), Output(T), torch.tensor([0])).item() < 1e-6
    True
    """

    needs_labels = True
    min_classes = 3
    paper, equation = "Sun et al. 2025", "SCD, MCD"

    def __init__(self, temperature=4.0, alpha=1.0, beta=8.0):
        super().__init__()
        self.temperature = check_number("temperature", temperature, low=0, open_low=True)
        self.alpha = check_number("alpha", alpha, low=0)
        self.beta = check_number("beta", beta, low=0)

    def per_sample(self, student, teacher, y):
        """Return the loss of each sample, (n,)."""
        student, teacher = student.logits / self.temperature, teacher.logits / self.temperature
        student_pair, student_rest = split(student, y)
        teacher_pair, teacher_rest = split(teacher, y)  # where the teacher is right
        mcd = kl_rows(student_rest, teacher_rest)
        own = teacher.gather(1, y[:, None])
        wrong = (without(teacher, y).amax(dim=1) >= own[:, 0]).nonzero()[:, 0]
        if len(wrong):
            s, t = student.index_select(0, wrong), teacher[wrong]
            preferred = t >= own[wrong]
            teacher_pair = teacher_pair.index_copy(0, wrong, split(t, t.argmax(dim=1))[0])
            corrected = kl_rows(s.masked_fill(preferred, OUT).log_softmax(dim=1),
                                t.masked_fill(preferred, OUT).log_softmax(dim=1))
            mcd = mcd.index_copy(0, wrong, corrected)
        scd = kl(student_pair, teacher_pair)
        return self.temperature**2 * (self.alpha * scd + self.beta * mcd)
