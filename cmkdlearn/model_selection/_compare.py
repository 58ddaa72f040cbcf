"""Methods on the same folds, from the same seeds."""

import sys
import time
import warnings
from collections.abc import Mapping

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import accuracy_score, f1_score, log_loss
from sklearn.model_selection import RepeatedStratifiedKFold, StratifiedKFold, check_cv
from sklearn.pipeline import Pipeline
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_consistent_length

from cmkdlearn import _progress
from cmkdlearn._bridge.routing import RoutedParams
from cmkdlearn._labels import label_codes, labelled_mask, one_label_each
from cmkdlearn._protocol import SELECTOR, refuse_bare_network
from cmkdlearn._seeding import seeded_copy
from cmkdlearn._validation import check_option
from cmkdlearn.model_selection._comparison import comparison_of
from cmkdlearn.model_selection._statistics import expected_calibration_error
from cmkdlearn.nn.samples import take
from cmkdlearn.teachers._given import GivenTeacher

# What a like-for-like comparison holds equal, besides all that begins with the prefixes
SHARED = ("module", "modality", "augmentation", "max_epochs", "batch_size", "lr", "schedule",
          "warmup", "optimizer", "label_smoothing", "mixup", "early_stopping",
          "validation_fraction", "n_iter_no_change")
SHARED_PREFIXES = ("module__", "optimizer__")


def compare(estimators, X, y, *, cv=None, random_state=None, n_jobs=None, verbose="auto"):
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
    verbose : int or "auto", default="auto"
        0 is silent; 1 says, after the first fits, how long the rest takes, and shows a bar. "auto"
        does so where stderr is a terminal or a notebook, if it takes more than ten seconds.

    Returns
    -------
    Comparison
        A row an estimator: its scores on each split, and a table of what they come to. It prints
        as a table.

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
    named = named_pairs("estimators", estimators)
    y = checked_labels(X, y, "compare")
    unequal = _unequal(dict(named))
    if unequal:
        warnings.warn("The comparison is not like for like: " + "; ".join(
            f"{name} is {', '.join(f'{v} for {k!r}' for k, v in values.items())}"
            for name, values in unequal.items()), stacklevel=2)
    splits, ratio = seeded_splits(cv, y, random_state)
    jobs = (score_on(estimator, X, y, *split) for _, estimator in named for split in splits)
    n_fits = [fits_of(estimator) for _, estimator in named for _ in splits]
    scores = run(jobs, n_fits, n_jobs, verbose)
    return comparison_of([name for name, _ in named],
                         [scores[i:i + len(splits)] for i in range(0, len(scores), len(splits))],
                         ratio)


# -------------------------------------------------------------------- the work

def named_pairs(param, given):
    """Return estimators as (name, estimator), if they can be told apart."""
    named = list(given.items() if isinstance(given, Mapping) else given)
    names = [name for name, _ in named]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"{param} must have different names, and there must be one at least; got "
                         f"{names}.")
    for name, estimator in named:
        refuse_bare_network(f"{param.capitalize()[:-1]} {name!r}", estimator)
    return named


def checked_labels(X, y, name):
    """Return one label each of the samples of X."""
    y = one_label_each(y, name)
    check_consistent_length(next(iter(X.values())) if isinstance(X, Mapping) else X, y)
    return y


def seeded_splits(cv, y, random_state):
    """Return (seed, training rows, test rows) of each split, and the ratio of tested to trained."""
    rng = check_random_state(random_state)
    splits, ratio = _splits(cv, y, rng)
    seeds = rng.randint(np.iinfo(np.int32).max, size=len(splits))
    return [(int(seed), *split) for seed, split in zip(seeds, splits, strict=True)], ratio


def score_on(estimator, X, y, seed, train, test):
    """Return the job of fitting an estimator on a split, from its seed, and scoring it."""
    return delayed(_score)(seeded_copy(estimator, seed), X, y, train, test)


def fits_of(estimator):
    """Return how many fits one fit comes to, about: its own, and those of its teachers."""
    if isinstance(estimator, Pipeline):
        estimator = estimator[-1]
    params = estimator.get_params() if hasattr(estimator, "get_params") else {}
    parts = [part for name, part in params.items() if "__" not in name]
    each = sum(fits_of(part) for part in parts if hasattr(part, "fit")
               and not isinstance(part, (type, FrozenEstimator)))
    if "teachers" in params and isinstance(params.get("cv"), int):  # and once for each fold
        each *= 1 + params["cv"]
    return 1 + each


def run(jobs, n_fits, n_jobs, verbose):
    """Return what jobs return, in their order, and say soon how long the rest takes.

    A worker's first job is long by all that it imports, so it is the job after these that tells;
    or one so long that this does not matter.

    Parameters
    ----------
    jobs : iterable of delayed calls
        Each returns a dict with the "fit_seconds" of it.
    n_fits : list of int
        How many fits each job comes to.
    n_jobs : int or None
    verbose : int or "auto"
    """
    if isinstance(verbose, str):
        check_option("verbose", verbose, ["auto"])
    results, workers, told = [], effective_n_jobs(n_jobs), False
    with _progress.progress("Comparison", sum(n_fits), "fit", verbose) as bar:
        for i, result in enumerate(Parallel(n_jobs=n_jobs, return_as="generator")(jobs)):
            results.append(result)
            bar.update(n_fits[i])
            if told or bar.disable or i < workers and result["fit_seconds"] < _progress.PATIENCE:
                continue
            told = True
            left = result["fit_seconds"] / n_fits[i] * sum(n_fits[i + 1:]) / workers
            if verbose != "auto" or left > _progress.PATIENCE:
                bar.write(f"Comparison: {sum(n_fits)} fits, those of teachers included, "
                          f"{_progress.spelled(left)} left. verbose=0 is silent.", file=sys.stderr)
    return results


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
