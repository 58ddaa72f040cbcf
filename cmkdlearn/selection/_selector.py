"""Which modality should teach: the Cross-modal Complementarity Hypothesis (Xie et al., 2025)."""

from collections.abc import Mapping

import numpy as np
from joblib import Parallel, delayed
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, clone, is_regressor
from sklearn.decomposition import PCA
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import check_array, check_random_state, column_or_1d, get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import (
    check_consistent_length,
    check_is_fitted,
    validate_data,
)

from cmkdlearn._bridge.reading import READ_AS, Reader
from cmkdlearn._hashing import ByContent
from cmkdlearn._labels import encode_labels, label_codes, one_label_each
from cmkdlearn._protocol import as_teacher, refuse_bare_network
from cmkdlearn._seeding import seeded_copy
from cmkdlearn._validation import check_memory, check_number, check_option, import_pandas
from cmkdlearn.information._base import with_influence
from cmkdlearn.information._gaussian import LARGEST_CLASS
from cmkdlearn.nn.samples import (
    check_same_order,
    refuse_annotated,
    select_modality,
    take,
)
from cmkdlearn.selection._criteria import CRITERIA, Pair, check_largest
from cmkdlearn.selection._verdict import judge, sum_up
from cmkdlearn.teachers import UnimodalTeacher


