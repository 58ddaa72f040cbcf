"""Unpaired modalities out of paired ones, and less of them."""

from typing import NamedTuple

import numpy as np
from sklearn.model_selection import train_test_split
from sklearn.utils import _safe_indexing, check_consistent_length, check_random_state
from sklearn.utils.validation import column_or_1d

from cmkdlearn._validation import check_number, check_option
from cmkdlearn.datasets._imbalanced import make_imbalanced

NOISE, IMBALANCE = 0.5, 10  # of the hard setting


class Unpaired(NamedTuple):
    """A student's data and a teacher's, none of which belong together.

    Attributes
    ----------
    X, y : the student's samples and labels
    X_teacher, y_teacher : the teacher's
    """

    X: object
    y: np.ndarray
    X_teacher: object
    y_teacher: np.ndarray


def make_unpaired(X, y, *, student, teacher, preset="medium", random_state=None):
    """Tear paired modalities apart, in the three ways of UCMKD.

    They are those of [1]_, Table 14.

    Parameters
    ----------
    X : dict of array-like of shape (n, ...)
        Modalities of the same samples.
    y : array-like of shape (n,)
    student, teacher : str
        Which modality goes to whom.
    preset : {"easy", "medium", "hard"}, default="medium"
        - "easy": both keep all samples, and the teacher's are shuffled;
        - "medium": the samples are divided, a stratified half to each, so that the teacher has
          seen none of the student's in any modality;
        - "hard": besides, the teacher's modality gets Gaussian noise of half each feature's
          standard deviation, and its classes fall off exponentially by a factor of 10
          (:func:`make_imbalanced`).
    random_state : int, RandomState instance or None, default=None

    Returns
    -------
    Unpaired
        A named tuple ``(X, y, X_teacher, y_teacher)``, so that
        ``student.fit(*make_unpaired(...))`` is possible.

    Notes
    -----
    The strength of the noise and of the imbalance is this library's choice.

    References
    ----------
    .. [1] Tran et al. "Cross-Modal Knowledge Distillation without Paired Data: Theoretical
       Foundation and Algorithm", ICML 2026.

    Examples
    --------
    >>> import numpy as np
    >>> from cmkdlearn.datasets import make_unpaired
    >>> X = {"image": np.zeros((100, 8, 8)), "sound": np.ones((100, 20))}
    >>> unpaired = make_unpaired(X, np.arange(100) % 2, student="image", teacher="sound",
    ...                          random_state=0)
    >>> unpaired.X.shape, unpaired.X_teacher.shape
    ((50, 8, 8), (50, 20))
    """
    check_option("preset", preset, ["easy", "medium", "hard"])
    for name, modality in (("student", student), ("teacher", teacher)):
        check_option(name, modality, list(X))
    y = column_or_1d(y)
    check_consistent_length(*X.values(), y)
    rng = check_random_state(random_state)
    every = np.arange(len(y))
    if preset == "easy":
        mine, theirs = every, rng.permutation(every)
    else:
        mine, theirs = train_test_split(every, test_size=0.5, stratify=y, random_state=rng)
    X_S, X_T = _safe_indexing(X[student], mine), _safe_indexing(X[teacher], theirs)
    y_S, y_T = y[mine], y[theirs]
    if preset == "hard":
        X_T, y_T = make_imbalanced(X_T, y_T, factor=IMBALANCE, random_state=rng)
        X_T = np.asarray(X_T, dtype=np.float32)
        noise = rng.standard_normal(X_T.shape) * X_T.std(axis=0)
        X_T = X_T + NOISE * noise.astype(np.float32)
    return Unpaired(X_S, y_S, X_T, y_T)


def subsample(X, y, fraction, *, random_state=None):
    """Keep a stratified fraction of the samples.

    Parameters
    ----------
    X : array-like, DataFrame, or dict of these, of shape (n, ...)
    y : array-like of shape (n,)
    fraction : float
        Share to keep, in (0, 1].
    random_state : int, RandomState instance or None, default=None

    Returns
    -------
    X, y : as given

    Examples
    --------
    >>> import numpy as np
    >>> from cmkdlearn.datasets import subsample
    >>> X, y = subsample(np.zeros((100, 2)), np.arange(100) % 4, 0.2, random_state=0)
    >>> np.bincount(y)
    array([5, 5, 5, 5])
    """
    check_number("fraction", fraction, low=0, high=1, open_low=True)
    y = column_or_1d(y)
    check_consistent_length(*(X.values() if isinstance(X, dict) else [X]), y)
    kept = np.arange(len(y))
    if fraction < 1:
        try:
            kept, _ = train_test_split(kept, train_size=fraction, stratify=y,
                                       random_state=check_random_state(random_state))
        except ValueError as error:
            raise ValueError(f"fraction={fraction} of {len(y)} samples leaves too few for a "
                             f"stratified draw. {error}") from None
    kept = np.sort(kept)
    if isinstance(X, dict):
        return type(X)(**{name: _safe_indexing(part, kept) for name, part in X.items()}), y[kept]
    return _safe_indexing(X, kept), y[kept]
