"""Comparing methods fairly: the same folds, the same seeds, and a test that knows of both."""

import time
import warnings
from collections.abc import Mapping

import numpy as np
from joblib import Parallel, delayed
from scipy.stats import t as student_t
from sklearn.metrics import accuracy_score, f1_score, log_loss
from sklearn.model_selection import RepeatedStratifiedKFold, StratifiedKFold, check_cv
from sklearn.pipeline import Pipeline
from sklearn.utils import Bunch, check_random_state, column_or_1d
from sklearn.utils.validation import check_consistent_length

from cmkdlearn._bridge.routing import RoutedParams
from cmkdlearn._labels import label_codes, labelled_mask, one_label_each
from cmkdlearn._protocol import SELECTOR, refuse_bare_network
from cmkdlearn._seeding import seeded_copy
from cmkdlearn._validation import check_number
from cmkdlearn.nn.samples import take
from cmkdlearn.teachers._given import GivenTeacher

__all__ = ["compare", "corrected_ttest", "expected_calibration_error"]

METRICS = ("accuracy", "macro_f1", "log_loss", "calibration_error")
COSTS = ("fit_seconds", "ms_per_sample", "n_parameters", "n_bytes")
# What a like-for-like comparison holds equal, besides all that begins with the prefixes
SHARED = ("module", "modality", "augmentation", "max_epochs", "batch_size", "lr", "schedule",
          "warmup", "optimizer", "label_smoothing", "mixup", "early_stopping",
          "validation_fraction", "n_iter_no_change")
SHARED_PREFIXES = ("module__", "optimizer__")


def compare(estimators, X, y, *, cv=None, random_state=None, n_jobs=None):
    """Compare classifiers on the same folds, from the same seeds.

    Parameters
    ----------
    estimators : dict of str to classifier, or list of (str, classifier)
        The first one is what the others are tested against.
    X : array-like, or dict of array-like
    y : array-like of shape (n,)
        A label of -1 (None among strings) marks an unlabelled sample: all of these are in every
        training fold, and none is tested.
    cv : int or cross-validation splitter, default=None
        None: five stratified folds, twice. An integer: so many stratified folds, shuffled.
    random_state : int, RandomState or None, default=None
        Of the folds; and each split has a seed, which every ``random_state`` of an estimator (its
        teachers' included) that is None is set to.
    n_jobs : int, default=None
        Fits that run at a time. They slow each other down: to compare ``fit_seconds`` and
        ``ms_per_sample`` leave it at None.

    Returns
    -------
    Bunch
        names : list of str
            In the order given.
        scores : dict of str to ndarray of shape (n_estimators, n_splits)
            ``accuracy``, ``macro_f1``, ``log_loss`` (nats) and ``calibration_error`` on the test
            folds, ``fit_seconds``, ``ms_per_sample`` (milliseconds that ``predict`` takes for
            the test fold, divided by its samples), and ``n_parameters`` and ``n_bytes`` (with
            buffers) of the network that predicts; NaN where there is none.
        table : dict of str to list
            A row an estimator, for ``pandas.DataFrame(result.table)``: ``mean_...`` and ``std_...``
            of all scores, and for the first four the mean difference ``diff_...`` to the first
            row, its 95 % interval ``low_...`` to ``high_...`` and ``pvalue_...``, by
            :func:`corrected_ttest`.
        test_over_train : float
            Mean ratio of the labelled samples' numbers in the folds.

    Raises
    ------
    ValueError
        On fewer than two splits or estimators that cannot be told apart.

    Warns
    -----
    UserWarning
        If the estimators differ in backbone, budget or augmentation. Then the table compares more
        than methods.

    References
    ----------
    .. [1] Nadeau, Bengio. "Inference for the Generalization Error", Machine Learning 2003.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.svm import SVC
    >>> from cmkdlearn.model_selection import compare
    >>> from cmkdlearn.students import MultiTeacherDistiller
    >>> X, y = load_iris(return_X_y=True)
    >>> result = compare({"plain": MultiTeacherDistiller(),
    ...                   "taught": MultiTeacherDistiller([("svm", SVC())])}, X, y, cv=3,
    ...                  random_state=0)
    >>> result.scores["accuracy"].shape
    (2, 3)
    >>> result.table["estimator"], result.table["pvalue_accuracy"][0]
    (['plain', 'taught'], nan)
    """
    named = list(estimators.items() if isinstance(estimators, Mapping) else estimators)
    names = [name for name, _ in named]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"estimators must have different names, and there must be one at least; "
                         f"got {names}.")
    for name, estimator in named:
        refuse_bare_network(f"Estimator {name!r}", estimator)
    y = one_label_each(y, "compare")
    check_consistent_length(next(iter(X.values())) if isinstance(X, Mapping) else X, y)
    unequal = _unequal(dict(named))
    if unequal:
        warnings.warn("The comparison is not like for like: " + "; ".join(
            f"{name} is {', '.join(f'{v} for {k!r}' for k, v in values.items())}"
            for name, values in unequal.items()), stacklevel=2)
    rng = check_random_state(random_state)
    splits, ratio = _splits(cv, y, rng)
    seeds = [int(seed) for seed in rng.randint(np.iinfo(np.int32).max, size=len(splits))]
    rows = Parallel(n_jobs=n_jobs)(
        delayed(_score)(seeded_copy(estimator, seed), X, y, train, test)
        for _, estimator in named for seed, (train, test) in zip(seeds, splits, strict=True))
    scores = {metric: np.array([row[metric] for row in rows], dtype=float).reshape(len(named), -1)
              for metric in (*METRICS, *COSTS)}
    return Bunch(names=names, scores=scores, table=_table(names, scores, ratio),
                 test_over_train=ratio)


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


