"""Knowledge review: early layers of the teacher teach later layers of the student."""

import torch
import torch.nn.functional as F
from torch import nn

from cmkdlearn._validation import check_number
from cmkdlearn.losses._base import DistillationLoss, register

LEVELS = (4, 2, 1)


@register("review")
class Review(DistillationLoss):
    r"""Knowledge review, with attention-based fusion and the hierarchical context loss.

    The first stage are the features that the head reads, as a map of one pixel. From there, and
    from the coarsest feature map to the finest, the student's map is fused with what came before
    (ABF), :math:`f_i = \mathcal U(s_i, f_{i+1})`, and compared with the teacher's
    on several scales (HCL):

    .. math:: L = \textstyle\sum_i \mathcal D(f_i, t_i)

    ABF brings both inputs to a common width and size, weighs each by an attention map of both, and
    adds them up. HCL is a weighted mean of squared errors of the maps and of their average pools
    to 4 x 4, 2 x 2 and 1 x 1, with weights 1, 1/2, 1/4, 1/8.

    Parameters
    ----------
    width : int, default=64
        Channels within the fusion modules. The authors' default is the width of the student's
        features, 512 at most; 64 are enough for small networks, and cost less.

    Notes
    -----
    Maps are paired from the coarsest on; where one network has more of them than the other, its
    finest are left out. Sizes may differ: the student's are interpolated.

    The authors [2]_ compare with what the teacher's stages are *before* their activation; here it
    is what a stage hands on. They weigh the loss by 0.6 to 8 (5 for most networks), and let it rise
    linearly over the first 20 epochs; here its weight does not change.

    References
    ----------
    .. [1] Chen, Liu, Zhao, Jia. "Distilling Knowledge via Knowledge Review", CVPR 2021.
    .. [2] The authors' code, https://github.com/dvlab-research/ReviewKD.

    Examples
    --------
    >>> import torch
    >>> from cmkdlearn.losses import Output, get_loss
    >>> S, T = (Output(torch.zeros(4, 3), torch.randn(4, c), (torch.randn(4, c, 8, 8),))
    ...         for c in (5, 7))
    >>> loss = get_loss("review", width=16).build(S, T)
    >>> len(loss.fusions)                            # of the features, and of the map
    2
    >>> bool(loss(S, T) > 0)
    True
    """

    needs = ("feature_maps", "features")
    must_build = True
    min_samples = 2  # batch normalisation
    paper, equation = "Chen et al. 2021", "ABF, HCL"

    def __init__(self, width=64):
        super().__init__()
        self.width = check_number("width", width, low=1, integer=True)

    def build(self, student, teacher):
        """Make the fusion modules, from the coarsest stage to the finest."""
        super().build(student, teacher)
        self.fusions = nn.ModuleList(
            AttentionFusion(s.shape[1], self.width, t.shape[1], fuses=i > 0)
            for i, (s, t) in enumerate(_pairs(student, teacher)))
        return self

    def forward(self, student, teacher, y):
        """Return the batch mean of the loss."""
        loss, carried = 0, None
        for fuse, (s, t) in zip(self.fusions, _pairs(student, teacher), strict=True):
            fused, carried = fuse(s, carried, t.shape[2:])
            loss = loss + hierarchical_context(fused, t)
        return loss


class AttentionFusion(nn.Module):
    """ABF: a map, and what was carried on from the coarser ones, weighed by attention."""

    def __init__(self, in_channels, width, out_channels, fuses):
        super().__init__()
        self.narrow = nn.Sequential(nn.Conv2d(in_channels, width, 1, bias=False),
                                    nn.BatchNorm2d(width))
        self.attention = nn.Conv2d(2 * width, 2, 1) if fuses else None
        self.widen = nn.Sequential(nn.Conv2d(width, out_channels, 3, padding=1, bias=False),
                                   nn.BatchNorm2d(out_channels))

    def forward(self, x, carried, size):
        """Return the fused map in the teacher's width, and what is carried on."""
        x = self.narrow(x)
        if self.attention is not None:
            carried = F.interpolate(carried, x.shape[2:], mode="nearest")
            a, b = self.attention(torch.cat([x, carried], dim=1)).sigmoid().split(1, dim=1)
            x = a * x + b * carried
        if x.shape[2:] != size:
            x = F.interpolate(x, size, mode="nearest")
        return self.widen(x), x


def hierarchical_context(a, b):
    """HCL: squared errors of two maps and of their pools, finer ones weighing more."""
    loss, total, weight = F.mse_loss(a, b), 1.0, 1.0
    for level in LEVELS:
        if level < min(a.shape[2:]):
            weight /= 2
            ours, theirs = (F.adaptive_avg_pool2d(x, level) for x in (a, b))
            loss, total = loss + weight * F.mse_loss(ours, theirs), total + weight
    return loss / total


def _pairs(student, teacher):
    return zip(_stages(student), _stages(teacher), strict=False)


def _stages(output):
    """Return maps from the coarsest, the features, to the finest."""
    return output.features[:, :, None, None], *reversed(output.feature_maps)
