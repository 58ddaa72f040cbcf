"""Logit standardisation: the teacher's relations of logits, and not their range."""

import torch.nn.functional as F

from cmkdlearn._validation import check_number
from cmkdlearn.losses._base import DistillationLoss, register
from cmkdlearn.losses._kd import kl


@register("zscore")
class ZScore(DistillationLoss):
    r"""Distillation of standardised logits.

    .. math::

        \mathcal Z(z)_c = \frac{z_c - \bar z}{\sigma(z)}, \qquad
        L = \tau^2\,\mathrm{KL}(\mathrm{softmax}(\mathcal Z(T)/\tau) \,\|\,
                                \mathrm{softmax}(\mathcal Z(S)/\tau))

    with the mean and the (population) standard deviation over a sample's classes. Neither a
    constant added to the logits of a sample nor a positive factor changes it: the student keeps
    its own range. Standard deviations far below 1e-4 count as 0, and so do the standardised logits.

    Parameters
    ----------
    temperature : float, default=2.0
        The base temperature :math:`\tau > 0`. The paper weighs the term by 9 at 2.

    References
    ----------
    .. [1] Sun, Ren, Li, Wang, Cao. "Logit Standardization in Knowledge Distillation", CVPR 2024,
       Algorithm 1.

    Examples
    --------
    >>> import torch
    >>> from cmkdlearn.losses import Output, get_loss
    >>> T = torch.tensor([[2.0, 0.0, 1.0]])
    >>> get_loss("zscore")(Output(3 * T + 5), Output(T)).item() < 1e-6
    True
    """

    paper, equation = "Sun et al. 2024", "Algorithm 1"

    def __init__(self, temperature=2.0):
        super().__init__()
        self.temperature = check_number("temperature", temperature, low=0, open_low=True)

    def per_sample(self, student, teacher, y):
        """Return the loss of each sample, (n,)."""
        tau = self.temperature
        return tau**2 * kl(*(standardised(side.logits, 1 / tau) for side in (student, teacher)))


def standardised(logits, deviation):
    """Give each row the mean 0 and this standard deviation."""
    shape = logits.shape[1:]
    return F.layer_norm(logits, shape, logits.new_full(shape, deviation), eps=1e-8)
