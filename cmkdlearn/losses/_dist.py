"""Distillation from a stronger teacher: correlations in place of equalities."""

import torch
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from cmkdlearn._validation import check_number
from cmkdlearn.losses._base import DistillationLoss, register


@register("dist")
class DIST(DistillationLoss):
    r"""Correlations between and within classes.

    .. math::

        L = \tau^2\Big(\beta\,\big(1 - \tfrac1n \textstyle\sum_i \rho(p^S_{i:}, p^T_{i:})\big)
            + \gamma\,\big(1 - \tfrac1C \sum_c \rho(p^S_{:c}, p^T_{:c})\big)\Big)

    with Pearson's :math:`\rho` of softened probabilities: for each sample over the classes, and
    for each class over the samples of the batch. Where one side does not vary, :math:`\rho = 0`.

    Parameters
    ----------
    temperature : float, default=4.0
        :math:`\tau > 0`; the paper has 4 on CIFAR-100 and 1 on ImageNet.
    beta : float, default=1.0
        Weight of the relations between classes.
    gamma : float, default=1.0
        Weight of those within a class.

    References
    ----------
    .. [1] Huang, You, Wang, Qian, Xu. "Knowledge Distillation from A Stronger Teacher",
       NeurIPS 2022.

    Examples
    --------
    >>> import torch
    >>> from cmkdlearn.losses import Output, get_loss
    >>> T = torch.tensor([[2.0, 0.0, 1.0], [0.0, 1.0, 3.0]])
    >>> get_loss("dist")(Output(T), Output(T)).item() < 1e-5
    True
    """

    min_samples = 2
    paper, equation = "Huang et al. 2022", "inter, intra"

    def __init__(self, temperature=4.0, beta=1.0, gamma=1.0):
        super().__init__()
        self.temperature = check_number("temperature", temperature, low=0, open_low=True)
        self.beta = check_number("beta", beta, low=0)
        self.gamma = check_number("gamma", gamma, low=0)

    def forward(self, student, teacher, y):
        """Return the batch mean of the loss."""
        p_s = (student.logits / self.temperature).softmax(dim=1)
        p_t = (teacher.logits / self.temperature).softmax(dim=1)
        between, within = Correlations.apply(p_s, p_t)
        return self.temperature**2 * (self.beta * (1 - between.mean())
                                      + self.gamma * (1 - within.mean()))


class Correlations(Function):
    r"""Pearson's correlations of the rows, (n, 1), and of the columns, (1, C).

    The second argument is held constant. With :math:`a, b` centred,
    :math:`\rho = a^\top b / \|a\| \|b\|` and :math:`\partial \rho / \partial a =
    (b / \|b\| - \rho\, a / \|a\|) / \|a\|`. Written out, as autograd takes more passes over memory.
    """

    @staticmethod
    def forward(ctx, p, q):
        space = torch.empty_like(p)  # memory that is new costs more than the product
        found = []
        for dim in (1, 0):
            def dot(x, y, dim=dim):
                return torch.mul(x, y, out=space).sum(dim, keepdim=True)

            a, b = (x - x.mean(dim, keepdim=True) for x in (p, q))
            of_a, of_b = (dot(x, x).sqrt_().clamp_(min=1e-9) for x in (a, b))
            found.append((a, b, of_a, of_b, dot(a, b) / (of_a * of_b)))
        ctx.save_for_backward(*found[0], *found[1])
        return tuple(rho for *_, rho in found)

    @staticmethod
    @once_differentiable
    def backward(ctx, *gradients):
        rows, columns = ctx.saved_tensors[:5], ctx.saved_tensors[5:]
        total = torch.zeros_like(rows[0])
        for gradient, found in zip(gradients, (rows, columns), strict=True):
            a, b, of_a, of_b, rho = found
            gradient = gradient / of_a
            total.addcmul_(b, gradient / of_b).addcmul_(a, -gradient * rho / of_a)
        return total, None