class CCHSelector(BaseEstimator):
    r"""Ask, before any distillation, which modality would make a good teacher.

    By the Cross-modal Complementarity Hypothesis [1]_ distillation helps a student where

    .. math:: I(h_T; h_S) > I(h_S; Y).

    A network of one architecture is trained on each modality, and the mutual information is
    estimated on samples that the networks were not trained on: ``n_repeats`` times the data are
    cut into ``cv`` folds, and each fold is represented by networks fitted on the others. All
    information is in nats.

    Parameters
    ----------
    student : str
        The modality that will be there at prediction time.
    teacher : str or list of str, default=None
        The modalities that might teach; None: all others.
    modalities : dict of str to list, default=None
        The columns of each modality, where ``X`` is one table.
    network : estimator, default=None
        Fitted on each modality by itself (an array, not a dict); its ``encode(X)`` is the
        representation. A regressor makes ``y`` continuous. None: a
        :class:`~cmkdlearn.teachers.UnimodalTeacher`.
    representation : {"cross-fit", "prefit"}, default="cross-fit"
        "prefit": the modalities of ``X`` are representations already, tables of numbers, and no
        network is fitted to compare them.
    n_components : int or None, default=8
        Representations of more dimensions are reduced to their first principal components, since
        estimates get worse with every dimension. None: never.
    mi_estimator : str or callable, default="ksg"
        As for :func:`~cmkdlearn.information.mutual_information`. The paper's is "lmi"; "auto" sees
        more in many columns, and says "yes" more often.
    criterion : str, default="auto"
        What counts as evidence for a teacher, in nats, of :data:`~cmkdlearn.selection.CRITERIA`:

        - "auto": "calibrated" for labels, "cch" for continuous ``y`` and where no class has four
          samples in a fold;
        - "calibrated": the paper's rule with its zero in place, as :math:`I(h_T; h_S | Y)` above
          that of teachers shuffled within the classes, less :math:`I(h_S; Y | h_T)` by
          discriminants that are held out; for labels;
        - "cch": the paper's rule as it is printed, :math:`I(h_T; h_S) - I(h_S; Y)` of plain
          estimates, where zero is out of place by the difference of their errors;
        - "teacher_label": :math:`I(h_T; Y) - I(h_S; Y)`, the stronger modality teaches;
        - "conditional": :math:`I(h_T; Y | h_S)`, what the teacher adds about the labels;
        - "permutation": :math:`I(h_T; h_S)` minus what is left of it when :math:`h_T` is shuffled
          within the classes; for labels, not for continuous ``y``.
    n_repeats : int, default=5
        At least 2.
    cv : int, default=2
        Folds a repeat, at least 2.
    distiller : estimator, default=None
        With parameters ``teachers`` and ``modality``, such as
        :class:`~cmkdlearn.students.MultiTeacherDistiller`. It is fitted on all data for the
        student's modality: with the best teacher where that is worthwhile, and without one where
        it is not.
    memory : str, os.PathLike or joblib.Memory, default=None
        Where representations and networks are kept, so that selectors that differ in ``student``,
        ``teacher``, ``criterion`` or ``mi_estimator`` share them.
    n_jobs : int, default=None
        Folds that are worked on at a time.
    random_state : int, RandomState or None, default=None
        Of the folds, of the networks whose own ``random_state`` is None, and of the estimates.

    Attributes
    ----------
    mi_teacher_student_ : dict of str to float
        :math:`I(h_T; h_S)` of each teacher, the mean over folds and repeats.
    mi_student_label_ : float
        :math:`I(h_S; Y)`.
    mi_gap_ : dict of str to float
        Their difference. An estimate may be negative; it is reported as it is.
    mi_gap_interval_ : dict of str to (float, float)
        Its 95 % interval.
    criterion_ : str
        The criterion that "auto" stands for.
    evidence_, evidence_interval_ : dict
        The same of the criterion; for "cch" it is the gap.
    ranking_ : list of str
        The teachers, from the most evidence to the least.
    best_teacher_ : str
        The first of them.
    worthwhile_ : dict of str to Verdict
        "yes" or "no" where the interval of the evidence is clear of zero, else "not ruled out" or
        "leans no", with the confidence in the sign. A verdict is true only if it is "yes".
    networks_ : dict of str to fitted network
        Of each modality, fitted on all samples: what ``score`` represents new samples by.
    distiller_ : fitted distiller
        Only if ``distiller`` is given.
    classes_ : ndarray of shape (n_classes,)
        Only for labels.

    Notes
    -----
    An interval says how far the evidence would move with other samples, by the influence of each,
    and what the cuts and seeds do to it. Of estimators that return one number it is that of the
    folds, as :func:`~cmkdlearn.model_selection.corrected_ttest` has it, and much wider. It is not
    about the estimates' bias, which "calibrated" takes off the zero and not off other values, and
    not about whether the hypothesis holds for the data at hand: see the user guide for how often
    it did.

    References
    ----------
    .. [1] Xie, Xu, Sanguinetti. "Information-Theoretic Criteria for Knowledge Distillation in
       Multimodal Learning", 2025.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from cmkdlearn.selection import CCHSelector
    >>> X, y = load_digits(return_X_y=True)
    >>> X = {"upper": X[:600, :32], "lower": X[:600, 32:],
    ...      "noise": np.random.default_rng(0).normal(size=(600, 32))}
    >>> selector = CCHSelector(student="upper", n_repeats=2, random_state=0).fit(X, y[:600])
    >>> selector.ranking_
    ['lower', 'noise']
    >>> print(selector.worthwhile_["noise"])
    no
    >>> selector.summary().loc["noise", "advice"]
    'Go on without this teacher.'
    """

    def __init__(self, *, student, teacher=None, modalities=None, network=None,
                 representation="cross-fit", n_components=8, mi_estimator="ksg",
                 criterion="auto", n_repeats=5, cv=2, distiller=None, memory=None, n_jobs=None,
                 random_state=None):
        self.student = student
        self.teacher = teacher
        self.modalities = modalities
        self.network = network
        self.representation = representation
        self.n_components = n_components
        self.mi_estimator = mi_estimator
        self.criterion = criterion
        self.n_repeats = n_repeats
        self.cv = cv
        self.distiller = distiller
        self.memory = memory
        self.n_jobs = n_jobs
        self.random_state = random_state

    def fit(self, X, y):
        """Estimate the evidence for each teacher.

        Parameters
        ----------
        X : dict of array-like
            Modalities of the same samples, by name; or one table, with ``modalities``.
        y : array-like of shape (n,)
            Labels, or continuous targets where the network is a regressor (with representation
            "prefit": where they are not whole numbers).

        Returns
        -------
        self
        """
        self._check_params()
        X = self._read(X, reset=True)
        teachers = self._teachers(X)
        check_same_order(X, y)
        offsets = {name: i for i, name in enumerate(sorted(X))}  # of seeds: the same, whoever asks
        self._tables = {name: Reader() for name in (self.student, *teachers)}
        X = {name: self._checked(name, X[name], reset=True) for name in self._tables}
        y = self._targets(X, y)
        rng = check_random_state(self.random_state)
        represent = check_memory(self.memory).cache(_represent)
        folds = list(self._folds(y, rng))
        found = Parallel(n_jobs=self.n_jobs)(
            delayed(_assess)(self, represent, X, y, train, test, teachers, seed, offsets)
            for train, test, seed in folds)
        student_label, teacher_student, evidence = zip(*found, strict=True)
        self._judge(teachers, student_label, teacher_student, evidence,
                    [test for _, test, _ in folds])
        labels = y if self._continuous else self.classes_[y]
        if self.representation == "cross-fit":
            seed = _draw(rng)
            fit = check_memory(self.memory).cache(_fitted)
            self.networks_ = {
                name: fit(ByContent(seeded_copy(self._network(), seed + offsets[name])), part,
                          labels) for name, part in X.items()}
        self._bases = {name: _basis(self._encode(name, part), self.n_components)
                       for name, part in X.items()}
        self._seed = _draw(rng)
        if self.distiller is not None:
            self._distil(X, labels, _draw(rng))
        return self

    # ---------------------------------------------------------------- what goes in

    def _check_params(self):
        refuse_bare_network("network", self.network)
        check_option("representation", self.representation, ["cross-fit", "prefit"])
        check_option("criterion", self.criterion, ["auto", *CRITERIA])
        check_number("n_repeats", self.n_repeats, low=2, integer=True)
        check_number("cv", self.cv, low=2, integer=True)
        if self.n_components is not None:
            check_number("n_components", self.n_components, low=1, integer=True)
        if self.distiller is not None:
            known = self.distiller.get_params(deep=False)
            if "teachers" not in known or "modality" not in known:
                raise TypeError(f"distiller={self.distiller!r} has no parameters teachers and "
                                "modality, as a MultiTeacherDistiller has.")
            if known["teachers"]:
                raise ValueError("distiller has teachers already; leave them out, the selector "
                                 "chooses one.")
            if "modality" not in self._network().get_params(deep=False):
                raise TypeError(f"network={self.network!r} has no parameter modality, so that it "
                                "cannot teach the distiller. Use a UnimodalTeacher.")

    def _read(self, X, reset):
        """Return the modalities by name."""
        if self.modalities is not None:
            if isinstance(X, Mapping) and not issparse(X):
                raise ValueError("modalities= names the columns of one table, but X is a "
                                 f"{type(X).__name__} of modalities; leave modalities= out.")
            checked = validate_data(self, X, reset=reset, dtype=READ_AS,
                                    ensure_min_features=2 if reset else 1)
            X = X if hasattr(X, "columns") else checked
            return {name: select_modality(X, columns, fitting=True)
                    for name, columns in self.modalities.items()}
        refuse_annotated(X)
        if not isinstance(X, Mapping):
            raise ValueError(f"X is a {type(X).__name__}; CCHSelector compares modalities: pass a "
                             "dict (or cmkdlearn.Modalities) of arrays, or a table with "
                             "modalities={name: columns}.")
        return X

    def _teachers(self, X):
        check_option("student", self.student, X)
        if self.teacher is None:
            teachers = [name for name in X if name != self.student]
        else:
            teachers = [self.teacher] if isinstance(self.teacher, str) else list(self.teacher)
        for name in teachers:
            check_option("teacher", name, X)
        if not teachers or self.student in teachers:
            raise ValueError(f"student={self.student!r} needs another modality to teach it; X "
                             f"has {list(X)} and teacher={self.teacher!r}.")
        return teachers

    def _checked(self, name, part, reset=False):
        """Return a modality as an array; its table remembers names and number of features."""
        prefit = self.representation == "prefit"
        checked = check_array(part, allow_nd=not prefit, dtype=np.float64 if prefit else READ_AS,
                              input_name=f"modality {name!r}", estimator=self)
        # the names are those of the table as it came
        validate_data(self._tables[name], part if hasattr(part, "columns") else checked,
                      reset=reset, skip_check_array=True)
        part = checked
        if not part[0].size:
            raise ValueError(f"Modality {name!r} has no features, its shape is {part.shape}.")
        return part

    def _targets(self, X, y):
        if y is None:
            raise ValueError("CCHSelector requires y to be passed, but the target y is None.")
        y = one_label_each(y, "CCHSelector")
        check_consistent_length(*X.values(), y)
        if self.representation == "prefit":
            self._continuous = type_of_target(y, input_name="y").startswith("continuous")
        else:
            self._continuous = is_regressor(self._network())
        self.criterion_ = self.criterion
        if self._continuous:
            if self.criterion == "auto":
                self.criterion_ = "cch"
            if self.criterion in ("permutation", "calibrated"):
                raise ValueError(f'criterion="{self.criterion}" shuffles within classes, but y is '
                                 'continuous; use criterion="cch".')
            return check_array(y, ensure_2d=False, dtype=np.float64, input_name="y")
        codes, self.classes_ = encode_labels(y, type(self).__name__)
        sizes = np.bincount(codes)
        if sizes.min() < self.cv:
            rare = self.classes_[[sizes.argmin()]].tolist()[0]
            raise ValueError(f"Class {rare!r} has {sizes.min()} samples, fewer than cv={self.cv} "
                             "folds. Lower cv, or leave the class out.")
        largest = sizes.max() // self.cv
        if self.criterion == "auto":
            self.criterion_ = "calibrated" if largest >= LARGEST_CLASS else "cch"
        if self.criterion == "calibrated":
            check_largest(largest)
        return codes

    def _network(self):
        return UnimodalTeacher() if self.network is None else self.network

    def _folds(self, y, rng):
        for _ in range(self.n_repeats):
            cutter = KFold if self._continuous else StratifiedKFold
            for train, test in cutter(self.cv, shuffle=True, random_state=_draw(rng)).split(y, y):
                yield train, test, _draw(rng)

    # ---------------------------------------------------------------- what comes out

    def _information(self, seed):
        """Return a function of representations, and of those and the codes of labels."""
        def mi(x, y):
            return with_influence(x, y, self.mi_estimator, y.dtype.kind == "i", seed)
        return mi

    def _judge(self, teachers, student_label, teacher_student, evidence, tests):
        """Make of the folds' estimates, of each teacher where there are two lists, what is known.

        An estimate is a row of 1 + n_test numbers, see ``with_influence``.
        """
        def summaries(folds):
            return {name: sum_up(rows, tests, self.cv)
                    for name, *rows in zip(teachers, *folds, strict=True)}

        gaps = summaries([[row - label for row in rows]
                          for rows, label in zip(teacher_student, student_label, strict=True)])
        found = summaries(evidence)
        self.mi_student_label_ = sum_up(student_label, tests, self.cv).mean
        self.mi_teacher_student_ = {name: one.mean
                                    for name, one in summaries(teacher_student).items()}
        self.mi_gap_ = {name: one.mean for name, one in gaps.items()}
        self.mi_gap_interval_ = {name: (one.low, one.high) for name, one in gaps.items()}
        self.evidence_ = {name: one.mean for name, one in found.items()}
        self.evidence_interval_ = {name: (one.low, one.high) for name, one in found.items()}
        self.ranking_ = sorted(teachers, key=lambda name: self.evidence_[name], reverse=True)
        self.best_teacher_ = self.ranking_[0]
        self.worthwhile_ = {name: judge(one) for name, one in found.items()}

    def _encode(self, name, part):
        cross_fitted = self.representation == "cross-fit"
        return _encoded(self.networks_[name], part) if cross_fitted else part

    def score(self, X, y):
        """Return the evidence for the best teacher on other samples: the held-out gap.

        Parameters
        ----------
        X : dict of array-like, or table
        y : array-like of shape (n,)

        Returns
        -------
        float
            In nats.
        """
        check_is_fitted(self)
        X = self._read(X, reset=False)
        z_t, z_s = (self._bases[name].transform(self._encode(name, self._checked(name, X[name])))
                    for name in (self.best_teacher_, self.student))
        y = column_or_1d(y)
        check_consistent_length(z_t, z_s, y)
        y = y.astype(float) if self._continuous else label_codes(y, self.classes_)
        mi = self._information(self._seed)
        pair = Pair(mi, z_t, z_s, y, mi(z_s, y), np.random.default_rng(self._seed))
        return float(CRITERIA[self.criterion_](pair)[0])

    def summary(self):
        """Return what is known of each teacher, as a table of pandas (the extra ``plot``).

        Returns
        -------
        DataFrame
            A row a teacher, from the most evidence to the least; information in nats:

            - ``evidence``, with its 95 % interval ``low`` to ``high``, of ``criterion_``;
            - ``mi_teacher_student``, ``mi_student_label`` and their difference ``mi_gap``, of
              plain estimates;
            - ``verdict`` in words, and ``advice``.
        """
        check_is_fitted(self)
        pd = import_pandas("CCHSelector.summary")
        rows = [{"evidence": self.evidence_[name],
                 **dict(zip(("low", "high"), self.evidence_interval_[name], strict=True)),
                 "mi_teacher_student": self.mi_teacher_student_[name],
                 "mi_student_label": self.mi_student_label_, "mi_gap": self.mi_gap_[name],
                 "verdict": str(self.worthwhile_[name]), "advice": self.worthwhile_[name].advice}
                for name in self.ranking_]
        return pd.DataFrame(rows, index=pd.Index(self.ranking_, name="teacher"))

    def select(self, X):
        """Return what to go on with: the student's modality, and the best teacher's if worthwhile.

        Parameters
        ----------
        X : dict of array-like, or table

        Returns
        -------
        dict of str to array-like
        """
        check_is_fitted(self)
        X = self._read(X, reset=False)
        teacher = [self.best_teacher_] if self.worthwhile_[self.best_teacher_] else []
        return {name: X[name] for name in (self.student, *teacher)}

    def _distil(self, X, y, seed):
        teacher = clone(self._network()).set_params(modality=self.best_teacher_)
        worthwhile = self.worthwhile_[self.best_teacher_]
        distiller = clone(self.distiller).set_params(
            teachers=[("teacher", teacher)] if worthwhile else [], modality=self.student)
        self.distiller_ = seeded_copy(distiller, seed).fit(X, y)

    def _students_part(self, X):
        """Return the student's modality of X, which may be all that there is, as it was fitted."""
        check_is_fitted(self)
        if self.modalities is not None or isinstance(X, Mapping):
            X = select_modality(self._read(X, reset=False), self.student, fitting=True)
        return {self.student: self._checked(self.student, X)}

    def _has_distiller(self):
        if self.distiller is None:
            raise AttributeError("distiller=None: there is nothing to predict with. Pass "
                                 "distiller=MultiTeacherDistiller(), say.")
        return True

    @available_if(_has_distiller)
    def predict(self, X):
        """Return the distilled student's prediction of each sample, (n,).

        Parameters
        ----------
        X : dict of array-like, or table
            The student's modality will do.
        """
        part = self._students_part(X)  # first: it refuses where there is no distiller_ yet
        return self.distiller_.predict(part)

    @available_if(_has_distiller)
    def predict_proba(self, X):
        """Return the distilled student's class probabilities, (n, n_classes).

        Parameters
        ----------
        X : dict of array-like, or table
            The student's modality will do.
        """
        part = self._students_part(X)  # first: it refuses where there is no distiller_ yet
        return self.distiller_.predict_proba(part)

    def __sklearn_is_fitted__(self):
        return hasattr(self, "worthwhile_")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        of_network = get_tags(self._network())
        tags.estimator_type = of_network.estimator_type  # so that grid searches stratify
        tags.classifier_tags, tags.regressor_tags = (of_network.classifier_tags,
                                                     of_network.regressor_tags)
        tags.target_tags.required = True
        return tags


