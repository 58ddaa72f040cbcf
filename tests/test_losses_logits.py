"""Losses of logits against loops from the papers' equations, invariances and finite differences."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import linprog
from scipy.special import logsumexp, softmax, xlogy
from scipy.stats import pearsonr

from cmkdlearn.losses import LOSSES, Output, get_loss, kd

quick = settings(max_examples=25)
LOGIT_LOSSES = [name for name, cls in LOSSES.items() if cls.needs == ("logits",)]
SOFTENED = [name for name in LOGIT_LOSSES if hasattr(LOSSES[name](), "temperature")]
logits = arrays(np.float64, (6, 5), elements=st.floats(-20, 20))
labels = arrays(np.int64, 6, elements=st.integers(0, 4))
taus = st.floats(0.5, 10)


def value(loss, student, teacher, y=None):
    student, teacher = Output(torch.as_tensor(student)), Output(torch.as_tensor(teacher))
    y = None if y is None else torch.as_tensor(y)
    return loss.build(student, teacher)(student, teacher, y)


def draw(n=6, c=5, seed=0, scale=3.0):
    rng = np.random.default_rng(seed)
    return *(scale * rng.normal(size=(2, n, c))), rng.integers(c, size=n)


def kl(p, q):
    return sum(a * (math.log(a) - math.log(b)) for a, b in zip(p, q, strict=True) if a > 0)


# -------------------------------------------------------------------- definitions

@quick
@given(st.integers(0, 10**6), st.floats(0.1, 20), taus)
def test_zscore_is_kd_of_standardised_logits(seed, scale, tau):
    student, teacher, _ = draw(seed=seed, scale=scale)
    z_s, z_t = ((z - z.mean(1, keepdims=True)) / np.sqrt(z.var(1, keepdims=True) + 1e-8)
                for z in (student, teacher))  # a standard deviation far below 1e-4 counts as 0
    expected = tau**2 * np.mean([kl(softmax(t / tau), softmax(s / tau))
                                 for s, t in zip(z_s, z_t, strict=True)])
    actual = value(get_loss("zscore", temperature=tau), student, teacher).item()
    assert actual == pytest.approx(expected, rel=1e-5, abs=1e-9)


@quick
@given(arrays(np.float64, (2, 6, 1), elements=st.floats(-50, 50)),
       arrays(np.float64, (2, 6, 1), elements=st.floats(0.1, 20)))
def test_zscore_knows_neither_shift_nor_scale(shifts, scales):
    student, teacher, _ = draw()
    plain = value(get_loss("zscore"), student, teacher)
    changed = value(get_loss("zscore"), scales[0] * student + shifts[0], scales[1] * teacher + shifts[1])
    torch.testing.assert_close(changed, plain, rtol=1e-5, atol=1e-8)


def test_zscore_of_equal_logits():
    flat = torch.full((3, 4), 0.1, requires_grad=True)
    teacher, _, _ = draw(3, 4)
    loss = value(get_loss("zscore"), flat, teacher.astype(np.float32))
    uniform = kd(torch.zeros(3, 4), torch.tensor((teacher - teacher.mean(1, keepdims=True))
                                                 / teacher.std(1, keepdims=True)).float(), 2.0)
    assert loss.item() == pytest.approx(uniform.item(), rel=1e-4)
    loss.backward()
    assert flat.grad.isfinite().all()


def dkd_parts(s, t, c, tau):
    """TCKD and NCKD of one sample, and the teacher's probability of its class."""
    p, q = softmax(t / tau), softmax(s / tau)
    others = [k for k in range(len(s)) if k != c]
    tckd = kl([p[c], p[others].sum()], [q[c], q[others].sum()])
    nckd = kl(p[others] / p[others].sum(), q[others] / q[others].sum())
    return tckd, nckd, p[c]


@quick
@given(logits, logits, labels, taus, st.floats(0, 3), st.floats(0, 10))
def test_dkd_class_by_class(student, teacher, y, tau, alpha, beta):
    parts = [dkd_parts(s, t, c, tau) for s, t, c in zip(student, teacher, y, strict=True)]
    expected = tau**2 * np.mean([alpha * tckd + beta * nckd for tckd, nckd, _ in parts])
    loss = get_loss("dkd", temperature=tau, alpha=alpha, beta=beta)
    assert value(loss, student, teacher, y).item() == pytest.approx(expected, rel=1e-7, abs=1e-7)


@quick
@given(arrays(np.float64, 5, elements=st.floats(-10, 10)), arrays(np.float64, 5, elements=st.floats(-10, 10)),
       st.integers(0, 4), taus)
