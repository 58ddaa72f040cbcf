"""UCMKDStudent: Algorithm 1 against an unrolled loop, and its limits."""

import copy
import math
import pickle
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.spatial.distance import pdist
from sklearn.base import BaseEstimator, clone
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.svm import SVC
from torch import nn

from cmkdlearn import Modalities
from cmkdlearn.alignment import feature_alignment, label_alignment
from cmkdlearn.students import MultiTeacherDistiller, UCMKDStudent, _unpaired
from cmkdlearn.students._inner import InnerLoop, TracedInnerLoop
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
        gradients = torch.func.grad(loss, argnums=tuple(moving))(*params)  # the others are held fixed
        params = list(params)
        for i, gradient in zip(moving, gradients, strict=True):
            new = params[i] - rate * gradient
            params[i] = new if second else new.detach().requires_grad_()
        return params

    def fa(W, b, V, c):
        return lambda_fa * feature_alignment(torch.tanh(F.linear(x, W, b)), z_T) / 2

    def la(W, b, V, c):
        z = torch.tanh(F.linear(x, W, b))
        return lambda_la * label_alignment(F.linear(z, V, c), narrow.head_, z, t, gradient="full")

    params = original if second else [p.detach().clone().requires_grad_() for p in original]
    for _ in range(2):
        params = step(fa, [0, 1], params)
    for _ in range(2):
        for moving in ([0, 1], [2, 3])[la_scope == "head":]:  # line 12 is at the phi of line 11
            params = step(la, moving, params)
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


@pytest.mark.parametrize(("params", "parts"), [
    ({"lambda_la": 0.0}, [["0.weight", "0.bias"]]),
    ({"lambda_fa": 0.0}, [["0.weight", "0.bias"], ["head.weight", "head.bias"]]),
    ({"lambda_fa": 0.0, "la_scope": "head"}, [["head.weight", "head.bias"]])])
@pytest.mark.parametrize("weight", [1.0, 0.25])
def test_an_inner_step_of_weight_1_is_a_thousandth_of_what_it_moves(teacher, monkeypatch, params, parts, weight):
    """Whatever unit the term has; and the weights mean something."""
    steps = []

    class Watched(InnerLoop):
        def descend(self, part, loss, weight):
            before = {name: p.detach().clone() for name, p in self.params.items()}
            super().descend(part, loss, weight)
            length, way = (torch.cat([part.flatten() for part in parts]).norm() for parts in zip(
                *((before[name], p.detach() - before[name]) for name, p in self.params.items()
                  if not torch.equal(p, before[name])), strict=True))
            steps.append(((way / length).item(), [name for name, p in self.params.items()
                                                  if not torch.equal(p, before[name])]))

    monkeypatch.setitem(_unpaired.LOOPS, "first", Watched)
    (name,) = {"lambda_fa", "lambda_la"} - params.keys()
    for scale in (1.0, 1e3):
        fit(teacher, **{**params, name: weight}, feature_scale=scale, max_epochs=1, module=nn.Sequential(
            nn.Linear(32, 256), nn.Tanh(), nn.Linear(256, 10)))
    for relative, _ in steps:
        assert relative == pytest.approx(weight * 1e-3, rel=1e-2)
    moved = [[n.removeprefix("encoder.") for n in names] for _, names in steps]
    assert moved == parts * (len(steps) // len(parts))


class Normalised(Tiny):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(32, 5), nn.BatchNorm1d(5, momentum=1.0), nn.Tanh())


def normalised(teacher, **params):
    """A network in full batches, whose statistics are those of the last batch that they saw."""
    student = UCMKDStudent(FrozenEstimator(teacher), module=Normalised, **{
        **QUICK, "batch_size": -1, "lr": 0.0, "inner_lr": 0.3, "feature_scale": 1.0, **params})
    return student.fit(LOWER[FEW], y[FEW])


