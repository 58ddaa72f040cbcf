"""Closed forms of Gaussian modalities, against Monte Carlo and against each other."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.stats import multivariate_normal

from cmkdlearn.datasets import make_gaussian_modalities
from cmkdlearn.theory import GaussianModalities

rhos = st.integers(-95, 95).map(lambda percent: percent / 100)


def feasible(ts, ty, sy, margin=1e-3):
    return 1 + 2 * ts * ty * sy - ts**2 - ty**2 - sy**2 > margin


@pytest.mark.parametrize("rho", [(0.8, 0.6, 0.5), (-0.3, 0.5, 0.4), (0.2, -0.7, 0.1)])
def test_samples_have_the_correlations(rho):
    X, y = make_gaussian_modalities(200_000, 2, rho_ts=rho[0], rho_ty=rho[1], rho_sy=rho[2],
                                    random_state=0)
    found = np.corrcoef(np.hstack([X["teacher"], X["student"], y]).T)
    ts, ty, sy = rho
    expected = np.kron([[1, ts, ty], [ts, 1, sy], [ty, sy, 1]], np.eye(2))
    np.testing.assert_allclose(found, expected, atol=0.01)


def test_a_singular_correlation_matrix_will_do():
    X, y = make_gaussian_modalities(50, 1, rho_ts=1, rho_ty=0.3, rho_sy=0.3, random_state=0)
    np.testing.assert_allclose(X["teacher"], X["student"], atol=1e-6)
    assert y.shape == (50,)
    assert GaussianModalities(rho_ts=1, rho_ty=0.3, rho_sy=0.3).mi_teacher_student == np.inf


def test_impossible_correlations_name_the_range():
    with pytest.raises(ValueError, match=r"rho_ts=-0.5 .*\[-0.3928, 0.9928\]"):
        make_gaussian_modalities(10, rho_ts=-0.5, rho_ty=0.5, rho_sy=0.6)
    ty, sy = 0.9, 0.7
    edge = ty * sy - np.sqrt((1 - ty**2) * (1 - sy**2))
    GaussianModalities(rho_ts=edge, rho_ty=ty, rho_sy=sy)
    with pytest.raises(ValueError, match="impossible"):
        GaussianModalities(rho_ts=edge - 1e-6, rho_ty=ty, rho_sy=sy)
    with pytest.raises(ValueError, match=r"rho_ty=1.5 .*\[-1, 1\]"):
        GaussianModalities(rho_ty=1.5)
    for n in (7, 8, 9):
        with pytest.raises(ValueError, match=f"n={n} is too near d=8.* at least 10, or at most 6"):
            GaussianModalities(d=8).excess_risk(n)
    with pytest.raises(ValueError, match="n=1 is too near d=2.* at least 4.$"):
        GaussianModalities(d=2).excess_risk(1)
    with pytest.raises(ValueError, match="n=6 is out of range"):
        GaussianModalities(d=8).optimal_lambda(6, asymptotic=True)
    with pytest.raises(ValueError, match="n_targets=9"):
        GaussianModalities(d=8, n_targets=9)
    with pytest.raises(ValueError, match="lambda_kd=-1"):
        GaussianModalities(d=8).excess_risk(20, -1)


@pytest.mark.parametrize("rho", [1e-9, -0.3, 0.70710678, 0.9999, 1 - 1e-9, 2**-53 - 1])
def test_digits_near_no_and_near_full_correlation(rho):
    """The square of a correlation in exact fractions; the logarithm's condition is its own."""
    rest = 1 - Fraction(rho) ** 2
    expected = -np.log1p(-float(Fraction(rho) ** 2)) if rho**2 < 0.5 else -np.log(float(rest))
    model = GaussianModalities(d=2, rho_ts=rho, rho_ty=0, rho_sy=0)
    assert model.mi_teacher_student == pytest.approx(expected, rel=1e-14)
    model = GaussianModalities(d=2, rho_ts=0, rho_ty=0, rho_sy=rho)
    assert model.excess_risk(5) == pytest.approx(float(rest), rel=1e-14)


