"""Codes of few dimensions that both sides share, and more than one way to read them: our own."""

import numpy as np
import torch
from sklearn.covariance import ledoit_wolf
from torch import nn
from torch.nn import functional as F

from cmkdlearn._validation import check_number
from cmkdlearn.information._auto import auto
from cmkdlearn.information._base import Contributions, contributions, is_discrete, register
from cmkdlearn.information._gaussian import RANK, whitened
from cmkdlearn.information._ksg import ksg, normal_scores
from cmkdlearn.information._networks import BatchedMLP, halves, train

FLAT = 1e-3  # standard deviations: a direction in which a side does not vary is not blown up


@register("latent")
def latent(x, y, *, n_repeats, rng, device, n_latent=8, hidden=64, self_weight=0.1, n_neighbors=3,
           lr=3e-3, max_epochs=60, batch_size=256, patience=8):
    """Estimate among codes of few dimensions, by what reads most in them.

    After [1]_, which is "lmi" here, and not the same. Two encoders are trained so that from each
    one's code both sides can be reconstructed; a discrete side needs no code, and is predicted as a
    class. The networks learn from one half of the samples, the codes of the other half are read,
    and the other way round. All halves and repeats are trained at once.

    Unlike [1]_: networks are smaller; encoders start at the canonical directions, with shrunk
    covariances; and since neighbours lose sight in many dimensions, the codes are turned to their
    canonical directions, and the first one, the first two, ... are read by neighbours, and all of
    them as "auto" does. The way that finds most on both halves is taken. It may find many times
    what "lmi" finds.

    Parameters
    ----------
    x, y : ndarray of shape (n, d) or (n,)
        Floating or codes, see :func:`register`.
    n_repeats, rng, device
        See :func:`register`.
    n_latent : int, default=8
        Dimensions of a code, if its side has as many.
    hidden : int, default=64
        Width of the hidden layers.
    self_weight : float, default=0.1
        Weight of a side's reconstruction from its own code, beside 1 for that from the other's.
    n_neighbors : int, default=3
        As in "ksg".
    lr : float, default=3e-3
        Of Adam.
    max_epochs, batch_size, patience : int, default=60, 256, 8
        Training ends after ``patience`` epochs without a better validation loss; the
        best weights count.

    Returns
    -------
    Contributions
        Those of each sample by networks that have not seen it.

    References
    ----------
    .. [1] Gowri, Lun, Klein, Yin. "Approximating mutual information of high-dimensional
       variables using learned representations", NeurIPS 2024.
    """
    for name, value in [("n_latent", n_latent), ("hidden", hidden), ("n_neighbors", n_neighbors)]:
        check_number(name, value, low=1, integer=True)
    check_number("self_weight", self_weight, low=0)
    if is_discrete(x):
        x, y = y, x
    parts = halves(len(x), n_repeats, rng)
    if parts.shape[2] <= max(n_neighbors, 4):
        raise ValueError(f'estimator="latent" with n_neighbors={n_neighbors} needs more than '
                         f"{2 * max(n_neighbors, 4)} samples; there are {len(x)}.")
    scores = _scores(x)
    target = y if is_discrete(y) else _scores(y)
    sides = [torch.as_tensor(side, dtype=torch.float32 if side.ndim == 2 else torch.int64,
                             device=device) for side in (scores, target)]
    directions = [_directions(scores[own], target[own], n_latent) for own in parts.reshape(
        2 * n_repeats, -1)]
    codes = train(lambda: _Autoencoders(sides, directions, hidden, self_weight),
                  sides, parts, rng=rng, device=device, lr=lr, max_epochs=max_epochs,
                  batch_size=batch_size, patience=patience)
    values, influence = np.empty((2, n_repeats, len(x)))
    for repeat, own in enumerate(parts):
        of_fold = [tuple(None if code is None else code[2 * repeat + fold].numpy()
                         for code in codes) for fold in (0, 1)]
        first, second = [_by_readout(z_x, z_y, y[test], n_neighbors, rng, device)
                         for (z_x, z_y), test in zip(of_fold, own[::-1], strict=True)]
        best = max((way for way in first if way in second),
                   key=lambda way: first[way].values.mean() + second[way].values.mean())
        for half, found in zip(own[::-1], (first[best], second[best]), strict=True):
            values[repeat, half], influence[repeat, half] = found.values[0], found.influence[0]
    return Contributions(values, influence)


