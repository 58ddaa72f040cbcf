"""Mutual information against closed forms, brute force and scikit-learn."""

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import digamma, logsumexp
from sklearn.feature_selection import mutual_info_classif, mutual_info_regression

from cmkdlearn.datasets import make_gaussian_modalities
from cmkdlearn.information import ESTIMATORS, mi_gap, mutual_information, register
from cmkdlearn.information._gaussian import canonical, log_ratio, whitened
from cmkdlearn.information._ksg import _by_brute_force, _by_trees, normal_scores
from cmkdlearn.theory import GaussianModalities

CPU = torch.device("cpu")
NAMES = ["ksg", "gaussian", "elliptical", "latent", "mine", "auto"]
UNTRAINED = ["ksg", "gaussian", "elliptical", "auto"]


def normal(n, d, rho, seed=0):
    x, noise = np.random.default_rng(seed).standard_normal((2, n, d))
    return x, rho * x + np.sqrt(1 - rho**2) * noise


def information(d, rho):
    return -d / 2 * np.log(1 - rho**2)


def mi(*args, **params):
    return mutual_information(*args, **{"random_state": 0, **params})


# ---------------------------------------------------------------- known truths


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
def test_bivariate_normal(name, rho):
    found = mi(*normal(3000, 1, rho), name)
    assert found.estimate == pytest.approx(information(1, rho), abs=0.08 if name == "mine" else 0.05)


@pytest.mark.parametrize("name", ["gaussian", "elliptical", "auto"])
def test_many_dimensions_without_loss(name):
    x, y = normal(3000, 25, 0.4)
    turn = np.random.default_rng(1).standard_normal((25, 25))
    assert mi(x @ turn, np.exp(y), name).estimate == pytest.approx(information(25, 0.4), abs=0.15)


def test_gaussian_has_no_bias_in_few_samples():
    found = [mi(*normal(60, 8, rho, seed), "gaussian").estimate - information(8, rho)
             for rho in (0.0, 0.6) for seed in range(100)]
    assert abs(np.mean(found)) < 4 * np.std(found) / np.sqrt(len(found)) + 0.05


def test_latent_finds_what_is_hidden_in_many_columns():
    rng = np.random.default_rng(0)
    x, y = normal(2000, 2, 0.8)
    hide = rng.standard_normal((2, 2, 100))
    x, y = x @ hide[0] + 0.1 * rng.standard_normal((2000, 100)), y @ hide[1]
    assert mi(x, y, "latent").estimate == pytest.approx(information(2, 0.8), abs=0.12)


@pytest.mark.parametrize("name", ["ksg", "auto"])
@pytest.mark.parametrize("width", [0.1, 0.75])
def test_uniform_noise(name, width):
    rng = np.random.default_rng(0)
    x = rng.uniform(size=3000)
    truth = 1 / (4 * width) if width >= 0.5 else width - np.log(2 * width)
    found = mi(x, x + rng.uniform(-width, width, 3000), name)
    assert found.estimate == pytest.approx(truth, abs=0.06)


@pytest.mark.parametrize("name", ["ksg", "auto"])
def test_a_level_and_what_is_above_it(name):
    """Gao et al. 2017: Y uniform in the two units above X; log m - (m - 1) log 2 / m."""
    rng = np.random.default_rng(0)
    level = rng.integers(5, size=3000)
    found = mi(level, level + rng.uniform(0, 2, 3000), name)
    assert found.estimate == pytest.approx(np.log(5) - 4 * np.log(2) / 5, abs=0.04)


@pytest.mark.parametrize("name", NAMES)
def test_normal_classes(name):
    rng = np.random.default_rng(0)
    label = rng.integers(2, size=3000)
    x = rng.standard_normal((3000, 3))
    x[:, 0] += 2 * label
    z = rng.standard_normal(10**6) + 2
    truth = np.mean(np.log(2) - np.log1p(np.exp(2 - 2 * z)))
    assert mi(x, label, name).estimate == pytest.approx(truth, abs=0.05)


