"""Unpaired modalities out of paired ones, and less of them."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from sklearn.model_selection import train_test_split
from sklearn.utils import check_consistent_length, check_random_state
from sklearn.utils.validation import column_or_1d
from torch.utils.data import Dataset

from cmkdlearn._validation import check_number, check_option
from cmkdlearn.datasets._imbalanced import make_imbalanced
from cmkdlearn.nn.samples import is_dataset, take

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
    X : dict of array-like or Dataset of shape (n, ...)
        Modalities of the same samples.
    y : array-like of shape (n,)
    student, teacher : str
        Which modality goes to whom.
    preset : {"easy", "medium", "hard"}, default="medium"
        - "easy": both keep all samples, and the teacher's are shuffled;
        - "medium": the samples are divided, a stratified half to each, so that the teacher has
          seen none of the student's in any modality;
        - "hard": besides, the teacher's modality gets Gaussian noise of half each feature's
          standard deviation (of half each sample's own, where it is a ``Dataset``, of which no
          sample is read before it is asked for), and its classes fall off exponentially by a
          factor of 10 (:func:`make_imbalanced`). Bytes stay bytes.
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
    X_S, X_T = take(X[student], mine), take(X[teacher], theirs)
    y_S, y_T = y[mine], y[theirs]
    if preset == "hard":
        X_T, y_T = make_imbalanced(X_T, y_T, factor=IMBALANCE, random_state=rng)
        if is_dataset(X_T):
            X_T = _Noisy(X_T, int(rng.randint(2**31 - 1)))
        else:
            X_T = np.asarray(X_T)
            X_T = _noisy(X_T, rng.standard_normal(X_T.shape) * X_T.std(axis=0, dtype=np.float64))
    return Unpaired(X_S, y_S, X_T, y_T)


class _Noisy(Dataset):
    """Samples with noise of their own: the same whenever they are read."""

    def __init__(self, dataset, seed):
        self.dataset, self.seed = dataset, seed

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, i):
        x = np.asarray(self.dataset[i])
        rng = np.random.default_rng([self.seed, i])
        return _noisy(x, rng.standard_normal(x.shape) * x.std(dtype=np.float64))


def _noisy(x, noise):
    changed = x + NOISE * noise
    return changed.round().clip(0, 255).astype(np.uint8) if x.dtype == np.uint8 \
        else changed.astype(np.float32)


def subsample(X, y, fraction, *, random_state=None):
    """Keep a stratified fraction of the samples.

    Parameters
    ----------
    X : array-like, DataFrame, Dataset, or dict of these, of shape (n, ...)
        Samples of a ``Dataset`` stay unread.
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
    check_consistent_length(*(X.values() if isinstance(X, Mapping) else [X]), y)
    kept = np.arange(len(y))
    if fraction < 1:
        try:
            kept, _ = train_test_split(kept, train_size=fraction, stratify=y,
                                       random_state=check_random_state(random_state))
        except ValueError as error:
            raise ValueError(f"fraction={fraction} of {len(y)} samples leaves too few for a "
                             f"stratified draw. {error}") from None
    kept = np.sort(kept)
    return take(X, kept), y[kept]
