"""Labels and their codes; -1 (None among objects) marks a sample without one."""

import warnings
from collections.abc import Mapping

import numpy as np
from scipy.sparse import issparse
from sklearn.utils import assert_all_finite, column_or_1d
from sklearn.utils._missing import is_pandas_na
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets

from cmkdlearn._validation import check_weights

UNLABELLED = -1


def one_label_each(y, name):
    """Return labels as an array (n,), or say what to do about several of a sample."""
    try:
        shape = y.shape if hasattr(y, "shape") else np.asarray(y).shape
    except ValueError:  # rows of different lengths
        shape = (len(y), "?")
    if issparse(y) or len(shape) == 2 and shape[1] != 1:
        raise ValueError(
            f"y should be a 1d array of one label a sample, but has shape {tuple(shape)}: {name} "
            "does not learn several labels of a sample (multi-label). Of one-hot rows pass "
            "y.argmax(axis=1); of an indicator matrix fit one estimator a column, as "
            "sklearn.multioutput.MultiOutputClassifier does.")
    return column_or_1d(y, warn=True)


def encode_labels(y, name, takes_unlabelled=False):
    """Turn labels into codes.

    Returns
    -------
    codes : ndarray of shape (n,)
        int64 positions in ``classes``; -1 for an unlabelled sample.
    classes : ndarray of shape (n_classes,)

    Raises
    ------
    ValueError
        On a missing label where all are needed, none at all, or fewer than two classes.
    """
    if y.dtype.kind == "f":
        assert_all_finite(y, input_name="y")
    labelled = labelled_mask(y) if takes_unlabelled else np.ones(len(y), dtype=bool)
    if not labelled.any():
        raise ValueError(f"Every sample of y is unlabelled; {name} needs labels of at least two "
                         "classes.")
    known = y[labelled]
    if known.dtype == object:
        if any(map(_is_missing, known)):
            raise ValueError(f"y has missing labels (None or NaN), which {name} cannot use. Leave "
                             "those samples out.")
        if len({isinstance(label, str) for label in known}) > 1:
            raise ValueError("y mixes strings and numbers; make its labels of one type.")
        check_classification_targets(np.array(known.tolist()))
    else:
        check_classification_targets(known)
    classes, inverse = np.unique(known, return_inverse=True)
    if not takes_unlabelled and len(classes) > 2 and UNLABELLED in classes.tolist():
        warnings.warn(f"y holds -1, which {name} takes for a class like the others: it has no use "
                      "for samples without a label. Leave them out, if that is what -1 marks.",
                      stacklevel=2)
    if len(classes) < 2:
        hint = " (-1 and None mark unlabelled samples)" if takes_unlabelled else ""
        raise ValueError(f"{name} needs at least two classes; y has one class, "
                         f"{classes.tolist()[0]!r}{hint}.")
    codes = np.full(len(y), UNLABELLED, dtype=np.int64)
    codes[labelled] = inverse
    return codes, classes


def class_weights(class_weight, codes, classes, weight=None):
    """Return the weight of each class by scikit-learn's ``class_weight``, (n_classes,) float64.

    Parameters
    ----------
    class_weight : "balanced", dict or None
    codes : ndarray of shape (n,)
        Positions in ``classes``; -1, a sample without a label, does not count.
    classes : ndarray of shape (n_classes,)
    weight : ndarray of shape (n,), optional
        Of the samples.
    """
    known = codes >= 0
    if class_weight == "balanced":
        # n / (n_classes * n_k), for weighted samples
        mass = np.bincount(codes[known], None if weight is None else weight[known])
        return mass.sum() / (len(classes) * mass)
    if not (class_weight is None or isinstance(class_weight, Mapping)):
        raise ValueError(f'class_weight={class_weight!r} must be "balanced", a dict from label to '
                         "weight, or None.")
    weights = compute_class_weight(class_weight, classes=classes, y=classes[codes[known]])
    return check_weights("class_weight", weights, len(classes))


def label_codes(y, classes, name="y"):
    """Turn labels into positions in ``classes``; -1 where there is no label.

    Raises
    ------
    ValueError
        On a label that is none of the classes.
    """
    y = column_or_1d(y)
    position = {label: code for code, label in enumerate(classes.tolist())}
    codes = np.array([position.get(label, UNLABELLED) for label in y.tolist()], dtype=np.int64)
    unknown = y[(codes == UNLABELLED) & labelled_mask(y)]
    if len(unknown):
        raise ValueError(f"{name} holds the label {unknown.tolist()[0]!r}, which is none of the "
                         f"classes {classes.tolist()} of the fit.")
    return codes


def labelled_mask(y):
    """Tell which samples have a label: not -1, and neither None nor NaN among objects."""
    y = np.asarray(y)
    if y.dtype == object:
        return np.array([not _is_missing(label) and (isinstance(label, str) or label != UNLABELLED)
                         for label in y], dtype=bool)
    return y != UNLABELLED if y.dtype.kind in "if" else np.ones(len(y), dtype=bool)


def _is_missing(label):
    return label is None or is_pandas_na(label) or label != label
