"""Refined logit distillation: what a teacher says, without what the label contradicts."""

from cmkdlearn._validation import check_number
from cmkdlearn.losses._base import DistillationLoss, register
from cmkdlearn.losses._dkd import OUT, Split, pair
from cmkdlearn.losses._kd import kl, kl_rows


@register("rld")
class RLD(DistillationLoss):
    r"""Refined logit distillation.

    .. math:: L = \alpha\,\tau_c^2\,\mathrm{SCD} + \beta\,\tau^2\,\mathrm{MCD}

    Sample confidence distillation gives the student's *label* the confidence that the teacher has
    in its *winner*, right or wrong, at a temperature :math:`\tau_c` of its own:
    :math:`\mathrm{KL}\big((p_{max}^T, 1-p_{max}^T) \,\|\, (p_y^S, 1-p_y^S)\big)`.
    Masked correlation distillation compares, at :math:`\tau`, the softmaxes over those classes
    that the teacher ranks below the label; where it is wrong, the classes that it prefers are left
    out. A sample for which no class is left adds nothing.

    Parameters
    ----------
    temperature : float, default=4.0
        :math:`\tau > 0`, of MCD.
    alpha : float, default=1.0
    beta : float, default=8.0
    confidence_temperature : float, default=1.0
        :math:`\tau_c > 0`, of SCD. Equal to ``temperature``, the loss of a sample on which the
        teacher is right would be that of :class:`DKD`.

    Notes
    -----
    The authors' defaults [2]_ are these four. Beside cross-entropy of weight 1, theirs rises
    linearly over the first 20 epochs (WARMUP); here its weight does not change. On ImageNet they
    have :math:`\tau = 1`, :math:`\beta = 0.5` and 1 epoch.

    References
    ----------
    .. [1] Sun, Chen, Lyu, Chen, Chen, Wang. "Knowledge Distillation with Refined Logits",
       ICCV 2025.
    .. [2] The authors' code, https://github.com/zju-SWJ/RLD.

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

    def __init__(self, temperature=4.0, alpha=1.0, beta=8.0, confidence_temperature=1.0):
        super().__init__()
        self.temperature = check_number("temperature", temperature, low=0, open_low=True)
        self.alpha = check_number("alpha", alpha, low=0)
        self.beta = check_number("beta", beta, low=0)
        self.confidence_temperature = check_number(
            "confidence_temperature", confidence_temperature, low=0, open_low=True)

    def per_sample(self, student, teacher, y):
        """Return the loss of each sample, (n,)."""
        s, t, tau, tau_c = (student.logits, teacher.logits, self.temperature,
                            self.confidence_temperature)
        scd = kl(*(pair(Split.apply(z, index, tau_c)[0])
                   for z, index in ((s, y), (t, t.argmax(dim=1)))))
        masked = t >= t.gather(1, y[:, None])
        mcd = kl_rows(*((z / tau).masked_fill_(masked, OUT).log_softmax(dim=1) for z in (s, t)))
        return self.alpha * tau_c**2 * scd + self.beta * tau**2 * mcd
