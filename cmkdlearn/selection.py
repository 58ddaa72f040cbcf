"""Which modality should teach: the Cross-modal Complementarity Hypothesis (Xie et al., 2025)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from joblib import Parallel, delayed
from scipy.sparse import issparse
from scipy.special import log_softmax, logsumexp
from scipy.stats import t as student_t
from sklearn.base import BaseEstimator, clone, is_regressor
from sklearn.decomposition import PCA
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import Bunch, check_array, check_random_state, column_or_1d, get_tags
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
from cmkdlearn._validation import check_memory, check_number, check_option
from cmkdlearn.information._base import with_influence
from cmkdlearn.information._gaussian import LARGEST_CLASS, log_posteriors
from cmkdlearn.information._ksg import normal_scores
from cmkdlearn.model_selection import corrected_ttest
from cmkdlearn.nn.samples import (
    check_same_order,
    refuse_annotated,
    select_modality,
    take,
)
from cmkdlearn.teachers import UnimodalTeacher

__all__ = ["CRITERIA", "CCHSelector", "Verdict"]

N_SHUFFLES = 3
TRUST = np.linspace(0, 1, 11)  # exponents of what discriminants say


ADVICE = {
    "yes": "Distil, and compare with a student that has no teacher.",
    "not ruled out": "Try it where a try is cheap; more samples would tell.",
    "leans no": "Go on without this teacher, or collect more samples.",
    "no": "Go on without this teacher.",
}


class Verdict(NamedTuple):
    """Whether a teacher is worth having; true in an ``if`` only where the answer is "yes".

    Attributes
    ----------
    answer : {"yes", "not ruled out", "leans no", "no"}
        The evidence's sign. The first and the last: its 95 % interval is clear of zero.
    confidence : float
        Of that sign, in [0.5, 1]: one minus the one-sided p-value.

    Notes
    -----
    "yes" says that the hypothesis expects a gain, and that the data suffice to say so. Whether
    there is one, a comparison tells. "not ruled out" says no more than that: the gap may be zero or
    less.

    Examples
    --------
    >>> from cmkdlearn.selection import Verdict
    >>> verdict = Verdict("leans no", 0.8)
    >>> str(verdict)
    'leans no, 80 % sure of the sign'
    >>> verdict.advice
    'Go on without this teacher, or collect more samples.'
    """

    answer: str
    confidence: float

    def __bool__(self):
        return self.answer == "yes"

    def __str__(self):
        clear = self.answer in ("yes", "no")
        return self.answer if clear else f"{self.answer}, {100 * self.confidence:.0f} % sure of " \
            "the sign"

    @property
    def advice(self):
        """What to do, in a sentence."""
        return ADVICE[self.answer]


# ---------------------------------------------------------------- criteria

@dataclass
class Pair:
    """A teacher's and a student's representations of the same samples, and their labels.

    ``mi(x, y)`` is an estimate, or a row of it and the samples' influence (``with_influence``), of
    which criteria make sums and differences.
    """

    mi: Callable
    z_t: np.ndarray
    z_s: np.ndarray
    y: np.ndarray
    student_label: np.ndarray
    rng: np.random.Generator

    @cached_property
    def teacher_student(self):
        """I(h_T; h_S)."""
        return self.mi(self.z_t, self.z_s)

    def order(self):
        """Return a random order of the samples that leaves each its class."""
        order = np.arange(len(self.y))
        for k in np.unique(self.y):
            order[self.y == k] = self.rng.permutation(order[self.y == k])
        return order

    def shuffled(self):
        """Return the teacher's representations, exchanged at random within each class."""
        return self.z_t[self.order()]


def cch(pair):
    """I(h_T; h_S) - I(h_S; Y), the MI gap: the paper's rule.

    If teacher and student had nothing in common but the label (independent given Y), the
    data-processing inequality would give I(h_T; h_S) <= I(h_S; Y). A positive gap says that the
    teacher knows more of what the student sees than the labels tell, so that its outputs are
    targets which the student can follow.
    """
    return pair.teacher_student - pair.student_label


