"""MINE (Belghazi et al. 2018): a critic that tells pairs from strangers."""

import numpy as np
import torch
from torch import nn

from cmkdlearn._validation import check_number
from cmkdlearn.information._base import is_discrete, register
from cmkdlearn.information._ksg import normal_scores
from cmkdlearn.information._networks import BatchedMLP, halves, train

STRANGERS = 16  # other samples that each held-out one is paired with
MEMORY = 0.99  # of the moving average in the bias-corrected gradient


@register("mine")
def mine(x, y, *, n_repeats, rng, device, hidden=64, lr=1e-3, max_epochs=100, batch_size=256,
         patience=10):
    r"""Estimate by the Donsker-Varadhan bound of a trained critic T.

    .. math:: I(X; Y) \ge E_{p(x, y)} T - \log E_{p(x) p(y)} e^T

    The critic learns from one half of the samples, by the gradient whose denominator is a moving
    average (section 3.2), and the bound is evaluated on the other half; and the other way round.
    A lower bound, up to chance, and a loose one above some 3 nats. All halves and
    repeats are trained at once.

    Parameters
    ----------
    x, y : ndarray of shape (n, d) or (n,)
        Floating or codes, see :func:`register`.
    n_repeats, rng, device
        See :func:`register`.
    hidden : int, default=64
        Width of the critic's two hidden layers.
    lr : float, default=1e-3
        Of Adam.
    max_epochs, batch_size, patience : int, default=100, 256, 10
        Training ends after ``patience`` epochs without a better validation bound; the best
        weights count.

    Returns
    -------
    ndarray of shape (n_repeats, n)

    References
    ----------
    .. [1] Belghazi et al. "Mutual Information Neural Estimation", ICML 2018.
    """
    check_number("hidden", hidden, low=1, integer=True)
    if len(x) < 20:
        raise ValueError(f'estimator="mine" needs 20 samples at least; there are {len(x)}.')
    parts = halves(len(x), n_repeats, rng)
    sides = [torch.as_tensor(_columns(side), dtype=torch.float32, device=device)
             for side in (x, y)]
    width = sum(side.shape[1] for side in sides)
    found = train(lambda: _Critic(2 * n_repeats, width, hidden), sides, parts, rng=rng,
                  device=device, lr=lr, max_epochs=max_epochs, batch_size=batch_size,
                  patience=patience).numpy().reshape(*parts.shape)
    values = np.empty((n_repeats, len(x)))
    for row, own, of_half in zip(values, parts, found, strict=True):
        row[own[1]], row[own[0]] = of_half
    return values


class _Critic(nn.Module):
    average: torch.Tensor

    def __init__(self, n_models, width, hidden):
        super().__init__()
        self.critic = BatchedMLP(n_models, [width, hidden, hidden, 1])
        self.register_buffer("average", torch.ones(n_models))

    def score(self, x, y):
        return self.critic(torch.cat([x, y], dim=2)).squeeze(2)

    def losses(self, x, y):
        """Return minus the bound; in training, what has its bias-corrected gradient."""
        paired, stranger = self.score(x, y).mean(1), self.score(x, y.roll(1, dims=1))
        if not self.training:
            return _log_mean_exp(stranger) - paired
        mean = stranger.exp().mean(1)
        self.average = MEMORY * self.average + (1 - MEMORY) * mean.detach()
        return mean / self.average - paired

    def forward(self, x, y):
        """Return what each sample contributes to the bound."""
        shifts = torch.linspace(1, y.shape[1] - 1, STRANGERS).long().tolist()
        strangers = torch.cat([self.score(x, y.roll(shift, dims=1)) for shift in shifts], dim=1)
        return (self.score(x, y) - _log_mean_exp(strangers)[:, None]).cpu()


def _log_mean_exp(values):
    return values.logsumexp(1) - np.log(values.shape[1])


def _columns(side):
    if is_discrete(side):
        return np.eye(side.max() + 1)[side]
    scores = normal_scores(side)
    return scores / scores.std(axis=0)
