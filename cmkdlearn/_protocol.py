"""What a teacher is, and how one is fitted and asked.

A teacher is whatever has ``classes_``, ``encode(X)`` (features, (n, d) float32),
``decision_function(X)``, ``head_`` (a torch module from features to logits), ``feature_bank_`` (the
training samples' features) and ``teaching_logits(X, y)``, which is what a student is shown.
"""

import contextlib
import warnings
from collections.abc import Mapping

import numpy as np
import torch
from joblib import Parallel, delayed
from sklearn import get_config
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import check_cv
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted, has_fit_parameter

from cmkdlearn._bridge.routing import RoutedParams
from cmkdlearn._labels import labelled_mask
from cmkdlearn.nn.modules import linear_head
from cmkdlearn.nn.samples import Modalities, is_dataset, select_modality, take

SELECTOR = ("An estimator of scikit-learn reads a modality of its own in a pipeline, as in "
            'make_pipeline(ModalitySelector("name"), estimator); see cmkdlearn.preprocessing.')


class ClassifierTeacher:
    """A fitted scikit-learn classifier in the role of a teacher."""

    needs_labels_to_teach = False

    def __init__(self, estimator, X=None, y=None, modality=None):
        self.estimator, self.classes_ = estimator, estimator.classes_
        self.modality = modality
        from sklearn.linear_model._base import LinearClassifierMixin  # a fifth of a second

        last = estimator[-1] if isinstance(estimator, Pipeline) else estimator
        self._linear = isinstance(last, LinearClassifierMixin)
        if self._linear:
            self.head_ = linear_head(last.coef_, last.intercept_)
        else:
            self.head_ = linear_head(np.eye(len(self.classes_)), 0)
        self._soft = hasattr(estimator, "predict_proba") and not self._linear
        pairs = getattr(last, "decision_function_shape", None) == "ovo" and len(self.classes_) > 2
        if pairs and not self._soft:
            raise ValueError(f"{last!r} has one output a pair of classes; a teacher needs one a "
                             'class. Set decision_function_shape="ovr".')
        if X is not None:
            self.feature_bank_ = self.encode(X)
            self.feature_bank_labels_ = None if y is None else np.asarray(y)

    def decision_function(self, X):
        """Logits (n, n_classes): log-probabilities, or decision values."""
        with reading(self.estimator, X, self.modality) as own:
            if self._soft:
                p = self.estimator.predict_proba(own)
                return np.log(np.clip(p, np.finfo(np.float32).tiny, None)).astype(np.float32)
            values = np.asarray(self.estimator.decision_function(own), dtype=np.float32)
        return np.column_stack([-values / 2, values / 2]) if values.ndim == 1 else values

    def teaching_logits(self, X, y=None):
        """The same."""
        return self.decision_function(X)

    def encode(self, X):
        """A linear model's input; of any other model, its logits."""
        if not self._linear:
            return self.decision_function(X)
        with reading(self.estimator, X, self.modality) as own:
            if isinstance(self.estimator, Pipeline) and len(self.estimator) > 1:
                own = self.estimator[:-1].transform(own)
        return np.asarray(own.toarray() if hasattr(own, "toarray") else own, dtype=np.float32)


@contextlib.contextmanager
def reading(teacher, X, modality):
    """Give what a teacher reads of X; if it cannot, say how to choose another modality."""
    own = read_by(teacher, X, modality)
    try:
        yield own
    except Exception as error:
        if isinstance(X, Mapping) and not isinstance(own, Mapping):
            error.add_note(f"It was given modality={modality!r} of X. {SELECTOR}")
        raise


def read_by(teacher, X, modality):
    """Return what a teacher reads of X: one of this library all, another ``modality`` of it."""
    inner = teacher.estimator if isinstance(teacher, FrozenEstimator) else teacher
    if isinstance(inner, RoutedParams) or hasattr(inner, "encode"):
        return X
    if is_dataset(X):
        raise TypeError(f"teacher={inner!r} reads arrays, and X is a {type(X).__name__}. Take a "
                        "teacher that is a network, or let X be a memory-mapped array.")
    return X if hasattr(inner, "teaching_logits") else own_modality(inner, X, modality)


