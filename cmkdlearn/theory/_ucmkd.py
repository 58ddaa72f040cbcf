"""The bounds on an unpaired student's error (Tran et al., Theorems 2.6 and 2.7)."""

import copy
import math
from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.utils import Bunch, check_random_state
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from cmkdlearn._distances import l2
from cmkdlearn._labels import label_codes
from cmkdlearn._protocol import class_columns
from cmkdlearn._validation import check_number
from cmkdlearn.alignment import METRICS, true_log_probability
from cmkdlearn.nn.samples import Modalities, take

TERMS = ("teacher_error", "feature_alignment", "label_alignment",  # Theorem 2.6, and 2.7:
         "concentration", "student_rate", "teacher_rate", "complexity", "deviation")
MOST_PIVOTS = 10**6  # of the network simplex, which takes some thousands


def ucmkd_bound(student, teacher, X, y, X_teacher, y_teacher, *, max_samples=1000,
                random_state=None):
    r"""Bound a student's error by its teacher's, and by how far the two are apart.

    .. math:: \mathrm{err}_S \le \mathrm{err}_T + \mathrm{FA} + \mathrm{LA}

    (Theorem 2.6 of [1]_), every term estimated on samples that were held out. Errors are
    cross-entropies. With the uncertainty of the teacher's head,

    .. math:: \ell_\tau(z) = -\sum_y p_T(y | z) \log p_T(y | z),

    feature alignment is the least of
    :math:`\tau_\delta\, W_\delta(D^T(z), D^S(z))` over the cost metrics :math:`\delta`: l2, l1 and
    angular. :math:`\tau_\delta` is the Lipschitz constant of :math:`\ell_\tau`, and
    :math:`W_\delta` the Wasserstein-1 distance (Definition 2.4). Label alignment is
    :func:`~cmkdlearn.alignment.label_alignment`, the mean of
    :math:`-\log p_S(y | z) + \kappa \log p_T(y | z)` with :math:`\kappa = p_T(y | z)`
    (equations 9 and 56).

    Parameters
    ----------
    student : fitted classifier with ``encode`` and ``head_``
        Such as a :class:`~cmkdlearn.students.UCMKDStudent`; with ``project`` where its features
        are to be brought into the teacher's space.
    teacher : fitted teacher
        With ``encode`` and ``head_``.
    X, y : array-like of shape (n, ...) and (n,)
        The student's samples and labels, held out of its training.
    X_teacher, y_teacher : array-like of shape (m, ...) and (m,)
        The teacher's, held out of its training. Those of classes that the student does not know
        are left out.
    max_samples : int, default=1000
        On either side; drawn at random of more.
    random_state : int, RandomState or None, default=None
        Draws the samples, and the half that :math:`\tau_\delta` is estimated on.

    Returns
    -------
    Bunch
        ``student_error``, and ``teacher_error``, ``feature_alignment``, ``label_alignment`` and
        their sum ``bound``, in nats; ``holds``, whether the error is not above the bound;
        ``gap``, how far it lies above the error, as a share of the error;
        ``metric``, the cost metric that was the best; ``lipschitz`` and ``distance``,
        :math:`\tau_\delta` and :math:`W_\delta` by metric; ``n_student`` and ``n_teacher``, of how
        many samples.

    Raises
    ------
    TypeError
        If student or teacher has no ``encode`` or no ``head_``.
    ValueError
        On labels that are missing or unknown, and fewer than two samples on a side.

    See Also
    --------
    ucmkd_finite_bound : What Theorem 2.7 adds for finite samples.

    Notes
    -----
    It can fail. :math:`\tau_\delta` is the steepest slope between any two samples of *one* half
    of either side's, and all else is evaluated on the other half: estimated from the same samples,
    it would make ``feature_alignment`` cover their difference by construction. It is an estimate
    from below. A metric in which :math:`\ell_\tau` rises over no distance is none of
    :math:`\Delta`, and its :math:`\tau_\delta` infinite.

    The theorem's :math:`\kappa` is :math:`D^T(y | z) / D^S(y | z)`, by which
    :math:`E_{D^S(y | z)}[\kappa \log p_T] = -\ell_\tau(z)` for true conditionals. Appendix D puts
    :math:`p_T` and the realised label in their place, and what is left of that sum is the label's
    own term, :math:`-\kappa \log \kappa \le 1/e`. So LA is greater than with true conditionals
    wherever :math:`p_T` is true; the bound is above the error by
    :math:`\mathrm{err}_T + \mathrm{FA} - E_S[-\kappa \log \kappa]`, which is negative only if
    :math:`\mathrm{err}_T + \mathrm{FA}` is below :math:`1/e`: a teacher that is good, but not
    sure, on features that are near the student's. A weak teacher cannot violate it.

    The paper gives the gap of its Figure 3 as 24.5 % on average, and does not define it. ``gap`` is
    the plainest reading.

    References
    ----------
    .. [1] Tran et al. "Cross-Modal Knowledge Distillation without Paired Data: Theoretical
       Foundation and Algorithm", ICML 2026.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.frozen import FrozenEstimator
    >>> from cmkdlearn.students import UCMKDStudent
    >>> from cmkdlearn.teachers import UnimodalTeacher
    >>> from cmkdlearn.theory import ucmkd_bound
    >>> X, y = load_digits(return_X_y=True)
    >>> upper, lower = X[:, :32], X[:, 32:]
    >>> teacher = UnimodalTeacher(random_state=0).fit(upper[:800], y[:800])
    >>> student = UCMKDStudent(FrozenEstimator(teacher), random_state=0)
    >>> student = student.fit(lower[800:1200], y[800:1200])
    >>> bound = ucmkd_bound(student, teacher, lower[1200:], y[1200:], upper[1200:], y[1200:],
    ...                     random_state=0)
    >>> bound.holds
    True
    """
    import ot

    for name, model in (("student", student), ("teacher", teacher)):
        if hasattr(model, "fit"):
            check_is_fitted(model)
        for need in ("encode", "head_", "classes_"):
            if not hasattr(model, need):
                raise TypeError(f"{name}={model!r} has no {need}, which the bound needs. Pass a "
                                "fitted network, or a classifier in as_teacher.")
    check_number("max_samples", max_samples, low=2, integer=True)
    rng = check_random_state(random_state)
    n_classes = len(student.classes_)
    columns = class_columns("teacher", teacher, student.classes_)
    columns += [k for k in range(len(teacher.classes_)) if k not in columns]
    y_S = _codes("y", X, y, student.classes_)
    y_T = np.argsort(columns)[_codes("y_teacher", X_teacher, y_teacher, teacher.classes_)]
    mine = _draw("X", np.arange(len(y_S)), max_samples, rng)
    theirs = _draw("X_teacher", np.flatnonzero(y_T < n_classes), max_samples, rng)

    X, X_teacher = take(X, mine), take(X_teacher, theirs)
    y_S, y_T = torch.from_numpy(y_S[mine]), torch.from_numpy(y_T[theirs])
    z = _features(student.encode(X))
    z_S = _features(student.project(X)) if hasattr(student, "project") else z
    z_T = _features(teacher.encode(X_teacher))
    of_S = _logits(student, z)
    of_T, of_T_own = (_logits(teacher, z)[:, columns] for z in (z_S, z_T))

    # a half of either side gives tau, the other one all else
    (one_S, S), (one_T, T) = (torch.arange(len(y)).tensor_split(2) for y in (y_S, y_T))
    z_tau = torch.cat([z_S[one_S], z_T[one_T]])
    uncertainty = _entropy(torch.cat([of_T[one_S], of_T_own[one_T]]))
    lipschitz = {name: _steepest(uncertainty, z_tau, cost) for name, cost in METRICS.items()}
    distance = {name: float(ot.emd2([], [], cost(z_S[S], z_T[T]).numpy(),
                                    numItermax=MOST_PIVOTS))
                for name, cost in METRICS.items()}
    fa = {name: lipschitz[name] * distance[name] for name in METRICS
          if math.isfinite(lipschitz[name])}
    metric = min(fa, key=lambda name: fa[name])
    log_kappa = true_log_probability(of_T[S], y_S[S])
    student_error = F.cross_entropy(of_S[S], y_S[S])
    return _summed(
        student_error=student_error.item(),
        teacher_error=F.cross_entropy(of_T_own[T], y_T[T]).item(), feature_alignment=fa[metric],
        label_alignment=(student_error + (log_kappa.exp() * log_kappa).mean()).item(),
        metric=metric, lipschitz=lipschitz, distance=distance, n_student=len(S), n_teacher=len(T))


