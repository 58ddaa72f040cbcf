"""What a student gains by each of the teachers that it might have."""

import time
from collections.abc import Mapping

from joblib import delayed
from sklearn.base import clone

from cmkdlearn._bridge.routing import is_net_param
from cmkdlearn._protocol import is_fitted, labelled_part, needs_labels, refuse_bare_network
from cmkdlearn._seeding import seeded_copy
from cmkdlearn._validation import check_option
from cmkdlearn.model_selection._compare import (
    checked_labels,
    fits_of,
    named_pairs,
    run,
    score_on,
    seeded_splits,
)
from cmkdlearn.model_selection._comparison import comparison_of
from cmkdlearn.nn.samples import take
from cmkdlearn.teachers import ProductOfExperts, UnimodalTeacher

ALONE, ITSELF, SELECTED = "no teacher", "itself", "selected"
TOGETHER, PRODUCT = "all teachers", "product"
# What of a student's parameters goes with its modality, and is no business of another one's teacher
OF_MODALITY = ("module", "augmentation", "input_type")


def compare_teachers(student, X, y, *, teachers=None, selector=None, cv=None, random_state=None,
                     n_jobs=None, verbose="auto"):
    """Tell what a student gains by each of its possible teachers.

    The same student, on the same folds and from the same seeds, in these rows:

    - "no teacher": trained on labels only, which is what the others are tested against;
    - "itself": taught by a network like itself, trained in the same way on its own modality. A gain
      of this size owes nothing to another modality;
    - a row a teacher, by its name;
    - "all teachers": taught by all of these, if there are several;
    - "product": taught by a :class:`~cmkdlearn.teachers.ProductOfExperts` of all of these and of
      itself, unless a teacher reads labels or is fitted already;
    - "selected": if a ``selector`` is given, taught by the one that it chooses in each training
      fold, or by none where it advises against all.

    Parameters
    ----------
    student : distiller
        Such as :class:`~cmkdlearn.students.MultiTeacherDistiller`: with parameters ``teachers``,
        which is empty, and ``modality``.
    X : dict of array-like
        Modalities of the same samples, by name.
    y : array-like of shape (n,)
        A label of -1 (None among strings) marks an unlabelled sample: all of these are in every
        training fold, and none is tested. A selector is not shown them.
    teachers : dict of str to teacher, or list of (str, teacher), default=None
        None: a :class:`~cmkdlearn.teachers.UnimodalTeacher` for each other modality, by its name,
        with the student's ``max_epochs``, ``batch_size``, ``lr`` and whatever else of its training
        does not depend on the modality. Its network is chosen by the data.
    selector : selector, default=None
        Such as ``CCHSelector(student="image")``, of :mod:`cmkdlearn.selection`, with the student's
        modality and ``teacher=None``. It chooses between the teachers, whose names must be those of
        their modalities. It is fitted in each split, where it trains some networks a modality.
    cv : int or cross-validation splitter, default=None
        None: five stratified folds, twice. An integer: so many stratified folds, shuffled.
    random_state : int, RandomState or None, default=None
        Of the folds; and each split has a seed, which every ``random_state`` that is None is set
        to, in students, teachers and the selector.
    n_jobs : int, default=None
        Fits that run at a time.
    verbose : int or "auto", default="auto"
        0 is silent; 1 says, after the first fits, how long the rest takes, and shows a bar. "auto"
        does so where stderr is a terminal or a notebook, if it takes more than ten seconds.

    Returns
    -------
    Comparison
        With ``selected``, a list of the rows chosen in each split, if a selector is given. The
        ``fit_seconds`` of its row include the choice.

    Raises
    ------
    TypeError, ValueError
        Before anything is fitted, if student, teachers, selector and ``X`` do not go together.

    See Also
    --------
    compare : Any classifiers.
    cmkdlearn.inspection.ComparisonDisplay.from_student : The same as a picture.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from cmkdlearn.model_selection import compare_teachers
    >>> from cmkdlearn.students import MultiTeacherDistiller
    >>> X, y = load_digits(return_X_y=True)
    >>> X = {"upper": X[:300, :32], "lower": X[:300, 32:]}
    >>> student = MultiTeacherDistiller(modality="upper", max_epochs=2)
    >>> gains = compare_teachers(student, X, y[:300], cv=2, random_state=0)
    >>> gains.names
    ['no teacher', 'itself', 'lower', 'product']
    >>> gains.summary().columns.tolist()
    ['accuracy', 'difference', 'low', 'high', 'pvalue', 'verdict']
    """
    _check_student(student, X)
    teachers = _named_teachers(teachers, student, X)
    if selector is not None:
        selector = _for_teachers(selector, list(teachers), student.modality, X)
    y = checked_labels(X, y, "compare_teachers")
    splits, ratio = seeded_splits(cv, y, random_state)
    rows = {ALONE: [], ITSELF: [(ITSELF, _like(student, student.modality))],
            **{name: [(name, teacher)] for name, teacher in teachers.items()}}
    if len(teachers) > 1:
        rows[TOGETHER] = list(teachers.items())
    if not any(needs_labels(teacher) or is_fitted(teacher) for teacher in teachers.values()):
        experts = [*rows[ITSELF], *teachers.items()]
        rows[PRODUCT] = [(PRODUCT, ProductOfExperts(experts))]
    students = [clone(student).set_params(teachers=taught_by) for taught_by in rows.values()]
    n_fits = [fits_of(taught) for taught in students]
    if selector is not None:
        n_fits.append(_fits_of(selector, 1 + len(teachers)))
    results = run(_jobs(students, selector, X, y, splits), n_fits * len(splits), n_jobs, verbose)
    by_row = [results[i::len(n_fits)] for i in range(len(n_fits))]
    if selector is None:
        return comparison_of(list(rows), by_row, ratio)
    *scores, choices = by_row
    return comparison_of([*rows, SELECTED], [*scores, _of_chosen(choices, list(rows), scores)],
                         ratio, selected=[choice["chosen"] for choice in choices])