def teacher_label(pair):
    """I(h_T; Y) - I(h_S; Y): the stronger modality teaches, in nats.

    What a teacher can pass on about the labels is bounded by I(h_T; Y). It is the rule that any
    other has to beat.
    """
    return pair.mi(pair.z_t, pair.y) - pair.student_label


def conditional(pair):
    """I(h_T; Y | h_S) = I((h_T, h_S); Y) - I(h_S; Y): what the teacher adds to the student.

    A teacher that knows nothing about the labels beyond what the student can see has nothing new
    to say. This is the gain of a fusion of both, an upper bound to what distillation might bring.
    """
    return pair.mi(np.hstack([pair.z_t, pair.z_s]), pair.y) - pair.student_label


def permutation(pair):
    """I(h_T; h_S) minus its mean where h_T is shuffled within the classes.

    Shuffling makes teacher and student independent given Y and leaves all else. So this is the
    paper's question, whether they share more than the labels, with a null of the same estimator,
    sample size and dimensions: biases that differ between I(h_T; h_S) and I(h_S; Y) cancel.
    """
    null = [pair.mi(pair.shuffled(), pair.z_s) for _ in range(N_SHUFFLES)]
    return pair.teacher_student - np.mean(null, axis=0)


def calibrated(pair):
    """I(h_T; h_S | Y) - I(h_S; Y | h_T), the MI gap again, of terms whose zeros are in place.

    By the chain rule it is I(h_T; h_S) - I(h_S; Y). But those two are large, of other dimensions,
    and fall short by more than they differ. Here the first term is what they share within the
    classes, less the same where h_T is shuffled within these. The second is how much better the
    labels are told with h_S than by h_T alone, from discriminants that are held out, and as if
    both were independent given Y, so that what h_T lacks is no matter of dimensions.
    """
    return within_classes(pair) - told_by_the_student(pair)


def within_classes(pair):
    """I(h_T; h_S | Y), less what the estimator finds where there is nothing."""
    z_t, z_s = pair.z_t.copy(), pair.z_s.copy()
    for k in np.unique(pair.y):
        for z in (z_t, z_s):
            z[pair.y == k] = normal_scores(z[pair.y == k])
    null = [pair.mi(z_t[pair.order()], z_s) for _ in range(N_SHUFFLES)]
    return pair.mi(z_t, z_s) - np.mean(null, axis=0)


def told_by_the_student(pair):
    """I(h_S; Y | h_T) as if h_T and h_S were independent given Y, and the samples' influence."""
    y = np.unique(pair.y, return_inverse=True)[1]
    log_prior = np.log(np.bincount(y) / len(y))
    log_t, log_s = (_log_posteriors(z, y, log_prior, pair.rng) for z in (pair.z_t, pair.z_s))
    joint = [logsumexp(log_t[pair.order()] + log_s - log_prior, axis=1) for _ in range(N_SHUFFLES)]
    values = log_s[np.arange(len(y)), y] - log_prior[y] - np.mean(joint, axis=0)
    return np.r_[values.mean(), values - values.mean()]


def _log_posteriors(z, y, log_prior, rng):
    """Return log p(y | z), no surer than it proves to be.

    A class of one sample cannot be held out, and nothing is known of it.
    """
    own, sizes = (np.arange(len(y)), y), np.bincount(y)
    _check_largest(sizes.max())
    known, log_ratio = sizes[y] > 1, np.zeros((len(y), len(sizes)))
    if np.count_nonzero(sizes > 1) > 1:
        codes = np.unique(y[known], return_inverse=True)[1]
        log_ratio[np.ix_(known, sizes > 1)] = log_posteriors(
            normal_scores(z[known]), codes, int(rng.integers(2**31))) - log_prior[sizes > 1]
    tempered = [log_softmax(log_prior + trust * log_ratio, axis=1) for trust in TRUST]
    return max(tempered, key=lambda log_p: log_p[own].mean())


