"""Mutual information by nearest neighbours (Kraskov et al. 2004; Ross 2014; Gao et al. 2017)."""

import math

import numpy as np
import torch
from scipy.spatial import cKDTree
from scipy.special import digamma, ndtri
from scipy.stats import rankdata

from cmkdlearn._validation import check_number, check_option
from cmkdlearn.information._all_pairs import AllPairs, squared_distances
from cmkdlearn.information._base import Contributions, contributions, is_discrete, register

MOST_FOR_TREES = 6  # dimensions of both sides; beyond, trees visit nearly all points
LARGEST = 2.0**50  # whole numbers; sums of a few of them are exact in double precision
OBSERVED = 1000  # samples that tell the standard error, where there are more
ENTRIES = 2**19  # of a matrix of distances, which a cache can hold


@register("ksg")
def ksg(x, y, *, n_repeats, rng, device, n_neighbors=3, margins="normal", norm="auto"):
    r"""Estimate by nearest neighbours, equation 8 of Kraskov et al. [1]_

    .. math:: I = \psi(k) + \psi(N) - \langle \psi(n_x + 1) + \psi(n_y + 1) \rangle

    With a discrete side ([2]_, equation 6), the neighbours are of the same class, and the
    class takes the place of the samples that are near on that side.

    Values may repeat, and so may samples. What is nearer than the k-th neighbour is counted on
    each side *and* of both, which are k without ties and fewer where several are as far as the
    k-th. Where even the k-th coincides, all that coincide are counted [3]_; of discrete values
    that is the entropy estimate of Grassberger, the one of Miller and Madow in first order.

    Parameters
    ----------
    x, y : ndarray of shape (n, d) or (n,)
        Floating or codes, see :func:`register`.
    n_repeats, rng, device
        See :func:`register`; nothing is random.
    n_neighbors : int, default=3
        The k of the formula. A class of no more samples has all of its others for neighbours.
    margins : {"normal", "standard", "none"}, default="normal"
        What columns are made before they are compared: normal scores of their ranks, or of mean
        0 and variance 1. "none": they are compared as they are.
    norm : {"auto", "max"}, default="auto"
        Of the distance on a side, which is free to choose. "max": the largest difference of a
        column, as in [1]_. "auto": the same up to six columns on both sides together, and beyond,
        where it would be slow, Euclid's.

    Returns
    -------
    Contributions
        Of a single row.

    References
    ----------
    .. [1] Kraskov, Stögbauer, Grassberger. "Estimating mutual information", Physical Review E,
       2004.
    .. [2] Ross. "Mutual information between discrete and continuous data sets", PLoS ONE, 2014.
    .. [3] Gao, Kannan, Oh, Viswanath. "Estimating mutual information for discrete-continuous
       mixtures", NeurIPS 2017.
    """
    check_number("n_neighbors", n_neighbors, low=1, integer=True)
    check_option("margins", margins, MARGINS)
    check_option("norm", norm, ["auto", "max"])
    if n_neighbors >= len(x):
        raise ValueError(f"n_neighbors={n_neighbors} needs at least {n_neighbors + 1} samples; "
                         f"there are {len(x)}.")
    codes = next((side for side in (x, y) if is_discrete(side)), np.zeros(len(x), dtype=int))
    of_class = np.bincount(codes)[codes]
    paired = of_class > 1  # a class of one has no neighbours; it counts as the mean of the others
    if not paired.any():
        return contributions(np.zeros((1, len(x))))
    sides = [MARGINS[margins](side[paired]) for side in (x, y) if not is_discrete(side)]
    observed = np.zeros(len(x), dtype=bool)
    observed[np.linspace(0, len(x) - 1, OBSERVED).astype(int)] = True

    by_trees = norm == "max" or sum(side.shape[1] for side in sides) <= MOST_FOR_TREES
    both, near, moved = neighbours(sides, codes[paired], n_neighbors, device, observed[paired],
                                   by_trees)
    values = digamma(both) + digamma(len(both)) - sum(map(digamma, near))
    if len(sides) == 1:
        values -= digamma(of_class[paired])
    pointwise = np.full((2, len(x)), values.mean())
    pointwise[:, paired] = values, values + moved
    return Contributions(pointwise[:1], pointwise[1:])


def standard_scores(side):
    """Give each column mean 0 and variance 1, of whatever size it is."""
    side = np.ldexp(side, -np.frexp(np.abs(side).max(axis=0))[1])  # squares neither over nor under
    side = side - side.mean(axis=0)
    return side / np.where(np.ptp(side, axis=0) > 0, side.std(axis=0), 1)


def normal_scores(side):
    """Give each column a normal distribution, by its ranks."""
    return ndtri((rankdata(side, axis=0) - 0.5) / len(side))


MARGINS = {"normal": normal_scores, "standard": standard_scores, "none": lambda side: side}


