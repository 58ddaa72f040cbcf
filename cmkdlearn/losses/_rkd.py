"""Relational knowledge distillation: distances and angles between samples."""

import torch
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint

from cmkdlearn._distances import l2
from cmkdlearn._validation import check_number
from cmkdlearn.losses._base import DistillationLoss, register

CHUNK = {"cpu": 2**18, "cuda": 2**23}  # angles looked at together: 2 MiB, for a cache, or 64
NEAR = 1e-6  # of the spread: the angle between two sides so short has four digits left


@register("rkd")
class RKD(DistillationLoss):
    r"""Relational knowledge distillation.

    .. math::

        L = \lambda_D \operatorname*{mean}_{i \ne j} \ell_\delta(\psi_D(s_i, s_j), \psi_D(t_i, t_j))
          + \lambda_A \operatorname*{mean}_{i \ne j \ne k \ne i}
                \ell_\delta(\psi_A(s_i, s_j, s_k), \psi_A(t_i, t_j, t_k))

    with Huber's loss :math:`\ell_\delta`, distances :math:`\psi_D = \|t_i - t_j\| / \mu` in units
    of their mean over the batch, and the cosine :math:`\psi_A` of the angle at :math:`t_j`. The
    two sides' features need not have the same width; rotations, shifts and a scale of either
    change nothing. Two samples have no angles, and that term is 0. An angle between samples that
    coincide, or are nearer than a millionth of the batch's spread, has the cosine 0.

    Parameters
    ----------
    distance : float, default=25.0
        :math:`\lambda_D \ge 0`.
    angle : float, default=50.0
        :math:`\lambda_A \ge 0`.

    Notes
    -----
    The authors' script for classification has these two weights, on features of length 1 and beside
    KD; here features are taken as they are.

    The angles of n samples are n³ numbers. They are worked out a few vertices at a time, and again
    in the backward pass, so that memory grows with n².

    References
    ----------
    .. [1] Park, Kim, Lu, Cho. "Relational Knowledge Distillation", CVPR 2019.

    Examples
    --------
    >>> import torch
    >>> from cmkdlearn.losses import Output, get_loss
    >>> T = torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]])
    >>> z = torch.zeros(3, 2)
    >>> get_loss("rkd")(Output(z, 2 * T + 1), Output(z, T)).item() < 1e-6
    True
    """

    needs = ("features",)
    min_samples = 2
    paper, equation = "Park et al. 2019", "RKD-D, RKD-A"

    def __init__(self, distance=25.0, angle=50.0):
        super().__init__()
        self.distance = check_number("distance", distance, low=0)
        self.angle = check_number("angle", angle, low=0)

    def forward(self, student, teacher, y):
        """Return the batch mean of the loss."""
        loss = 0
        (D_s, G_s), (D_t, G_t) = _distances(student.features), _distances(teacher.features)
        n = len(D_s)
        if self.distance:
            pairs = F.smooth_l1_loss(_in_units_of_mean(D_s), _in_units_of_mean(D_t),
                                     reduction="sum")
            loss = loss + self.distance * pairs / (n * (n - 1))  # i = j adds nothing
        if self.angle and n > 2:
            size = max(1, CHUNK.get(D_s.device.type, CHUNK["cpu"]) // n**2)
            triples = sum(checkpoint(_angles_apart, vertices, D_s, G_s, D_t, G_t,
                                     use_reentrant=False, preserve_rng_state=False)
                          for vertices in torch.arange(n, device=D_s.device).split(size))
            loss = loss + self.angle * triples / (n * (n - 1) * (n - 2))
        return loss.to(student.features.dtype) if torch.is_tensor(loss) else \
            0 * student.features.sum()


def _distances(features):
    """Distances (n, n) and scalar products of the centred features, in double precision."""
    x = features.double()  # products of vectors are subtracted from each other below
    D = l2(x, x)
    x = x - x.mean(dim=0)
    return D, x @ x.T


def _in_units_of_mean(D):
    mean = D.sum() / (len(D) * (len(D) - 1))
    return D / mean.masked_fill(mean == 0, 1)


def _angles_apart(vertices, D_s, G_s, D_t, G_t):
    """Huber's loss, summed over the angles at some vertices; those of i = k are left out."""
    apart = F.smooth_l1_loss(_cosines(vertices, D_s, G_s), _cosines(vertices, D_t, G_t),
                             reduction="none")
    return apart.sum() - apart.diagonal(dim1=1, dim2=2).sum()


def _cosines(vertices, D, G):
    """Cosines (v, n, n) of the angles i, j, k at the vertices j.

    (x_i - x_j) (x_k - x_j) = G_ik - G_ij - G_jk + G_jj
    """
    d, g, squares = D[vertices], G[vertices], G.diagonal()
    apart = d > NEAR * squares.mean().sqrt()
    inverse = torch.where(apart, 1 / d.masked_fill(~apart, 1), 0)
    products = G - g[:, :, None] - g[:, None, :] + squares[vertices, None, None]
    return products * inverse[:, :, None] * inverse[:, None, :]
