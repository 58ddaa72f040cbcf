"""The front of all estimators of mutual information: their input, their table, their result."""

import inspect
import math
import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from sklearn.utils import check_random_state

from cmkdlearn._validation import check_number, check_option
from cmkdlearn.nn.data import as_array, resolve_device

ESTIMATORS: dict[str, Callable] = {}
"""The table of estimators: a name and the function that it stands for."""

GIVEN = ("n_repeats", "rng", "device")  # what the front hands to every estimator


class MutualInformation(NamedTuple):
    """A mutual information in nats, as :func:`mutual_information` estimates it.

    ``float(result)`` is the estimate.

    Attributes
    ----------
    estimate : float
        May come out negative, where the truth is near 0: it is reported as it is.
    std_error : float
        Standard error over samples and repeats. That of "ksg", and of what builds on it, knows
        that samples share neighbours. NaN, if a callable returned a number and was not repeated.
    estimator : str
        What made the estimate; where it was "auto", what that chose.
    pointwise : ndarray of shape (n,) or None
        What each sample contributes; the estimate is their mean.
    """

    estimate: float
    std_error: float
    estimator: str
    pointwise: np.ndarray | None = None

    def __float__(self):
        return self.estimate

    def __repr__(self):
        return (f"MutualInformation(estimate={self.estimate:.4f}, "
                f"std_error={self.std_error:.4f}, estimator={self.estimator!r})")


class MIGap(NamedTuple):
    """The MI gap I(z_T; z_S) - I(z_S; Y) in nats, as :func:`mi_gap` estimates it.

    ``float(result)`` is the gap.

    Attributes
    ----------
    gap : float
    std_error : float
        Of the gap: paired over the samples, where both terms are known sample by sample, and
        over repeats.
    teacher_student, student_label : MutualInformation
        The two terms.
    """

    gap: float
    std_error: float
    teacher_student: MutualInformation
    student_label: MutualInformation

    def __float__(self):
        return self.gap

    def __repr__(self):
        return (f"MIGap(gap={self.gap:.4f}, std_error={self.std_error:.4f}, "
                f"teacher_student={self.teacher_student.estimate:.4f}, "
                f"student_label={self.student_label.estimate:.4f})")


class Contributions(NamedTuple):
    """What an estimator may return, if it knows more than what each sample contributes.

    Attributes
    ----------
    values : ndarray of shape (n_repeats, n)
        What each sample contributes, in nats.
    influence : ndarray of shape (n_repeats, n)
        By how much its weight moves their mean, times n and up to a constant: by what it
        contributes, and by what it does to others. NaN where that is not known.
    name : str or None
        Of the estimator, if it is not the one that was asked for.
    """

    values: np.ndarray
    influence: np.ndarray
    name: str | None = None


def register(name):
    """Enter an estimator into the table under ``name``.

    An estimator is a function of two sides: floating (n, d) where a side is continuous, integer
    codes (n,) where it is discrete; never both discrete. By keyword it takes ``n_repeats``,
    ``rng`` (a ``RandomState``), ``device``, and what parameters it has. It returns the samples'
    contributions in nats, (n_repeats, n); a single row if repeating it changes nothing. More than
    the samples' entropy is cut off, see :func:`mutual_information`.

    Parameters
    ----------
    name : str

    Examples
    --------
    >>> import numpy as np
    >>> from cmkdlearn.information import ESTIMATORS, mutual_information, register
    >>> @register("correlation")
    ... def correlation(x, y, *, n_repeats, rng, device):
    ...     rho = np.corrcoef(x[:, 0], y[:, 0])[0, 1]
    ...     return np.full((1, len(x)), -0.5 * np.log(1 - rho**2))
    >>> x = np.random.default_rng(0).standard_normal((1000, 1))
    >>> mutual_information(x, -x + 1e-3 * x**2, "correlation").estimate > 5
    True
    >>> del ESTIMATORS["correlation"]
    """
    def enter(function):
        ESTIMATORS[name] = function
        return function
    return enter


def contributions(found):
    """Return what an estimator returns as :class:`Contributions`."""
    return found if isinstance(found, Contributions) else Contributions(found, found)


