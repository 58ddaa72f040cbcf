"""Estimators that hold named teachers."""

from sklearn.utils import Bunch, check_random_state
from sklearn.utils.metaestimators import _BaseComposition
from sklearn.utils.validation import check_is_fitted

from cmkdlearn._bridge.routing import NET_PREFIXES
from cmkdlearn._protocol import needs_labels, refuse_bare_network
from cmkdlearn._seeding import seeded_copy


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
        named = Bunch()  # not by keywords: one may be called "self"
        named.update(zip([name for name, _ in self.teachers], self.teachers_, strict=True))
        return named

    def _seeded_teachers(self):
        """Give the teachers that have no seed one each."""
        rng = check_random_state(self.random_state)
        return [(name, seeded_copy(teacher, rng)) for name, teacher in self.teachers]

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
            if self._teacher_kind == "classifier":
                refuse_bare_network(f"Teacher {name!r}", teacher)
            speaks = any(hasattr(teacher, method) for method in self._speaks)
            if isinstance(teacher, type) or not speaks:
                raise TypeError(f"Teacher {name!r} must be a {self._teacher_kind}; got "
                                f"{teacher!r}.")