@pytest.mark.parametrize("params", [{}, {"order": "second"}, {"fa_steps": 3, "la_steps": 2}, {"lambda_fa": 0.0},
                                    {"lambda_la": 0.0}, {"la_scope": "head"}, {"inner_optimizer": "adamw"}])
def test_batch_statistics_are_those_of_the_weights_that_are_kept(narrow, params):
    """They do not move at a rate of 0, so that all epochs have the statistics of this one batch."""
    student = normalised(narrow, **params)
    layer, norm, _ = student.net_.module_.encoder.body
    assert norm.num_batches_tracked == 3
    z = layer(torch.from_numpy(LOWER[FEW])).detach()
    torch.testing.assert_close(norm.running_mean, z.mean(0), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(norm.running_var, z.var(0), rtol=1e-4, atol=1e-5)
    # so in evaluation mode the network says what it said of the batch that it was trained on
    module = copy.deepcopy(student.net_.module_).train()
    np.testing.assert_allclose(student.decision_function(LOWER[FEW]),
                               module(torch.from_numpy(LOWER[FEW])).logits.detach(), rtol=0.01, atol=0.01)


def test_frozen_layers_stay_where_they_are(narrow):
    """In the network as in the inner steps: no gradient reaches them."""
    network = Tiny()
    network.body[0].requires_grad_(False)
    before = network.body[0].weight.clone()
    for order in ("first", "second"):
        for la_scope in ("all", "head"):
            student = fit(narrow, module=network, inner_lr=0.1, order=order, la_scope=la_scope)
            assert torch.equal(student.net_.module_.encoder.body[0].weight, before)
            assert not torch.equal(student.head_.weight, network.head.weight)


# -------------------------------------------------------------------- the length of a step


@pytest.mark.parametrize("weight_decay", [0.0, 0.5])
def test_the_first_step_of_adamw_moves_each_parameter_by_the_rate(weight_decay):
    """Whatever the gradient's length; the second one by what torch's own optimiser makes of both."""
    torch.manual_seed(0)
    module = nn.Sequential()
    module.encoder, module.head = nn.Linear(4, 3), nn.Linear(3, 2)
    rates = {"encoder.weight": 0.1, "encoder.bias": 0.1, "head.weight": 0.02, "head.bias": 0.02}
    x, loops = torch.randn(8, 4), []
    for scale in (1.0, 1e3):
        own = copy.deepcopy(module)
        inner = InnerLoop(copy.deepcopy(module), rates, optimizer="adamw", weight_decay=weight_decay)
        inner.__enter__()
        loss = scale * inner(x).square().sum()
        signs = torch.autograd.grad(loss, list(inner.params.values()), retain_graph=True)
        inner.descend("phi", loss, 1.0)
        assert torch.equal(inner.params["head.weight"], own.head.weight)
        inner.descend("p", scale * inner(x).square().sum(), 1.0)
        for (name, p), sign in zip(own.named_parameters(), signs, strict=True):
            if name.startswith("encoder."):  # the head's gradient is another by now
                expected = (1 - rates[name] * weight_decay) * p - rates[name] * sign.sign()
                torch.testing.assert_close(inner.params[name], expected, rtol=1e-5, atol=1e-6)
        assert ((inner.params["head.weight"] - (1 - 0.02 * weight_decay) * own.head.weight).abs()
                - 0.02).abs().max() < 1e-5
        loops.append(inner)
    for name in rates:
        torch.testing.assert_close(loops[0].params[name], loops[1].params[name], rtol=1e-5, atol=1e-6)
    mine = loops[0]
    mine.descend("phi", mine(x).square().sum(), 1.0)
    assert not torch.equal(mine.params["encoder.bias"], loops[1].params["encoder.bias"])


def test_weight_decay_of_a_plain_inner_step():
    module = nn.Sequential()
    module.head = nn.Linear(3, 2)
    before = module.head.weight.detach().clone()
    with InnerLoop(module, dict.fromkeys(("head.weight", "head.bias"), 0.1), weight_decay=0.5) as inner:
        inner.descend("p", inner(torch.ones(1, 3)).sum(), 1.0)
        torch.testing.assert_close(module.head.weight, 0.95 * before - 0.1)
    assert torch.equal(module.head.weight, before)


def test_a_relative_step_is_traced_back_at_the_rate_that_it_had():
    torch.manual_seed(0)
    module, x = nn.Sequential(), torch.randn(8, 4)
    module.encoder, module.head = nn.Linear(4, 3), nn.Linear(3, 2)
    gradients, rates = [], "auto"
    for _ in range(2):
        module.zero_grad()
        with TracedInnerLoop(module, rates) as inner:
            loss = 100 * inner(x).square().sum()
            slope, = torch.autograd.grad(loss, [inner.params["encoder.weight"]], retain_graph=True)
            inner.descend("phi", loss, 100.0)
            inner.backward(inner(x).square().sum())
            way = module.encoder.weight - inner.params["encoder.weight"]
        gradients.append(torch.cat([p.grad.flatten() for p in module.parameters()]))
        rates = dict.fromkeys(inner.params, (way.norm() / slope.norm()).item())
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("rate", ["auto", 0.1])
def test_a_sparse_gradient_takes_an_inner_step(rate):
    module, words = nn.Sequential(), torch.tensor([1, 3])
    module.encoder, module.head = nn.Embedding(5, 3, sparse=True), nn.Linear(3, 2)
    before = module.encoder.weight.detach().clone()
    with InnerLoop(module, rate if rate == "auto" else {"encoder.weight": rate}) as inner:
        inner.descend("phi", inner(words).square().sum(), 1.0)
        moved = (module.encoder.weight != before).any(dim=1)
    assert moved.tolist() == [False, True, False, True, False]


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_loop_that_fails_leaves_the_network_as_it_was(optimizer):
    """Bit for bit, with the statistics of the first call alone."""
    torch.manual_seed(0)
    module, x = nn.Sequential(), torch.randn(8, 4)
    module.encoder, module.head = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)), nn.Linear(3, 2)
    once = copy.deepcopy(module)
    once(x)
    with pytest.raises(KeyboardInterrupt), \
            InnerLoop(module, dict.fromkeys(dict(module.named_parameters()), 0.1), optimizer) as inner:
        for part in ("phi", "p"):
            inner.descend(part, inner(x).square().sum(), 1.0)
        assert not torch.equal(module.head.weight, once.head.weight)
        raise KeyboardInterrupt
    for (name, one), other in zip(module.state_dict().items(), once.state_dict().values(), strict=True):
        assert torch.equal(one, other), name