def ucmkd_finite_bound(bound, *, delta=0.05, c1=None, s1=None, c2=None, s2=None, c3=None, d=None):
    r"""Add to :func:`ucmkd_bound` what finite samples cost, as far as it is known.

    .. math::

        \mathrm{err}_S \le {} & \mathrm{err}_T + \mathrm{FA}_e + \mathrm{LA}_e
          + \underbrace{\tau_\delta \sqrt{\tfrac{\log(2/\delta)}{2}}
              \Big(\tfrac{1}{\sqrt{n_S}} + \tfrac{1}{\sqrt{n_T}}\Big)}_{\text{concentration}} \\
          & + \underbrace{\tau_\delta C_1 n_S^{-1/s_1}}_{\text{student rate}}
          + \underbrace{\tau_\delta C_2 n_T^{-1/s_2}}_{\text{teacher rate}}
          + \underbrace{2 C_3 \sqrt{\tfrac{2 d \log(n_S/d)}{n_S}}}_{\text{complexity}}
          + \underbrace{C_3 \sqrt{\tfrac{\log(1/\delta)}{2 n_S}}}_{\text{deviation}}

    with a probability of at least :math:`1 - 3\delta` (Theorem 2.7 of [1]_, as equation 52 has
    it). The paper gives no value for the constants. A term whose constants are not given is left
    out and named in ``missing``; the theorem is of the sum of all.

    Parameters
    ----------
    bound : Bunch
        What :func:`ucmkd_bound` returned.
    delta : float, default=0.05
        In (0, 1/3).
    c1, s1, c2, s2 : float, default=None
        Above 0, of the rates at which the empirical distributions of the student's and of the
        teacher's features approach the true ones; :math:`s_1` and :math:`s_2` exceed their upper
        Wasserstein dimensions.
    c3 : float, default=None
        Above 0: the greatest value, in nats, of :math:`-\log p_S + \kappa \log p_T`.
    d : int, default=None
        The VC dimension of the student's hypotheses, at most :math:`n_S`.

    Returns
    -------
    Bunch
        As ``bound``, with ``bound``, ``holds`` and ``gap`` of the greater sum; those of
        ``concentration``, ``student_rate``, ``teacher_rate``, ``complexity`` and ``deviation`` that
        are known; ``missing``, a tuple of the names of the others; and ``probability``,
        :math:`1 - 3\delta`.

    Raises
    ------
    ValueError
        On a constant out of range, or one that is of no use without its fellow.

    Notes
    -----
    Equation 39, where ``concentration`` is from, is for features that are nowhere more than 1 apart
    in the metric; the paper does not rescale it, and neither is it done here.

    References
    ----------
    .. [1] Tran et al. "Cross-Modal Knowledge Distillation without Paired Data: Theoretical
       Foundation and Algorithm", ICML 2026.

    Examples
    --------
    >>> from sklearn.utils import Bunch
    >>> from cmkdlearn.theory import ucmkd_finite_bound
    >>> bound = Bunch(student_error=1.0, teacher_error=0.4, feature_alignment=0.5,
    ...               label_alignment=0.8, metric="l2", lipschitz={"l2": 0.1}, n_student=100,
    ...               n_teacher=400)
    >>> finite = ucmkd_finite_bound(bound, c3=2.0)
    >>> finite.missing
    ('student_rate', 'teacher_rate', 'complexity')
    >>> round(finite.concentration, 3), round(finite.deviation, 3), round(finite.bound, 3)
    (0.02, 0.245, 1.965)
    """
    if not 0 < check_number("delta", delta, low=0, high=1 / 3) < 1 / 3:
        raise ValueError(f"delta={delta} must be above 0 and below 1/3.")
    given = {"c1": c1, "s1": s1, "c2": c2, "s2": s2, "c3": c3, "d": d}
    n_S, n_T, tau = bound.n_student, bound.n_teacher, bound.lipschitz[bound.metric]
    for name, value in given.items():
        if value is not None and name != "d":
            check_number(name, value, low=0, open_low=True)
    if d is not None:
        check_number("d", d, low=1, high=n_S, integer=True)
    for one, other in (("c1", "s1"), ("s1", "c1"), ("c2", "s2"), ("s2", "c2"), ("d", "c3")):
        if given[one] is not None and given[other] is None:
            raise ValueError(f"{one}={given[one]} is of no use without {other}; pass both.")
    terms = {
        "concentration": tau * math.sqrt(math.log(2 / delta) / 2) * (n_S**-0.5 + n_T**-0.5),
        "student_rate": None if c1 is None else tau * c1 * n_S ** (-1 / s1),
        "teacher_rate": None if c2 is None else tau * c2 * n_T ** (-1 / s2),
        "complexity": None if d is None else 2 * c3 * math.sqrt(2 * d * math.log(n_S / d) / n_S),
        "deviation": None if c3 is None else c3 * math.sqrt(math.log(1 / delta) / (2 * n_S)),
    }
    missing = tuple(name for name in terms if terms[name] is None)
    known = {name: value for name, value in terms.items() if value is not None}
    return _summed(**{name: bound[name] for name in bound if name not in terms} | known
                   | {"missing": missing, "probability": 1 - 3 * delta})