def neighbours(sides, codes, k, device, observed, by_trees):
    r"""Count the samples nearer than the k-th neighbour of the same class.

    The distance to a neighbour is the larger of those on the two sides. On a side, the norm is the
    maximum where trees serve and Euclid's otherwise. A sample counts as its own neighbour, which
    is the "+ 1" of the formulas. Where the k-th coincides with the sample, all that coincide are
    counted.

    Estimates are means of logarithms of such counts, and a sample is counted for many others: by
    a little more weight it moves them all, beside its own. By Kraskov's formula these are

    .. math:: 1 + \sum_j \frac{[i \text{ near } j]}{n_j} - \frac{[x_i \text{ near } x_j]}{n_{x, j}}
        - \frac{[y_i \text{ near } y_j]}{n_{y, j}}.

    Parameters
    ----------
    sides : list of one or two ndarray of shape (n, d)
    codes : ndarray of shape (n,)
        Classes.
    k : int
    device : torch.device
    observed : ndarray of shape (n,), bool
        The samples whose weight is looked at.
    by_trees : bool

    Returns
    -------
    both : ndarray of shape (n,)
        Samples of the class that are near on all sides.
    near : list of ndarray of shape (n,)
        Samples that are near on each side.
    moved : ndarray of shape (n,)
        The sums; NaN where not observed.
    """
    sides = (_whole if by_trees else _of_whole_squares)(sides)
    both, radius, near = (_by_trees(sides, codes, k) if by_trees
                          else _by_brute_force(sides, codes, k, device))
    if both.max() > k:
        rows = np.column_stack([*sides, codes])
        _, kind, counts = np.unique(rows, axis=0, return_inverse=True, return_counts=True)
        both = np.maximum(both, counts[kind.reshape(-1)])  # not a column in NumPy 2.0
    moved = np.full(len(codes), np.nan)
    moved[observed] = _moved(_largest if by_trees else squared_distances, sides, codes, radius,
                             both, near, np.flatnonzero(observed), device)
    return both, near, moved


def _whole(sides):
    """Make values whole numbers, so that distances are exact but for that."""
    largest = max(np.abs(side).max() for side in sides)
    return [np.rint(side * (LARGEST / largest)) for side in sides]


def _of_whole_squares(sides):
    """Make values whole numbers of exact squared distances, whatever the order of summation."""
    longest = max(np.square(side).sum(axis=1).max() for side in sides)
    return [np.rint(side * math.sqrt(LARGEST / longest)) for side in sides]


def _nearer(radius, n_columns=1):
    """Return a distance that is clearly below, if it is not 0.

    Equal distances are so within 2 a column, once values are whole numbers.
    """
    return (radius - 3 * math.sqrt(n_columns)).clip(min=0)


def _by_trees(sides, codes, k):
    joint, both, radius = np.hstack(sides), np.empty(len(codes)), np.empty(len(codes))
    for code in np.unique(codes):
        of_class = codes == code
        members = joint[of_class]
        nearest = cKDTree(members).query(members, k=range(1, min(k + 1, len(members)) + 1),
                                         p=np.inf, workers=-1)[0]
        radius[of_class] = _nearer(nearest[:, -1])
        both[of_class] = (nearest <= radius[of_class, None]).sum(axis=1)
    return both, radius, [_within(side, radius) for side in sides]


def _within(side, radius):
    if side.shape[1] > 1:
        return cKDTree(side).query_ball_point(side, radius, p=np.inf, return_length=True,
                                              workers=-1)
    side = side[:, 0]
    line = np.sort(side)
    return np.searchsorted(line, side + radius, "right") - np.searchsorted(line, side - radius)


def _by_brute_force(sides, codes, k, device):
    order = np.argsort(codes, kind="stable")  # classes are then blocks of columns
    pairs = AllPairs([torch.as_tensor(side[order], device=device) for side in sides])
    counts = torch.empty((2 + len(sides), len(codes)), dtype=torch.float64, device=device)
    n_columns = max(side.shape[1] for side in sides)
    ends = np.unique(codes, return_counts=True)[1].cumsum()  # a class may have no sample here
    for first, last in zip([0, *ends[:-1]], ends, strict=True):
        for rows in pairs.rows(first, last):
            nearest = pairs.nearest(rows, first, last, min(k + 1, last - first))  # and itself
            radius = _nearer(nearest[:, -1:].sqrt(), n_columns).square()
            counts[:, rows] = torch.vstack([(nearest <= radius).sum(1), radius[:, 0],
                                            pairs.within(rows, radius)])
    found = np.empty(counts.shape)
    found[:, order] = counts.cpu()
    return found[0], found[1], list(found[2:])


def _moved(distances, sides, codes, radius, both, near, observed, device):
    def tensor(values):
        return torch.as_tensor(values, dtype=torch.float64, device=device)

    sides, codes, radius, shares = [tensor(side) for side in sides], tensor(codes), \
        tensor(radius), [tensor(1 / count) for count in near]
    share_of_both, rows = tensor(1 / both), torch.as_tensor(observed, device=device)
    moved = torch.full_like(radius[rows], len(sides) - 1)
    for tile in torch.arange(len(codes), device=device).split(max(1, ENTRIES // len(rows))):
        within = codes[rows, None] == codes[tile]
        for side, share in zip(sides, shares, strict=True):
            close = distances(side[rows], side[tile]) <= radius[tile]
            moved -= close.double() @ share[tile]
            within &= close
        moved += within.double() @ share_of_both[tile]
    return moved.cpu().numpy()


def _largest(a, b):
    return torch.cdist(a, b, p=math.inf)
