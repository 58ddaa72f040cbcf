"""Long-tailed data out of balanced data."""

from collections.abc import Mapping

import numpy as np
from sklearn.utils import _safe_indexing, check_consistent_length, check_random_state

from cmkdlearn._validation import check_number
from cmkdlearn.nn.samples import take


def make_imbalanced(X, y, *, factor=100, classes=None, random_state=None):
    """Thin out the classes so that their sizes fall off exponentially.

    Of K classes, class k = 0, …, K - 1 keeps n_k = n_0 · factor^(-k / (K - 1)) samples, rounded
    down, and at least one; the first keeps all of its n_0 samples, and the last n_0 / factor.
    With a factor of 100 on CIFAR-100 this is the CIFAR100-imb100 of long-tailed recognition [1]_.

    Parameters
    ----------
    X : array-like, sparse matrix, DataFrame, Dataset, or dict of these, of shape (n, ...)
        Samples; several modalities as a dict. Those of a ``Dataset`` stay unread.
    y : array-like of shape (n,)
        Labels.
    factor : float, default=100
        How many times more samples the first class keeps than the last; at least 1.
    classes : array-like of shape (K,), optional
        All the labels of ``y``, from the most to the least frequent in the result. By default in
        sorted order.
    random_state : int, RandomState instance or None, default=None
        Draws the samples that are kept.

    Returns
    -------
    X, y : as given
        The kept samples, in their old order.

    References
    ----------
    .. [1] K. Cao et al., "Learning Imbalanced Datasets with Label-Distribution-Aware Margin
       Loss", NeurIPS 2019.

    Examples
    --------
    >>> import numpy as np
    >>> from cmkdlearn.datasets import make_imbalanced
    >>> y = np.repeat(["bird", "cat", "dog"], 100)
    >>> X, y = make_imbalanced(np.zeros((300, 2)), y, factor=100, random_state=0)
    >>> np.unique(y, return_counts=True)[1]
    array([100,  10,   1])
    """
    check_number("factor", factor, low=1)
    modalities = list(X.values()) if isinstance(X, Mapping) else [X]
    check_consistent_length(*modalities, y)
    labels, membership, sizes = np.unique(np.asarray(y), return_inverse=True, return_counts=True)
    labels = labels.tolist()
    if len(labels) < 2:
        raise ValueError(f"y holds only the class {labels[0]!r}; imbalance takes at least two.")
    order = np.arange(len(labels)) if classes is None else _positions(classes, labels)

    falloff = factor ** (-np.arange(len(labels)) / (len(labels) - 1))
    # the little more undoes the rounding of what is a whole number: 49 * 49 ** -1. is below 1
    wanted = np.maximum(1, np.floor(sizes[order[0]] * falloff + 1e-9)).astype(int)
    rng = check_random_state(random_state)
    drawn = []
    for k, n_k in zip(order, wanted, strict=True):
        if sizes[k] < n_k:
            raise ValueError(f"Class {labels[k]!r} has {sizes[k]} samples and would have to keep "
                             f"{n_k}. Raise factor={factor!r}, or put a class with fewer samples "
                             "first in classes=.")
        drawn.append(rng.permutation(np.flatnonzero(membership == k))[:n_k])
    kept = np.sort(np.concatenate(drawn))
    return take(X, kept), _safe_indexing(y, kept)


def _positions(classes, labels):
    classes = np.asarray(classes).tolist()
    if sorted(classes) != labels:
        raise ValueError(f"classes={classes!r} must hold each label of y once: {labels!r}.")
    return [labels.index(label) for label in classes]
