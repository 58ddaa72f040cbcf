"""UCMKDStudent: Algorithm 1 against an unrolled loop, and its limits."""

import copy
import math
import pickle

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.spatial.distance import pdist
from sklearn.base import BaseEstimator, clone
from sklearn.datasets import load_digits
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.svm import SVC
from torch import nn

from cmkdlearn.alignment import feature_alignment, label_alignment
from cmkdlearn.students import MultiTeacherDistiller, UCMKDStudent, _unpaired
from cmkdlearn.teachers import TeacherEnsemble, UnimodalTeacher

X, y = load_digits(return_X_y=True)
X = (X / 16).astype(np.float32)
UPPER, LOWER = X[:, :32], X[:, 32:]
FEW = slice(900, 1100)
QUICK = {"max_epochs": 3, "random_state": 0, "device": "cpu", "lr": 0.01}


@pytest.fixture(scope="module")
def teacher():
    fitted = UnimodalTeacher(max_epochs=15, random_state=0, device="cpu", lr=0.01)
    return fitted.fit(UPPER[:600], y[:600])


def weights(student):
    return torch.cat([p.detach().flatten() for p in student.net_.module_.encoder.parameters()]
                     + [p.detach().flatten() for p in student.net_.module_.head.parameters()])


def fit(teacher, **params):
    frozen = FrozenEstimator(teacher)
    return UCMKDStudent(frozen, **{**QUICK, **params}).fit(LOWER[FEW], y[FEW])


# ---------------------------------------------------------------------------------- limits


@pytest.mark.parametrize("params", [
    {}, {"bilevel": True}, {"bilevel": True, "order": "second", "la_scope": "head"},
    {"lambda_fa": 1.0, "lambda_la": 1.0, "fa_steps": 0, "la_steps": 0, "bilevel": True},
    {"module__hidden": (48,)},
])
@pytest.mark.parametrize("random_state", [0, 7])
def test_without_alignment_it_is_cross_entropy_bit_for_bit(teacher, params, random_state):
    params = {"lambda_fa": 0.0, "lambda_la": 0.0, "random_state": random_state, **params}
    student = fit(teacher, **params)
    hidden = {name: value for name, value in params.items() if name.startswith("module__")}
    plain = MultiTeacherDistiller(**{**QUICK, "random_state": random_state, **hidden})
    plain.fit(LOWER[FEW], y[FEW])
    np.testing.assert_array_equal(student.decision_function(LOWER), plain.decision_function(LOWER))


@pytest.mark.parametrize("order", ["first", "second"])
@pytest.mark.parametrize("la_scope", ["all", "head"])
def test_goes_to_cross_entropy_with_the_inner_rate(teacher, order, la_scope):
    plain = weights(fit(teacher, lambda_fa=0.0, lambda_la=0.0))
    apart = [(weights(fit(teacher, lambda_fa=1.0, lambda_la=1.0, bilevel=True, inner_lr=rate,
                          la_gradient="full", order=order, la_scope=la_scope)) - plain).norm()
             for rate in (1e-1, 1e-8)]
    assert apart[1] < 1e-3 < apart[0]


def test_orders_agree_as_the_inner_rate_goes_to_zero(teacher):
    """Their difference shrinks faster than what either does."""
    def run(order, rate):
        return weights(fit(teacher, lambda_fa=1.0, lambda_la=1.0, bilevel=True, order=order,
                           inner_lr=rate, la_gradient="full", max_epochs=1, batch_size=-1,
                           optimizer=torch.optim.SGD, lr=0.1))
    start = weights(fit(teacher, max_epochs=0))
    for rate in (1e-2, 1e-4):
        moved = (run("first", rate) - start).norm()
        apart = (run("first", rate) - run("second", rate)).norm()
        assert apart < 10 * rate * moved
    assert (run("first", 0.3) - run("second", 0.3)).norm() > 1e-3 * moved


# ------------------------------------------------------------------------------ Algorithm 1


class Tiny(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(32, 5), nn.Tanh())
        self.head = nn.Linear(5, 10)

    def forward(self, x):
        return self.head(self.body(x))


@pytest.fixture(scope="module")
def narrow():
    fitted = UnimodalTeacher(Tiny, max_epochs=10, random_state=0, device="cpu", lr=0.03)
    return fitted.fit(UPPER[:60], y[:60])