def test_mutual_information_is_a_difference_of_entropies():
    model = GaussianModalities(d=3, rho_ts=0.8, rho_ty=0.6, rho_sy=0.5)
    for rho, found in [(0.8, model.mi_teacher_student), (0.6, model.mi_teacher_label),
                       (0.5, model.mi_student_label)]:
        joint = np.kron([[1, rho], [rho, 1]], np.eye(3))
        expected = (2 * multivariate_normal(np.zeros(3), np.eye(3)).entropy()
                    - multivariate_normal(np.zeros(6), joint).entropy())
        assert found == pytest.approx(expected)


@pytest.mark.parametrize("rho", [(0.8, 0.6, 0.5), (0.3, 0.8, 0.75), (0.1, 0.4, 0.6)])
@pytest.mark.parametrize("lam", [0.0, 0.5, 4.0])
@pytest.mark.parametrize(("n", "d"), [(15, 3), (5, 12)])
@pytest.mark.parametrize("weight", [None, -0.7])
def test_excess_risk_against_monte_carlo(rho, lam, n, d, weight):
    """Fit the linear student of equation 4 to fresh samples, often; with n < d the least one."""
    ts, ty, sy = rho
    rounds = 4000
    X, y = make_gaussian_modalities(n * rounds, d, rho_ts=ts, rho_ty=ty, rho_sy=sy, n_targets=2,
                                    random_state=1)
    t, s, y = (a.reshape(rounds, n, -1) for a in (X["teacher"], X["student"], y))
    # equation 4 as it stands: two stacked least-squares problems
    said = (ty if weight is None else weight) * t[:, :, :2]
    rows = np.concatenate([s, np.sqrt(lam) * s], axis=1)
    goals = np.concatenate([y, np.sqrt(lam) * said], axis=1)
    W = np.linalg.pinv(rows) @ goals
    losses = ((W - sy * np.eye(d)[:, :2]) ** 2).sum(axis=(1, 2)) / 2  # s is white: the excess risk
    model = GaussianModalities(d=d, rho_ts=ts, rho_ty=ty, rho_sy=sy, teacher_weight=weight)
    expected = model.excess_risk(n, lam)
    assert losses.mean() == pytest.approx(expected, abs=4 * losses.std() / np.sqrt(rounds))
    assert losses.std() / np.sqrt(rounds) < 0.03 * expected  # so that the line above says something


def test_fewer_samples_than_dimensions_by_hand():
    """One sample in four dimensions: W is y s / |s|^2, and E 1 / |s|^2 is 1 / 2."""
    model = GaussianModalities(d=4, rho_ts=0.5, rho_ty=0.5, rho_sy=0.6)
    assert model.excess_risk(1) == pytest.approx(0.75 * 0.36 + 0.64 / 2)
    # the teacher alone: its W is a fourth as long in expectation, and its noise is Var(t / 2 | s)
    assert model.excess_risk(1, np.inf) == pytest.approx(
        0.75 * 0.36 + 0.25 * (0.6 - 0.25) ** 2 + 0.25 * 0.75 / 2)


def test_one_target_is_a_scalar_among_many_columns():
    X, y = make_gaussian_modalities(100_000, 5, rho_ts=0.8, rho_ty=0.6, rho_sy=0.5, n_targets=1,
                                    random_state=0)
    assert y.shape == (100_000,)
    np.testing.assert_allclose(np.corrcoef(np.column_stack([X["student"], y]).T)[-1],
                               [0.5, 0, 0, 0, 0, 1], atol=0.015)
    one, five = (GaussianModalities(d=5, rho_ts=0.8, rho_ty=0.6, rho_sy=0.5, n_targets=n)
                 for n in (1, None))
    assert one.mi_teacher_student == pytest.approx(-0.5 * np.log(1 - 0.64))  # of two numbers
    assert one.mi_gap == pytest.approx(five.mi_gap / 5)
    assert one.excess_risk(20, 0.5) == five.excess_risk(20, 0.5)


