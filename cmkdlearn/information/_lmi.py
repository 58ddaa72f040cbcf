"""Latent mutual information as published (Gowri et al. 2024): neighbours among learnt codes."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from cmkdlearn._validation import check_number
from cmkdlearn.information._base import Contributions, is_discrete, register
from cmkdlearn.information._ksg import ksg, standard_scores
from cmkdlearn.nn.data import seeded

LONGEST = 10  # standard deviations; what is further out is brought back
LEAK = 0.2
EPSILON = 1e-7  # of Adam, as in Keras


@register("lmi")
def lmi(x, y, *, n_repeats, rng, device, n_latent=8, hidden=1024, self_weight=1.0, n_neighbors=3,
        lr=1e-4, max_epochs=300, batch_size=512, patience=30):
    r"""Estimate by nearest neighbours among codes that predict each other's side: LMI [1]_.

    An encoder of each side is trained so that its code :math:`z` says both sides:

    .. math:: L = \|x - d_{xx}(z_x)\|^2 + \|y - d_{yy}(z_y)\|^2
        + \|y - d_{xy}(z_x)\|^2 + \|x - d_{yx}(z_y)\|^2

    on one half of the samples. The estimate is that of "ksg" with ``margins="none"`` and
    ``norm="max"`` on the codes of the other half, by whose loss training is stopped.

    Networks, losses and training are those of the authors' package ``latentmi`` 0.1.3. So the
    weights that count are the last ones and not the best, and dropout acts on the losses by which
    training is stopped, too. The package takes numbers; that the columns of a discrete side are the
    indicators of its classes is our reading.

    Parameters
    ----------
    x, y : ndarray of shape (n, d) or (n,)
        Floating or codes, see :func:`register`.
    n_repeats, rng, device
        See :func:`register`. Each repeat divides the samples anew.
    n_latent : int, default=8
        Dimensions of a code.
    hidden : int, default=1024
        Width of an encoder's first hidden layer, of three that halve. A side of more than twice as
        many columns has one as wide as the greatest power of two that is no more.
    self_weight : float, default=1.0
        Weight of the first two terms.
    n_neighbors : int, default=3
        As in "ksg".
    lr : float, default=1e-4
        Of Adam.
    max_epochs, batch_size, patience : int, default=300, 512, 30
        Training ends after ``patience`` epochs without a better loss on the other half.

    Returns
    -------
    Contributions
        A sample from which the networks learnt counts as the mean of those that were measured.

    References
    ----------
    .. [1] Gowri, Lun, Klein, Yin. "Approximating mutual information of high-dimensional
       variables using learned representations", NeurIPS 2024.
    """
    for name, value in [("n_latent", n_latent), ("hidden", hidden), ("n_neighbors", n_neighbors),
                        ("max_epochs", max_epochs), ("batch_size", batch_size),
                        ("patience", patience)]:
        check_number(name, value, low=1, integer=True)
    check_number("hidden", hidden, low=4)  # a quarter of it is a layer, too
    check_number("self_weight", self_weight, low=0)
    check_number("lr", lr, low=0, open_low=True)
    n = len(x)
    if n < 2 * n_neighbors + 1:
        raise ValueError(f'estimator="lmi" with n_neighbors={n_neighbors} needs '
                         f"{2 * n_neighbors + 1} samples at least; there are {n}.")
    sides = [torch.as_tensor(_columns(side), dtype=torch.float32, device=device) for side in (x, y)]
    values, influence = np.empty((n_repeats, n)), np.full((n_repeats, n), np.nan)
    for repeat in range(n_repeats):
        order = rng.permutation(n)
        learnt, measured = order[:n // 2], order[n // 2:]
        with seeded(int(rng.randint(2**31 - 1)), device):
            codes = _codes(sides, learnt, measured, n_latent, hidden, self_weight, lr, max_epochs,
                           batch_size, patience)
        found = ksg(*codes, n_repeats=1, rng=rng, device=device, n_neighbors=n_neighbors,
                    margins="none", norm="max")
        values[repeat] = found.values.mean()
        values[repeat, measured] = found.values[0]
        # the mean is that of the measured: the weight of one moves it by n / n_measured, that of
        # another not at all; of both as large a share is known
        moved = found.influence[0] - np.nanmean(found.influence)
        influence[repeat, measured] = n / len(measured) * moved
        known = np.isfinite(moved).sum() * len(learnt) // len(measured)
        influence[repeat, learnt[:known]] = 0
    return Contributions(values, influence)


def _columns(side):
    """Return columns of mean 0 and variance 1, without far outliers."""
    if is_discrete(side):
        side = np.eye(side.max() + 1)[side]
    return np.clip(standard_scores(side), -LONGEST, LONGEST)


def _codes(sides, learnt, measured, n_latent, hidden, self_weight, lr, max_epochs, batch_size,
           patience):
    """Train on one part of the samples, and return the codes of the other, two (n, n_latent)."""
    x, y = sides
    network = _CrossPredicting(x.shape[1], y.shape[1], n_latent, hidden, self_weight).to(x.device)
    learnt, measured = (torch.as_tensor(part, device=x.device) for part in (learnt, measured))
    optimiser = torch.optim.Adam(network.parameters(), lr=lr, eps=EPSILON)
    least, since = np.inf, 0
    for _ in range(max_epochs):
        for rows in learnt[torch.randperm(len(learnt), device=x.device)].split(batch_size):
            optimiser.zero_grad()
            network.loss(x[rows], y[rows]).backward()
            optimiser.step()
        with torch.no_grad():
            loss = torch.stack([network.loss(x[rows], y[rows])
                                for rows in measured.split(batch_size)]).mean().item()
        least, since = (loss, 0) if loss < least else (least, since + 1)
        if since >= patience:
            break
    with torch.no_grad():
        return [encoder(side[measured]).double().cpu().numpy()
                for encoder, side in ((network.encode_x, x), (network.encode_y, y))]


class _CrossPredicting(nn.Module):
    """Encoders of two sides, and decoders of each code into its own side and the other."""

    def __init__(self, d_x, d_y, n_latent, hidden, self_weight):
        super().__init__()
        self.self_weight = self_weight
        of_x, of_y = ([width, width // 2, width // 4] for width in map(
            lambda d: hidden if d <= 2 * hidden else 2 ** (d.bit_length() - 1), (d_x, d_y)))
        self.encode_x = nn.Sequential(_mlp([d_x, *of_x, n_latent]), nn.LeakyReLU(LEAK))
        self.encode_y = nn.Sequential(_mlp([d_y, *of_y, n_latent]), nn.LeakyReLU(LEAK))
        to_x, to_y = [n_latent, *of_x[::-1], d_x], [n_latent, *of_y[::-1], d_y]
        self.x_to_x, self.y_to_y = _mlp(to_x), _mlp(to_y)
        self.y_to_x, self.x_to_y = _mlp(to_x, dropout=0.5), _mlp(to_y, dropout=0.5)

    def loss(self, x, y):
        z_x, z_y = self.encode_x(x), self.encode_y(y)
        own = F.mse_loss(self.x_to_x(z_x), x) + F.mse_loss(self.y_to_y(z_y), y)
        cross = F.mse_loss(self.y_to_x(z_y), x) + F.mse_loss(self.x_to_y(z_x), y)
        return self.self_weight * own + cross


def _mlp(sizes, dropout=0.0):
    layers = []
    for n_in, n_out in zip(sizes[:-1], sizes[1:], strict=True):
        layer = nn.Linear(n_in, n_out)
        nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(layer.bias)
        layers += [nn.Dropout(dropout), layer, nn.LeakyReLU(LEAK)]
    return nn.Sequential(*layers[:-1])