@pytest.mark.parametrize("order", ["first", "second"])
@pytest.mark.parametrize("la_scope", ["all", "head"])
def test_one_step_is_algorithm_1(narrow, order, la_scope):
    """By hand: parameters as a list, the gradient through the inner steps by plain autograd."""
    lr, rate, lambda_fa, lambda_la, rows = 0.1, 0.3, 0.7, 0.4, slice(600, 640)
    student = UCMKDStudent(
        FrozenEstimator(narrow), module=Tiny, bilevel=True, order=order, inner_lr=rate,
        fa_steps=2, la_steps=2, lambda_fa=lambda_fa, lambda_la=lambda_la, la_gradient="full", feature_scale=2.0,
        la_scope=la_scope, label_cost=0.0, optimizer=torch.optim.SGD, lr=lr, batch_size=-1, random_state=0,
        teacher_batch_size=1000, device="cpu", max_epochs=0)
    student.fit(LOWER[rows], y[rows])
    W, b, V, c = (p.detach().clone().requires_grad_() for p in student.net_.module_.parameters())
    original = [W, b, V, c]
    student.set_params(max_epochs=1, warm_start=True).fit(LOWER[rows], y[rows])

    x, t = torch.from_numpy(LOWER[rows]), torch.from_numpy(y[rows])
    z_T = torch.from_numpy(narrow.feature_bank_)
    second = order == "second"

    def step(loss, moving, params):
        gradients = torch.autograd.grad(loss, [params[i] for i in moving], create_graph=second)
        params = list(params)
        for i, gradient in zip(moving, gradients, strict=True):
            new = params[i] - rate * gradient
            params[i] = new if second else new.detach().requires_grad_()
        return params

    params = original if second else [p.detach().clone().requires_grad_() for p in original]
    for _ in range(2):
        z = torch.tanh(F.linear(x, params[0], params[1]))
        params = step(lambda_fa * feature_alignment(z, z_T) / 2, [0, 1], params)
    for _ in range(2):
        z = torch.tanh(F.linear(x, params[0], params[1]))
        la = label_alignment(F.linear(z, *params[2:]), narrow.head_, z, t, gradient="full")
        params = step(lambda_la * la, [2, 3] if la_scope == "head" else [0, 1, 2, 3], params)
    ce = F.cross_entropy(F.linear(torch.tanh(F.linear(x, *params[:2])), *params[2:]), t)
    gradients = torch.autograd.grad(ce, original if second else params)
    for p, before, gradient in zip(student.net_.module_.parameters(), original, gradients,
                                   strict=True):
        torch.testing.assert_close(p.detach(), before.detach() - lr * gradient,
                                   rtol=1e-4, atol=1e-6)


def test_a_teacher_whose_features_are_all_alike_is_no_teacher(narrow):
    flat = copy.deepcopy(narrow)
    flat.feature_bank_ = np.ones_like(flat.feature_bank_)
    with pytest.raises(ValueError, match="The teacher's features are all alike"):
        UCMKDStudent(FrozenEstimator(flat), module=Tiny, device="cpu").fit(LOWER, y)
    UCMKDStudent(FrozenEstimator(flat), module=Tiny, lambda_fa=0, max_epochs=1, device="cpu").fit(LOWER, y)


@pytest.mark.parametrize("metric", ["l2", "l1"])
def test_alignment_knows_no_unit(teacher, metric):
    """Features in other units, on both sides: the same plan, the same pull."""
    z_S, z_T = torch.randn(2, 30, 4, generator=torch.Generator().manual_seed(0)).unbind()
    found = []
    for unit in (1.0, 1000.0):
        student = UCMKDStudent(teacher, metric=metric, lambda_fa=1.0)
        student._bank = (unit * z_T,)
        found.append(feature_alignment(unit * z_S, unit * z_T, metric=metric) / student._teachers_spread())
    torch.testing.assert_close(*found)