def _splits(cv, y, rng):
    """Training and test indices, and how many labelled samples are tested per one trained on."""
    labelled = np.flatnonzero(labelled_mask(y))
    unlabelled = np.setdiff1d(np.arange(len(y)), labelled)
    known = np.asarray(y)[labelled]
    seed = int(rng.randint(np.iinfo(np.int32).max))
    if cv is None:
        cv = RepeatedStratifiedKFold(n_splits=5, n_repeats=2, random_state=seed)
    elif isinstance(cv, (int, np.integer)):
        cv = StratifiedKFold(cv, shuffle=True, random_state=seed)
    if hasattr(cv, "split"):
        folds = list(check_cv(cv, known, classifier=True).split(np.zeros(len(known)), known))
    else:  # rows of all samples, of which some have no label
        place = np.cumsum(np.isin(np.arange(len(y)), labelled)) - 1
        folds = [[place[np.intersect1d(np.arange(len(y))[part], labelled)] for part in fold]
                 for fold in cv]
    if len(folds) < 2:
        raise ValueError(f"cv={cv!r} makes one split; a comparison needs two at least.")
    ratio = float(np.mean([len(test) / len(train) for train, test in folds]))
    return [(np.sort(np.r_[labelled[train], unlabelled]), labelled[test])
            for train, test in folds], ratio


def _score(estimator, X, y, train, test):
    start = time.perf_counter()
    try:
        estimator.fit(take(X, train), y[train])
    except Exception as error:
        if isinstance(X, Mapping) and not isinstance(estimator, RoutedParams):
            error.add_note(f"X is a dict of modalities. {SELECTOR}")
        raise
    seconds = time.perf_counter() - start
    X_test, y_test = take(X, test), y[test]
    start = time.perf_counter()
    predicted = estimator.predict(X_test)
    ms_per_sample = 1000 * (time.perf_counter() - start) / len(y_test)
    scores = {"accuracy": accuracy_score(y_test, predicted),
              "macro_f1": f1_score(y_test, predicted, average="macro", zero_division=0),
              "log_loss": np.nan, "calibration_error": np.nan,
              "fit_seconds": seconds, "ms_per_sample": ms_per_sample, **_size(estimator)}
    if hasattr(estimator, "predict_proba"):
        p = np.asarray(estimator.predict_proba(X_test), dtype=float)
        codes = label_codes(y_test, estimator.classes_)
        scores["log_loss"] = log_loss(codes, p / p.sum(axis=1, keepdims=True),
                                      labels=np.arange(p.shape[1]))
        scores["calibration_error"] = expected_calibration_error(codes, p,
                                                                 labels=np.arange(p.shape[1]))
    return scores


def _size(estimator):
    last = estimator[-1] if isinstance(estimator, Pipeline) else estimator
    if not hasattr(last, "net_"):
        return {"n_parameters": np.nan, "n_bytes": np.nan}
    parameters, buffers = list(last.net_.module_.parameters()), last.net_.module_.buffers()
    return {"n_parameters": sum(part.numel() for part in parameters),
            "n_bytes": sum(part.nbytes for part in [*parameters, *buffers])}


def _table(names, scores, ratio):
    table = {"estimator": names}
    for metric, values in scores.items():
        table[f"mean_{metric}"] = values.mean(axis=1).tolist()
        table[f"std_{metric}"] = values.std(axis=1, ddof=1).tolist()
        if metric in METRICS:
            first, nan = values[0], Bunch(low=np.nan, high=np.nan, pvalue=np.nan)
            tests = [nan] + [corrected_ttest(row - first, ratio) for row in values[1:]]
            table[f"diff_{metric}"] = (values - first).mean(axis=1).tolist()
            for part in ("low", "high", "pvalue"):
                table[f"{part}_{metric}"] = [test[part] for test in tests]
    return table


def _unequal(estimators):
    """Settings of the training, by name and estimator, that are not the same for all."""
    settings: dict[str, dict[str, str]] = {}
    trained = {name: estimator for name, estimator in estimators.items()
               if not isinstance(estimator, GivenTeacher)}
    for name, estimator in trained.items():
        for param, value in estimator.get_params(deep=False).items():
            if param in SHARED or param.startswith(SHARED_PREFIXES):
                settings.setdefault(param, {})[name] = repr(value)
    return {param: values for param, values in settings.items() if len(set(values.values())) > 1}