def test_kd_is_dkd_with_the_teachers_doubt_as_beta(student, teacher, c, tau):
    """Equation 7 of Zhao et al., of a single sample."""
    doubt = 1 - softmax(teacher / tau)[c]
    both = value(get_loss("dkd", temperature=tau, alpha=1.0, beta=doubt), student[None], teacher[None], [c])
    torch.testing.assert_close(both, kd(*map(torch.tensor, (student[None], teacher[None])), tau),
                               rtol=1e-7, atol=1e-9)


def rld_of_one(s, t, c, tau, alpha, beta, tau_c):
    """As zju-SWJ/RLD has it: SCD at a temperature of its own, MCD below the label's logit."""
    top, below = int(np.argmax(t)), [k for k in range(len(s)) if t[k] < t[c]]
    sure, gives = softmax(t / tau_c)[top], softmax(s / tau_c)[c]
    scd = kl([sure, 1 - sure], [gives, 1 - gives])
    mcd = kl(softmax(t[below] / tau), softmax(s[below] / tau)) if below else 0.0
    return alpha * tau_c**2 * scd + beta * tau**2 * mcd


@quick
@given(arrays(np.float64, (6, 5), elements=st.integers(-20, 20) | st.floats(-20, 20)), logits, labels,
       st.floats(2, 10), st.floats(2, 10))
def test_rld_whether_the_teacher_is_right_or_wrong(teacher, student, y, tau, tau_c):
    """Whole numbers among its logits, so that some are as great as the label's."""
    expected = np.mean([rld_of_one(s, t, c, tau, 0.7, 3.0, tau_c)
                        for s, t, c in zip(student, teacher, y, strict=True)])
    loss = get_loss("rld", temperature=tau, alpha=0.7, beta=3.0, confidence_temperature=tau_c)
    assert value(loss, student, teacher, y).item() == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_rld_has_its_authors_defaults():
    student, teacher, y = draw()
    expected = np.mean([rld_of_one(s, t, c, tau=4.0, alpha=1.0, beta=8.0, tau_c=1.0)
                        for s, t, c in zip(student, teacher, y, strict=True)])
    assert value(get_loss("rld"), student, teacher, y).item() == pytest.approx(expected)
    # on ImageNet
    expected = np.mean([rld_of_one(s, t, c, tau=1.0, alpha=1.0, beta=0.5, tau_c=1.0)
                        for s, t, c in zip(student, teacher, y, strict=True)])
    imagenet = get_loss("rld", temperature=1.0, beta=0.5)
    assert value(imagenet, student, teacher, y).item() == pytest.approx(expected)


def test_rld_by_hand():
    student, teacher = np.array([[1.0, 2, 0, 3]]), np.array([[0.0, 2, 1, -1]])
    wrong = value(get_loss("rld", temperature=1.0, alpha=0.0, beta=1.0), student, teacher, [2])
    # the teacher prefers class 1 to the label, class 2: what is left are 0 and 3
    p, q = softmax([0.0, -1]), softmax([1.0, 3])
    assert wrong.item() == pytest.approx(kl(p, q), rel=1e-6)
    last = value(get_loss("rld", temperature=1.0, alpha=0.0), student, teacher, [3])
    assert last.item() == 0  # nothing is ranked below the label


def test_where_the_teacher_is_right_rld_is_dkd_but_for_the_temperature_of_confidence():
    student, teacher, _ = draw()
    y = teacher.argmax(1)

    def of(name, **params):
        return value(get_loss(name, **params), student, teacher, y)

    torch.testing.assert_close(of("rld", confidence_temperature=4.0), of("dkd"))
    torch.testing.assert_close(of("rld"), of("dkd", temperature=1.0, beta=0.0) + of("dkd", alpha=0.0))
    assert abs(of("rld") - of("dkd")) > 1e-3 * of("dkd")


@quick
@given(taus, st.floats(0, 3), st.floats(0, 3), st.integers(2, 7), st.integers(2, 6))
def test_dist_by_pearsons_correlation(tau, beta, gamma, n, c):
    student, teacher, _ = draw(n, max(c, 3), seed=n * c)
    p, q = softmax(teacher / tau, axis=1), softmax(student / tau, axis=1)
    between = np.mean([1 - pearsonr(a, b)[0] for a, b in zip(q, p, strict=True)])
    within = np.mean([1 - pearsonr(a, b)[0] for a, b in zip(q.T, p.T, strict=True)])
    actual = value(get_loss("dist", temperature=tau, beta=beta, gamma=gamma), student, teacher)
    assert actual.item() == pytest.approx(tau**2 * (beta * between + gamma * within), rel=1e-6, abs=1e-9)