def test_plain_sum_by_hand(narrow):
    rows = slice(600, 640)
    student = UCMKDStudent(
        FrozenEstimator(narrow), module=Tiny, bilevel=False, lambda_fa=0.7, lambda_la=0.4,
        la_gradient="full", metric="l1", label_cost=0.5, optimizer=torch.optim.SGD, lr=0.1,
        batch_size=-1, random_state=0, teacher_batch_size=1000, device="cpu", max_epochs=0)
    student.fit(LOWER[rows], y[rows])
    W, b, V, c = (p.detach().clone().requires_grad_() for p in student.net_.module_.parameters())
    student.set_params(max_epochs=1, warm_start=True).fit(LOWER[rows], y[rows])
    x, t = torch.from_numpy(LOWER[rows]), torch.from_numpy(y[rows])
    z = torch.tanh(F.linear(x, W, b))
    fa = feature_alignment(z, torch.from_numpy(narrow.feature_bank_), metric="l1", label_cost=0.5,
                           y_S=t, y_T=torch.from_numpy(narrow.feature_bank_labels_))
    logits = F.linear(z, V, c)
    la = label_alignment(logits, narrow.head_, z, t, gradient="full")
    spread = pdist(narrow.feature_bank_, "cityblock").mean()  # what feature_scale="auto" is
    loss = F.cross_entropy(logits, t) + 0.7 * fa / spread + 0.4 * la
    gradients = torch.autograd.grad(loss, [W, b, V, c])
    for p, before, gradient in zip(student.net_.module_.parameters(), (W, b, V, c), gradients,
                                   strict=True):
        torch.testing.assert_close(p.detach(), (before - 0.1 * gradient).detach(),
                                   rtol=1e-4, atol=1e-6)
    history = student.history_[-1]
    for name, value in (("loss", loss), ("fa_loss", fa), ("la_loss", la)):
        assert history[f"train_{name}"] == pytest.approx(value.item(), rel=1e-4)
    log_kappa = narrow.head_(z).log_softmax(1)[torch.arange(len(t)), t]
    assert history["train_kappa"] == pytest.approx(log_kappa.exp().mean().item(), rel=1e-4)


def test_weights_fall_to_nothing_over_the_epochs(teacher):
    """Also where a warm start goes on."""
    params = {"bilevel": False, "lambda_fa": 0.8, "feature_scale": 1.0, "lambda_la": 0.5, "max_epochs": 4}
    student = fit(teacher, **params, decay=True)
    student.set_params(warm_start=True, max_epochs=2).fit(LOWER[FEW], y[FEW])
    for row, share in zip(student.history_, [1, 3 / 4, 2 / 4, 1 / 4, 1, 1 / 2], strict=True):
        expected = (row["train_ce_loss"] + share * 0.8 * row["train_fa_loss"]
                    + share * 0.5 * row["train_la_loss"])
        assert row["train_loss"] == pytest.approx(expected, rel=1e-5)
    stays = fit(teacher, **params).history_[-1]
    assert stays["train_loss"] == pytest.approx(
        stays["train_ce_loss"] + 0.8 * stays["train_fa_loss"] + 0.5 * stays["train_la_loss"],
        rel=1e-5)


@pytest.mark.parametrize(("params", "moved"), [
    ({"lambda_la": 0.0}, ["0.weight", "0.bias"]),
    ({"lambda_fa": 0.0}, ["0.weight", "0.bias", "head.weight", "head.bias"]),
    ({"lambda_fa": 0.0, "la_scope": "head"}, ["head.weight", "head.bias"])])
@pytest.mark.parametrize("weight", [1.0, 0.25])
def test_an_inner_step_of_weight_1_is_a_thousandth_of_what_it_moves(teacher, monkeypatch, params, moved, weight):
    """Whatever unit the term has; and the weights mean something."""
    steps = []

    class Watched(_unpaired._InnerLoop):
        def descend(self, loss, weight, moves):
            before = {name: p.detach().clone() for name, p in self.params.items()}
            super().descend(loss, weight, moves)
            length, way = (torch.cat([part.flatten() for part in parts]).norm() for parts in zip(
                *((before[name], p.detach() - before[name]) for name, p in self.params.items()
                  if not torch.equal(p, before[name])), strict=True))
            steps.append(((way / length).item(), [name for name, p in self.params.items()
                                                  if not torch.equal(p, before[name])]))

    monkeypatch.setattr(_unpaired, "_InnerLoop", Watched)
    (name,) = {"lambda_fa", "lambda_la"} - params.keys()
    for scale in (1.0, 1e3):
        fit(teacher, **{**params, name: weight}, feature_scale=scale, max_epochs=1, module=nn.Sequential(
            nn.Linear(32, 256), nn.Tanh(), nn.Linear(256, 10)))
    for relative, names in steps:
        assert relative == pytest.approx(weight * 1e-3, rel=1e-2)
        assert [n.removeprefix("encoder.") for n in names] == moved