def mutual_information(x, y, estimator="ksg", *, n_repeats=1, discrete_x="auto", discrete_y="auto",
                       random_state=None, device="auto", **params):
    r"""Estimate the mutual information of two variables, in nats.

    .. math:: I(X; Y) = E \log \frac{p(x, y)}{p(x)\, p(y)}

    Each side may be continuous or discrete, of any dimension. Where both are discrete, it is that
    of their contingency table, whatever the estimator.

    Parameters
    ----------
    x, y : array-like or Tensor of shape (n,) or (n, ...)
        Paired samples. Further axes are columns.
    estimator : {"ksg", "gaussian", "elliptical", "lmi", "latent", "mine", "auto"} or callable
        By default "ksg".
        See the user guide on :ref:`when to trust which <information>`. A callable is given the two
        sides, floating (n, d) or integer codes (n,) where discrete, and
        ``random_state`` if it takes one; it returns nats, as a number or sample by sample.
    n_repeats : int, default=1
        Estimates from different seeds, which are averaged. Where nothing is random,
        nothing is repeated.
    discrete_x, discrete_y : bool or "auto", default="auto"
        Whether a side is discrete; several columns are then one variable of distinct rows.
        "auto": strings are, and single columns of whole numbers that repeat.
    random_state : int, RandomState instance or None, default=None
    device : str or torch.device, default="auto"
        Where neural networks and brute force run.
    **params
        Parameters of the estimator, such as ``n_neighbors`` of "ksg".

    Returns
    -------
    MutualInformation
        With ``estimate``, ``std_error``, ``estimator`` and ``pointwise``.

    Raises
    ------
    TypeError
        If a side is complex or holds objects, or if the estimator has no such parameter.
    ValueError
        If the sides differ in length, hold NaN or infinity, have no columns or too few samples;
        if an estimate comes out as NaN or infinity.

    Warns
    -----
    UserWarning
        If an estimator finds more than the entropy of a side's values in these samples, which is
        log n where none repeats. That entropy is returned: no more can be told from n samples.
        What a callable returns is taken as it is.

    Notes
    -----
    Constant columns say nothing and are left out; a side of nothing else has information 0.
    An estimate can be negative, although mutual information is not: unbiased estimates of 0
    have to be, half of the time. Look at ``std_error`` before reading anything into it.

    Samples are taken to be independent. Samples that repeat are then values that occur often, which
    tell each other; where they are copies (oversampling), leave all but one out.

    Examples
    --------
    >>> import numpy as np
    >>> from cmkdlearn.information import mutual_information
    >>> x, noise = np.random.default_rng(0).standard_normal((2, 2000))
    >>> y = 0.8 * x + 0.6 * noise                   # correlation 0.8: I = -log(1 - 0.8**2) / 2
    >>> mutual_information(x, y, random_state=0)
    MutualInformation(estimate=0.5..., std_error=0.0..., estimator='ksg')
    >>> float(mutual_information(x > 0, y > 0)) < float(mutual_information(x, y))
    True
    """
    return _estimate(x, y, estimator, n_repeats, discrete_x, discrete_y, random_state, device,
                     params)[0]


def _estimate(x, y, estimator, n_repeats, discrete_x, discrete_y, random_state, device, params):
    """Return the information, and the contributions that it is the mean of, if these are known."""
    check_number("n_repeats", n_repeats, low=1, integer=True)
    function, name = _find(estimator, params)
    x, y = _side("x", x, discrete_x), _side("y", y, discrete_y)
    n = len(x)
    if n != len(y):
        raise ValueError(f"x has {n} samples and y has {len(y)}; they must be of the same samples, "
                         "in the same order.")
    if n < 2:
        raise ValueError(f"x and y have {n} sample; give at least two.")
    rng, device = check_random_state(random_state), resolve_device(device)
    if _says_nothing(x) or _says_nothing(y):
        return _summary(name, np.zeros((1, n)))
    if is_discrete(x) and is_discrete(y):
        return _summary("plug-in", plug_in(x, y), _bound(x, y))
    if callable(estimator):
        return _summary(name, _repeat(function, x, y, n_repeats, rng, params))
    found = function(x, y, n_repeats=n_repeats, rng=rng, device=device, **params)
    return _summary(name, found, _bound(x, y))


def with_influence(x, y, estimator, discrete_y, random_state):
    """Return an estimate, and by how much each sample moves it, in one row (1 + n,).

    The influences (:class:`Contributions`) have mean 0, and are NaN where they are not known. Sums
    and differences of such rows are those of the estimates. ``x`` is continuous.
    """
    found, of_samples = _estimate(x, y, estimator, 1, False, discrete_y, random_state, "auto", {})
    if of_samples is None:
        return np.r_[found.estimate, np.full(len(x), np.nan)]
    influence = _of_samples(of_samples.influence)
    return np.r_[found.estimate, influence - np.nanmean(influence)]