def test_wkd_against_linear_programming():
    """With little regularisation, transport between the non-target classes of each sample."""
    student, teacher, y = draw(4, 5, scale=1.5)
    relations = np.random.default_rng(1).uniform(size=(5, 5))
    relations = (relations + relations.T) / 2
    cost = 1 - np.exp(-2.0 * (1 - relations))
    np.fill_diagonal(cost, 0)
    expected = 0
    for s, t, c in zip(student, teacher, y, strict=True):
        others = [k for k in range(5) if k != c]
        p, q = softmax(t[others] / 2), softmax(s[others] / 2)
        sums = np.vstack([np.kron(np.eye(4), np.ones(4)), np.kron(np.ones(4), np.eye(4))])
        moved = linprog(cost[np.ix_(others, others)].ravel(), A_eq=sums, b_eq=np.r_[q, p]).fun
        expected += (-softmax(t)[c] * (s[c] - logsumexp(s)) + 3 * moved) / 4
    loss = get_loss("wkd", temperature=2.0, weight=3.0, sharpness=2.0, sinkhorn_reg=0.01, n_iter=1000,
                    relations=relations)
    assert value(loss, student, teacher, y).item() == pytest.approx(expected, abs=3 * 0.01 * 2 * math.log(4))
    # and exactly, with its entropic term, by a loop in the log domain
    assert value(loss, student, teacher, y).item() == pytest.approx(
        wkd_in_logs(student, teacher, y, cost, 2.0, 3.0, 0.01), rel=1e-6)


def wkd_in_logs(student, teacher, y, cost, tau, weight, reg):
    total = 0
    for s, t, c in zip(student, teacher, y, strict=True):
        others = [k for k in range(len(s)) if k != c]
        p, q = softmax(s[others] / tau), softmax(t[others] / tau)
        C, f, g = cost[np.ix_(others, others)], np.zeros(len(p)), np.zeros(len(q))
        for _ in range(1000):
            g = -reg * logsumexp((f[:, None] - C) / reg, b=p[:, None], axis=0)
            f = -reg * logsumexp((g[None, :] - C) / reg, b=q[None, :], axis=1)
        P = p[:, None] * q[None, :] * np.exp((f[:, None] + g[None, :] - C) / reg)
        moved = (P * C).sum() + reg * (xlogy(P, P / np.outer(p, q))).sum()
        total += -softmax(t)[c] * (s[c] - logsumexp(s)) + weight * moved
    return total / len(student)


@pytest.mark.parametrize("reg", [0.01, 0.03, 0.05, 1.0])
def test_wkd_in_single_precision_is_that_in_double(reg):
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(20) % 50
    student, teacher = (z * torch.logspace(0, 2, 20, dtype=torch.float64)[:, None]  # up to certainty
                        for z in torch.randn(2, 20, 50, generator=generator, dtype=torch.float64))
    found = []
    for dtype in (torch.float32, torch.float64):
        S, T = student.to(dtype).requires_grad_(True), Output(teacher.to(dtype))
        loss = get_loss("wkd", sinkhorn_reg=reg, relations=np.eye(50)).build(Output(S), T)(Output(S), T, y)
        loss.backward()
        found.append((loss.detach().double(), S.grad.double()))
    torch.testing.assert_close(*found, rtol=1e-5, atol=1e-6)


def test_wkd_takes_relations_from_the_teachers_logits():
    teacher = np.random.default_rng(0).normal(size=(50, 4))
    teacher[:, 1] = 2 * teacher[:, 0] + 3  # classes 0 and 1 go together
    cost = get_loss("wkd").build(Output(torch.zeros(2, 4)), Output(torch.tensor(teacher))).cost
    assert cost[0, 1] == pytest.approx(0, abs=1e-6) and cost[0, 2] > 0.3
    assert torch.equal(cost, cost.T) and (cost.diagonal() == 0).all()


# -------------------------------------------------------------------- what holds for all

@pytest.mark.parametrize("name", ["kd", "zscore", "dkd", "dist", "rld"])
@pytest.mark.parametrize("c", [3, 10, 1000])
def test_nothing_to_learn_from_equal_logits(name, c):
    rng = np.random.default_rng(c)
    teacher = rng.normal(size=(16, c))
    y = teacher.argmax(1)  # refinement corrects a wrong teacher, so rld is not zero there
    student = torch.tensor(teacher, requires_grad=True)
    loss = value(get_loss(name), student, teacher, y)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert student.grad.abs().max() < 1e-5