def own_modality(estimator, X, modality):
    """Return what an estimator of another library reads of several modalities.

    All of them, if it takes dicts or passes them on, as a pipeline that begins with a
    :class:`~cmkdlearn.preprocessing.ModalitySelector` does; otherwise the one that is named.
    """
    if not isinstance(X, Mapping):
        return X
    if isinstance(estimator, Pipeline) and hasattr(estimator[0], "fit"):
        return own_modality(estimator[0], X, modality)
    tags = get_tags(estimator)
    if tags.no_validation or tags.input_tags.dict:
        return Modalities(X)  # which has the shape that scikit-learn looks for
    if modality is None:
        raise ValueError(f"X holds the modalities {list(X)}, and {type(estimator).__name__} reads "
                         f"arrays. {SELECTOR}")
    return select_modality(X, modality, fitting=True)


def as_teacher(estimator, X=None, y=None, modality=None):
    """Give a fitted classifier the interface of a teacher.

    Parameters
    ----------
    estimator : fitted classifier
        A teacher of this library is returned as it is. A linear classifier of scikit-learn (or
        Pipeline that ends in one) teaches by its decision values, any other by its
        log-probabilities, or by its decision values where it has no ``predict_proba``.
    X : array-like, optional
        Training data, for the feature bank that unpaired students need.
    y : array-like of shape (n,), optional
        Its labels.
    modality : str, optional
        What it reads of a dict of modalities, unless it reads all of them.

    Returns
    -------
    teacher
        With ``classes_``, ``encode``, ``decision_function`` (n, n_classes), ``head_``,
        ``teaching_logits`` and, if ``X`` is given, ``feature_bank_``. The features of a linear
        model are its inputs, those of any other model its logits.

    Raises
    ------
    TypeError
        If ``estimator`` is no classifier, such as a network by itself.
    sklearn.exceptions.NotFittedError
        If it is not fitted.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from cmkdlearn.base import as_teacher
    >>> X, y = load_iris(return_X_y=True)
    >>> teacher = as_teacher(LogisticRegression(max_iter=500).fit(X, y))
    >>> teacher.teaching_logits(X).shape, teacher.encode(X).shape
    ((150, 3), (150, 4))
    """
    refuse_bare_network("estimator", estimator)
    if hasattr(estimator, "teaching_logits"):
        check_is_fitted(estimator) if hasattr(estimator, "fit") else None
        return estimator
    if not (hasattr(estimator, "predict_proba") or hasattr(estimator, "decision_function")):
        raise TypeError(f"{estimator!r} cannot teach: it has neither predict_proba nor "
                        "decision_function nor teaching_logits.")
    check_is_fitted(estimator)
    inner = estimator.estimator if isinstance(estimator, FrozenEstimator) else estimator
    return ClassifierTeacher(inner, X, y, modality)


def refuse_bare_network(name, value):
    """Refuse a network where an estimator belongs."""
    if isinstance(value, (torch.nn.Module, torch.export.ExportedProgram)):
        raise TypeError(f"{name} is a network, {type(value).__name__}, and no estimator: "
                        "cmkdlearn.teachers.PretrainedTeacher(network, classes) asks it as it is, "
                        "UnimodalTeacher(network) trains it.")


def labelled_part(X, y, weight=None):
    """Return the samples that have a label, their labels, and their weights."""
    known = np.flatnonzero(labelled_mask(y))
    if len(known) == len(y):
        return X, y, weight
    return take(X, known), y[known], None if weight is None else weight[known]


def weights_for(estimator, weight):
    """Return what to give an estimator's ``fit``, so that it weighs its samples, as keywords.

    Warns
    -----
    UserWarning
        If it cannot weigh them.
    """
    if weight is None:
        return {}
    weight = np.asarray(weight)
    if isinstance(estimator, Pipeline):
        if get_config()["enable_metadata_routing"]:
            routed = estimator.get_metadata_routing().consumes("fit", ["sample_weight"])
            name = "sample_weight" if routed else None
        else:
            last, final = estimator.steps[-1]
            name = f"{last}__sample_weight" if has_fit_parameter(final, "sample_weight") else None
    else:
        name = "sample_weight" if has_fit_parameter(estimator, "sample_weight") else None
    if name is None:
        warnings.warn(f"{estimator!r} takes no sample_weight, so it is fitted without.",
                      stacklevel=2)
        return {}
    return {name: weight}