@given(rhos, rhos, rhos, st.integers(1, 2000), st.none() | rhos)
def test_optimal_lambda_is_the_minimum(ts, ty, sy, n, weight):
    assume(feasible(ts, ty, sy) and abs(n - 8) > 1)
    model = GaussianModalities(d=8, rho_ts=ts, rho_ty=ty, rho_sy=sy, teacher_weight=weight)
    best = model.optimal_lambda(n)
    found = minimize_scalar(lambda u: model.excess_risk(n, u / (1 - u)), bounds=(0, 1 - 1e-9),
                            method="bounded", options={"xatol": 1e-9})
    assert model.excess_risk(n, best) <= found.fun * (1 + 1e-9)
    assert (best > 0) == model.small_lambda_helps
    assert model.gain(n, best) >= -1e-12


@given(rhos, rhos, rhos, st.sampled_from([2, 6, 12, 300]), st.floats(0.01, 50))
def test_optimal_teacher_weight_is_the_minimum(ts, ty, sy, n, lam):
    assume(feasible(ts, ty, sy))
    rho = {"d": 8, "rho_ts": ts, "rho_ty": ty, "rho_sy": sy}
    best = GaussianModalities(**rho).optimal_teacher_weight(n, lam)
    risk = [GaussianModalities(**rho, teacher_weight=best + step).excess_risk(n, lam)
            for step in (-1e-3, 0, 1e-3)]
    assert risk[1] <= min(risk) * (1 + 1e-12)


def test_the_surrogate_of_a_teacher_that_knows_no_more_than_the_student():
    """Equation 15: given s, t and y are independent, and no weight of the loss changes it."""
    model = GaussianModalities(d=8, rho_ts=0.7, rho_ty=0.42, rho_sy=0.6)
    found = [model.optimal_teacher_weight(20, lam) for lam in (0.1, 1, 10)]
    np.testing.assert_allclose(found, 0.42 / (0.49 + 8 / 11 * 0.51))
    with pytest.raises(ValueError, match="lambda_kd=0"):
        model.optimal_teacher_weight(20, 0)


def test_the_asymptote():
    model = GaussianModalities(d=8, rho_ts=0.3, rho_ty=0.6, rho_sy=0.5)
    for n, accuracy in [(10**4, 1e-2), (10**6, 1e-4)]:
        assert model.optimal_lambda(n, asymptotic=True) == pytest.approx(model.optimal_lambda(n),
                                                                         rel=accuracy)


def test_no_bias_means_the_more_the_better_if_the_teacher_says_no_less():
    """Where t contains all that s knows of y, its word is the label without the noise."""
    model = GaussianModalities(rho_ts=0.5, rho_ty=0.8, rho_sy=0.4)
    assert model.optimal_lambda(100) == np.inf
    assert model.excess_risk(100, np.inf) < model.excess_risk(100, 100.0)


@given(rhos, rhos, rhos, st.sampled_from([2, 6, 10, 100]))
def test_theorems_1_and_3(ts, ty, sy, n):
    """I(h_T; h_S) > I(h_S; Y) is enough for a small weight to help, with few samples, too."""
    assume(feasible(ts, ty, sy))
    model = GaussianModalities(rho_ts=ts, rho_ty=ty, rho_sy=sy)
    assert model.complementary == (model.mi_gap > 0)
    if model.complementary:
        assert model.small_lambda_helps
        assert model.gain(n, 1e-6) > 0


def test_a_loud_teacher_does_harm_all_the_same():
    """Theorem 1 assumes that the teacher's weights are not too large."""
    rho = {"rho_ts": 0.7, "rho_ty": 0.6, "rho_sy": 0.5}
    assert GaussianModalities(**rho).complementary
    assert GaussianModalities(**rho).gain(100, 1e-6) > 0
    assert GaussianModalities(**rho, teacher_weight=10).gain(100, 1e-6) < 0


def test_theorem_1_is_not_necessary():
    """No complementarity: a small weight may help and may harm."""
    helped = GaussianModalities(rho_ts=0.1, rho_ty=0.5, rho_sy=0.6)
    harmed = GaussianModalities(rho_ts=0.3, rho_ty=0.8, rho_sy=0.8)
    assert not helped.complementary and helped.gain(100, 1e-6) > 0
    assert not harmed.complementary and harmed.gain(100, 1e-6) < 0
    assert harmed.optimal_lambda(100) == 0