@pytest.mark.parametrize("name", LOGIT_LOSSES)
def test_gradient_by_finite_differences(name):
    student, teacher, y = draw()
    params = {"temperature": 1.5} if name in SOFTENED else {}
    if name == "wkd":
        params["n_iter"] = 400  # its gradient is that of the converged transport
    loss = get_loss(name, **params)
    student, teacher, y = torch.tensor(student, requires_grad=True), torch.tensor(teacher), torch.tensor(y)
    loss.build(Output(student.detach()), Output(teacher))
    loss = loss.double()
    assert torch.autograd.gradcheck(lambda s: loss(Output(s), Output(teacher), y), student, atol=1e-5)


@pytest.mark.parametrize("name", SOFTENED)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_finite_at_extreme_logits(name, dtype, temperature):
    rng = np.random.default_rng(0)
    student = torch.tensor(rng.choice([-60.0, 0, 60], size=(16, 6))).to(dtype).requires_grad_(True)
    teacher = torch.tensor(rng.choice([-60.0, 0, 60], size=(16, 6))).to(dtype)
    y = torch.tensor(rng.integers(6, size=16))
    loss = value(get_loss(name, temperature=temperature), student, teacher, y)
    loss.backward()
    assert loss.isfinite() and student.grad.isfinite().all() and loss.dtype == torch.float32
    exact = value(get_loss(name, temperature=temperature), student.detach().double(), teacher.double(), y)
    assert loss.item() == pytest.approx(exact.item(), rel=1e-3, abs=1e-4)


@pytest.mark.parametrize("name", LOGIT_LOSSES)
@pytest.mark.parametrize("c", [2, 3, 100, 1000])
def test_few_classes_and_many(name, c):
    student, teacher, y = draw(4, c)
    if c == 2 and LOSSES[name].min_classes == 3:
        with pytest.raises(ValueError, match=f"{name} compares the classes .* needs 3 .* there are 2"):
            value(get_loss(name), student, teacher, y)
    else:
        assert math.isfinite(value(get_loss(name), student, teacher, y))


@pytest.mark.parametrize("name", LOGIT_LOSSES)
def test_a_batch_of_one(name):
    student, teacher, y = draw(1)
    if LOSSES[name].min_samples == 2:
        with pytest.raises(ValueError, match=f"{name} compares samples .* needs 2 .* Raise batch_size"):
            value(get_loss(name), student, teacher, y)
    else:
        assert math.isfinite(value(get_loss(name), student, teacher, y))


@pytest.mark.parametrize("name", ["zscore", "dkd", "rld", "wkd"])
def test_a_constant_added_to_the_logits_changes_nothing(name):
    student, teacher, y = draw()
    shifts = np.random.default_rng(1).uniform(-20, 20, size=(2, 6, 1))
    if name == "wkd":  # whose costs are the teacher's correlations: one shift for all samples
        shifts[:] = shifts[:, :1]
    torch.testing.assert_close(value(get_loss(name), student + shifts[0], teacher + shifts[1], y),
                               value(get_loss(name), student, teacher, y))


@pytest.mark.parametrize("name", [n for n in LOGIT_LOSSES if LOSSES[n].needs_labels])
def test_unlabelled_samples_count_as_zero(name):
    student, teacher, y = draw()
    partly = np.where(np.arange(6) % 3 == 0, -1, y)
    known = partly >= 0
    loss = get_loss(name).build(*(Output(torch.tensor(z)) for z in (student, teacher)))

    def of(rows, labels):
        return loss(Output(torch.tensor(student[rows])), Output(torch.tensor(teacher[rows])),
                    torch.tensor(labels))

    torch.testing.assert_close(of(slice(None), partly), of(known, y[known]) * 4 / 6)
    s = torch.tensor(student, requires_grad=True)
    nothing = loss(Output(s), Output(torch.tensor(teacher)), torch.full((6,), -1))
    nothing.backward()
    assert nothing.item() == 0 and (s.grad == 0).all()
    with pytest.raises(ValueError, match=f"{name} reads the labels, but y is None"):
        loss(Output(s), Output(s))


# -------------------------------------------------------------------- sums

