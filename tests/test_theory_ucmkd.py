"""The bounds of unpaired distillation: worked by hand, on known conditionals, and failing."""

import copy
import math

import numpy as np
import ot
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from scipy.special import log_softmax
from sklearn.datasets import load_digits
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC
from sklearn.utils import Bunch

from cmkdlearn.alignment import METRICS
from cmkdlearn.base import as_teacher
from cmkdlearn.inspection import BoundDisplay
from cmkdlearn.nn.modules import linear_head
from cmkdlearn.nn.samples import Modalities
from cmkdlearn.students import UCMKDStudent
from cmkdlearn.teachers import UnimodalTeacher
from cmkdlearn.theory import ucmkd_bound, ucmkd_finite_bound
from cmkdlearn.theory._ucmkd import _steepest

E = math.e


class Says:
    """A linear head on the samples themselves."""

    def __init__(self, weight, bias, classes=(0, 1)):
        self.head_ = linear_head(np.asarray(weight, dtype=float), np.asarray(bias, dtype=float))
        self.classes_ = np.asarray(classes)

    def encode(self, X):
        return np.asarray(X, dtype=np.float32)


def sure(p, width=1):
    """Says the first of two classes with the probability p, whatever it sees."""
    return Says(np.zeros((2, width)), [math.log(p), math.log(1 - p)])


def distance_of(metric, a, b):
    if metric == "angular":
        return math.acos(np.clip(a @ b / np.linalg.norm(a) / np.linalg.norm(b), -1, 1)) / math.pi
    return np.linalg.norm(a - b, ord={"l1": 1, "l2": 2}[metric])


# ----------------------------------------------------------------------------- Theorem 2.6


