"""The bound on an unpaired student's error (Tran et al., Theorems 2.6 and 2.7)."""

import copy
import math

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.utils import Bunch, check_random_state
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from cmkdlearn._distances import l2
from cmkdlearn._labels import label_codes
from cmkdlearn._protocol import class_columns
from cmkdlearn._validation import check_number
from cmkdlearn.alignment import true_log_probability
from cmkdlearn.nn.samples import take

GREATEST = 1 / math.e  # of -p log p over [0, 1]


def ucmkd_bound(student, teacher, X, y, X_teacher=None, y_teacher=None, *, delta=0.05,
                max_samples=1000, random_state=None):
    r"""Bound a student's error by its teacher's, and by how well the two are aligned.

    .. math:: \mathrm{err}_S \le \mathrm{err}_T + \mathrm{FA} + \mathrm{LA} + \text{slack}

    All in nats, as errors are cross-entropies. With :math:`h(z, y) = -\kappa \log p_T(y | z)`,
    :math:`\kappa = p_T(y | z)`, the student's error *is* :math:`\mathrm{LA} + E_S[h]`, and
    :math:`E_T[h] \le \mathrm{err}_T`. What is between the two expectations of *h* is paid by
    transport: a sample costs at most :math:`\tau_\delta` times the way it goes within its class,
    and never more than :math:`1/e`, the greatest value of *h*.

    Parameters
    ----------
    student : UCMKDStudent or fitted classifier with ``encode``
        With ``project`` where its features are to be brought into the teacher's space.
    teacher : fitted teacher
        With ``head_``.
    X, y : array-like of shape (n, ...) and (n,)
        The student's samples and labels; held out, for a bound that says something.
    X_teacher, y_teacher : array-like of shape (m, ...) and (m,), optional
        The teacher's; by default its feature bank, which are training samples.
    delta : float, default=0.05
        In (0, 1): the share of pairs that may be steeper than :math:`\tau_\delta` (they are
        charged :math:`1/e`), and the probability with which the slack may fail.
    max_samples : int, default=1000
        On either side; drawn at random of more.
    random_state : int, RandomState or None, default=None

    Returns
    -------
    Bunch
        ``student_error``, ``teacher_error``, ``feature_alignment``, ``label_alignment``,
        ``slack`` and ``bound``, the sum of the last four, in nats; ``lipschitz``, the estimate of
        :math:`\tau_\delta` in nats per unit of the features; ``distance``, the mean way between
        paired samples of one class; ``holds``, whether the error is below the bound.

    Notes
    -----
    On the samples themselves the bound without ``slack`` holds by construction, whatever the
    estimate of :math:`\tau_\delta`: pairs that are steeper pay the full price. ``slack`` is
    Hoeffding's: so much may the means of *h*, which lie in :math:`[0, 1/e]`, differ from their
    expectations. The paper's proofs were not at hand; this is a derivation of its decomposition,
    and its constants may differ from the theorems'.

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
    >>> bound = ucmkd_bound(student, teacher, lower[1200:], y[1200:])
    >>> bool(bound.student_error <= bound.bound)
    True
    """
    import ot

    check_is_fitted(student)
    for need in ("head_", "classes_"):
        if not hasattr(teacher, need):
            raise TypeError(f"teacher={teacher!r} has no {need}, which the bound needs. Pass a "
                            "fitted teacher, or a classifier in as_teacher.")
    if not 0 < check_number("delta", delta, low=0, high=1) < 1:
        raise ValueError(f"delta={delta} must be above 0 and below 1.")
    check_number("max_samples", max_samples, low=2, integer=True)
    rng = check_random_state(random_state)
    y = np.asarray(y)
    codes = label_codes(y, student.classes_)
    columns = class_columns("teacher", teacher, student.classes_)
    columns += [k for k in range(len(teacher.classes_)) if k not in columns]

    if X_teacher is None:
        z_T, labels = teacher.feature_bank_, teacher.feature_bank_labels_
    else:
        check_consistent_length(X_teacher, y_teacher)
        z_T, labels = teacher.encode(X_teacher), y_teacher
    labels = np.argsort(columns)[label_codes(labels, teacher.classes_)]
    z_T, labels = z_T[labels < len(student.classes_)], labels[labels < len(student.classes_)]

    mine = _draw(len(codes), max_samples, rng)
    theirs = _draw(len(labels), max_samples, rng)
    X, codes = take(X, mine), torch.from_numpy(codes[mine])
    z_T, labels = torch.as_tensor(z_T[theirs]).float(), torch.from_numpy(labels[theirs])
    p_S = torch.from_numpy(student.predict_proba(X))
    z_S = torch.from_numpy(getattr(student, "project", student.encode)(X))
    head = copy.deepcopy(teacher.head_).cpu()
    with torch.inference_mode():
        log_S, log_T = (true_log_probability(head(z)[:, columns], known).double()
                        for z, known in ((z_S, codes), (z_T, labels)))
    student_error = F.nll_loss(p_S.clamp_min(1e-38).log().double(), codes).item()
    h_S, h_T = (-log.exp() * log for log in (log_S, log_T))

    distance = l2(z_S.double(), z_T.double())
    rise = h_S[:, None] - h_T
    same = codes[:, None] == labels
    slopes = (rise.abs() / distance.clamp_min(1e-12))[same]
    lipschitz = float(np.quantile(slopes.numpy(), 1 - delta)) if len(slopes) else 0.0
    price = (lipschitz * distance).clamp_max(GREATEST)
    price[~same | (rise > price)] = GREATEST
    plan = torch.from_numpy(ot.emd([], [], price.numpy()))

    terms = Bunch(teacher_error=-log_T.mean().item(),
                  feature_alignment=(plan * price).sum().item(),
                  label_alignment=student_error - h_S.mean().item(),
                  slack=GREATEST * sum(math.sqrt(math.log(2 / delta) / (2 * n))
                                       for n in (len(codes), len(labels))))
    bound = sum(terms.values())
    way = (plan * distance)[same].sum() / plan[same].sum().clamp_min(1e-12)
    return Bunch(student_error=student_error, **terms, bound=bound, lipschitz=lipschitz,
                 distance=way.item(), holds=student_error <= bound)


def _draw(n, at_most, rng):
    return np.arange(n) if n <= at_most else np.sort(rng.choice(n, at_most, replace=False))