class Normalised(Tiny):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(32, 5), nn.BatchNorm1d(5), nn.Tanh())


def test_inner_steps_leave_batch_statistics_alone(narrow):
    def statistics(**params):
        student = UCMKDStudent(FrozenEstimator(narrow), module=Normalised, bilevel=True, lr=0.0,
                               inner_lr=1e-8, lambda_fa=1.0, lambda_la=1.0, device="cpu",
                               random_state=0, max_epochs=2, batch_size=128, **params)
        return student.fit(LOWER[FEW], y[FEW]).net_.module_.encoder.body[1]
    one, many = statistics(), statistics(fa_steps=3, la_steps=2)
    assert one.num_batches_tracked == many.num_batches_tracked == 4
    torch.testing.assert_close(one.running_mean, many.running_mean)


# ---------------------------------------------------------------------------- the teacher


def test_alignment_brings_the_features_nearer(teacher):
    far, near = (fit(teacher, bilevel=False, lambda_la=0.0, lambda_fa=weight, feature_scale=1.0, max_epochs=20)
                 for weight in (0.0, 1.0))
    bank = torch.from_numpy(teacher.feature_bank_[:200])
    distances = [feature_alignment(torch.from_numpy(s.project(LOWER[FEW])), bank).item()
                 for s in (far, near)]
    assert distances[1] < 0.8 * distances[0]


@pytest.mark.parametrize("bilevel", [False, True])
def test_projection_where_widths_differ(teacher, bilevel):
    student = fit(teacher, module__hidden=(24,), bilevel=bilevel, lambda_fa=1.0, lr=0.003)
    assert student.encode(LOWER[:5]).shape == (5, 24)
    assert student.project(LOWER[:5]).shape == (5, 256)
    start = fit(teacher, module__hidden=(24,), bilevel=bilevel, lambda_fa=1.0, max_epochs=0)
    moved = student.net_.module_.projection.weight - start.net_.module_.projection.weight
    assert moved.abs().max() > 1e-3  # also where cross-entropy does not pass through it
    features = torch.from_numpy(student.encode(LOWER[:5]))
    np.testing.assert_allclose(student.head_(features).detach(),
                               student.decision_function(LOWER[:5]), rtol=1e-5, atol=1e-5)


def test_order_of_the_teachers_samples_does_not_matter(teacher):
    """With the whole bank in each batch, nothing is drawn."""
    rng = np.random.default_rng(0).permutation(600)
    runs = [UCMKDStudent(FrozenEstimator(teacher), teacher_batch_size=600, label_cost=1.0, **QUICK)
            .fit(LOWER[FEW], y[FEW], X_teacher=UPPER[:600][order], y_teacher=y[:600][order])
            .decision_function(LOWER) for order in (np.arange(600), rng)]
    np.testing.assert_allclose(runs[0], runs[1], rtol=1e-3, atol=1e-3)


def test_bank_can_be_overridden_or_the_teacher_fitted(teacher):
    from_bank = fit(teacher, teacher_batch_size=600)
    given = UCMKDStudent(FrozenEstimator(teacher), teacher_batch_size=600, **QUICK).fit(
        LOWER[FEW], y[FEW], X_teacher=UPPER[:600], y_teacher=y[:600])
    np.testing.assert_allclose(from_bank.decision_function(LOWER), given.decision_function(LOWER),
                               rtol=1e-4, atol=1e-4)
    fitted = UCMKDStudent(clone(teacher), teacher_batch_size=600, **QUICK).fit(
        LOWER[FEW], y[FEW], X_teacher=UPPER[:600], y_teacher=y[:600])
    np.testing.assert_array_equal(fitted.decision_function(LOWER),
                                  from_bank.decision_function(LOWER))
    np.testing.assert_array_equal(fitted.teacher_.feature_bank_, teacher.feature_bank_)