@pytest.mark.parametrize("rate_times_curvature", [0.5, 1.0, 1.5])
def test_what_a_steep_direction_learns(rate_times_curvature):
    """The user guide's c (1 - r c) w: nothing at r c = 1, and the wrong way above."""
    module, curvature = nn.Sequential(), 50.0
    module.head = nn.Linear(1, 1, bias=False)

    def loss(output):
        return curvature * output.square().sum() / 2

    with InnerLoop(module, {"head.weight": rate_times_curvature / curvature}) as inner:
        inner.descend("p", loss(inner(torch.ones(1, 1))), 1.0)
        inner.backward(loss(inner(torch.ones(1, 1))))
    expected = curvature * (1 - rate_times_curvature) * module.head.weight.detach()
    torch.testing.assert_close(module.head.weight.grad, expected, rtol=1e-4, atol=1e-4)


class Adapted(InnerLoop):
    """Note by how much of the gradient each parameter moves."""

    seen: list = []

    def descend(self, part, loss, weight):
        names = [name for name in self.params if name.startswith("head.") == (part == "p")]
        gradients = torch.autograd.grad(loss, [self.params[name] for name in names], retain_graph=True)
        before = [self.params[name].detach().clone() for name in names]
        super().descend(part, loss, weight)
        self.seen.append({name: ((p - self.params[name]).norm() / gradient.norm()).item()
                          for name, p, gradient in zip(names, before, gradients, strict=True)})


