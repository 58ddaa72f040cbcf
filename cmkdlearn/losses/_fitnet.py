"""FitNets: hints from within the teacher."""

from torch import nn

from cmkdlearn.losses._base import (
    DistillationLoss,
    check_hint,
    layer,
    register,
    squared_error,
)


@register("fitnet")
class FitNet(DistillationLoss):
    r"""Hints: the teacher's layer regressed on the student's.

    .. math:: L = \tfrac12 \,\| u_T - r(v_S) \|^2

    averaged over the layer's units, not summed, so that the weight of the loss means the same for
    every layer. The regressor :math:`r` is trained with the student.

    Parameters
    ----------
    hint : "features" or int, default="features"
        What the head reads, with a linear regressor; or the position of a feature map. Then the
        regressor is a convolution whose kernel makes the student's map as small as the
        teacher's, so that the student's must not be the smaller one.

    References
    ----------
    .. [1] Romero, Ballas, Kahou, Chassang, Gatta, Bengio. "FitNets: Hints for Thin Deep Nets",
       ICLR 2015, equation 3.

    Examples
    --------
    >>> import torch
    >>> from cmkdlearn.losses import Output, get_loss
    >>> S, T = (Output(torch.zeros(4, 3), torch.randn(4, d)) for d in (5, 8))
    >>> get_loss("fitnet").build(S, T).regressor
    Linear(in_features=5, out_features=8, bias=True)
    """

    needs = ("features",)
    must_build = True
    paper, equation = "Romero et al. 2014", "equation 3"

    def __init__(self, hint="features"):
        super().__init__()
        self.hint, self.needs = check_hint(hint)

    def build(self, student, teacher):
        """Make the regressor."""
        super().build(student, teacher)
        ours, theirs = layer(student, self.hint).shape[1:], layer(teacher, self.hint).shape[1:]
        self.regressor: nn.Module
        if self.hint == "features":
            self.regressor = nn.Linear(*ours, *theirs)
            return self
        kernel = tuple(a - b + 1 for a, b in zip(ours[1:], theirs[1:], strict=True))
        if min(kernel) < 1:
            raise ValueError(f"fitnet needs a student's feature map at least as large as the "
                             f"teacher's; at hint={self.hint} they are {tuple(ours[1:])} and "
                             f"{tuple(theirs[1:])}. Choose another hint.")
        self.regressor = nn.Conv2d(ours[0], theirs[0], kernel)
        return self

    def per_sample(self, student, teacher, y):
        """Return the loss of each sample, (n,)."""
        return squared_error(self.regressor(layer(student, self.hint)),
                             layer(teacher, self.hint)) / 2
