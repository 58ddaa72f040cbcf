"""Entropic transport against POT, closed forms and finite differences; FA and LA by hand."""

import math
import warnings

import numpy as np
import ot
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.exceptions import ConvergenceWarning

from cmkdlearn.alignment import METRICS, feature_alignment, label_alignment, sinkhorn


def features(n, d, seed=0, shift=0.0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=generator, dtype=dtype) + shift


def weights(n, seed=0):
    w = torch.rand(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 0.2
    return w / w.sum()


@pytest.mark.parametrize("reg", [1.0, 0.1])
@pytest.mark.parametrize("weighted", [False, True])
def test_agrees_with_pot(reg, weighted):
    C = METRICS["l2"](features(20, 3), features(31, 3, 1, 0.5))
    a = weights(20) if weighted else torch.full((20,), 1 / 20, dtype=torch.float64)
    b = weights(31, 1) if weighted else torch.full((31,), 1 / 31, dtype=torch.float64)
    ours = sinkhorn(C, a, b, reg=reg, tol=1e-12, max_iter=20_000)
    theirs = ot.sinkhorn(a, b, C, reg, method="sinkhorn_log", stopThr=1e-13, numItermax=20_000)
    torch.testing.assert_close(ours.plan, theirs, rtol=1e-7, atol=1e-12)
    linear = ot.sinkhorn2(a, b, C, reg, method="sinkhorn_log", stopThr=1e-13, numItermax=20_000)
    torch.testing.assert_close(ours.cost, linear, rtol=1e-9, atol=0)
    regularised = ot.solve(C, a, b, reg=reg, reg_type="KL", tol=1e-13, max_iter=20_000).value
    torch.testing.assert_close(ours.objective, regularised, rtol=1e-9, atol=0)


def test_small_regularisation_is_exact_transport():
    C = METRICS["l1"](features(12, 2), features(12, 2, 1))
    exact = ot.emd2(np.full(12, 1 / 12), np.full(12, 1 / 12), C.numpy())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = [sinkhorn(C, reg=reg, tol=1e-9, max_iter=50_000) for reg in (0.3, 0.1, 0.002)]
    gaps = [transport.cost.item() - exact for transport in found]
    # a plan is below by what is missing of it, at most at the largest cost
    assert gaps[0] > gaps[1] > gaps[2] >= -found[2].error.item() * C.max().item()
    assert abs(gaps[2]) < 1e-4 * exact


def test_two_points_in_closed_form():
    """The plan between {0, 1} and {0, 1} keeps 1 / (1 + exp(-1 / eps)) of the mass in place."""
    C, eps = torch.tensor([[0.0, 1.0], [1.0, 0.0]], dtype=torch.float64), 0.5
    transport = sinkhorn(C, reg=eps, tol=1e-12)
    stays = 1 / (1 + math.exp(-1 / eps))
    assert transport.cost.item() == pytest.approx(1 - stays, abs=1e-12)
    assert transport.plan[0, 0].item() == pytest.approx(stays / 2, abs=1e-12)


def test_one_dimension_by_sorting():
    x, y = features(40, 1), 2 * features(40, 1, 3) + 1
    by_sorting = (x.sort(0).values - y.sort(0).values).abs().mean().item()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fa = feature_alignment(x, y, reg=0.005, tol=1e-6, max_iter=20_000).item()
    assert fa == pytest.approx(by_sorting, rel=2e-3)


def test_batch_is_its_problems():
    C = torch.stack([METRICS["l2"](features(9, 4, s), features(7, 4, s + 10)) * 10.0 ** s
                     for s in range(3)])
    together = sinkhorn(C, tol=1e-10)
    for k in range(3):
        alone = sinkhorn(C[k], tol=1e-10)
        torch.testing.assert_close(together.cost[k], alone.cost, rtol=1e-7, atol=0)
    assert together.error.max() <= 1e-10 and together.n_iter < 1000


def test_an_exact_plan_is_good_enough():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert sinkhorn(torch.ones(1, 1), tol=0).error == 0


def test_weights_of_a_batch():
    C = torch.stack([METRICS["l2"](features(5, 3, s), features(4, 3, s + 10)) for s in range(2)])
    a, b = torch.stack([weights(5, 1), weights(5, 2)]), weights(4, 3)  # of each problem, and of all
    together = sinkhorn(C, a, b, tol=1e-9)
    for k in range(2):
        alone = sinkhorn(C[k], a[k], b, tol=1e-9)
        torch.testing.assert_close(together.plan[k], alone.plan, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("metric", sorted(METRICS))
def test_metrics_of_a_batch(metric):
    x, y = features(24, 3).reshape(2, 4, 3, 3), features(40, 3, 1).reshape(2, 4, 5, 3)
    each = [[METRICS[metric](p, q) for p, q in zip(*row, strict=True)] for row in zip(x, y, strict=True)]
    torch.testing.assert_close(METRICS[metric](x, y), torch.stack([torch.stack(row) for row in each]))


@pytest.mark.parametrize("max_iter", [1, 2, 3, 10, 12, 21])
def test_so_many_iterations_as_were_asked_for(max_iter):
    C = METRICS["l2"](features(6, 3), features(5, 3, 1))
    K, v = torch.exp(-C / 0.5), torch.ones(5, dtype=C.dtype)
    for _ in range(max_iter):
        u = 1 / 6 / (K @ v)
        v = 1 / 5 / (K.T @ u)
    with pytest.warns(ConvergenceWarning, match=f"max_iter={max_iter} "):
        transport = sinkhorn(C, reg=0.5, max_iter=max_iter, tol=0)
    torch.testing.assert_close(transport.plan, u[:, None] * K * v, rtol=1e-9, atol=0)
    assert transport.n_iter == max_iter


def test_marginals_and_warm_start():
    C = METRICS["l2"](features(15, 3), features(25, 3, 1))
    first = sinkhorn(C, reg=0.05, tol=1e-8, max_iter=20_000)
    torch.testing.assert_close(first.plan.sum(0), torch.full((25,), 1 / 25, dtype=C.dtype))
    assert (first.plan.sum(1) - 1 / 15).abs().sum() <= 1e-8
    again = sinkhorn(C + 1e-6, reg=0.05, tol=1e-8, max_iter=20_000, potential=first.potential)
    assert again.n_iter < first.n_iter
    torch.testing.assert_close(again.plan, first.plan, rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("metric", ["l2", "l1", "angular"])
@pytest.mark.parametrize("unbiased", [False, True])
def test_gradient_by_finite_differences(metric, unbiased):
    """Of the regularised objective, whose gradient FA's is (of both, that is; KL is constant)."""
    x, y = features(6, 3), features(5, 3, 1, 0.7)
    eps = 0.5

    def objective(x):
        def value(p, q):
            return sinkhorn(METRICS[metric](p, q), reg=eps, tol=1e-11, max_iter=5000).objective
        if not unbiased:
            return value(x, y)
        return value(x, y) - value(x, x) / 2 - value(y, y) / 2

    x.requires_grad_()
    fa = feature_alignment(x, y, metric=metric, reg=eps, tol=1e-11, max_iter=5000,
                           unbiased=unbiased)
    (gradient,) = torch.autograd.grad(fa, x)
    h = 1e-5
    for i, j in np.ndindex(6, 3):
        e = torch.zeros_like(x)
        e[i, j] = h
        with torch.no_grad():
            slope = (objective(x + e) - objective(x - e)) / (2 * h)
        assert gradient[i, j].item() == pytest.approx(slope.item(), abs=2e-6)


@pytest.mark.parametrize("metric, by_hand", [
    ("l2", lambda u, v: np.linalg.norm(u - v)),
    ("l1", lambda u, v: np.abs(u - v).sum()),
    ("angular", lambda u, v: np.arccos(u @ v / np.linalg.norm(u) / np.linalg.norm(v)) / np.pi),
])
def test_metrics(metric, by_hand):
    x, y = features(4, 5), features(3, 5, 1)
    expected = [[by_hand(u, v) for v in y.numpy()] for u in x.numpy()]
    np.testing.assert_allclose(METRICS[metric](x, y).numpy(), expected, rtol=1e-10)


def test_callable_metric():
    def squared(x, y):
        return torch.cdist(x, y).square()
    x, y = features(4, 2), features(6, 2, 1)
    assert feature_alignment(x, y, metric=squared, reg=0.3, tol=1e-9, max_iter=5000).item() == \
        pytest.approx(sinkhorn(squared(x, y), reg=0.3, tol=1e-9, max_iter=5000).cost.item())


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_any_scale(scale, dtype):
    """Relative regularisation makes FA proportional to the features, at any scale."""
    x, y = features(16, 8), features(16, 8, 1, 0.3)
    plain = feature_alignment(x, y).item()
    x_scaled = (x * scale).to(dtype).requires_grad_()
    fa = feature_alignment(x_scaled, (y * scale).to(dtype))
    assert fa.item() == pytest.approx(scale * plain, rel=1e-3)
    (gradient,) = torch.autograd.grad(fa, x_scaled)
    assert gradient.isfinite().all() and gradient.abs().max() > 0


@pytest.mark.parametrize("cost_over_reg", [1e3, 1e6])
def test_tiny_absolute_regularisation_does_not_underflow(cost_over_reg):
    """Plain Sinkhorn returns 0 here; single precision is raised to double where it must be."""
    x, y = features(10, 4, dtype=torch.float32), features(10, 4, 1, 1.0, dtype=torch.float32)
    C = METRICS["l2"](x, y) * cost_over_reg
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        transport = sinkhorn(C, reg=1.0, max_iter=3000)
    exact = ot.emd2(np.full(10, 0.1), np.full(10, 0.1), C.double().numpy())
    assert transport.cost.item() == pytest.approx(exact, rel=0.02)


def test_digits_of_single_precision():
    """What is added to a row or a column does not change the plan, but uses up its digits."""
    generator = torch.Generator().manual_seed(0)
    D = torch.randint(512, (6, 7), generator=generator) / 64
    rows, columns = (1024.0 * torch.randint(64, size, generator=generator) for size in ((6, 1), (1, 7)))
    plan = sinkhorn(D + rows + columns, reg=1.0, tol=1e-6).plan
    assert plan.dtype == torch.float32
    torch.testing.assert_close(plan, sinkhorn(D, reg=1.0, tol=1e-6).plan, rtol=1e-4, atol=1e-9)


def test_automatic_regularisation_is_a_tenth_of_the_mean_cost():
    x, y = features(8, 3), features(6, 3, 1, 1.0)
    C, exact = METRICS["l2"](x, y), {"tol": 1e-6, "max_iter": 2000}
    expected = sinkhorn(C, reg=0.1 * C.mean().item(), **exact)
    assert sinkhorn(C, **exact).cost.item() == pytest.approx(expected.cost.item(), rel=1e-9)
    for unbiased in (False, True):  # one and the same for all three terms of the divergence
        value = feature_alignment(x, y, unbiased=unbiased, **exact).item()
        by_hand = feature_alignment(x, y, unbiased=unbiased, reg=0.1 * C.mean().item(), **exact).item()
        assert value == pytest.approx(by_hand, rel=1e-9)


def test_duplicates_are_finite():
    x = features(1, 4, dtype=torch.float32).repeat(8, 1).requires_grad_()
    for metric in METRICS:
        fa = feature_alignment(x, x.detach().clone(), metric=metric)
        (gradient,) = torch.autograd.grad(fa, x)
        assert fa.item() < 1e-2 and gradient.isfinite().all()
    y = torch.cat([x.detach(), features(8, 4, 1, dtype=torch.float32)])
    (gradient,) = torch.autograd.grad(feature_alignment(x, y), x)
    assert gradient.isfinite().all()


@pytest.mark.parametrize("metric", sorted(METRICS))
def test_divergence_of_equal_sets_is_zero_and_of_others_is_not(metric):
    x = features(30, 4)

    def divergence(y):
        return feature_alignment(x, y, metric=metric, unbiased=True, reg=1.0, tol=1e-7,
                                 max_iter=5000).item()
    assert divergence(x.clone()) == pytest.approx(0, abs=1e-12)
    assert divergence(x.flip(0)) == pytest.approx(0, abs=1e-6)
    assert divergence(x + 1) > 0.01


@settings(deadline=None, max_examples=25)
@given(n=st.integers(1, 12), m=st.integers(1, 12), d=st.integers(1, 6), seed=st.integers(0, 99))
def test_order_of_samples_does_not_matter(n, m, d, seed):
    x, y = features(n, d, seed), features(m, d, seed + 100, 0.5)
    rows = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    columns = torch.randperm(m, generator=torch.Generator().manual_seed(seed))
    one, other = (feature_alignment(p, q, tol=1e-8, max_iter=2000).item()
                  for p, q in ((x, y), (x[rows], y[columns])))
    assert one == pytest.approx(other, rel=1e-6)


def test_label_cost_keeps_mass_within_a_class():
    """Two classes, each nearer to the other's samples: only a label cost keeps them apart."""
    z_S = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
    z_T = torch.tensor([[1.1], [-0.1]], dtype=torch.float64)
    y = torch.tensor([0, 1])
    free = feature_alignment(z_S, z_T, reg=0.01, tol=1e-9).item()
    kept = feature_alignment(z_S, z_T, y_S=y, y_T=y, label_cost=5.0, reg=0.01, tol=1e-9).item()
    assert free == pytest.approx(0.1, abs=1e-3)
    assert kept == pytest.approx(1.1, abs=1e-3)


def test_label_alignment_by_hand():
    head = torch.nn.Linear(2, 3).double()
    z, logits, y = features(5, 2), features(5, 3, 1), torch.tensor([0, 2, 1, 1, 0])
    p_S = np.exp(logits.numpy()) / np.exp(logits.numpy()).sum(1, keepdims=True)
    scores = z.numpy() @ head.weight.detach().numpy().T + head.bias.detach().numpy()
    p_T = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    kappa = p_T[np.arange(5), y]
    expected = np.mean(-np.log(p_S[np.arange(5), y]) + kappa * np.log(kappa))
    for gradient in ("student", "full"):
        la = label_alignment(logits, head, z, y, gradient=gradient)
        assert la.item() == pytest.approx(expected)


def test_label_alignment_is_cross_entropy_where_kappa_is_zero():
    head = torch.nn.Linear(2, 2).double()
    with torch.no_grad():
        head.weight.zero_()
        head.bias.copy_(torch.tensor([-60.0, 60.0]))  # kappa = exp(-120) for class 0
    z, logits, y = features(4, 2), features(4, 2, 1), torch.zeros(4, dtype=torch.long)
    assert label_alignment(logits, head, z, y).item() == pytest.approx(
        F.cross_entropy(logits, y).item(), abs=1e-12)


def test_readings_of_the_gradient():
    """"student" leaves cross-entropy's; "full" is checked by finite differences."""
    head = torch.nn.Linear(2, 3).double()
    body = torch.nn.Linear(4, 2).double()
    student_head = torch.nn.Linear(2, 3).double()
    X, y = features(6, 4), torch.tensor([0, 1, 2, 0, 1, 2])

    def la(gradient):
        z = body(X)
        return label_alignment(student_head(z), head, z, y, gradient=gradient)

    ours = torch.autograd.grad(la("student"), body.weight)[0]
    plain = torch.autograd.grad(F.cross_entropy(student_head(body(X)), y), body.weight)[0]
    torch.testing.assert_close(ours, plain)
    full = torch.autograd.grad(la("full"), body.weight)[0]
    h = 1e-6
    for i, j in np.ndindex(2, 4):
        slopes = []
        for sign in (1, -1):
            with torch.no_grad():
                body.weight[i, j] += sign * h
                slopes.append(la("full").item())
                body.weight[i, j] -= sign * h
        assert full[i, j].item() == pytest.approx((slopes[0] - slopes[1]) / (2 * h), abs=1e-7)


def test_half_precision_stays_finite():
    x = features(8, 4, dtype=torch.float32).bfloat16().requires_grad_()
    fa = feature_alignment(x, features(8, 4, 1, dtype=torch.float32).bfloat16())
    fa.backward()
    assert fa.dtype == torch.bfloat16 and x.grad.isfinite().all()


def test_unfinished_is_said():
    C = METRICS["l2"](features(30, 2), features(30, 2, 1))
    with pytest.warns(ConvergenceWarning, match=r"max_iter=3 .* Raise max_iter or reg"):
        sinkhorn(C, reg=1e-3, max_iter=3, tol=1e-9)


@pytest.mark.parametrize("arguments, message", [
    ({"reg": 0}, r"reg=0 is out of range"),
    ({"reg": -1.0}, r"reg=-1.0 is out of range"),
    ({"max_iter": 0}, r"max_iter=0 is out of range"),
    ({"tol": -1}, r"tol=-1 is out of range"),
    ({"a": torch.ones(3)}, r"a must hold 2 finite weights above 0"),
    ({"b": torch.tensor([1.0, 0.0, 1.0])}, r"b must hold 3 finite weights above 0"),
])
def test_sinkhorn_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        sinkhorn(torch.ones(2, 3), **arguments)


@pytest.mark.parametrize("cost", [torch.tensor([[math.nan]]), torch.tensor([[math.inf]]),
                                  torch.ones(0, 3), torch.ones(3), torch.ones(2, 2).long()])
def test_sinkhorn_refuses_costs(cost):
    with pytest.raises(ValueError, match="cost"):
        sinkhorn(cost)


def test_feature_alignment_refuses():
    x, y = features(4, 3), features(4, 3, 1)
    with pytest.raises(ValueError, match="must be .n, d. and .m, d."):
        feature_alignment(x, y[:, :2])
    with pytest.raises(ValueError, match="needs the labels y_S and y_T"):
        feature_alignment(x, y, label_cost=0.5)
    with pytest.raises(ValueError, match="metric='l3' is unknown. Use 'l2'"):
        feature_alignment(x, y, metric="l3")
    with pytest.raises(FloatingPointError, match="NaN or infinite. Lower the learning rate"):
        feature_alignment(x * math.nan, y)
    with pytest.raises(FloatingPointError, match="came out as 0.0 on samples that differ"):
        feature_alignment(x, y, metric=lambda p, q: torch.where(torch.eye(4) > 0, 0.0, 1e9)
                          .double(), reg=1.0)
    with pytest.raises(ValueError, match="gradient='none' is unknown"):
        label_alignment(torch.zeros(1, 2), torch.nn.Linear(3, 2), torch.zeros(1, 3),
                        torch.tensor([0]), gradient="none")