def test_teachers_of_every_kind(teacher):
    ensemble = TeacherEnsemble([("a", clone(teacher)), ("b", clone(teacher))], random_state=0)
    for other in (LogisticRegression(), SVC(), ensemble):
        student = UCMKDStudent(other, lambda_la=0.5, la_gradient="full", **QUICK)
        student.fit(LOWER[FEW], y[FEW], X_teacher=UPPER[:300], y_teacher=y[:300])
        assert math.isfinite(student.history_[-1]["train_fa_loss"])
        assert 0 < student.history_[-1]["train_kappa"] < 1


def test_teacher_knows_more_classes_than_the_student(teacher):
    """Features of foreign classes are no goal; the teacher's probabilities count all classes."""
    few = np.flatnonzero(y[FEW] < 3) + 900
    student = UCMKDStudent(FrozenEstimator(teacher), lambda_la=1.0, la_gradient="full", **QUICK)
    student.fit(LOWER[few], y[few])
    assert (student.net_.criterion_.y < 3).all()
    assert len(student.net_.criterion_.z) == (y[:600] < 3).sum()
    z = torch.from_numpy(teacher.feature_bank_[:7])
    torch.testing.assert_close(student.net_.criterion_.teacher_logits(z)[:, :3],
                               teacher.head_(z)[:, :3])
    assert student.net_.criterion_.teacher_logits(z).shape == (7, 10)


def test_string_labels_in_another_order():
    """The teacher's classes stand elsewhere than the student's."""
    names = np.array(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight",
                      "nine"])
    teacher = UnimodalTeacher(max_epochs=5, random_state=0, device="cpu").fit(UPPER[:600],
                                                                            names[y[:600]])
    student = UCMKDStudent(FrozenEstimator(teacher), label_cost=1.0, **QUICK)
    rows = np.flatnonzero(np.isin(y, [1, 4, 7]))[:80]
    student.fit(LOWER[rows], names[y[rows]])
    bank = student.net_.criterion_
    for code, name in enumerate(student.classes_):
        expected = teacher.feature_bank_[teacher.feature_bank_labels_ == name]
        np.testing.assert_array_equal(bank.z[bank.y == code], expected)
        column = teacher.classes_.tolist().index(name)
        torch.testing.assert_close(bank.teacher_logits(bank.z)[:, code],
                                   teacher.head_(bank.z)[:, column])


def test_balanced_bank_draws_classes_alike():
    rng = np.random.default_rng(0)
    X_T = rng.normal(size=(300, 4)).astype(np.float32)
    y_T = np.r_[np.zeros(290, int), np.ones(10, int)]
    X_S, y_S = rng.normal(size=(64, 3)).astype(np.float32), np.arange(64) % 2
    teacher = FrozenEstimator(LogisticRegression().fit(X_T, y_T))
    shares = []
    for balanced in (False, True):
        student = UCMKDStudent(teacher, balanced_bank=balanced, teacher_batch_size=200, **QUICK)
        student.fit(X_S, y_S, X_teacher=X_T, y_teacher=y_T)
        _, labels = student._draw(student.net_.criterion_, 64)
        shares.append(labels.double().mean().item())
    assert shares[0] < 0.1 and 0.35 < shares[1] < 0.65


# -------------------------------------------------------------------------- as an estimator


def test_repeats_clones_pickles_and_searches(teacher):
    student = UCMKDStudent(FrozenEstimator(teacher), lambda_la=0.1, bilevel=True, **QUICK)
    one, two = (clone(student).fit(LOWER[FEW], y[FEW]) for _ in range(2))
    np.testing.assert_array_equal(one.decision_function(LOWER), two.decision_function(LOWER))
    again = pickle.loads(pickle.dumps(one))
    np.testing.assert_array_equal(again.project(LOWER[:9]), one.project(LOWER[:9]))
    search = GridSearchCV(student, {"lambda_fa": [0.2, 1], "lambda_la": [0.2]}, cv=2)
    assert search.fit(LOWER[FEW], y[FEW]).best_estimator_.lambda_la == 0.2


def test_paper_is_a_setting(teacher):
    paper = UCMKDStudent.paper(teacher, lambda_fa=0.6)
    assert paper.bilevel and paper.inner_lr == 1e-5 and paper.sinkhorn_reg == 0.1
    assert paper.lambda_fa == 0.6 and paper.lambda_la == 1 and paper.la_gradient == "full"