@pytest.mark.parametrize("groups", [{}, {"optimizer__param_groups": [("head.*", {"lr": 0.05})]}])
def test_the_inner_rate_follows_the_optimisers(narrow, monkeypatch, groups):
    """Of a warm-up and a cosine, step by step, and group by group of the parameters."""
    monkeypatch.setitem(_unpaired.LOOPS, "first", Adapted)
    monkeypatch.setattr(Adapted, "seen", [])
    student = fit(narrow, module=Tiny, inner_lr="lr", feature_scale=1.0, schedule="cosine", warmup=0.2,
                  optimizer=torch.optim.SGD, batch_size=50, lr=0.2, **groups)
    rates = np.concatenate([[batch["event_lr"] for batch in epoch["batches"]] for epoch in student.history_])
    fa, line_11, line_12 = Adapted.seen[::3], Adapted.seen[1::3], Adapted.seen[2::3]
    phi = np.array([[*step.values()] for step in fa + line_11]).reshape(2, len(rates), -1)
    p = np.array([[*step.values()] for step in line_12])
    assert len(set(rates.round(9))) == 10
    of_head = rates * (0.05 / 0.2 if groups else 1)  # the rate in the history is the first group's
    if groups:
        of_head, rates = rates, rates / (0.05 / 0.2)
    np.testing.assert_allclose(phi, np.broadcast_to(rates[:, None], phi.shape), rtol=1e-2)
    np.testing.assert_allclose(p, np.broadcast_to(of_head[:, None], p.shape), rtol=1e-2)


def test_one_rate_at_a_constant_one_is_the_number(narrow):
    given = {"module": Tiny, "optimizer": torch.optim.SGD, "lr": 0.05}
    one, other = (fit(narrow, inner_lr=rate, **given).decision_function(LOWER) for rate in ("lr", 0.05))
    np.testing.assert_array_equal(one, other)


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


def test_paper_is_what_is_printed(teacher):
    """Table 12, section 3.1, and Algorithm 1, whatever the defaults are."""
    paper = UCMKDStudent.paper(teacher)
    assert {name: getattr(paper, name) for name in (
        "module", "batch_size", "max_epochs", "lr", "lambda_fa", "lambda_la", "fa_steps", "la_steps",
        "sinkhorn_reg", "metric")} == {
        "module": "resnet18", "batch_size": 64, "max_epochs": 100, "lr": 1e-2, "lambda_fa": 1,
        "lambda_la": 1, "fa_steps": 1, "la_steps": 1, "sinkhorn_reg": 0.1, "metric": "l2"}
    assert paper.optimizer is torch.optim.SGD and paper._net_params() == {}
    assert (paper.bilevel, paper.order, paper.la_scope, paper.la_gradient) == (True, "first", "all", "full")
    assert (paper.inner_lr, paper.inner_optimizer, paper.inner_weight_decay) == ("lr", "sgd", 0)
    assert paper.schedule is None and paper.warmup == 0
    # and nothing of ours
    assert paper.feature_scale == 1 and not paper.decay
    assert paper.label_cost == paper.label_smoothing == 0
    other = UCMKDStudent.paper(teacher, lambda_fa=0.6, module="auto", lr=0.1, max_epochs=2)
    assert (other.lambda_fa, other.module, other.lr, other.max_epochs, other.batch_size) == (0.6, "auto", 0.1, 2, 64)


