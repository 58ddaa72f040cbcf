"""The Gaussian copula: exact where dependence is linear up to the scale of each column."""

import numpy as np
from scipy.special import digamma
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.model_selection import StratifiedKFold

from cmkdlearn.information._base import is_discrete, register
from cmkdlearn.information._ksg import normal_scores

RANK = 1e-8  # of the largest singular value: columns below say nothing that others do not
MOST_CORRELATED = 1 - 1e-10  # so near a function, whose information has no bound, digits end
FOLDS = 5
LARGEST_CLASS = 4  # at least, so that without a fold there are more samples than classes


@register("gaussian")
def gaussian(x, y, *, n_repeats, rng, device):
    r"""Estimate as if all were normal, once each column is: a Gaussian copula.

    Columns become normal scores of their ranks. Two continuous sides:

    .. math:: \tfrac12 \log \frac{|\Sigma_x|\, |\Sigma_y|}{|\Sigma|}

    of the sample covariances, less the bias that log-determinants of n samples have [1]_. A
    discrete side: the mean of log p(y | x) / p(y), where x is normal in each class, of one
    covariance shrunk as in [2]_; each fold is evaluated by a fit to the others.

    Parameters
    ----------
    x, y : ndarray of shape (n, d) or (n,)
        Floating or codes, see :func:`register`.
    n_repeats, rng, device
        See :func:`register`; only the folds are random, of which there is one set.

    Returns
    -------
    ndarray of shape (1, n)

    References
    ----------
    .. [1] Misra, Singh, Demchuk. "Estimation of the entropy of a multivariate normal
       distribution", Journal of Multivariate Analysis, 2005.
    .. [2] Ledoit, Wolf. "Honey, I shrunk the sample covariance matrix", 2004.
    """
    if is_discrete(x):
        x, y = y, x
    if is_discrete(y):
        return by_class(normal_scores(x), y, rng)[None]
    x, y, rho = canonical(x, y)
    n, d = len(x), x.shape[1] + y.shape[1]
    if n - 1 <= d:
        raise ValueError(f'estimator="gaussian" needs more than {d + 1} samples for {d} columns; '
                         f'there are {n}. Reduce them, for instance by PCA, or use "latent".')
    bias = (log_determinant_bias(n, x.shape[1]) + log_determinant_bias(n, y.shape[1])
            - log_determinant_bias(n, d)) / 2
    return (log_ratio(x, y, rho) - bias)[None]


def canonical(x, y):
    """Return normal scores turned to canonical directions, and the correlations of those."""
    x, y = whitened(normal_scores(x)), whitened(normal_scores(y))
    u, rho, vt = np.linalg.svd(x.T @ y / len(x))
    return x @ u, y @ vt.T, np.minimum(rho, MOST_CORRELATED)


def log_ratio(x, y, rho):
    """Return log p(x, y) / p(x) p(y) of jointly normal samples in canonical directions."""
    x, y, rest = x[:, :len(rho)], y[:, :len(rho)], 1 - rho**2
    return ((x * y) @ (rho / rest) - (np.square(x) + np.square(y)) @ (rho**2 / rest) / 2
            - np.log(rest).sum() / 2)


def whitened(side, rank=RANK):
    """Return uncorrelated columns of unit variance that span the same."""
    u, s, _ = np.linalg.svd(side - side.mean(axis=0), full_matrices=False)
    return np.sqrt(len(side)) * u[:, s > rank * s[0]]


def log_determinant_bias(n, d):
    """Return E log |S| - log |Sigma| of the covariance S = (1/n) sum of n centred samples."""
    return digamma((n - np.arange(1, d + 1)) / 2).sum() + d * np.log(2 / n)


def _linear():
    return LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")


def by_class(x, codes, rng, discriminant=_linear):
    """Return log p(y | x) / p(y) of each sample, by discriminants that have not seen it.

    A class of one sample cannot be held out; its sample counts as the mean of all others.
    """
    counts = np.bincount(codes)[codes]
    paired = counts > 1
    x, codes, counts = x[paired], np.unique(codes[paired], return_inverse=True)[1], counts[paired]
    if len(np.unique(codes)) < 2:
        return np.zeros(len(paired))
    if counts.max() < LARGEST_CLASS:
        raise ValueError(f'estimator="gaussian" needs {LARGEST_CLASS} samples of some class; the '
                         f"largest has {counts.max()}. Merge classes.")
    values = log_posteriors(x, codes, rng, discriminant)[np.arange(len(x)), codes]
    values -= np.log(counts / len(x))
    pointwise = np.full(len(paired), values.mean())
    pointwise[paired] = values
    return pointwise


def log_posteriors(x, codes, rng, discriminant=_linear):
    """Return log p(y | x) of each sample and class, by discriminants that have not seen the sample.

    Codes are 0, 1, ..., each of two samples at least, and one of ``LARGEST_CLASS``.
    """
    sizes = np.bincount(codes)
    values = np.empty((len(x), len(sizes)))
    folds = StratifiedKFold(min(FOLDS, sizes.min()), shuffle=True, random_state=rng)
    for train, test in folds.split(x, codes):
        values[test] = discriminant().fit(x[train], codes[train]).predict_log_proba(x[test])
    return values