# -------------------------------------------------------------------- what goes in

def _check_student(student, X):
    refuse_bare_network("student", student)
    params = student.get_params(deep=False) if hasattr(student, "get_params") else {}
    if not {"teachers", "modality"} <= set(params):
        raise TypeError(f"student={student!r} has no parameters teachers and modality, as a "
                        "MultiTeacherDistiller has.")
    if student.teachers:
        raise ValueError(f"student has the teachers {[name for name, _ in student.teachers]} "
                         "already; leave them out, and pass teachers={name: teacher}.")
    if not isinstance(X, Mapping):
        raise ValueError(f"X is a {type(X).__name__}; compare_teachers needs the modalities by "
                         "name: pass a dict, such as {'image': images, 'sound': sounds}.")
    check_option("The student's modality", student.modality, X)


def _named_teachers(teachers, student, X):
    """Return the teachers by name."""
    if teachers is None:
        teachers = {name: _like(student, name) for name in X if name != student.modality}
        if not teachers:
            raise ValueError(f"X has the modality {student.modality!r} only, which the student "
                             "reads; add another one, or pass teachers={name: teacher}.")
    teachers = dict(named_pairs("teachers", teachers))
    for name in teachers:
        if name in (ALONE, ITSELF, TOGETHER, PRODUCT, SELECTED):
            raise ValueError(f"A teacher cannot be called {name!r}, as another row of the table "
                             "is. Choose another name.")
    return teachers


def _like(student, modality):
    """Return a teacher of a modality, trained as the student is."""
    teacher = UnimodalTeacher()
    known = set(teacher.get_params(deep=False)) - {"random_state"}
    shared = {name: value for name, value in student.get_params(deep=False).items()
              if name in known or is_net_param(name)}
    if modality != student.modality:
        shared = {name: value for name, value in shared.items()
                  if name not in OF_MODALITY and not name.startswith("module__")}
    return teacher.set_params(**shared | {"modality": modality})


def _for_teachers(selector, names, modality, X):
    """Return a selector that chooses between the teachers of these names."""
    params = selector.get_params(deep=False) if hasattr(selector, "get_params") else {}
    if not {"student", "teacher"} <= set(params):
        raise TypeError(f"selector={selector!r} has no parameters student and teacher, as a "
                        "CCHSelector has.")
    if params["student"] != modality or params["teacher"] is not None:
        raise ValueError(f"selector={selector!r} must choose between the teachers of this student: "
                         f"set student={modality!r} and teacher=None.")
    for name in names:
        if name not in X or name == modality:
            raise ValueError("The selector chooses between the other modalities of X, which are "
                             f"{[other for other in X if other != modality]}, and the teacher is "
                             f"called {name!r}. Name teachers by the modality that they read.")
    return clone(selector).set_params(teacher=names)


# -------------------------------------------------------------------- the work

def _jobs(students, selector, X, y, splits):
    """Return the jobs split by split, so that what cannot be fitted shows in the first one."""
    for split in splits:
        for student in students:
            yield score_on(student, X, y, *split)
        if selector is not None:
            yield _choose_on(selector, X, y, *split)


def _choose_on(selector, X, y, seed, train, test):
    """Return the job of asking a selector about the training samples of a split."""
    return delayed(_choose)(seeded_copy(selector, seed), X, y, train)


def _fits_of(selector, n_modalities):
    """Return how many fits of all samples one of a selector comes to, about."""
    params = selector.get_params(deep=False)
    return n_modalities * (1 + params.get("n_repeats", 0) * (params.get("cv", 1) - 1))


def _choose(selector, X, y, train):
    """Return the row that a selector is for, and the seconds that it took."""
    start = time.perf_counter()
    known, labels, _ = labelled_part(take(X, train), y[train])
    others = set(selector.fit(known, labels).select(known)) - {selector.student}
    return {"chosen": others.pop() if others else ALONE,
            "fit_seconds": time.perf_counter() - start}


def _of_chosen(choices, names, scores):
    """Return the scores of the row chosen in each split: the student would be the very same."""
    rows = [scores[names.index(choice["chosen"])][i] for i, choice in enumerate(choices)]
    return [{**row, "fit_seconds": row["fit_seconds"] + choice["fit_seconds"]}
            for row, choice in zip(rows, choices, strict=True)]