def test_one_step_of_the_paper_by_hand(narrow):
    rows = slice(600, 664)
    student = UCMKDStudent.paper(FrozenEstimator(narrow), module=Tiny, random_state=0, device="cpu", max_epochs=0,
                                 teacher_batch_size=1000)
    student.fit(LOWER[rows], y[rows])
    original = [p.detach().clone().requires_grad_() for p in student.net_.module_.parameters()]
    student.set_params(max_epochs=1, warm_start=True).fit(LOWER[rows], y[rows])
    x, t, eta = torch.from_numpy(LOWER[rows]), torch.from_numpy(y[rows]), 1e-2

    def la(W, b, V, c):
        z = torch.tanh(F.linear(x, W, b))
        p_S, p_T = (F.linear(z, *head).softmax(1)[torch.arange(64), t] for head in ((V, c), (
            narrow.head_.weight, narrow.head_.bias)))
        return (-(p_S / p_T**p_T).log()).mean()  # eq. 15, with kappa of eq. 56

    W, b, V, c = original
    fa = feature_alignment(torch.tanh(F.linear(x, W, b)), torch.from_numpy(narrow.feature_bank_), reg=0.1)
    W, b = (p - eta * g for p, g in zip((W, b), torch.autograd.grad(fa, (W, b)), strict=True))  # line 7
    W, b = (p - eta * g for p, g in zip((W, b), torch.autograd.grad(la(W, b, V, c), (W, b)), strict=True))  # 11
    V, c = (p - eta * g for p, g in zip((V, c), torch.autograd.grad(la(W, b, V, c), (V, c)), strict=True))  # 12
    adapted = [p.detach().requires_grad_() for p in (W, b, V, c)]
    err = F.cross_entropy(F.linear(torch.tanh(F.linear(x, *adapted[:2])), *adapted[2:]), t)
    for p, before, g in zip(student.net_.module_.parameters(), original, torch.autograd.grad(err, adapted), strict=True):
        torch.testing.assert_close(p.detach(), before.detach() - eta * g, rtol=1e-5, atol=1e-7)  # 14 and 15


def test_script_is_the_authors_code(teacher):
    script = UCMKDStudent.script(FrozenEstimator(teacher), **QUICK)
    assert (script.inner_optimizer, script.inner_lr, script.inner_weight_decay) == ("adamw", 1e-5, 0.05)
    assert (script.la_scope, script.la_gradient, script.order, script.bilevel) == ("head", "student", "first", True)
    ((_, clipping),) = script.callbacks
    assert clipping.gradient_clip_value == 5
    one, other = (clone(script).set_params(lambda_fa=weight, lambda_la=weight).fit(LOWER[FEW], y[FEW])
                  for weight in (1.0, 0.25))  # which AdamW does not see, but for its epsilon
    np.testing.assert_allclose(one.decision_function(LOWER), other.decision_function(LOWER), rtol=1e-2, atol=1e-2)
    assert UCMKDStudent.script(teacher, callbacks=None, inner_lr=5e-5).callbacks is None


# ------------------------------------------------------------------------ samples without a label


def unlabelled(n=40):
    """FEW, and the same with n samples of no label behind them."""
    return LOWER[900:1100 + n], np.r_[y[FEW], np.full(n, -1)]