def _codes(name, X, y, classes):
    """Return the labels' positions in ``classes``, one of each sample."""
    check_consistent_length(Modalities(X) if isinstance(X, Mapping) else X, y)
    codes = label_codes(y, classes, name)
    if (codes < 0).any():
        raise ValueError(f"{name} has samples without a label, which the bound cannot use. Leave "
                         "them out.")
    return codes


def _draw(name, rows, at_most, rng):
    if len(rows) < 2:
        raise ValueError(f"{name} has {len(rows)} samples of the student's classes; the bound "
                         "needs two at least.")
    return rng.permutation(rows)[:at_most]


def _features(z):
    z = torch.as_tensor(np.asarray(z)).double()
    if not z.isfinite().all():
        raise ValueError("There are features that are NaN or infinite. Look at the scale of what "
                         "student and teacher are given.")
    return z


def _logits(model, z):
    with torch.inference_mode():
        return copy.deepcopy(model.head_).cpu().double().eval()(z)


def _entropy(logits):
    log_p = logits.log_softmax(dim=1)
    return -(log_p.exp() * log_p).sum(dim=1)


def _steepest(values, z, cost):
    """Return the greatest slope between two samples; infinite where a rise takes no distance."""
    rise = (values[:, None] - values).abs().masked_fill(l2(z, z) == 0, 0)  # of one sample: rounding
    return float((rise / cost(z, z)).masked_fill(rise == 0, 0).max())


def _summed(**terms):
    """Add the terms up, and compare their sum with the error."""
    bound, error = sum(terms[name] for name in TERMS if name in terms), terms["student_error"]
    gap = bound / error - 1 if error else math.inf
    return Bunch(**terms | {"bound": bound, "holds": error <= bound, "gap": gap})