def fit_teacher(teacher, X, y, modality=None, weight=None, name=None):
    """Fit a copy of a teacher, unless it is frozen, and return it with a teacher's interface.

    One of another library reads ``modality`` of a dict. If it cannot be fitted, its name among
    several is said.
    """
    try:
        with reading(teacher, X, modality) as own:
            if isinstance(teacher, FrozenEstimator):
                return as_teacher(teacher, modality=modality)
            fitted = clone(teacher).fit(own, y, **weights_for(teacher, weight))
    except Exception as error:
        if name is not None:
            error.add_note(f"It came from the teacher {name!r}.")
        raise
    return as_teacher(fitted, X, y, modality)


def is_fitted(estimator):
    """Tell whether an estimator has been fitted."""
    try:
        check_is_fitted(estimator)
    except (NotFittedError, TypeError):  # or has no fit
        return False
    return True


def folds(cv, y):
    """Return the pairs of training and test rows of a cross-validation that tests each row once."""
    parts = list(check_cv(cv, y, classifier=True).split(np.zeros(len(y)), y))
    tested = np.sort(np.concatenate([test for _, test in parts]))
    if not np.array_equal(tested, np.arange(len(y))):
        raise ValueError(f"cv={cv!r} does not test every sample once; out-of-fold logits need a "
                         "partition, such as KFold gives.")
    return parts


def needs_labels(teacher):
    """Tell whether a teacher, fitted or not, has nothing to say without a label."""
    return getattr(teacher, "needs_labels_to_teach", False)


def class_columns(name, teacher, classes):
    """Return where a teacher has each of ``classes``.

    Raises
    ------
    ValueError
        If it lacks one.
    """
    known = np.asarray(teacher.classes_)
    if not labelled_mask(known).all() and len(classes) < len(known):
        warnings.warn(f"Teacher {name!r} knows -1 as a class, and the student takes -1 for a "
                      "sample without a label: what the teacher says of that class is left out.",
                      stacklevel=2)
    position = {label: i for i, label in enumerate(teacher.classes_)}
    missing = [label for label in classes.tolist() if label not in position]
    if missing:
        raise ValueError(f"Teacher {name!r} was never shown the classes {missing}; it knows "
                         f"{np.asarray(teacher.classes_).tolist()}. Fit it on all classes of y.")
    return [position[label] for label in classes]


def teaching_logits(name, teacher, X, y, classes):
    """Ask a fitted teacher, and bring its answer into the order of ``classes``.

    Raises
    ------
    ValueError
        If the teacher lacks one of the classes or a logit for it, or if a logit is not finite.
    """
    columns = class_columns(name, teacher, classes)
    logits = np.asarray(teacher.teaching_logits(X, y), dtype=np.float32)
    if logits.ndim != 2 or logits.shape[1] != len(teacher.classes_):
        raise ValueError(f"Teacher {name!r} returned logits of shape {logits.shape}; they must be "
                         f"(n, {len(teacher.classes_)}), one for each of its classes.")
    if not np.isfinite(logits).all():
        raise ValueError(f"Teacher {name!r} returned logits that are NaN or infinite. Look at the "
                         "scale of X, or leave it out.")
    return logits[:, columns]


def out_of_fold_logits(name, teacher, X, y, classes, cv, modality=None, weight=None):
    """Return what copies of a teacher say of the samples that each was not fitted on, float32."""
    parts = folds(cv, y)
    answers = Parallel()(  # n_jobs and backend: those of joblib.parallel_config, if there is one
        delayed(_teach_others)(name, teacher, take(X, train), y[train],
                               None if weight is None else weight[train],
                               take(X, test), y[test], classes, modality)
        for train, test in parts)
    logits = np.empty((len(y), len(classes)), dtype=np.float32)
    for (_, test), answer in zip(parts, answers, strict=True):
        logits[test] = answer
    return logits


def _teach_others(name, teacher, X, y, weight, X_others, y_others, classes, modality):
    """Fit a teacher, and let it speak about samples that it has not seen."""
    fitted = fit_teacher(teacher, X, y, modality, weight, name)
    return teaching_logits(name, fitted, X_others, y_others, classes)