class _Autoencoders(nn.Module):
    def __init__(self, sides, directions, hidden, self_weight):
        super().__init__()
        x, y = sides
        n_models = len(directions)
        self.self_weight = self_weight
        self.y_is_discrete = is_discrete(y)
        d_x, d_y = x.shape[1], int(y.max()) + 1 if self.y_is_discrete else y.shape[1]

        def mlp(n_in, n_out):
            return BatchedMLP(n_models, [n_in, hidden, n_out])

        of_x, of_y = zip(*directions, strict=True)
        self.encode_x = _Encoder(of_x, hidden)
        self.x_to_x, self.x_to_y = mlp(of_x[0].shape[1], d_x), mlp(of_x[0].shape[1], d_y)
        if not self.y_is_discrete:
            self.encode_y = _Encoder(of_y, hidden)
            self.y_to_y, self.y_to_x = mlp(of_y[0].shape[1], d_y), mlp(of_y[0].shape[1], d_x)

    def losses(self, x, y):
        z_x = self.encode_x(x)
        own, cross = _squared(self.x_to_x(z_x), x), self.x_to_y(z_x)
        if self.y_is_discrete:
            cross = F.cross_entropy(cross.flatten(0, 1), y.flatten(), reduction="none")
            return self.self_weight * own + cross.view(y.shape).mean(1)
        z_y = self.encode_y(y)
        return (self.self_weight * (own + _squared(self.y_to_y(z_y), y))
                + _squared(cross, y) + _squared(self.y_to_x(z_y), x))

    def forward(self, x, y):
        """Return the codes of both sides; a discrete one has none."""
        return self.encode_x(x).cpu(), None if self.y_is_discrete else self.encode_y(y).cpu()


class _Encoder(nn.Module):
    """A linear map, which starts at the canonical directions, and a perceptron that starts at 0."""

    def __init__(self, directions, hidden):
        super().__init__()
        start = torch.as_tensor(np.stack(directions), dtype=torch.float32)
        self.linear = nn.Parameter(start)
        self.bend = BatchedMLP(len(start), [start.shape[1], hidden, start.shape[2]])
        nn.init.zeros_(self.bend.weights[-1])

    def forward(self, x):
        return x @ self.linear + self.bend(x)


def _directions(x, y, n_latent):
    """Return shrunk canonical directions of both sides, as codes of unit variance."""
    if is_discrete(y):
        y = np.eye(y.max() + 1)[y]
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    root_x, root_y = _inverse_root(x), _inverse_root(y)
    u, _, vt = np.linalg.svd(root_x @ x.T @ y @ root_y / len(x))
    found = root_x @ u[:, :n_latent], root_y @ vt[:n_latent].T
    return [part / np.maximum((side @ part).std(axis=0), FLAT)
            for part, side in zip(found, (x, y), strict=True)]


def _inverse_root(side):
    """Return the inverse root of a covariance where the side varies, and 0 elsewhere.

    Indicators of two classes add up to 1, and are not shrunk where these are of a size.
    """
    values, vectors = np.linalg.eigh(ledoit_wolf(side, assume_centered=True)[0])
    varies = values > RANK * values[-1]
    vectors = vectors[:, varies]
    return vectors / np.sqrt(values[varies]) @ vectors.T


def _squared(found, wanted):
    return (found - wanted).square().mean((1, 2))


def _scores(side):
    scores = normal_scores(side)
    return scores / scores.std(axis=0)


def _by_readout(z_x, z_y, y, k, rng, device):
    """Return the samples' information in the codes: a dict of the ways to read it.

    By neighbours in the first 1, 2, ... canonical directions, and as "auto" reads all of them.
    """
    labels = z_y is None
    other = np.eye(y.max() + 1)[y] if labels else z_y
    z_x, other = whitened(z_x.astype(np.float64)), whitened(other.astype(np.float64))
    if not (z_x.size and other.size):  # a half in which a side does not vary
        return {"auto": contributions(np.zeros((1, len(y))))}
    u, _, vt = np.linalg.svd(z_x.T @ other)
    z_x, z_y = z_x @ u, y if labels else other @ vt.T
    most = len(u) if labels else max(len(u), len(vt))
    given = {"n_repeats": 1, "rng": rng, "device": device}
    found = {d: ksg(z_x[:, :d], y if labels else z_y[:, :d], n_neighbors=k, **given)
             for d in range(1, most + 1)}
    return found | {"auto": auto(z_x, z_y, **given)}
