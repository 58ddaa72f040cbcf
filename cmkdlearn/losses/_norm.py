"""N-to-one representation matching."""

import torch
import torch.nn.functional as F
from torch import nn

from cmkdlearn._validation import check_number
from cmkdlearn.losses._base import (
    DistillationLoss,
    check_hint,
    layer,
    register,
    squared_error,
)


@register("norm")
class NORM(DistillationLoss):
    r"""Many student representations matched to one of the teacher.

    A linear projection expands the student's layer to N times the teacher's width. Its N segments
    :math:`s_1, \dots, s_N` are all matched to the teacher's one representation:

    .. math:: L = \textstyle\sum_{i=1}^N \| s_i - t \|^2

    averaged over units. Of two maps the larger one is max-pooled to the size of the other.

    Parameters
    ----------
    n : int, default=8
        N, the number of segments; 8 in the authors' script.
    hint : "features" or int, default="features"
        What the head reads, or the position of a feature map (-1: the last one).

    Notes
    -----
    In the paper the expansion is part of the student, followed by a contraction whose output the
    head reads; both are merged into one linear layer after training. Here the expansion belongs
    to the loss, and the student's network stays as it is.

    References
    ----------
    .. [1] Liu, Li, Li, Yao. "NORM: Knowledge Distillation via N-to-One Representation Matching",
       ICLR 2023.

    Examples
    --------
    >>> import torch
    >>> from cmkdlearn.losses import Output, get_loss
    >>> S, T = (Output(torch.zeros(4, 3), torch.randn(4, d)) for d in (5, 8))
    >>> get_loss("norm", n=2).build(S, T).expand
    Linear(in_features=5, out_features=16, bias=False)
    """

    needs = ("features",)
    must_build = True
    paper, equation = "Liu et al. 2023", "N-to-one loss"

    def __init__(self, n=8, hint="features"):
        super().__init__()
        self.n = check_number("n", n, low=1, integer=True)
        self.hint, self.needs = check_hint(hint)

    def build(self, student, teacher):
        """Make the expansion."""
        super().build(student, teacher)
        ours, theirs = _of_one_size(layer(student, self.hint), layer(teacher, self.hint))
        widths = ours.shape[1], self.n * theirs.shape[1]
        self.expand = nn.Linear(*widths, bias=False) if self.hint == "features" else \
            nn.Conv2d(*widths, 1, bias=False)
        return self

    def per_sample(self, student, teacher, y):
        """Return the loss of each sample, (n,)."""
        ours, theirs = _of_one_size(layer(student, self.hint), layer(teacher, self.hint))
        return self.n * squared_error(self.expand(ours), torch.cat([theirs] * self.n, dim=1))


def _of_one_size(a, b):
    """Pool the larger of two maps to the size of the other; features have none."""
    if a.ndim == 2:
        return a, b
    (a_h, a_w), (b_h, b_w) = a.shape[2:], b.shape[2:]
    if a_h % b_h == 0 and a_w % b_w == 0:
        return F.max_pool2d(a, (a_h // b_h, a_w // b_w)), b
    if b_h % a_h == 0 and b_w % a_w == 0:
        return a, F.max_pool2d(b, (b_h // a_h, b_w // a_w))
    raise ValueError(f"norm needs feature maps of which one's size is a multiple of the other's; "
                     f"the student's is {(a_h, a_w)}, the teacher's {(b_h, b_w)}.")
