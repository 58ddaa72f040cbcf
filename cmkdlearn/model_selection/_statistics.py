"""The corrected test, and how far probabilities can be trusted."""

import numpy as np
from scipy.stats import t as student_t
from sklearn.utils import Bunch, column_or_1d

from cmkdlearn._validation import check_number


def corrected_ttest(differences, test_over_train):
    r"""Test whether a mean difference over the splits of a repeated cross-validation is zero.

    .. math:: t = \frac{\bar d}{\sqrt{(1/J + n_{test}/n_{train})\,\hat\sigma^2}}

    with J - 1 degrees of freedom [1]_. Splits share most of their training samples, so that their
    differences vary less than those of independent experiments would; the second term makes up
    for that, which the ordinary test (``test_over_train=0``) leaves out.

    Parameters
    ----------
    differences : array-like of shape (n_splits,)
        At least two.
    test_over_train : float
        Samples in a test fold, divided by those in a training fold.

    Returns
    -------
    Bunch
        ``statistic``, ``pvalue`` (two-sided; 1 where all differences are zero), ``low`` and
        ``high``, the 95 % interval of the mean difference.

    References
    ----------
    .. [1] Nadeau, Bengio. "Inference for the Generalization Error", Machine Learning 2003.

    Examples
    --------
    >>> from cmkdlearn.model_selection import corrected_ttest
    >>> d = [0.02, 0.01, 0.03, 0.02, 0.01]
    >>> corrected_ttest(d, 0.25).pvalue > corrected_ttest(d, 0).pvalue
    True
    """
    d = np.asarray(differences, dtype=float)
    check_number("test_over_train", test_over_train, low=0)
    if d.ndim != 1 or len(d) < 2:
        raise ValueError(f"differences of at least two splits are needed; got shape {d.shape}.")
    mean, df = d.mean(), len(d) - 1
    error = np.sqrt((1 / len(d) + test_over_train) * d.var(ddof=1))
    if error <= 1e-12 * np.abs(mean):  # all the same
        statistic = np.sign(mean) * np.inf if mean else 0.0
    else:
        statistic = mean / error
    half = student_t.ppf(0.975, df) * error
    return Bunch(statistic=float(statistic), pvalue=float(2 * student_t.sf(abs(statistic), df)),
                 low=float(mean - half), high=float(mean + half))


def expected_calibration_error(y_true, y_proba, *, labels=None, n_bins=15):
    r"""Expected calibration error of the winning class.

    .. math:: \sum_b \frac{|B_b|}{n} \,\big|\mathrm{acc}(B_b) - \mathrm{conf}(B_b)\big|

    over bins of equal width of the winner's probability.

    Parameters
    ----------
    y_true : array-like of shape (n,)
    y_proba : array-like of shape (n, n_classes)
    labels : array-like of shape (n_classes,), default=None
        The class of each column; None: those of ``y_true`` in order.
    n_bins : int, default=15

    Returns
    -------
    float
        In [0, 1].

    References
    ----------
    .. [1] Guo, Pleiss, Sun, Weinberger. "On Calibration of Modern Neural Networks", ICML 2017.

    Examples
    --------
    >>> from cmkdlearn.model_selection import expected_calibration_error
    >>> expected_calibration_error([0, 1], [[0.75, 0.25], [0.75, 0.25]])   # right half of the time
    0.25
    """
    check_number("n_bins", n_bins, low=1, integer=True)
    y_true, p = column_or_1d(y_true), np.asarray(y_proba, dtype=float)
    labels = np.unique(y_true) if labels is None else np.asarray(labels)
    if p.shape != (len(y_true), len(labels)):
        raise ValueError(f"y_proba must have shape ({len(y_true)}, {len(labels)}), a column a "
                         f"class; it has {p.shape}.")
    right, confidence = labels[p.argmax(axis=1)] == y_true, p.max(axis=1)
    bins = np.clip(np.ceil(confidence * n_bins).astype(int) - 1, 0, n_bins - 1)
    gaps = np.bincount(bins, weights=right - confidence, minlength=n_bins)
    return float(np.abs(gaps).sum() / len(y_true))