def test_early_stopping_watches_cross_entropy(teacher):
    student = fit(teacher, early_stopping=True, max_epochs=4)
    assert "valid_loss" in student.history_[0] and "train_fa_loss" in student.history_[0]


@pytest.mark.parametrize("params, message", [
    ({"lambda_fa": -1}, "lambda_fa=-1 is out of range"),
    ({"lambda_la": -0.1}, "lambda_la=-0.1 is out of range"),
    ({"fa_steps": -1}, "fa_steps=-1 is out of range"),
    ({"inner_lr": 0}, "inner_lr=0 is out of range"),
    ({"sinkhorn_reg": -1.0}, "sinkhorn_reg=-1.0 is out of range"),
    ({"metric": "l22"}, "metric='l22' is unknown. Did you mean 'l2'"),
    ({"order": "third"}, "order='third' is unknown"),
    ({"la_gradient": "teacher"}, "la_gradient='teacher' is unknown"),
    ({"la_scope": "body"}, "la_scope='body' is unknown"),
    ({"label_cost": -1}, "label_cost=-1 is out of range"),
    ({"teacher_batch_size": 0}, "teacher_batch_size=0 is out of range"),
    ({"batch_size": 1}, "batch_size=1 leaves one sample"),
])
def test_refuses_parameters(teacher, params, message):
    with pytest.raises(ValueError, match=message):
        fit(teacher, **params)


def test_refuses_data(teacher):
    frozen = FrozenEstimator(teacher)
    few_classes = UnimodalTeacher(max_epochs=1, device="cpu").fit(UPPER[:600] * 1, y[:600] % 3)
    with pytest.raises(ValueError, match=r"never shown the classes \[3, 4, 5, 6, 7, 8, 9\]"):
        fit(few_classes)
    with pytest.raises(ValueError, match="X_teacher and y_teacher come together"):
        UCMKDStudent(frozen).fit(LOWER, y, X_teacher=UPPER)
    with pytest.raises(ValueError, match="NaN"):
        UCMKDStudent(frozen).fit(np.where(LOWER > 0.9, np.nan, LOWER), y)
    with pytest.raises(ValueError, match="NaN"):
        UCMKDStudent(frozen).fit(LOWER, y, X_teacher=np.where(UPPER > 0.9, np.nan, UPPER),
                                 y_teacher=y)
    with pytest.raises(ValueError, match="inconsistent numbers"):
        UCMKDStudent(frozen).fit(LOWER, y, X_teacher=UPPER, y_teacher=y[:9])
    with pytest.raises(ValueError, match=r"hold none of the classes \[4, 5, 6, 7, 8, 9\]"):
        UCMKDStudent(frozen).fit(LOWER, y, X_teacher=UPPER[y < 4], y_teacher=y[y < 4])
    with pytest.raises(ValueError, match="keeps no feature bank; pass X_teacher"):
        UCMKDStudent(FrozenEstimator(LogisticRegression().fit(UPPER, y))).fit(LOWER, y)

    class Speaks(BaseEstimator):
        classes_ = np.arange(10)

        def fit(self, X, y):
            return self

        def __sklearn_is_fitted__(self):
            return True

        def teaching_logits(self, X, y=None):
            return np.zeros((len(X), 10))
    with pytest.raises(TypeError, match="has no encode: an unpaired student needs features"):
        UCMKDStudent(FrozenEstimator(Speaks())).fit(LOWER, y)


def test_exploding_inner_step_is_named(teacher):
    with pytest.raises(FloatingPointError, match="Lower inner_lr=1e"):
        fit(teacher, bilevel=True, lambda_fa=1.0, lambda_la=1.0, inner_lr=1e38, la_gradient="full")


def test_features_that_cannot_be_aligned(teacher):
    broken = copy.deepcopy(teacher)
    broken.feature_bank_[3, 2] = np.nan
    with pytest.raises(ValueError, match="teacher's features hold NaN"):
        fit(broken)
    with pytest.raises(ValueError, match="no features to align"):
        fit(teacher, module=nn.Sequential(nn.Linear(32, 10), nn.Softplus()))
