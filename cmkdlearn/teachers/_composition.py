"""Estimators that hold named teachers."""

import numpy as np
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils import Bunch, check_random_state
from sklearn.utils.metaestimators import _BaseComposition
from sklearn.utils.validation import check_is_fitted

from cmkdlearn.base import NET_PREFIXES, TorchEstimator, as_teacher
from cmkdlearn.nn.lazy import is_dataset


class TeacherComposition(_BaseComposition):
    """Nested parameters of ``teachers``, a list of (name, teacher)."""

    _speaks: tuple[str, ...] = ("teaching_logits", "predict_proba", "decision_function")
    _teacher_kind = "classifier"

    def get_params(self, deep=True):
        """Return the parameters, the teachers' by ``name__parameter``."""
        return self._get_params("teachers", deep=deep)

    def set_params(self, **params):
        """Set parameters, the teachers' by ``name__parameter``, or a whole teacher by name."""
        self._set_params("teachers", **params)
        return self

    @property
    def needs_labels_to_teach(self):
        """Whether one of the teachers has nothing to say about a sample without a label."""
        return any(needs_labels(teacher) for _, teacher in self.teachers)

    @property
    def named_teachers_(self):
        """The fitted teachers by name."""
        check_is_fitted(self)
        names = [name for name, _ in self.teachers]
        return Bunch(**dict(zip(names, self.teachers_, strict=True)))

    def _seeded_teachers(self):
        """Give the teachers that have no seed one each, where this estimator has one."""
        if self.random_state is None:
            return list(self.teachers)
        rng = check_random_state(self.random_state)
        return [(name, _seed(teacher, rng)) for name, teacher in self.teachers]

    def _check_teachers(self):
        try:
            names = [name for name, _ in self.teachers]
        except (TypeError, ValueError):
            raise ValueError(f"teachers={self.teachers!r} must be a list of (name, "
                             "teacher).") from None
        for name in names:
            if not isinstance(name, str):
                raise ValueError(f"The name of a teacher must be a string; got {name!r}.")
            if name in NET_PREFIXES:
                raise ValueError(f"A teacher cannot be called {name!r}: {name}__... sets the "
                                 "student's own parameters. Choose another name.")
        self._validate_names(names)
        for name, teacher in self.teachers:
            speaks = any(hasattr(teacher, method) for method in self._speaks)
            if isinstance(teacher, type) or not speaks:
                raise TypeError(f"Teacher {name!r} must be a {self._teacher_kind}; got "
                                f"{teacher!r}.")


def _seed(teacher, rng):
    if isinstance(teacher, FrozenEstimator):
        return teacher
    teacher = clone(teacher)
    unseeded = [name for name, value in sorted(teacher.get_params(deep=True).items())
                if (name == "random_state" or name.endswith("__random_state")) and value is None]
    return teacher.set_params(**{name: int(rng.randint(np.iinfo(np.int32).max))
                                 for name in unseeded})


def fit_teacher(teacher, X, y):
    """Fit a copy of a teacher, unless it is frozen, and return it with a teacher's interface."""
    inner = teacher.estimator if isinstance(teacher, FrozenEstimator) else teacher
    if is_dataset(X) and not (isinstance(inner, TorchEstimator) or hasattr(inner, "encode")):
        raise TypeError(f"teacher={inner!r} reads arrays, and X is a {type(X).__name__}. Take a "
                        "teacher that is a network, or let X be a memory-mapped array.")
    if isinstance(teacher, FrozenEstimator):
        return as_teacher(teacher)
    return as_teacher(clone(teacher).fit(X, y), X, y)


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