# ---------------------------------------------------------------- one fold

def _assess(selector, represent, X, y, train, test, teachers, seed, offsets):
    """Return I(h_S; Y), and I(h_T; h_S) and the evidence of each teacher, on one fold."""
    network = selector._network() if selector.representation == "cross-fit" else None
    targets = y if selector._continuous else selector.classes_[y]
    z = {name: represent(network and ByContent(seeded_copy(network, seed + offsets[name])), part,
                         targets, train, test, selector.n_components) for name, part in X.items()}
    mi, y = selector._information(seed), y[test]
    student_label = mi(z[selector.student], y)
    pairs = [Pair(mi, z[name], z[selector.student], y, student_label,
                  np.random.default_rng([seed, i])) for i, name in enumerate(teachers)]
    return (student_label, [pair.teacher_student for pair in pairs],
            [CRITERIA[selector.criterion_](pair) for pair in pairs])


def _represent(network, part, y, train, test, n_components):
    """Represent the samples of a fold by a network that was fitted on the others."""
    known, new = take(part, train), take(part, test)
    if network is not None:
        network = network.value.fit(known, y[train])
        known, new = _encoded(network, known), _encoded(network, new)
    return _basis(known, n_components).transform(new)


def _fitted(network, part, y):
    return network.value.fit(part, y)


def _encoded(network, part):
    encoder = network if hasattr(network, "encode") else as_teacher(network)
    return np.asarray(encoder.encode(part), dtype=np.float64)


def _basis(z, n_components):
    """Return a transformer to few dimensions, fitted on representations."""
    if n_components is None or z.shape[1] <= n_components:
        return FunctionTransformer().set_output(transform="default").fit(z)
    with np.errstate(invalid="ignore"):  # shares of no variance at all
        pca = PCA(min(n_components, len(z)), svd_solver="full").set_output(transform="default")
        return pca.fit(z)


def _draw(rng):
    return int(rng.randint(2**31 - 2**10))  # room to count on from it