@pytest.mark.parametrize("seed", range(30))
def test_the_theorem_where_all_conditionals_are_known(seed):
    """Four points, three classes, probabilities of every kind: no sample, no estimate."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(4, 2))
    on_T, on_S = rng.dirichlet(np.ones(4), size=2)  # D(z)
    D_T, D_S, p_T, p_S = rng.dirichlet(np.ones(3), size=(4, 4))  # D(y | z), and what the heads say
    err_S = -(on_S[:, None] * D_S * np.log(p_S)).sum()
    err_T = -(on_T[:, None] * D_T * np.log(p_T)).sum()
    ell = -(D_T * np.log(p_T)).sum(axis=1)  # Definition 2.4
    kappa = D_T / D_S  # Definition 2.5
    la = (on_S[:, None] * D_S * (-np.log(p_S) + kappa * np.log(p_T))).sum()
    assert la == pytest.approx(err_S - on_S @ ell)  # equations 28 to 30
    points = torch.tensor(z)
    for metric, cost in METRICS.items():
        tau, W = _steepest(torch.tensor(ell), points, cost), ot.emd2(on_T, on_S, cost(points, points).numpy())
        slopes = [abs(ell[i] - ell[j]) / distance_of(metric, z[i], z[j]) for i in range(4) for j in range(i)]
        assert tau == pytest.approx(max(slopes))
        assert err_S <= err_T + tau * W + la + 1e-12


@pytest.mark.parametrize("seed", range(3))
def test_every_term_by_hand(seed):
    rng = np.random.default_rng(seed)
    teacher, student = (Says(rng.normal(size=(3, 2)), rng.normal(size=3), range(3)) for _ in range(2))
    X, X_T = rng.normal(size=(40, 2)), rng.normal(size=(40, 2)) + 1
    y, y_T = rng.integers(3, size=(2, 40))
    bound = ucmkd_bound(student, teacher, X, y, X_T, y_T, random_state=seed)
    draw = np.random.RandomState(seed)
    S, T = draw.permutation(40), draw.permutation(40)

    def says(model, x):
        return log_softmax(x.astype(np.float32) @ model.head_.weight.detach().double().numpy().T
                           + model.head_.bias.detach().double().numpy())

    def uncertainty(x):
        log_p = says(teacher, x)
        return -(np.exp(log_p) * log_p).sum()

    one, others = np.vstack([X[S[:20]], X_T[T[:20]]]), (S[20:], T[20:])
    fa = {}
    for metric in METRICS:
        tau = max(abs(uncertainty(a) - uncertainty(b)) / distance_of(metric, a, b)
                  for i, a in enumerate(one) for b in one[:i])
        cost = np.array([[distance_of(metric, X[i], X_T[j]) for j in others[1]] for i in others[0]])
        W = cost[linear_sum_assignment(cost)].mean()  # of as many on either side
        assert bound.lipschitz[metric] == pytest.approx(tau, rel=1e-4)
        assert bound.distance[metric] == pytest.approx(W, rel=1e-5)
        fa[metric] = tau * W
    assert bound.metric == min(fa, key=fa.get)
    assert bound.feature_alignment == pytest.approx(min(fa.values()), rel=1e-4)
    p_S = np.array([says(student, X[i])[y[i]] for i in others[0]])
    p_T = np.array([says(teacher, X[i])[y[i]] for i in others[0]])
    assert bound.student_error == pytest.approx(-p_S.mean(), rel=1e-6)
    assert bound.label_alignment == pytest.approx((-p_S + np.exp(p_T) * p_T).mean(), rel=1e-6)
    assert bound.teacher_error == pytest.approx(-np.mean([says(teacher, X_T[j])[y_T[j]] for j in others[1]]),
                                                rel=1e-6)
    total = bound.teacher_error + bound.feature_alignment + bound.label_alignment
    assert bound.bound == pytest.approx(total) and bound.n_student == bound.n_teacher == 20
    assert bound.gap == pytest.approx((total - bound.student_error) / bound.student_error)


def test_two_points_in_numbers():
    """One point a side: the slope times the way is the difference of uncertainty, in any metric."""
    teacher = Says([[0.0, 0.0], [1.0, 0.0]], [0.0, 0.0])  # logit x of the second class
    at_T, at_S = np.tile([0.0, 2.0], (6, 1)), np.tile([math.log(3), 0.0], (6, 1))
    bound = ucmkd_bound(sure(0.9, 2), teacher, at_S, [0] * 6, at_T, [1] * 6)
    unsure, surer = math.log(2), math.log(4) - 0.75 * math.log(3)  # of 1/2, and of 3/4 and 1/4
    way = math.hypot(2, math.log(3))
    assert bound.distance["l2"] == pytest.approx(way) and bound.distance["angular"] == pytest.approx(0.5)
    assert bound.lipschitz["l2"] == pytest.approx((unsure - surer) / way, rel=1e-6)
    assert bound.feature_alignment == pytest.approx(unsure - surer, rel=1e-6)
    assert bound.teacher_error == pytest.approx(math.log(2))
    # the teacher gives the student's label, 0, a quarter
    assert bound.label_alignment == pytest.approx(-math.log(0.9) - math.log(4) / 4, rel=1e-6)


def test_it_fails_where_labels_contradict_a_teacher_that_is_right_but_not_sure():
    """Features alike, so FA = 0: of 0.288 and 0.347 nats the greater decides."""
    X, student, teacher = np.zeros((10, 1)), sure(0.6), sure(0.75)
    agreed, contradicted = (ucmkd_bound(student, teacher, X, [label] * 10, X, [0] * 10) for label in (0, 1))
    for bound, kappa in ((agreed, 0.75), (contradicted, 0.25)):
        assert bound.feature_alignment == 0
        assert bound.bound - bound.student_error == pytest.approx(-math.log(0.75) + kappa * math.log(kappa))
    assert agreed.holds and agreed.gap > 0
    assert not contradicted.holds and contradicted.gap < 0


@pytest.mark.parametrize("p", [0.5, 0.69])
@pytest.mark.parametrize("label", [0, 1])
def test_a_teacher_with_an_error_above_1_over_e_cannot_violate_it(p, label):
    assert -math.log(p) > 1 / E
    X = np.zeros((4, 1))
    assert ucmkd_bound(sure(0.9), sure(p), X, [label] * 4, X, [0] * 4).holds


@pytest.mark.parametrize("seed", range(5))
def test_the_slope_is_not_taken_from_the_samples_that_are_transported(seed):
    """A single sample on which the teacher is surer: either the slope knows it, or the transport."""
    X = np.zeros((9, 1))
    X[0] = 3.0
    teacher = Says([[0.0], [1.0]], [0.0, 0.0])
    bound = ucmkd_bound(sure(0.6), teacher, X, [0] * 9, np.zeros((9, 1)), [0] * 9, random_state=seed)
    assert bound.feature_alignment == 0
    assert (bound.lipschitz["l2"] > 0) != (bound.distance["l2"] > 0)


def test_a_metric_in_which_there_is_no_lipschitz_constant_is_left_out():
    """Along a ray the angle is 0, and the teacher surer and surer."""
    X = np.arange(1.0, 21)[:, None]
    bound = ucmkd_bound(sure(0.6), Says([[0.0], [1.0]], [0.0, 0.0]), X, [0] * 20, X, [1] * 20)
    assert bound.lipschitz["angular"] == math.inf and bound.metric != "angular"
    assert math.isfinite(bound.bound)


def test_an_error_of_nothing_has_no_share():
    certain, X = Says([[0.0], [0.0]], [1e4, 0.0]), np.zeros((4, 1))
    bound = ucmkd_bound(certain, sure(0.6), X, [0] * 4, X, [0] * 4)
    assert bound.student_error == 0 and bound.holds and bound.gap == math.inf


def test_units_of_the_features_do_not_matter():
    rng = np.random.default_rng(0)
    X, X_T, y = rng.normal(size=(30, 2)), rng.normal(size=(30, 2)) + 1, np.arange(30) % 2
    weight, student = rng.normal(size=(2, 2)), sure(0.6, 2)
    one, thousand = (ucmkd_bound(student, Says(weight / unit, [0, 0]), unit * X, y, unit * X_T, y, random_state=0)
                     for unit in (1.0, 1024.0))
    for term in ("teacher_error", "feature_alignment", "label_alignment", "bound"):
        assert one[term] == pytest.approx(thousand[term], rel=1e-5)


def test_classes_in_another_order_and_classes_that_the_student_does_not_know():
    rng = np.random.default_rng(0)
    weight, bias = rng.normal(size=(4, 2)), rng.normal(size=4)
    X, X_T = rng.normal(size=(20, 2)), rng.normal(size=(60, 2))
    y, y_T = np.array(["b", "a"] * 10), np.array(list("dabc") * 15)
    student = Says(rng.normal(size=(2, 2)), [0, 0], ["a", "b"])
    known = np.isin(y_T, ["a", "b"])
    expected = ucmkd_bound(student, Says(weight, bias, list("abcd")), X, y, X_T[known], y_T[known], random_state=0)
    turned = [3, 1, 0, 2]
    actual = ucmkd_bound(student, Says(weight[turned], bias[turned], list("dbac")), X, y, X_T[known], y_T[known],
                         random_state=0)
    for term in ("teacher_error", "feature_alignment", "label_alignment"):
        assert actual[term] == pytest.approx(expected[term], rel=1e-6)
    others_too = ucmkd_bound(student, Says(weight, bias, list("abcd")), X, y, X_T, y_T)
    assert others_too.n_teacher == 15 == known.sum() // 2


def test_coinciding_samples_are_one_point():
    """However their logits are rounded."""
    z = torch.zeros(3, 2, dtype=torch.float64)
    for cost in METRICS.values():
        assert _steepest(torch.tensor([0.0, 1e-17, 0.0], dtype=torch.float64), z, cost) == 0


# ------------------------------------------------------------------------------ Theorem 2.7


FOUND = Bunch(student_error=1.0, teacher_error=0.4, feature_alignment=0.5, label_alignment=0.8, metric="l1",
              lipschitz={"l2": 9.0, "l1": 0.5}, n_student=100, n_teacher=400, bound=1.7, gap=0.7, holds=True)


def test_finite_samples_by_hand():
    """Equation 52, with a tenth for delta."""
    finite = ucmkd_finite_bound(FOUND, delta=0.1, c1=2.0, s1=2.0, c2=3.0, s2=4.0, c3=1.5, d=10)
    expected = {
        "concentration": 0.5 * (math.sqrt(math.log(20) / 200) + math.sqrt(math.log(20) / 800)),
        "student_rate": 0.5 * 2 * 0.1,  # 100 to the power of -1/2
        "teacher_rate": 0.5 * 3 * 400**-0.25,
        "complexity": 2 * 1.5 * math.sqrt(2 * 10 * math.log(10) / 100),
        "deviation": 1.5 * math.sqrt(math.log(10) / 200),
    }
    for name, value in expected.items():
        assert finite[name] == pytest.approx(value)
    assert finite.bound == pytest.approx(1.7 + sum(expected.values()))
    assert finite.gap == pytest.approx(finite.bound - 1) and finite.holds and finite.missing == ()
    assert finite.probability == pytest.approx(0.7)


def test_what_is_not_known_is_said_to_be_missing():
    finite = ucmkd_finite_bound(FOUND)
    assert finite.missing == ("student_rate", "teacher_rate", "complexity", "deviation")
    assert not any(name in finite for name in finite.missing)
    assert finite.bound == pytest.approx(1.7 + finite.concentration)
    once, twice = ucmkd_finite_bound(finite, c3=1.0), ucmkd_finite_bound(FOUND, c3=1.0)
    assert once == twice and "concentration" not in FOUND


@pytest.mark.parametrize(("params", "message"), [
    ({"delta": 1 / 3}, "delta=0.333.* must be above 0 and below 1/3"), ({"delta": 0}, "delta=0 must be"),
    ({"delta": 0.5}, "delta=0.5 is out of range"), ({"c1": 1.0}, "c1=1.0 is of no use without s1"),
    ({"s2": 1.0}, "s2=1.0 is of no use without c2"), ({"d": 10}, "d=10 is of no use without c3"),
    ({"c3": 0}, "c3=0 is out of range"), ({"c3": 1.0, "d": 101}, r"d=101 is out of range; .* in \[1, 100\]"),
])
def test_constants_that_cannot_be(params, message):
    with pytest.raises(ValueError, match=message):
        ucmkd_finite_bound(FOUND, **params)


# ---------------------------------------------------------------------------- of estimators


X, y = load_digits(return_X_y=True)
UPPER, LOWER = np.split((X / 16).astype(np.float32), 2, axis=1)


@pytest.fixture(scope="module")
def teacher():
    return UnimodalTeacher(max_epochs=10, random_state=0, device="cpu", lr=0.01).fit(UPPER[:600], y[:600])


@pytest.fixture(scope="module")
def student(teacher):
    return UCMKDStudent(FrozenEstimator(teacher), module__hidden=(24,), max_epochs=5, random_state=0,
                        device="cpu", lr=0.01).fit(LOWER[900:1100], y[900:1100])


HELD_OUT = LOWER[1100:1400], y[1100:1400], UPPER[1400:], y[1400:]


def test_a_student_of_another_width(student, teacher):
    bound = ucmkd_bound(student, FrozenEstimator(teacher), *HELD_OUT, random_state=0)
    assert bound == ucmkd_bound(student, teacher, *HELD_OUT, random_state=0)
    draw = np.random.RandomState(0)
    rows, theirs = draw.permutation(300)[150:], draw.permutation(397)[199:]
    of = HELD_OUT[0][rows], HELD_OUT[1][rows]
    p = student.predict_proba(of[0])[np.arange(150), of[1]]
    assert bound.student_error == pytest.approx(-np.log(p).mean(), rel=1e-4)
    z = torch.from_numpy(student.project(of[0]))
    kappa = teacher.head_(z).softmax(1).detach().numpy()[np.arange(150), of[1]]
    assert bound.label_alignment == pytest.approx(np.mean(-np.log(p) + kappa * np.log(kappa)), rel=1e-4)
    taught = teacher.predict_proba(UPPER[1400:][theirs])[np.arange(198), y[1400:][theirs]]
    assert bound.teacher_error == pytest.approx(-np.log(taught).mean(), rel=1e-4)
    assert (bound.n_student, bound.n_teacher) == (150, 198)


def test_fewer_samples_and_modalities_of_one_name(student, teacher):
    before = copy.deepcopy(teacher.head_.state_dict())
    few = ucmkd_bound(student, teacher, *HELD_OUT, max_samples=50, random_state=1)
    assert few.n_student == few.n_teacher == 25
    assert all(torch.equal(before[name], value) for name, value in teacher.head_.state_dict().items())
    assert teacher.head_.weight.dtype == torch.float32  # double precision is a copy's
    named = UnimodalTeacher(modality="up", max_epochs=1, random_state=0, device="cpu").fit({"up": UPPER}, y)
    inputs = {"up": UPPER[:60], "other": LOWER[:60]}
    a, b = (ucmkd_bound(named, named, x, y[:60], x, y[:60], random_state=0) for x in (inputs, Modalities(inputs)))
    assert a == b and a.student_error > 0


def test_classifiers_of_scikit_learn():
    teacher, student = (as_teacher(LogisticRegression(max_iter=200).fit(half[:600], y[:600]))
                        for half in (UPPER, LOWER))
    bound = ucmkd_bound(student, teacher, LOWER[600:], y[600:], UPPER[600:], y[600:], random_state=0)
    draw = np.random.RandomState(0)
    for model, half, error in ((student, LOWER, bound.student_error), (teacher, UPPER, bound.teacher_error)):
        rows = 600 + draw.permutation(1197)[500:1000]
        p = model.estimator.predict_proba(half[rows])[np.arange(500), y[rows]]
        assert error == pytest.approx(-np.log(p).mean(), rel=1e-5)


@pytest.mark.parametrize(("change", "error", "message"), [
    (lambda a: a.update(teacher=SVC().fit(UPPER, y)), TypeError, "teacher=SVC.* has no encode"),
    (lambda a: a.update(student=SVC().fit(LOWER, y)), TypeError, "student=SVC.* has no encode"),
    (lambda a: a.update(y=np.where(a["y"] == 3, 11, a["y"])), ValueError, "y holds the label 11"),
    (lambda a: a.update(y_teacher=np.where(a["y_teacher"] == 3, 11, a["y_teacher"])), ValueError,
     "y_teacher holds the label 11"),
    (lambda a: a.update(y=np.where(a["y"] == 3, -1, a["y"])), ValueError, "y has samples without a label"),
    (lambda a: a.update(y_teacher=a["y_teacher"][:9]), ValueError, "inconsistent numbers of samples"),
    (lambda a: a.update(X=a["X"][:1], y=a["y"][:1]), ValueError, "X has 1 samples of the student's classes"),
    (lambda a: a.update(max_samples=1), ValueError, "max_samples=1 is out of range"),
    (lambda a: a.pop("X_teacher"), TypeError, "X_teacher"),
])
def test_refuses(student, teacher, change, error, message):
    given = dict(zip(("student", "teacher", "X", "y", "X_teacher", "y_teacher"), (student, teacher, *HELD_OUT),
                     strict=True))
    change(given)
    with pytest.raises(error, match=message):
        ucmkd_bound(**given)


def test_features_that_are_not_finite_are_refused():
    teacher = Says(np.zeros((2, 1)), [0, 0])
    with pytest.raises(ValueError, match="features that are NaN or infinite"):
        ucmkd_bound(teacher, teacher, np.full((4, 1), np.inf), [0, 1, 0, 1], np.zeros((4, 1)), [0, 1, 0, 1])


def test_a_display_names_its_only_student(student, teacher):
    pytest.importorskip("matplotlib")
    display = BoundDisplay.from_estimator(student, teacher, *HELD_OUT, random_state=0)
    assert display.bounds == {"UCMKDStudent": ucmkd_bound(student, teacher, *HELD_OUT, random_state=0)}
    assert [label.get_text() for label in display.ax_.get_xticklabels()] == ["UCMKDStudent"]