def _check_largest(size):
    if size < LARGEST_CLASS:
        raise ValueError(f'criterion="calibrated" needs {LARGEST_CLASS} samples of some class in '
                         f'each fold; the largest has {size}. Use criterion="cch".')


CRITERIA = {rule.__name__: rule
            for rule in (calibrated, cch, teacher_label, conditional, permutation)}


# ---------------------------------------------------------------- the selector

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
            _check_largest(largest)
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
            return {name: _summary(rows, tests, self.cv)
                    for name, *rows in zip(teachers, *folds, strict=True)}

        gaps = summaries([[row - label for row in rows]
                          for rows, label in zip(teacher_student, student_label, strict=True)])
        found = summaries(evidence)
        self.mi_student_label_ = _summary(student_label, tests, self.cv).mean
        self.mi_teacher_student_ = {name: one.mean
                                    for name, one in summaries(teacher_student).items()}
        self.mi_gap_ = {name: one.mean for name, one in gaps.items()}
        self.mi_gap_interval_ = {name: (one.low, one.high) for name, one in gaps.items()}
        self.evidence_ = {name: one.mean for name, one in found.items()}
        self.evidence_interval_ = {name: (one.low, one.high) for name, one in found.items()}
        self.ranking_ = sorted(teachers, key=lambda name: self.evidence_[name], reverse=True)
        self.best_teacher_ = self.ranking_[0]
        self.worthwhile_ = {name: _verdict(one) for name, one in found.items()}

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
        """Return what is known of each teacher, as a table. Needs pandas.

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
        import pandas as pd

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
        X = self._students_part(X)
        return self.distiller_.predict(X)

    @available_if(_has_distiller)
    def predict_proba(self, X):
        """Return the distilled student's class probabilities, (n, n_classes).

        Parameters
        ----------
        X : dict of array-like, or table
            The student's modality will do.
        """
        X = self._students_part(X)
        return self.distiller_.predict_proba(X)

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


def _summary(rows, tests, cv):
    """Return the mean over folds of repeats, its 95 % interval, and a p-value of 0.

    A repeat tests every sample once, so that its error is that of the samples' mean influence,
    and repeats take away only what the cuts and the networks' seeds do. Where an estimator does
    not tell samples apart, the folds' spread has to serve, of few degrees of freedom.
    """
    estimates, n_repeats = np.array([row[0] for row in rows]), len(rows) // cv
    mean, n = estimates.mean(), sum(map(len, tests[:cv]))
    influence = np.full((n_repeats, n), np.nan)
    for i, (test, row) in enumerate(zip(tests, rows, strict=True)):
        influence[i // cv, test] = row[1:]
    observed = ~np.isnan(influence).all(axis=0)
    if not observed.any():
        return Bunch(mean=float(mean), **corrected_ttest(estimates, 1 / (cv - 1)))
    of_samples = np.nanmean(influence[:, observed], axis=0).std(ddof=1) / np.sqrt(n)
    of_repeats = estimates.reshape(-1, cv).mean(axis=1).std(ddof=1) / np.sqrt(n_repeats)
    error = np.hypot(of_samples, of_repeats)
    statistic = mean / error if error > 0 else np.sign(mean) * np.inf if mean else 0.0
    half = student_t.ppf(0.975, n - 1) * error
    return Bunch(mean=float(mean), low=float(mean - half), high=float(mean + half),
                 pvalue=float(2 * student_t.sf(abs(statistic), n - 1)))


def _verdict(test):
    if test.low > 0 or test.high < 0:
        answer = "yes" if test.low > 0 else "no"
    else:
        answer = "leans no" if test.mean < 0 else "not ruled out"
    return Verdict(answer, 1 - test.pvalue / 2)


def _draw(rng):
    return int(rng.randint(2**31 - 2**10))  # room to count on from it
