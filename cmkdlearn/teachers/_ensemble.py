"""Several teachers that speak with one voice."""

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import nn

from cmkdlearn._labels import encode_labels, one_label_each
from cmkdlearn._protocol import class_columns, fit_teacher, teaching_logits
from cmkdlearn._validation import check_weights
from cmkdlearn.nn.samples import check_same_order, drop_weightless, labels_of
from cmkdlearn.teachers._answers import AnswersByLogits
from cmkdlearn.teachers._composition import TeacherComposition


class TeacherEnsemble(AnswersByLogits, TeacherComposition):
    """The mean of several teachers' logits.

    The unimodal teacher T_m of [1]_ is such an ensemble of a strongly and a weakly augmented
    image classifier.

    Parameters
    ----------
    teachers : list of (str, estimator)
        Teachers or scikit-learn classifiers. Those in a
        :class:`~sklearn.frozen.FrozenEstimator` are used as they are, the others fitted.
    random_state : int, RandomState or None, default=None
        Seeds those teachers whose own ``random_state`` is None.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    teachers_ : list of fitted teachers
    named_teachers_ : Bunch
        The same by name.
    feature_bank_ : ndarray of shape (n, d)
        The members' features side by side, float32.
    feature_bank_labels_ : ndarray of shape (n,)

    References
    ----------
    .. [1] Guo et al. "Crossmodal Knowledge Distillation with WordNet-Relaxed Text Embeddings
       for Robust Image Classification".

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from cmkdlearn.teachers import TeacherEnsemble, UnimodalTeacher
    >>> X, y = load_digits(return_X_y=True)
    >>> ensemble = TeacherEnsemble([("wide", UnimodalTeacher(module__hidden=(512,), max_epochs=5)),
    ...                             ("deep", UnimodalTeacher(module__hidden=(128, 64)))])
    >>> ensemble.fit(X[:1000], y[:1000]).encode(X[:2]).shape
    (2, 576)
    """

    def __init__(self, teachers, *, random_state=None):
        self.teachers = teachers
        self.random_state = random_state

    def fit(self, X, y, sample_weight=None):
        """Fit the teachers.

        Parameters
        ----------
        X : array-like, or dict of array-like
            Each teacher reads its modality.
        y : array-like of shape (n,)
        sample_weight : array-like of shape (n,), default=None
            How often each sample counts to those teachers whose ``fit`` takes it, not below 0. One
            that weighs 0 is as good as not there.

        Returns
        -------
        self
        """
        self._check_teachers()
        if not self.teachers:
            raise ValueError("teachers=[] is empty; an ensemble needs at least one teacher.")
        y = labels_of(X, y)
        if y is None:
            raise ValueError("TeacherEnsemble requires y to be passed, but the target y is None.")
        check_same_order(X, y)
        y, weight = one_label_each(y, type(self).__name__), None
        if sample_weight is not None:
            weight = check_weights("sample_weight", sample_weight, len(y))
            X, y, weight = drop_weightless(X, y, weight)
        self.classes_ = encode_labels(y, type(self).__name__)[1]
        self._fit_teachers(X, y, weight)
        for attribute in ("n_features_in_", "feature_names_in_"):
            if hasattr(self.teachers_[0], attribute):
                setattr(self, attribute, getattr(self.teachers_[0], attribute))
        self.teaching_logits(X, y)
        if all(hasattr(teacher, "head_") for teacher in self.teachers_):
            self.feature_bank_ = self.encode(X)
            self.feature_bank_labels_ = y
        return self

    def _fit_teachers(self, X, y, weight):
        self.teachers_ = [fit_teacher(teacher, X, y, weight=weight, name=name)
                          for name, teacher in self._seeded_teachers()]

    def _weights_and_bias(self):
        """Return what each member's logits are multiplied by, and what is added to the sum."""
        n = len(self.teachers_)
        return np.full(n, 1 / n, dtype=np.float32), np.float32(0)

    @property
    def head_(self):
        """Torch module from the members' features, side by side, to the ensemble's logits."""
        check_is_fitted(self)
        columns = [class_columns(name, teacher, self.classes_)
                   for name, teacher in self.named_teachers_.items()]
        return _SumOfHeads([teacher.head_ for teacher in self.teachers_], columns,
                           *self._weights_and_bias())

    def encode(self, X):
        """Return the members' features side by side, (n, d) float32."""
        check_is_fitted(self)
        return np.hstack([teacher.encode(X) for teacher in self.teachers_])

    def teaching_logits(self, X, y=None):
        """Return the sum of the members' weighted logits, (n, n_classes) float32."""
        check_is_fitted(self)
        weights, bias = self._weights_and_bias()
        return bias + sum(weight * teaching_logits(name, teacher, X, y, self.classes_)
                          for weight, (name, teacher)
                          in zip(weights, self.named_teachers_.items(), strict=True))


class _SumOfHeads(nn.Module):
    def __init__(self, heads, columns, weights, bias):
        super().__init__()
        self.heads = nn.ModuleList(heads)
        self.columns, self.weights = columns, weights.tolist()
        self.register_buffer("bias", torch.as_tensor(bias))
        self.in_features = sum(head.in_features for head in heads)

    def forward(self, features):
        parts = features.split([head.in_features for head in self.heads], dim=1)
        return self.bias + sum(weight * head(part)[:, columns] for weight, head, part, columns
                               in zip(self.weights, self.heads, parts, self.columns, strict=True))
