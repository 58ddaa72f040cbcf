"""Decoupled knowledge distillation: the label's class, and the others among themselves."""

import torch
from torch.autograd import Function
from torch.autograd.function import once_differentiable

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
        (student_odds, student_rest), (teacher_odds, teacher_rest) = (
            Split.apply(side.logits, y, tau) for side in (student, teacher))
        tckd = kl(pair(student_odds), pair(teacher_odds))
        nckd = kl_rows(student_rest, teacher_rest)
        return tau**2 * (self.alpha * tckd + self.beta * nckd)


class Split(Function):
    r"""Tell one class a row from the others, of logits divided by a temperature.

    Returns the log-odds (n,) of that class against all others, :math:`z_y - \log \sum_{c \ne y}
    \exp z_c`, and the log-probabilities (n, C) of the others among themselves. The gradient is
    written out, which spares the passes over memory that autograd makes for each gathered class.
    """

    @staticmethod
    def forward(ctx, logits, index, temperature):
        ctx.set_materialize_grads(False)
        one, other = index[:, None], (index[:, None] + 1) % logits.shape[1]
        z = logits / temperature
        own, another = z.gather(1, one), z.gather(1, other)
        rest = z.scatter_(1, one, OUT).log_softmax(dim=1)
        of_all = another - rest.gather(1, other)  # the logarithm of the sum over the others
        ctx.save_for_backward(rest, one)
        ctx.temperature = temperature
        return (own - of_all)[:, 0], rest

    @staticmethod
    @once_differentiable
    def backward(ctx, of_odds, of_rest):
        rest, one = ctx.saved_tensors
        # that class has no share in the softmax: what stands at it is passed on to it whole, and
        # taken from the others by their shares, which is the gradient of the log-odds
        gradient = torch.zeros_like(rest) if of_rest is None else of_rest.clone()
        gradient.scatter_(1, one, 0.0 if of_odds is None else of_odds[:, None])
        gradient = torch.ops.aten._log_softmax_backward_data(gradient, rest, 1, rest.dtype)
        return gradient.div_(ctx.temperature), None, None


def pair(log_odds):
    """Return logits (n, 2) of one class and of all others as one."""
    return torch.stack([log_odds, torch.zeros_like(log_odds)], dim=1)


def without(logits, index):
    """Return the logits with one class a row out of the running."""
    return logits.scatter(1, index[:, None], OUT)