@pytest.mark.parametrize("name", NAMES)
def test_a_discrete_function_says_the_entropy(name):
    rng = np.random.default_rng(0)
    x = rng.choice(6, p=[0.4, 0.3, 0.1, 0.1, 0.05, 0.05], size=5000)
    p = np.bincount(x) / len(x)
    found = mi(x, (7 * x + 3) % 11, name)
    assert found.estimate == pytest.approx(-(p * np.log(p)).sum())
    assert found.estimator == "plug-in"


def test_plug_in_by_hand_and_without_bias():
    x, y = np.repeat([0, 0, 1, 1], [30, 10, 20, 40]), np.repeat([0, 1, 0, 1], [30, 10, 20, 40])
    by_hand = (0.3 * np.log(0.3 / (0.4 * 0.5)) + 0.1 * np.log(0.1 / (0.4 * 0.5))
               + 0.2 * np.log(0.2 / (0.6 * 0.5)) + 0.4 * np.log(0.4 / (0.6 * 0.5)))
    assert mi(x, y).estimate == pytest.approx(by_hand - 1 / 200)
    rng = np.random.default_rng(0)
    found = [mi(rng.integers(5, size=200), rng.integers(4, size=200)).estimate for _ in range(300)]
    assert abs(np.mean(found)) < 4 * np.std(found) / np.sqrt(len(found))
    assert min(found) < 0


# ---------------------------------------------------------------- KSG as it is defined


def squared_distances(side):
    return np.square(side[:, None] - side[None]).sum(-1)


def counts_by_definition(distances, codes, k):
    joint = np.maximum.reduce(distances)
    counts = np.zeros((len(distances), len(codes)), dtype=int)
    for i in range(len(codes)):
        others = np.flatnonzero((codes == codes[i]) & (np.arange(len(codes)) != i))
        radius = np.sort(joint[i, others])[k - 1]
        counts[:, i] = [np.count_nonzero(rows[i] < radius) for rows in distances]
    return counts


@pytest.mark.parametrize("n_classes", [1, 4])
@pytest.mark.parametrize("k", [1, 5])
def test_trees_and_brute_force_count_alike(n_classes, k):
    rng = np.random.default_rng(k)
    x, y = normal(400, 2, 0.7)
    codes = rng.integers(n_classes, size=400)
    maximum = [np.abs(side[:, None] - side[None]).max(-1) for side in (x, y)]
    np.testing.assert_array_equal(_by_trees([x, y], codes, k), counts_by_definition(maximum, codes, k))
    euclid = [squared_distances(side) for side in (x, y)]
    np.testing.assert_array_equal(_by_brute_force([x, y], codes, k, CPU),
                                  counts_by_definition(euclid, codes, k))


def test_brute_force_keeps_its_digits():
    """Distances far below the lengths, which single precision would lose."""
    rng = np.random.default_rng(0)
    line = 1e-4 * rng.standard_normal((300, 1))
    sides = [np.hstack([line] * 5) + 3, np.hstack([line**2] * 4) - 2]
    codes = np.zeros(300, dtype=int)
    np.testing.assert_array_equal(
        _by_brute_force(sides, codes, 3, CPU),
        counts_by_definition([squared_distances(side) for side in sides], codes, 3))


def test_ksg_is_equation_8():
    x, y = normal(300, 5, 0.6)
    distances = [squared_distances(normal_scores(side)) for side in (x, y)]
    n_x, n_y = counts_by_definition(distances, np.zeros(300, dtype=int), 3)
    expected = digamma(3) + digamma(300) - digamma(n_x) - digamma(n_y)
    found = mi(x, y)
    np.testing.assert_allclose(found.pointwise, expected, atol=0.02)  # single precision: a tie
    assert found.estimate == pytest.approx(expected.mean(), abs=1e-4)