@pytest.mark.parametrize("params", [{}, {"bilevel": False}, {"bilevel": False, "label_cost": 1.0}, {"order": "second"}])
@pytest.mark.parametrize("batch_size", [4, -1])
def test_unlabelled_samples_are_aligned_and_no_more(teacher, params, batch_size):
    """In batches of four some have no label at all."""
    X_all, y_all = unlabelled(100)
    student = UCMKDStudent(FrozenEstimator(teacher), **{**QUICK, "lr": 0.001, "batch_size": batch_size, **params})
    without_fa = clone(student).set_params(lambda_fa=0, random_state=1, batch_size=-1)
    student.fit(X_all, y_all)
    assert all(math.isfinite(value) for epoch in student.history_ for name, value in epoch.items()
               if name.startswith("train_") and not isinstance(value, bool))
    assert student.classes_.tolist() == list(range(10)) and student.score(X_all, y_all) > 0.2
    # the labels' terms are those of the labelled alone, up to how batches divide them
    with_them = clone(without_fa).set_params(optimizer=torch.optim.SGD, module=Tiny, lambda_la=0, lr=0.1)
    alone = clone(with_them).fit(LOWER[FEW], y[FEW])
    np.testing.assert_allclose(with_them.fit(X_all, y_all).decision_function(LOWER), alone.decision_function(LOWER),
                               rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("params", [{}, {"sample_weight": np.arange(200) % 3 + 1.0}])
def test_la_of_the_labelled_by_hand(narrow, params):
    """And what the history says of them: means over those with a label, by their weights."""
    X_all, y_all = unlabelled()
    weight = params.get("sample_weight", np.ones(200))
    given = {name: np.r_[value, np.ones(40)] for name, value in params.items()}
    student = UCMKDStudent(FrozenEstimator(narrow), module=Tiny, bilevel=False, lambda_fa=0, lambda_la=0.5,
                           **{**QUICK, "max_epochs": 1, "batch_size": -1, "lr": 0})
    student.fit(X_all, y_all, **given)
    z, t = torch.from_numpy(student.project(LOWER[FEW])), torch.from_numpy(y[FEW])
    la = label_alignment(torch.from_numpy(student.decision_function(LOWER[FEW])), narrow.head_, z, t,
                         weight=torch.from_numpy(weight / weight.mean()).float())
    kappa = narrow.head_(z).softmax(1)[torch.arange(200), t].detach().numpy()
    assert student.history_[0]["train_la_loss"] == pytest.approx(la.item(), rel=1e-4)
    assert student.history_[0]["train_kappa"] == pytest.approx(np.average(kappa, weights=weight), rel=1e-4)


def test_fa_is_of_all_samples(narrow):
    X_all, y_all = unlabelled()
    student = UCMKDStudent(FrozenEstimator(narrow), module=Tiny, bilevel=False, lambda_la=0, label_cost=1.0,
                           teacher_batch_size=1000, **{**QUICK, "max_epochs": 1, "batch_size": -1, "lr": 0})
    student.fit(X_all, y_all)
    fa = feature_alignment(torch.from_numpy(student.project(X_all)), torch.from_numpy(narrow.feature_bank_),
                           y_S=torch.from_numpy(y_all), y_T=torch.from_numpy(narrow.feature_bank_labels_), label_cost=1.0)
    assert student.history_[0]["train_fa_loss"] == pytest.approx(fa.item(), rel=1e-4)


def test_who_has_no_label_disagrees_with_nobody():
    z = torch.randn(2, 20, 3, generator=torch.Generator().manual_seed(0))
    t, none = torch.arange(20) % 4, torch.full((20,), -1)
    plain = feature_alignment(*z, reg=0.1)
    for y_S, y_T in ((none, t), (t, none), (none, none)):
        assert feature_alignment(*z, y_S=y_S, y_T=y_T, label_cost=2.0, reg=0.1) == plain
    assert feature_alignment(*z, y_S=t, y_T=t, label_cost=2.0, reg=0.1) > plain


def test_a_teacher_is_fitted_on_the_labelled_and_its_bank_holds_no_others():
    names = np.array([f"digit {k}" for k in range(10)], dtype=object)
    labels = names[y[:240]]
    labels[200:] = None
    teacher = UnimodalTeacher(max_epochs=2, random_state=0, device="cpu")
    student = UCMKDStudent(teacher, **QUICK).fit(LOWER[:240], labels)
    assert student.teacher_.feature_bank_labels_.tolist() == labels[:200].tolist()
    assert set(student.predict(LOWER[:50])) <= set(names)
    given = UCMKDStudent(FrozenEstimator(student.teacher_), **QUICK).fit(
        LOWER[:240], labels, X_teacher=UPPER[:240], y_teacher=labels)
    assert len(given.net_.criterion_.y) == 200 and (given.net_.criterion_.y >= 0).all()


# --------------------------------------------------------------------------------- pairs


PAIRS = {"lower": LOWER, "upper": UPPER}


def some(X, rows):
    return {name: part[rows] for name, part in X.items()}


@pytest.fixture(scope="module")
def upper():
    fitted = UnimodalTeacher(modality="upper", max_epochs=10, random_state=0, device="cpu", lr=0.01)
    return fitted.fit(some(PAIRS, slice(0, 600)), y[:600])


@pytest.mark.parametrize("params", [{}, {"sampler": "balanced"}, {"early_stopping": True}, {"bilevel": False}])
def test_pairs_stay_together(upper, monkeypatch, params):
    """However a batch is drawn: the teacher's features in a step are those of the batch's rows."""
    seen = []

    class Watched(_unpaired._Terms):
        def __init__(self, method, net, batch):
            super().__init__(method, net, batch)
            seen.append((batch.X, self.z_T, self.y_T, batch.y))

    monkeypatch.setattr(_unpaired, "_Terms", Watched)
    student = UCMKDStudent(FrozenEstimator(upper), modality="lower", paired=True, batch_size=32, **{**QUICK, **params})
    student.fit(some(PAIRS, FEW), y[FEW])
    row_of = {row.tobytes(): i for i, row in enumerate(LOWER[FEW])}
    assert len(row_of) == 200
    features = upper.encode(some(PAIRS, FEW))
    assert len(seen) >= 15
    for X_batch, z_T, y_T, t in seen:
        rows = [row_of[row.numpy().tobytes()] for row in X_batch]
        np.testing.assert_allclose(z_T, features[rows], rtol=1e-4, atol=1e-4)
        assert torch.equal(y_T, t) and torch.equal(t, torch.from_numpy(y[FEW][rows]))


def test_unlabelled_pairs_and_a_teacher_fitted_on_the_others(upper):
    labels = y[FEW].copy()
    labels[150:] = -1
    student = UCMKDStudent(clone(upper), modality="lower", paired=True, **QUICK).fit(some(PAIRS, FEW), labels)
    assert len(student.teacher_.feature_bank_) == 150 and len(student._bank[0]) == 200
    again = pickle.loads(pickle.dumps(student))
    np.testing.assert_array_equal(again.predict(PAIRS), student.predict(PAIRS))
    search = GridSearchCV(student, {"lambda_fa": [0.1, 1.0]}, cv=2)
    search.fit(Modalities(some(PAIRS, slice(900, 1050))), labels[:150])


@pytest.mark.parametrize(("params", "given", "message"), [
    ({"teacher_batch_size": 8}, {}, "paired=True takes the teacher's samples that belong"),
    ({"balanced_bank": True}, {}, "paired=True takes the teacher's samples that belong"),
    ({}, {"X_teacher": PAIRS, "y_teacher": y}, "paired=True takes pairs from X, a dict"),
])
def test_refuses_what_pairs_have_no_use_for(upper, params, given, message):
    student = UCMKDStudent(FrozenEstimator(upper), modality="lower", paired=True, **QUICK, **params)
    with pytest.raises(ValueError, match=message):
        student.fit(PAIRS, y, **given)


# --------------------------------------------------------------------- whom a teacher has seen


def test_a_fitted_teacher_is_not_refitted_in_silence(teacher):
    with pytest.warns(UserWarning, match=r"fitted UnimodalTeacher, is fitted anew.*FrozenEstimator\(teacher\)"):
        UCMKDStudent(teacher, **QUICK).fit(LOWER[FEW], y[FEW])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        UCMKDStudent(clone(teacher), **QUICK).fit(LOWER[FEW], y[FEW])
        UCMKDStudent(FrozenEstimator(teacher), **QUICK).fit(LOWER[FEW], y[FEW])
        UCMKDStudent(teacher, **QUICK).fit(LOWER[FEW], y[FEW], X_teacher=UPPER[:300], y_teacher=y[:300])


@pytest.mark.parametrize("paired", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_out_of_fold_features_by_groups(paired, weighted):
    """Those of a forest that has not seen the sample's group; of a sample without a label: of all."""
    labels, groups = np.r_[y[:120], np.full(10, -1)], np.arange(120) // 12
    weight = np.r_[1.0 + np.arange(120) % 2, np.ones(10)] if weighted else None
    forest = RandomForestClassifier(5, max_depth=4, random_state=0)
    splits = list(GroupKFold(4).split(UPPER[:120], labels[:120], groups))
    student = UCMKDStudent(forest, cv=splits, paired=paired, **QUICK).fit(
        UPPER[:130], labels, sample_weight=weight)
    z = student._bank[0].numpy()
    assert len(z) == (130 if paired else 120)
    for train, test in splits:
        other = clone(forest).fit(UPPER[train], labels[train], None if weight is None else weight[train])
        expected = np.log(np.clip(other.predict_proba(UPPER[test]), np.finfo(np.float32).tiny, None))
        np.testing.assert_allclose(z[test], expected, rtol=1e-5)
    known = clone(forest).fit(UPPER[:120], labels[:120], None if weight is None else weight[:120])
    if paired:
        expected = np.log(np.clip(known.predict_proba(UPPER[120:130]), np.finfo(np.float32).tiny, None))
        np.testing.assert_allclose(z[120:], expected, rtol=1e-5)


def test_cv_of_the_teachers_own_samples_and_of_a_frozen_one(teacher):
    student = UCMKDStudent(SVC(), cv=3, **QUICK)
    student.fit(LOWER[FEW], y[FEW], X_teacher=UPPER[:300], y_teacher=y[:300])
    inside = clone(student).set_params(cv=None).fit(LOWER[FEW], y[FEW], X_teacher=UPPER[:300], y_teacher=y[:300])
    apart = (student._bank[0] - inside._bank[0]).abs().amax(1)
    assert (apart > 0).all() and student._bank[0].shape == (300, 10)
    frozen = fit(teacher, cv=3)
    np.testing.assert_array_equal(frozen.decision_function(LOWER), fit(teacher).decision_function(LOWER))


def test_features_of_two_networks_are_not_mixed(teacher):
    with pytest.raises(ValueError, match="cv=3 puts the features of several fits side by side.*UnimodalTeacher"):
        UCMKDStudent(clone(teacher), cv=3, **QUICK).fit(LOWER[FEW], y[FEW])
    with pytest.raises(ValueError, match="does not test every sample once"):
        UCMKDStudent(SVC(), cv=[(np.arange(100), np.arange(100, 200))], **QUICK).fit(LOWER[FEW], y[FEW])


def test_early_stopping_watches_cross_entropy(teacher):
    student = fit(teacher, early_stopping=True, max_epochs=4)
    assert "valid_loss" in student.history_[0] and "train_fa_loss" in student.history_[0]


@pytest.mark.parametrize("params, message", [
    ({"lambda_fa": -1}, "lambda_fa=-1 is out of range"),
    ({"lambda_la": -0.1}, "lambda_la=-0.1 is out of range"),
    ({"fa_steps": -1}, "fa_steps=-1 is out of range"),
    ({"inner_lr": 0}, "inner_lr=0 is out of range"),
    ({"inner_lr": "aut"}, "inner_lr='aut' is unknown. Did you mean 'auto'"),
    ({"inner_optimizer": "adam"}, "inner_optimizer='adam' is unknown. Did you mean 'adamw'"),
    ({"inner_optimizer": "adamw"}, "inner_optimizer='adamw' moves each parameter by inner_lr"),
    ({"inner_optimizer": "adamw", "inner_lr": 1e-5, "order": "second"}, "order='second' is traced back"),
    ({"inner_weight_decay": -0.1}, "inner_weight_decay=-0.1 is out of range"),
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
    with pytest.raises(FloatingPointError, match="Lower lr=1e"):
        fit(teacher, inner_lr="lr", lr=1e38, optimizer=torch.optim.SGD)


def test_features_that_cannot_be_aligned(teacher):
    broken = copy.deepcopy(teacher)
    broken.feature_bank_[3, 2] = np.nan
    with pytest.raises(ValueError, match="teacher's features hold NaN"):
        fit(broken)
    with pytest.raises(ValueError, match="no features to align"):
        fit(teacher, module=nn.Sequential(nn.Linear(32, 10), nn.Softplus()))
