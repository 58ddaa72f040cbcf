"""A choice among estimators that need no training: the one that sees most."""

import warnings
from contextlib import suppress

import numpy as np
from scipy.linalg import LinAlgError, LinAlgWarning
from scipy.special import logsumexp
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis

from cmkdlearn.information._base import contributions, is_discrete, register
from cmkdlearn.information._elliptical import elliptical
from cmkdlearn.information._gaussian import LARGEST_CLASS, by_class, canonical, gaussian, log_ratio
from cmkdlearn.information._ksg import ksg, normal_scores

SHRINKAGE = 0.1  # of each class's covariance to the identity
ENOUGH = 4  # samples a column, for a copula that says of others what it says of its own
STRANGERS = 100  # other samples that each one is paired with


@register("auto")
def auto(x, y, *, n_repeats, rng, device):
    """Estimate by the one of several estimators that finds most.

    What an estimator cannot see it does not count: neighbours lose sight in many dimensions, and a
    copula sees no dependence but that of its kind. Where all of them err low, if not by chance,
    the largest is the nearest. Two continuous sides: "ksg", "gaussian" and, where no column
    repeats a value, "elliptical". A discrete one: "ksg", "gaussian", and the same with a
    covariance for each class. Taking the largest adds some 0.01 nats where nothing is to be found.
    Copulas take part where there are four samples a column at least.

    A Gaussian copula can err high: two clusters in 20 columns say log 2 at most, and their
    covariances say more. The ratio of densities that it claims then has not the mean 1 among
    strangers, x of one sample and y of another, and the logarithm of that mean is taken off both
    copulas. What is left is the bound of Donsker and Varadhan, which "mine" maximises.

    Parameters
    ----------
    x, y : ndarray of shape (n, d) or (n,)
        Floating or codes, see :func:`register`.
    n_repeats, rng, device
        See :func:`register`.

    Returns
    -------
    Contributions
        With the name of the estimator that was chosen.
    """
    found = {"ksg": ksg(x, y, n_repeats=1, rng=rng, device=device)}
    if is_discrete(x):
        x, y = y, x
    if is_discrete(y):
        of_class = np.bincount(y)
        if of_class.max() >= LARGEST_CLASS:
            found["gaussian"] = gaussian(x, y, n_repeats=1, rng=rng, device=device)
        if of_class.min() > max(2, x.shape[1]):  # a covariance needs as many without a fold
            # or a class lies in fewer dimensions, of which scikit-learn before 1.8 only warns
            with suppress(LinAlgError, LinAlgWarning), warnings.catch_warnings():
                warnings.simplefilter("error", LinAlgWarning)
                found["gaussian, a covariance for each class"] = by_class(
                    normal_scores(x), y, rng, _quadratic)[None]
    elif len(x) >= ENOUGH * (x.shape[1] + y.shape[1]):
        too_much = _claimed_of_strangers(x, y)
        found["gaussian"] = gaussian(x, y, n_repeats=1, rng=rng, device=device) - too_much
        if not (_repeats(x) or _repeats(y)):
            copula = contributions(elliptical(x, y, n_repeats=1, rng=rng, device=device))
            found["elliptical"] = copula._replace(values=copula.values - too_much)
    found = {name: contributions(way) for name, way in found.items()}
    chosen = max(found, key=lambda name: found[name].values.mean())
    return found[chosen]._replace(name=chosen)


def _claimed_of_strangers(x, y):
    """Return the log of the mean density ratio of a Gaussian copula where there is nothing.

    Of a mean that is 1 within its error, 0. A mean of few huge ratios has no error to speak of;
    but it is no less than each ratio times the share of those that are as large (Markov), if they
    are more than the pairs of one sample.
    """
    x, y, rho = canonical(x, y)
    shifts = np.linspace(1, len(x) - 1, STRANGERS).astype(int)
    ratios = np.stack([log_ratio(x, np.roll(y, shift, axis=0), rho) for shift in shifts])
    largest = np.sort(ratios, axis=None)[::-1]
    at_least = largest + np.log(np.arange(1, ratios.size + 1) / ratios.size)
    scale = max(0, largest[0])
    mean = np.exp(logsumexp(ratios - scale, axis=1) - np.log(len(x)))
    known = mean.mean() - 2 * mean.std() / np.sqrt(STRANGERS)
    return max(0, at_least[2 * STRANGERS:].max(), scale + np.log(known) if known > 0 else 0)


def _repeats(side):
    return any(len(np.unique(column)) < len(column) for column in side.T)


def _quadratic():
    return QuadraticDiscriminantAnalysis(reg_param=SHRINKAGE)