def test_ksg_agrees_with_scikit_learn():
    rng = np.random.default_rng(0)
    label = rng.integers(3, size=500)
    x = rng.standard_normal((500, 1)) + label[:, None]
    for k in (2, 3, 7):
        params = {"n_neighbors": k, "margins": "standard"}
        theirs = mutual_info_classif(x, label, n_neighbors=k, random_state=0)[0]
        assert mi(x, label, **params).estimate == pytest.approx(theirs, abs=1e-6)
        z = x[:, 0] ** 2 + rng.standard_normal(500)
        theirs = mutual_info_regression(x, z, n_neighbors=k, random_state=0)[0]
        assert mi(x, z, **params).estimate == pytest.approx(theirs, abs=1e-6)


# ---------------------------------------------------------------- invariances


@pytest.mark.parametrize("name", UNTRAINED)
def test_increasing_maps_of_columns_change_nothing(name):
    x, y = normal(300, 2, 0.7)
    warped = mi(np.sign(x) * np.abs(x) ** 3, np.exp(5 * y), name).estimate
    assert warped == pytest.approx(mi(x, y, name).estimate, abs=1e-6)


@pytest.mark.parametrize("name", UNTRAINED)
@pytest.mark.parametrize("labels", [False, True])
def test_symmetry(name, labels):
    x, y = normal(400, 4, 0.6)
    if labels:
        y = (y[:, 0] > 0).astype(int)
    tol = 0.1 if name in ("elliptical", "auto") and not labels else 1e-6  # regresses y on x
    assert mi(x, y, name).estimate == pytest.approx(mi(y, x, name).estimate, abs=tol)


@pytest.mark.parametrize("name", UNTRAINED)
def test_columns_that_say_nothing_new(name):
    x, y = normal(500, 2, 0.7)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plain = mi(x, y, name).estimate
        assert mi(np.column_stack([x, np.ones(500)]), y, name).estimate == pytest.approx(plain)
        doubled = mi(np.hstack([x, x]), y, name).estimate
        assert doubled == pytest.approx(plain, abs=1e-6 if name in ("ksg", "gaussian") else 0.1)
        assert mi(np.ones((500, 3)), y, name) == (0.0, 0.0, name, pytest.approx(np.zeros(500)))
        assert mi(x, np.zeros(500, dtype=int), name).estimate == 0


@pytest.mark.parametrize("name", UNTRAINED)
def test_a_copy_says_much_and_a_finite_number(name):
    x = normal(300, 3, 0)[0]
    found = mi(x, x, name)
    assert 4 < found.estimate < 100
    assert np.isfinite(found.std_error)


@pytest.mark.parametrize("name", NAMES)
def test_data_processing_on_average(name):
    rng = np.random.default_rng(99)
    near, far = [], []
    for seed in range(3):
        x, y = normal(600, 2, 0.8, seed)
        near.append(mi(x, y, name).estimate)
        far.append(mi(x, y + rng.standard_normal(y.shape), name).estimate)
    assert np.mean(far) < np.mean(near)


@settings(max_examples=25, deadline=None)
@given(n=st.integers(12, 60), d_x=st.integers(1, 5), d_y=st.integers(0, 5),
       name=st.sampled_from(UNTRAINED), seed=st.integers(0, 99))
def test_any_shape_gives_a_finite_number(n, d_x, d_y, name, seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, d_x))
    y = rng.standard_normal((n, d_y)) if d_y else rng.integers(3, size=n)
    found = mi(x, y, name)
    assert np.isfinite(found.estimate)
    assert found.pointwise.shape == (n,)
    assert found.estimate == pytest.approx(found.pointwise.mean())


# ---------------------------------------------------------------- errors, seeds, repeats


@pytest.mark.parametrize("name", UNTRAINED)
def test_standard_error_is_that_of_repeated_sampling(name):
    found = [mi(*normal(400, 1, 0.6, seed), name) for seed in range(60)]
    spread = np.std([result.estimate for result in found], ddof=1)
    assert np.mean([result.std_error for result in found]) == pytest.approx(spread, rel=0.5)


