"""Teachers of several modalities that are right together where each by itself is unsure."""

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax
from sklearn.frozen import FrozenEstimator

from cmkdlearn._protocol import (
    fit_teacher,
    folds,
    needs_labels,
    out_of_fold_logits,
    teaching_logits,
)
from cmkdlearn.teachers._ensemble import TeacherEnsemble


class ProductOfExperts(TeacherEnsemble):
    r"""Calibrated teachers, multiplied: what several modalities say of a class together.

    .. math::

        \log p(y \mid x_1, \ldots, x_K)
            &= \sum_k \log p_k(y \mid x_k) - (K - 1) \log p(y) + \mathrm{const}, \\
        p_k &\propto \exp(z_k / \tau_k)\, p(y)^{b_k}

    for the logits :math:`z_k` of teacher k. This is exact where modalities are independent given
    the class and each :math:`p_k` is the true posterior, which a network's softmax is not: it is
    too sure of itself. So temperature scaling [2]_, with a second number that leads a teacher that
    knows nothing to the classes' frequencies, makes it one: :math:`1 / \tau_k \ge 0` and
    :math:`b_k \in [0, 1]` minimise the log-loss of the logits of samples that the teacher was not
    fitted on. A modality that says nothing then has :math:`\tau_k = \infty` and changes nothing.

    As the teacher of a student that reads one of these modalities, with paired samples that have no
    label, it is what helped most in this library's measurements (see the user guide): the student's
    own modality belongs among the experts.

    Parameters
    ----------
    teachers : list of (str, estimator)
        Teachers or scikit-learn classifiers, of different modalities. They are fitted once for each
        fold and once on all samples. Those in a :class:`~sklearn.frozen.FrozenEstimator` are used
        as they are, and calibrated on all samples: they must not have been fitted on these.
    cv : int or cross-validation splitter, default=5
        The folds of the out-of-fold logits; each sample has to be tested once.
    random_state : int, RandomState or None, default=None
        Seeds those teachers whose own ``random_state`` is None.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    class_prior_ : ndarray of shape (n_classes,)
        :math:`p(y)`, the classes' frequencies in training.
    temperatures_ : ndarray of shape (n_teachers,)
        :math:`\tau_k`; infinite for a teacher that says nothing.
    prior_weights_ : ndarray of shape (n_teachers,)
        :math:`b_k`.
    teachers_ : list of fitted teachers
    named_teachers_ : Bunch
        The same by name.
    feature_bank_ : ndarray of shape (n, d)
        The experts' features side by side, float32.
    feature_bank_labels_ : ndarray of shape (n,)

    See Also
    --------
    TeacherEnsemble : The plain mean of logits, for several views of one modality.
    cmkdlearn.inspection : Whether modalities hold more of each other than the class.

    References
    ----------
    .. [1] Hinton. "Training Products of Experts by Minimizing Contrastive Divergence", Neural
       Computation 2002.
    .. [2] Guo, Pleiss, Sun, Weinberger. "On Calibration of Modern Neural Networks", ICML 2017.

    Examples
    --------
    Two halves of a digit, of which the student will see the left one only; most digits have no
    label:

    >>> from sklearn.datasets import load_digits
    >>> from cmkdlearn.students import MultiTeacherDistiller
    >>> from cmkdlearn.teachers import ProductOfExperts, UnimodalTeacher
    >>> digits = load_digits()
    >>> X = {"left": digits.images[:, :, :4].reshape(-1, 32) / 16,
    ...      "right": digits.images[:, :, 4:].reshape(-1, 32) / 16}
    >>> y = digits.target.copy()
    >>> y[100:1000] = -1
    >>> both = ProductOfExperts([("left", UnimodalTeacher(modality="left")),
    ...                          ("right", UnimodalTeacher(modality="right"))], random_state=0)
    >>> student = MultiTeacherDistiller([("both", both)], modality="left", temperature=1,
    ...                                 alpha=0.2, random_state=0)
    >>> train, test = ({name: part[rows] for name, part in X.items()}
    ...                for rows in (slice(1000), slice(1000, None)))
    >>> alone = MultiTeacherDistiller(modality="left", random_state=0).fit(train, y[:1000])
    >>> student.fit(train, y[:1000]).score(test, y[1000:]) > alone.score(test, y[1000:])
    True
    """

    def __init__(self, teachers, *, cv=5, random_state=None):
        self.cv = cv
        super().__init__(teachers, random_state=random_state)

    def _check_teachers(self):
        super()._check_teachers()
        for name, teacher in self.teachers:
            if needs_labels(teacher):
                raise ValueError(f"Teacher {name!r} only reads class names: what it says is the "
                                 "label, and there is nothing to calibrate. Leave it out.")

    def _fit_teachers(self, X, y, weight):
        codes = np.searchsorted(self.classes_, y)
        share = np.bincount(codes, weight)
        self.class_prior_ = share / share.sum()
        parts = folds(self.cv, y)  # once: a splitter that shuffles draws others each time
        for train, _ in parts:
            lost = np.setdiff1d(self.classes_, y[train])
            if len(lost):
                raise ValueError(f"cv={self.cv!r} has a fold with all samples of the classes "
                                 f"{lost.tolist()}, which teachers then cannot learn; give it "
                                 "fewer or stratified folds, or more samples of these.")
        self.teachers_, calibrations = [], []
        for name, teacher in self._seeded_teachers():
            fitted = fit_teacher(teacher, X, y, weight=weight, name=name)
            if isinstance(teacher, FrozenEstimator):
                unseen = teaching_logits(name, fitted, X, y, self.classes_)
            else:
                unseen = out_of_fold_logits(name, teacher, X, y, self.classes_, parts,
                                            weight=weight)
            self.teachers_.append(fitted)
            calibrations.append(_calibrate(unseen, codes, weight, np.log(self.class_prior_)))
        scales, self.prior_weights_ = np.array(calibrations).T
        with np.errstate(divide="ignore"):
            self.temperatures_ = 1 / scales

    def _weights_and_bias(self):
        priors = self.prior_weights_.sum() - (len(self.teachers_) - 1)
        return ((1 / self.temperatures_).astype(np.float32),
                (priors * np.log(self.class_prior_)).astype(np.float32))


def _calibrate(logits, y, weight, log_prior):
    """Return the inverse temperature and the prior's weight of least log-loss.

    A sample more, spread evenly over the classes, keeps them finite where all are right. The
    log-loss is convex in both.
    """
    weight = np.ones(len(y)) if weight is None else np.asarray(weight, dtype=float)
    n, n_classes, unit = weight.sum(), logits.shape[1], logits.std() or 1.0
    features = np.stack([logits.astype(float) / unit, np.broadcast_to(log_prior, logits.shape)])
    target = (np.eye(n_classes)[y] * n + 1 / n_classes) / (n + 1)

    def loss(ab):
        combined = np.tensordot(ab, features, axes=1)
        value = -weight / n @ (target * log_softmax(combined, axis=1)).sum(axis=1)
        error = (weight / n)[:, None] * (softmax(combined, axis=1) - target)
        return value, np.tensordot(features, error, axes=2)

    found = minimize(loss, [1.0, 0.5], jac=True, method="L-BFGS-B",
                     bounds=[(0, None), (0, 1)]).x
    return found[0] / unit, found[1]