def mi_gap(z_teacher, z_student, y, *, estimator="ksg", n_repeats=1, discrete_y="auto",
           random_state=None, device="auto", **params):
    r"""Estimate the MI gap, I(z_T; z_S) - I(z_S; Y), in nats.

    The Cross-modal Complementarity Hypothesis [1]_ says that a teacher helps a student where it
    is positive.

    Parameters
    ----------
    z_teacher, z_student : array-like or Tensor of shape (n, d_T) and (n, d_S)
        Representations of the same samples.
    y : array-like or Tensor of shape (n,) or (n, ...)
        Their labels, or continuous targets.
    estimator, n_repeats, random_state, device, **params
        As for :func:`mutual_information`, of both terms.
    discrete_y : bool or "auto", default="auto"
        Whether ``y`` is discrete. The representations are continuous.

    Returns
    -------
    MIGap
        With ``gap``, ``std_error``, ``teacher_student`` and ``student_label``.

    References
    ----------
    .. [1] Xie, Xu, Sanguinetti. "Information-Theoretic Criteria for Knowledge Distillation in
       Multimodal Learning", 2025.

    Examples
    --------
    >>> from cmkdlearn.datasets import make_gaussian_modalities
    >>> from cmkdlearn.information import mi_gap
    >>> X, y = make_gaussian_modalities(1000, 1, rho_ts=0.9, rho_sy=0.3, random_state=0)
    >>> mi_gap(X["teacher"], X["student"], y, random_state=0).gap > 0.5
    True
    """
    seeds = check_random_state(random_state).randint(2**31 - 1, size=2)
    first, of_first = _estimate(z_teacher, z_student, estimator, n_repeats, False, False, seeds[0],
                                device, params)
    second, of_second = _estimate(z_student, y, estimator, n_repeats, False, discrete_y, seeds[1],
                                  device, params)
    if of_first is None or of_second is None:
        error = np.hypot(first.std_error, second.std_error)
    else:
        error = _error(of_first, of_second)
    return MIGap(first.estimate - second.estimate, float(error), first, second)


def is_discrete(side):
    """Tell whether a side, as estimators are given it, is discrete."""
    return side.ndim == 1


def plug_in(x, y):
    """Return the samples' information in the contingency table of two codes, (1, n).

    Less what the entropies of n samples fall short of by chance (Miller and Madow).
    """
    of_x, of_y = np.bincount(x), np.bincount(y)
    _, cell, together = np.unique(x * len(of_y) + y, return_inverse=True, return_counts=True)
    by_chance = (len(together) - len(of_x) - len(of_y) + 1) / (2 * len(x))
    values = np.log(len(x) * together[cell] / (of_x[x] * of_y[y]))
    return (values - by_chance)[None]


def _summary(name, found, bound=(np.inf, np.inf)):
    """Summarise contributions (n_repeats, n), or one number a repeat (n_repeats,)."""
    found = contributions(found)
    name = found.name or name
    if not np.isfinite(found.values).all():
        raise ValueError(f"estimator={name!r} returned NaN or infinity, which is no estimate.")
    if found.values.ndim == 1:
        error = float(_error_of_mean(found.values))
        return MutualInformation(float(found.values.mean()), error, name), None
    pointwise = found.values.mean(axis=0)
    estimate, error = float(pointwise.mean()), float(_error(found))
    most, by_design = bound
    if estimate > most:
        if estimate > most + by_design:
            warnings.warn(f"estimator={name!r} found {estimate:.3g} nats, but {len(pointwise)} "
                          f"samples can show no more than {most:.3g}, the entropy of their values; "
                          "that is returned instead.", UserWarning, stacklevel=4)
        pointwise += most - estimate
        estimate = most
    return MutualInformation(estimate, error, name, pointwise), found


def _bound(x, y):
    """Return what samples can say at most, and by how much estimates exceed it by design.

    It is the entropy of a side's values, as often as they occur: log n where none repeats. No
    more can be told from samples (McAllester and Stratos, 2020). That of classes falls short of
    the truth by (classes - 1) / 2n on average (Miller and Madow), which estimates add: those of
    halves twice as much, and some more where a half has more of one class.
    """
    n, counts = len(x), [np.unique(side, axis=0, return_counts=True)[1] for side in (x, y)]
    return (min(float(np.log(n) - count @ np.log(count) / n) for count in counts),
            max(2 * int(side.max()) / n if is_discrete(side) else 0.0 for side in (x, y)))