@pytest.mark.parametrize("name", ["ksg", "gaussian"])
def test_independence_is_zero_within_the_error_and_may_be_negative(name):
    found = [mi(*normal(300, 2, 0.0, seed), name) for seed in range(40)]
    estimates = np.array([result.estimate for result in found])
    assert estimates.min() < 0
    assert abs(estimates.mean()) < 4 * estimates.std() / np.sqrt(40)


@pytest.mark.parametrize("name", NAMES)
def test_seeds_repeat_and_leave_the_global_ones(name):
    x, y = normal(80, 2, 0.6)
    states = np.random.get_state()[1].copy(), torch.get_rng_state()
    first, again = mi(x, y, name, n_repeats=2), mi(x, y, name, n_repeats=2)
    np.testing.assert_array_equal(first.pointwise, again.pointwise)
    assert first[:3] == again[:3]
    np.testing.assert_array_equal(np.random.get_state()[1], states[0])
    assert torch.equal(torch.get_rng_state(), states[1])


@pytest.mark.parametrize("name", ["latent", "mine"])
def test_repeats_are_other_estimates(name):
    x, y = normal(200, 2, 0.6)
    params = {"max_epochs": 5}
    one, other = mi(x, y, name, **params), mi(x, y, name, random_state=1, **params)
    assert one.estimate != other.estimate
    several = mi(x, y, name, n_repeats=4, **params)
    assert several.pointwise.shape == (200,)
    assert several.estimate == pytest.approx(several.pointwise.mean())


def clusters(n, n_clusters, d):
    """Draw two sides that share a cluster; the truth is a mean over many draws."""
    rng = np.random.default_rng(5)
    centres = 2 * rng.standard_normal((2, n_clusters, d))

    def draw(n):
        shared = rng.integers(n_clusters, size=n)
        return [centre[shared] + rng.standard_normal((n, d)) for centre in centres]
    logits = [side @ centre.T - np.square(centre).sum(1) / 2
              for side, centre in zip(draw(50_000), centres, strict=True)]
    truth = (logsumexp(sum(logits), axis=1) - logsumexp(logits[0], axis=1)
             - logsumexp(logits[1], axis=1)).mean() + np.log(n_clusters)
    return *draw(n), truth


def test_auto_does_not_take_clusters_for_lines():
    x, y, truth = clusters(2000, 2, 20)
    assert mi(x, y, "gaussian").estimate > truth + 0.3
    assert mi(x, y, "auto").estimate == pytest.approx(truth, abs=0.05)


def test_log_ratio_is_that_of_densities():
    x, y = normal(4000, 3, 0.5)
    x, y, rho = canonical(x, y)
    product = [log_ratio(x, np.roll(y, shift, axis=0), rho) for shift in range(1, 50)]
    assert np.exp(product).mean() == pytest.approx(1, abs=0.03)


def test_auto_says_what_it_chose():
    rng = np.random.default_rng(0)
    x, y = normal(800, 20, 0.4)
    assert mi(x, y, "auto").estimator in ("gaussian", "elliptical")
    angle = rng.uniform(0, 2 * np.pi, 800)
    circle = np.column_stack([np.cos(angle), np.sin(angle)])
    assert mi(circle[:, 0], circle[:, 1], "auto").estimator == "ksg"


