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
    with pytest.raises(ValueError, match="n=9 .*at least 10"):
        GaussianModalities(d=8).excess_risk(9)
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
def test_excess_risk_against_monte_carlo(rho, lam):
    """Fit the linear student of equation 4 to fresh samples, often."""
    ts, ty, sy = rho
    n, d, rounds = 15, 3, 4000
    X, y = make_gaussian_modalities(n * rounds, d, rho_ts=ts, rho_ty=ty, rho_sy=sy, random_state=1)
    t, s, y = (a.reshape(rounds, n, d) for a in (X["teacher"], X["student"], y))
    # equation 4 as it stands: two stacked least-squares problems
    rows = np.concatenate([s, np.sqrt(lam) * s], axis=1)
    goals = np.concatenate([y, np.sqrt(lam) * ty * t], axis=1)
    W = np.linalg.solve(np.swapaxes(rows, 1, 2) @ rows, np.swapaxes(rows, 1, 2) @ goals)
    losses = ((W - sy * np.eye(d)) ** 2).sum(axis=(1, 2)) / d  # s is white: the excess risk
    expected = GaussianModalities(d=d, rho_ts=ts, rho_ty=ty, rho_sy=sy).excess_risk(n, lam)
    assert losses.mean() == pytest.approx(expected, abs=4 * losses.std() / np.sqrt(rounds))
    assert losses.std() / np.sqrt(rounds) < 0.03 * expected  # so that the line above says something


@given(rhos, rhos, rhos, st.integers(12, 2000))
def test_optimal_lambda_is_the_minimum(ts, ty, sy, n):
    assume(feasible(ts, ty, sy))
    model = GaussianModalities(d=8, rho_ts=ts, rho_ty=ty, rho_sy=sy)
    best = model.optimal_lambda(n)
    found = minimize_scalar(lambda u: model.excess_risk(n, u / (1 - u)), bounds=(0, 1 - 1e-9),
                            method="bounded", options={"xatol": 1e-9})
    assert model.excess_risk(n, best) <= found.fun * (1 + 1e-9)
    assert (best > 0) == model.small_lambda_helps
    assert model.gain(n, best) >= -1e-12


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


@given(rhos, rhos, rhos)
def test_theorem_1(ts, ty, sy):
    """I(T; S) > I(S; Y) is enough for a small weight to help."""
    assume(feasible(ts, ty, sy))
    model = GaussianModalities(rho_ts=ts, rho_ty=ty, rho_sy=sy)
    assert model.complementary == (model.mi_gap > 0)
    if model.complementary:
        assert model.small_lambda_helps
        assert model.gain(100, 1e-6) > 0


def test_theorem_1_is_not_necessary():
    """No complementarity: a small weight may help and may harm."""
    helped = GaussianModalities(rho_ts=0.1, rho_ty=0.5, rho_sy=0.6)
    harmed = GaussianModalities(rho_ts=0.3, rho_ty=0.8, rho_sy=0.8)
    assert not helped.complementary and helped.gain(100, 1e-6) > 0
    assert not harmed.complementary and harmed.gain(100, 1e-6) < 0
    assert harmed.optimal_lambda(100) == 0
