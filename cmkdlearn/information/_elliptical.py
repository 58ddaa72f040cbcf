"""Elliptical copulas: linear dependence, and a scale that both sides share."""

import numpy as np
from scipy.linalg import qr
from scipy.special import gammaln
from scipy.stats import rankdata, t

from cmkdlearn.information._base import Contributions, register
from cmkdlearn.information._gaussian import RANK, gaussian, log_determinant_bias
from cmkdlearn.information._ksg import ksg, normal_scores

DEGREES = (1, 2, 4, 8)  # of freedom, beside infinity, the normal distribution
STEPS = 10  # of the EM algorithm for the scatter of a t distribution
RIDGE = 1e-8  # so that a side that the other determines does not end it
CLEARLY = 10  # nats of likelihood that a t copula must be better by


@register("elliptical")
def elliptical(x, y, *, n_repeats, rng, device):
    r"""Estimate linear dependence as a Gaussian copula does, and add what the lengths share.

    Student's t distribution makes even uncorrelated variables dependent: if one is far out, so
    is the other. Where the joint distribution is elliptical, mutual information has two parts,

    .. math:: I(X; Y) = \tfrac12 \log \frac{|\Sigma_x|\, |\Sigma_y|}{|\Sigma|} + I(|U|; |V|),

    with U the decorrelated x and V what remains of y when its regression on x is taken off, both
    spherical. The second part is found by nearest neighbours, whatever the distribution of
    lengths. Columns become scores of that t distribution, or of the normal one, under which
    the samples are most likely. A discrete side is handled as by "gaussian".

    Parameters
    ----------
    x, y : ndarray of shape (n, d) or (n,)
        Floating or codes, see :func:`register`.
    n_repeats, rng, device
        See :func:`register`.

    Returns
    -------
    ndarray of shape (1, n), or Contributions
    """
    if x.ndim == 1 or y.ndim == 1:
        return gaussian(x, y, n_repeats=1, rng=rng, device=device)
    x, y = _independent(x), _independent(y)
    linear = gaussian(x, y, n_repeats=1, rng=rng, device=device)
    ranks = rankdata(np.hstack([x, y]), axis=0) / (len(x) + 1)
    ranks = ranks[:, np.ptp(ranks, axis=0) > 0]
    chosen, scores = np.inf, t.ppf(ranks, np.inf)
    scatter, best = _fit(scores, chosen)
    for df in DEGREES:
        z = t.ppf(ranks, df)
        matrix, likelihood = _fit(z, df)
        if likelihood > best + CLEARLY:
            best, scatter, scores, chosen = likelihood, matrix, z, df
    n, d_x = len(x), x.shape[1]
    root = np.linalg.cholesky(scatter)  # its columns: x first, then what x does not say of y
    spherical = np.linalg.solve(root, scores.T).T
    lengths = [np.linalg.norm(part, axis=1, keepdims=True)
               for part in (spherical[:, :d_x], spherical[:, d_x:])]
    radial = ksg(*lengths, n_repeats=1, rng=rng, device=device)
    if chosen == np.inf:
        return Contributions(linear + radial.values, linear + radial.influence)
    logdet = [np.linalg.slogdet(part)[1] - log_determinant_bias(n, len(part))
              for part in (scatter[:d_x, :d_x], scatter[d_x:, d_x:], scatter)]
    linear += 0.5 * (logdet[0] + logdet[1] - logdet[2]) - linear.mean()
    return Contributions(linear + radial.values, linear + radial.influence)


def _independent(side):
    """Leave out columns that others determine."""
    scores = normal_scores(side)
    _, r, pivots = qr(scores - scores.mean(axis=0), mode="economic", pivoting=True)
    size = np.abs(np.diag(r))
    return side[:, np.sort(pivots[:len(size)][size > RANK * size[0]])]


def _fit(z, df):
    """Return the scatter and the log-likelihood of the copula of a t distribution."""
    n, d = z.shape
    ridge = RIDGE * np.eye(d)
    scatter = z.T @ z / n + ridge
    if df == np.inf:
        scale = np.sqrt(np.diag(scatter))
        scatter = scatter / np.outer(scale, scale)
    for _ in range(0 if df == np.inf else STEPS):
        weights = (df + d) / (df + _squared_length(z, scatter))
        scatter = (z * weights[:, None]).T @ z / n + ridge
    squared, logdet = _squared_length(z, scatter), np.linalg.slogdet(scatter)[1]
    if df == np.inf:
        return scatter, 0.5 * (np.square(z).sum() - squared.sum() - n * logdet)
    joint = n * (gammaln((df + d) / 2) - gammaln(df / 2) - d / 2 * np.log(df * np.pi)
                 - logdet / 2) - (df + d) / 2 * np.log1p(squared / df).sum()
    return scatter, joint - t.logpdf(z, df).sum()


def _squared_length(z, scatter):
    return (z * np.linalg.solve(scatter, z.T).T).sum(axis=1)