def test_whitening():
    rng = np.random.default_rng(0)
    side = rng.standard_normal((200, 3)) @ rng.standard_normal((3, 4)) + 5  # of rank 3, off the origin
    white = whitened(side)
    np.testing.assert_allclose(white.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(white.T @ white / 200, np.eye(3), atol=1e-12)
    rest = np.linalg.lstsq(white, side - side.mean(axis=0), rcond=None)[1]
    np.testing.assert_allclose(rest, 0, atol=1e-12)


# ---------------------------------------------------------------- the gap


def test_gap_is_that_of_the_theory():
    model = GaussianModalities(d=2, rho_ts=0.8, rho_ty=0.5, rho_sy=0.4)
    X, y = make_gaussian_modalities(3000, 2, rho_ts=0.8, rho_ty=0.5, rho_sy=0.4, random_state=0)
    gap = mi_gap(X["teacher"], X["student"], y, random_state=0)
    assert gap.gap == pytest.approx(model.mi_gap, abs=0.08)
    assert float(gap) == gap.teacher_student.estimate - gap.student_label.estimate
    assert 0 < gap.std_error < gap.teacher_student.std_error + gap.student_label.std_error


def test_gap_pairs_samples():
    """Both terms are the same variable: their difference has no error."""
    x, y = normal(200, 1, 0.7)
    gap = mi_gap(y, x, y, estimator="gaussian", random_state=0)
    assert gap.gap == pytest.approx(0, abs=1e-12)
    assert gap.std_error == pytest.approx(0, abs=1e-12)
    assert gap.student_label.std_error > 0.01


def test_gap_without_the_contributions_of_samples():
    """A callable gives one number; of a constant every sample's contribution is known to be 0."""
    def guess(x, y, *, random_state):
        return 0.5 + 0.1 * np.random.RandomState(random_state).standard_normal()

    x, y = normal(50, 1, 0.7)
    gap = mi_gap(np.ones((50, 1)), x, y, estimator=guess, n_repeats=4, random_state=0)
    assert gap.teacher_student.estimate == 0 and gap.student_label.pointwise is None
    assert gap.std_error == gap.student_label.std_error > 0
    both = mi_gap(y, x, y, estimator=guess, n_repeats=4, random_state=0)
    assert both.std_error == np.hypot(both.teacher_student.std_error, both.student_label.std_error)


def test_gap_takes_whole_numbers_in_representations_as_they_are():
    rng = np.random.default_rng(0)
    counts = rng.poisson(3, size=(300, 1))
    label = rng.choice(["cat", "dog"], size=300)
    gap = mi_gap(counts, rng.standard_normal((300, 2)), label, random_state=0)
    assert gap.teacher_student.estimator == gap.student_label.estimator == "ksg"


# ---------------------------------------------------------------- input


def test_kinds_of_input_mean_the_same():
    x, y = normal(200, 2, 0.6)
    label = np.where(y[:, 0] > 0, "b", "a")
    for same_x, same_label in [(torch.tensor(x), label.astype(object)),
                               (x.tolist(), label.tolist()),
                               (x.reshape(200, 2, 1), (label == "b")),
                               (x, (label == "b").astype(float))]:
        assert mi(same_x, same_label)[:3] == mi(x, label)[:3]
    assert mi(x, y[:, 0].round(), discrete_y=False) != mi(x, y[:, 0].round())
    pairs = np.column_stack([label == "b", y[:, 1] > 0]).astype(int)
    assert mi(pairs, 2 * pairs[:, 0] + pairs[:, 1], discrete_x=True).estimator == "plug-in"


@pytest.mark.parametrize(("x", "message"), [
    (np.array([[1.0], [np.nan], [2.0]]), "x contains NaN"),
    (np.array([1.0, np.inf, 2.0]), "x contains NaN or infinity"),
    (np.ones((3, 0)), r"x has shape \(3, 0\)"),
    (np.float64(3.0), r"x has shape \(\)"),
    (np.arange(4.0), "x has 4 samples and y has 3"),
])
def test_bad_values_are_refused(x, message):
    with pytest.raises(ValueError, match=message):
        mutual_information(x, np.array([0.1, 0.2, 0.3]))


@pytest.mark.parametrize("x", [np.arange(3) * 1j, np.array([1, None, 2], dtype=object),
                               np.array(["2020", "2021", "2022"], dtype="datetime64[Y]")])
def test_bad_dtypes_are_refused(x):
    with pytest.raises(TypeError, match=f"x has dtype {x.dtype}".replace("[", r"\[")):
        mutual_information(x, np.array([0.1, 0.2, 0.3]))


@pytest.mark.parametrize(("params", "error", "message"), [
    ({"estimator": "kgs"}, ValueError, "estimator='kgs' .*'ksg'"),
    ({"estimator": 3}, TypeError, "estimator=3 must be a name"),
    ({"hidden": 3}, TypeError, "no parameter 'hidden'; it has n_neighbors, margins"),
    ({"n_neighbors": 50}, ValueError, "n_neighbors=50 needs at least 51 samples; there are 50"),
    ({"n_neighbors": 0}, ValueError, "n_neighbors=0"),
    ({"margins": "uniform"}, ValueError, "margins='uniform'"),
    ({"n_repeats": 0}, ValueError, "n_repeats=0"),
    ({"n_repeats": 1.5}, TypeError, "n_repeats=1.5"),
    ({"n_neighbors": 1.5}, TypeError, "n_neighbors=1.5"),
    *[({"estimator": "latent", count: 1.5}, TypeError, f"{count}=1.5")
      for count in ("n_latent", "hidden", "n_neighbors", "max_epochs", "batch_size", "patience")],
    ({"estimator": "mine", "hidden": 1.5}, TypeError, "hidden=1.5"),
    ({"discrete_x": "no"}, ValueError, "discrete_x='no'"),
    ({"discrete_x": True}, ValueError, "most of its values occur only once"),
    ({"device": "abacus"}, ValueError, "device='abacus'"),
    ({"estimator": "latent", "n_latent": 0}, ValueError, "n_latent=0"),
    ({"estimator": "mine", "lr": 0}, ValueError, "lr=0"),
])
def test_bad_parameters_are_refused(params, error, message):
    with pytest.raises(error, match=message):
        mutual_information(*normal(50, 2, 0.5), **params)


@pytest.mark.parametrize("name", ["gaussian", "elliptical"])
def test_copulas_need_more_samples_than_columns(name):
    with pytest.raises(ValueError, match="needs more than"):
        mi(*normal(20, 15, 0.5), name)
    with pytest.raises(ValueError, match="needs more than 11 samples for 10 columns; there are 11"):
        mi(*normal(11, 5, 0.5), name)
    assert np.isfinite(mi(*normal(12, 5, 0.5), name).estimate)
    assert np.isfinite(mi(*normal(20, 15, 0.5), "auto").estimate)


def test_strings_are_discrete():
    with pytest.raises(ValueError, match="y holds strings, which discrete_y=False"):
        mutual_information(np.arange(4.0), ["a", "b", "a", "b"], discrete_y=False)


def test_a_class_of_one_sample_counts_as_the_mean():
    x, y = normal(100, 1, 0.8)
    label = (y[:, 0] > 0).astype(int)
    label[7] = 9
    rest = np.delete(np.arange(100), 7)
    found = mi(x, label)
    assert found.estimate == pytest.approx(mi(x[rest], label[rest]).estimate)
    assert found.pointwise[7] == pytest.approx(found.estimate)


# ---------------------------------------------------------------- estimators of one's own


def test_any_callable_is_an_estimator():
    seeds = []

    def seeded(x, y, random_state, scale=1.0):
        assert (x.shape, y.shape) == ((50, 2), (50,))
        seeds.append(random_state)
        return scale * len(seeds)

    x, y = normal(50, 2, 0.5)
    found = mi(x, y[:, 0] > 0, seeded, n_repeats=3, scale=10.0)
    assert found[:3] == (20.0, pytest.approx(10 / np.sqrt(3)), "seeded")
    assert found.pointwise is None
    assert len(set(seeds)) == 3
    sample_by_sample = mi(x, y, lambda x, y: x[:, 0] * y[:, 0])
    assert sample_by_sample.estimate == pytest.approx(np.mean(x[:, 0] * y[:, 0]))
    assert sample_by_sample.std_error > 0


def test_the_table_takes_another():
    @register("zero")
    def zero(x, y, *, n_repeats, rng, device, offset=0.0):
        return np.full((1, len(x)), offset)

    try:
        assert mi(*normal(50, 2, 0.5), "zero", offset=2.0).estimate == 2.0
        with pytest.raises(TypeError, match="no parameter 'ofset'; it has offset"):
            mi(*normal(50, 2, 0.5), "zero", ofset=2.0)
    finally:
        del ESTIMATORS["zero"]