def _find(estimator, params):
    """Return the function and its name, after a look at the parameters that it is to be given."""
    if callable(estimator):
        return estimator, getattr(estimator, "__name__", type(estimator).__name__)
    if not isinstance(estimator, str):
        raise TypeError(f"estimator={estimator!r} must be a name "
                        f"({', '.join(map(repr, ESTIMATORS))}) or a callable of x and y.")
    function = ESTIMATORS[check_option("estimator", estimator, ESTIMATORS)]
    takes = [name for name in list(inspect.signature(function).parameters)[2:]
             if name not in GIVEN]
    for name in params:
        if name not in takes:
            raise TypeError(f"estimator={estimator!r} has no parameter {name!r}; it has "
                            f"{', '.join(takes) if takes else 'none'}.")
    return function, estimator


def _side(name, values, discrete):
    """Return floating (n, d) without constant columns, or integer codes (n,)."""
    values = np.asarray(as_array(values))
    if values.ndim == 0 or values.size == 0:
        raise ValueError(f"{name} has shape {values.shape}; it must have samples and columns.")
    if values.dtype.kind == "O" and all(isinstance(value, str) for value in values.flat):
        values = values.astype(str)
    if values.dtype.kind not in "biufU":
        raise TypeError(f"{name} has dtype {values.dtype}; it must be real numbers or strings. "
                        "Convert it first, for instance by astype(float).")
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise ValueError(f"{name} contains NaN or infinity; impute or drop those samples.")
    if discrete not in (True, False, "auto"):
        raise ValueError(f'discrete_{name}={discrete!r} must be True, False or "auto".')
    values = values.reshape(len(values), -1)
    if discrete is False and values.dtype.kind == "U":
        raise ValueError(f"{name} holds strings, which discrete_{name}=False cannot be.")
    if discrete is True or (discrete == "auto" and _looks_discrete(values)):
        return _codes(name, values)
    values = values.astype(np.float64)
    return values[:, np.ptp(values, axis=0) > 0]


def _looks_discrete(values):
    if values.dtype.kind == "U" or values.shape[1] > 1:
        return values.dtype.kind == "U"
    whole = values.dtype.kind in "biu" or np.array_equal(values, np.round(values))
    return whole and 2 * len(np.unique(values)) <= len(values)


def _codes(name, values):
    codes = np.unique(values, axis=0, return_inverse=True)[1].reshape(-1)
    if 2 * np.count_nonzero(np.bincount(codes) == 1) > len(values):
        raise ValueError(f"{name} is discrete, but most of its values occur only once; merge "
                         f"values, or pass discrete_{name}=False.")
    return codes


def _says_nothing(side):
    return not side.any() if is_discrete(side) else not side.shape[1]


def _repeat(function, x, y, n_repeats, rng, params):
    takes_a_seed = "random_state" in inspect.signature(function).parameters
    seeds = [{"random_state": int(seed)} if takes_a_seed else {}
             for seed in rng.randint(2**31 - 1, size=n_repeats)]
    return np.stack([np.asarray(function(x, y, **params, **seed), dtype=float) for seed in seeds])


def _error(found, less=None):
    """Return the standard error of an estimate, or of its difference to that of the same samples.

    Contributions are not independent where samples share neighbours; their influence then tells
    more of the variance.
    """
    first, *rest = pairs = [found] if less is None else [found, less]
    error = max(_error_of_mean(_of_samples(first[part]) - sum(_of_samples(o[part]) for o in rest))
                for part in (0, 1))
    own = [_error_of_mean(each.values.mean(axis=1)) for each in pairs if len(each.values) > 1]
    return math.hypot(error, *own)  # between repeats, what differs is the estimator's own doing


def _of_samples(repeats):
    """Return the mean of those repeats, (n_repeats, n), in which something is known, (n,)."""
    known = ~np.isnan(repeats)
    with np.errstate(invalid="ignore"):
        return np.where(known, repeats, 0).sum(axis=0) / known.sum(axis=0)


def _error_of_mean(values):
    known = values[~np.isnan(values)]
    return np.std(known, ddof=1) / np.sqrt(len(values)) if len(known) > 1 else np.nan