def test_a_weighted_sum():
    student, teacher, y = draw()
    both = 0.5 * get_loss("dkd") + get_loss("zscore") * 2
    expected = (0.5 * value(get_loss("dkd"), student, teacher, y)
                + 2 * value(get_loss("zscore"), student, teacher, y))
    torch.testing.assert_close(value(both, student, teacher, y), expected)
    torch.testing.assert_close(value(3 * both, student, teacher, y), 3 * expected)
    torch.testing.assert_close(value(get_loss("kd") + get_loss("kd"), student, teacher),
                               2 * value(get_loss("kd"), student, teacher))
    assert repr(both) == ("0.5 * DKD(temperature=4.0, alpha=1.0, beta=8.0) + "
                          "2 * ZScore(temperature=2.0)")
    assert both.needs == ("logits",) and both.needs_labels and not both.must_build
    assert (both + get_loss("crd")).needs == ("logits", "features") and (both + get_loss("crd")).must_build


def test_terms_of_a_sum_leave_unlabelled_samples_out_one_by_one():
    student, teacher, y = draw()
    partly = np.where(np.arange(6) < 2, -1, y)
    both = get_loss("dkd") + get_loss("kd")
    torch.testing.assert_close(
        value(both, student, teacher, partly),
        value(get_loss("dkd"), student, teacher, partly) + value(get_loss("kd"), student, teacher))


@pytest.mark.parametrize(("make", "error", "message"), [
    (lambda: -1 * get_loss("kd"), ValueError, "weight=-1 is out of range"),
    (lambda: math.nan * get_loss("kd"), ValueError, "weight=nan is out of range"),
    (lambda: get_loss("kd") + 1, TypeError, "unsupported operand"),
    (lambda: get_loss("kd") * get_loss("kd"), TypeError, "unsupported operand"),
    (lambda: "2" * get_loss("kd"), TypeError, "weight='2' is a str"),
])
def test_sums_that_cannot_be(make, error, message):
    with pytest.raises(error, match=message):
        make()


# -------------------------------------------------------------------- bad input

@pytest.mark.parametrize("name", LOGIT_LOSSES)
def test_class_counts_must_agree(name):
    with pytest.raises(ValueError, match="student has logits of 4 classes and the teacher of 5"):
        get_loss(name)(Output(torch.zeros(3, 4)), Output(torch.zeros(3, 5)), torch.zeros(3, dtype=int))


@pytest.mark.parametrize("name", LOGIT_LOSSES)
@pytest.mark.parametrize("who", ["student", "teacher"])
def test_nan_is_blamed_on_its_source(name, who):
    student, teacher, y = draw()
    loss = get_loss(name).build(*(Output(torch.tensor(z)) for z in (student, teacher)))
    (student if who == "student" else teacher)[2, 1] = np.nan
    with pytest.raises(FloatingPointError, match=f"The {who}'s logits are NaN or infinite in {name}"):
        loss(Output(torch.tensor(student)), Output(torch.tensor(teacher)), torch.tensor(y))


def test_batches_must_agree():
    with pytest.raises(ValueError, match="3 samples and the teacher of 4"):
        get_loss("kd")(Output(torch.zeros(3, 2)), Output(torch.zeros(4, 2)))


@pytest.mark.parametrize("name", SOFTENED)
@pytest.mark.parametrize("temperature", [0, -1.0, math.inf])
def test_temperatures_that_cannot_be(name, temperature):
    with pytest.raises(ValueError, match=r"temperature=.* must be a number above 0"):
        get_loss(name, temperature=temperature)


@pytest.mark.parametrize(("name", "params", "message"), [
    ("dkd", {"alpha": -1}, "alpha=-1"), ("dkd", {"beta": -1}, "beta=-1"), ("rld", {"beta": -1}, "beta=-1"),
    ("dist", {"gamma": -1}, "gamma=-1"), ("wkd", {"sinkhorn_reg": 1e-3}, "sinkhorn_reg=0.001"),
    ("wkd", {"n_iter": 0}, "n_iter=0"), ("wkd", {"sharpness": 0}, "sharpness=0"),
])
def test_parameters_that_cannot_be(name, params, message):
    with pytest.raises(ValueError, match=message):
        get_loss(name, **params)


@pytest.mark.parametrize("relations", [np.eye(3), 2 * np.eye(5), -np.eye(5)])
def test_relations_that_cannot_be(relations):
    zeros = Output(torch.zeros(2, 5))
    with pytest.raises(ValueError, match=r"relations must be \(5, 5\) numbers in \[0, 1\]"):
        get_loss("wkd", relations=relations).build(zeros, zeros)


def test_what_must_be_built_says_so():
    zeros = Output(torch.zeros(2, 5))
    with pytest.raises(RuntimeError, match="wkd is not built yet: call build"):
        get_loss("wkd")(zeros, zeros, torch.zeros(2, dtype=int))
