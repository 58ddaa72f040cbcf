"""What is shared by teachers that nothing trains: all that they will ever say is given."""

import copy

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import assert_all_finite, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from cmkdlearn.nn.samples import check_same_order, labels_of
from cmkdlearn.teachers._answers import AnswersByLogits

PROBABILITIES = 1e-3  # how far rows of half precision may be from adding up to one


class GivenTeacher(AnswersByLogits, BaseEstimator):
    """A classifier whose classes and answers are given.

    A subclass has the parameter ``classes``, and says by ``_given(X)`` what it is given for the
    samples of X: logits (n, n_classes), their columns in the order of ``classes``. The teacher's
    own order is that of scikit-learn, in which classes are sorted.
    """

    needs_labels_to_teach = False

    def __sklearn_clone__(self):
        """Return an unfitted teacher that shares what was given, which is never changed."""
        clone = type(self)(**self.get_params(deep=False))
        if hasattr(self, "_metadata_request"):
            clone._metadata_request = copy.deepcopy(self._metadata_request)
        return clone

    def _learn_classes(self):
        """Sort the classes, and remember the column of each."""
        classes = np.asarray(self.classes)
        if classes.ndim != 1 or len(classes) < 2 \
                or len({isinstance(label, str) for label in self.classes}) > 1:
            raise ValueError(f"classes={self.classes!r} must be a list of at least two labels, all "
                             "numbers or all strings, in the order of the logits.")
        self.classes_, self._columns, counts = np.unique(classes, return_index=True,
                                                         return_counts=True)
        if (counts > 1).any():
            raise ValueError(f"classes={self.classes!r} holds {self.classes_[counts > 1].tolist()} "
                             "more than once; each column of the logits needs a class of its own.")

    def _check_labels(self, X, y):
        """Return ``y``, if all of its labels are among the classes."""
        y = labels_of(X, y)
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is "
                             "None.")
        check_same_order(X, y)
        y = column_or_1d(y, warn=True)
        if y.dtype.kind == "f":
            assert_all_finite(y, input_name="y")
            check_classification_targets(y)
        known = set(self.classes_.tolist())
        unknown = [label for label in dict.fromkeys(y.tolist()) if label not in known]
        if unknown:
            raise ValueError(f"y holds {unknown}, and classes={self.classes_.tolist()} does not: "
                             f"{type(self).__name__} has no logits for it. Leave such samples out, "
                             "or name the classes as y does.")
        return y

    def _given(self, X):
        """Return the logits that are given for X, an array (n, n_classes)."""
        raise NotImplementedError

    def teaching_logits(self, X, y=None):
        """Return what a student is shown while training, (n, n_classes) float32 logits.

        Parameters
        ----------
        X : array-like, Dataset, or dict of these
        y : ignored
        """
        check_is_fitted(self)
        return self._given(X)[:, self._columns]


def check_logits(logits, source, n_classes):
    """Return logits as float32, if they are finite and of shape (n, n_classes).

    ``source`` is whose they are, for errors.
    """
    logits = np.asarray(logits)
    if logits.ndim != 2 or logits.shape[1] != n_classes or logits.dtype.kind not in "iuf":
        raise ValueError(f"{source} holds {logits.dtype} of shape {logits.shape}; logits must be "
                         f"numbers of shape (n, {n_classes}), a column for each of classes.")
    logits = logits.astype(np.float32)
    finite = np.isfinite(logits).all(axis=1)
    if not finite.all():
        raise ValueError(f"{source} holds logits that are NaN or infinite, first for sample "
                         f"{int(finite.argmin())} of X.")
    return logits


def refuse_probabilities(logits, source):
    """Refuse what would teach that all classes are nearly as likely: probabilities as logits."""
    if (logits >= 0).all() and (np.abs(logits.sum(axis=1) - 1) < PROBABILITIES).all():
        raise ValueError(f"{source} holds probabilities: all rows add up to one. A teacher gives "
                         "logits; take the logarithm, or leave the softmax out.")
