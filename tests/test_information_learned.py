"""Copulas and learnt representations, against closed forms."""

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.special import gammaln, psi
from scipy.stats import multivariate_normal, multivariate_t, norm, t

from cmkdlearn.information import ESTIMATORS, _elliptical, _lmi, mi_gap, mutual_information
from cmkdlearn.information._gaussian import log_determinant_bias
from cmkdlearn.information._latent import _inverse_root
from cmkdlearn.information._networks import BatchedMLP, halves, train


def correlated(n, d, rho, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, d))
    return x, rho * x + np.sqrt(1 - rho**2) * rng.standard_normal((n, d))


def information(d, rho):
    return -d / 2 * np.log(1 - rho**2)


def student_information(df, d):
    """Of a t distribution of 2 d uncorrelated dimensions, in two halves."""
    def f(a):
        return gammaln(a / 2) - a / 2 * psi(a / 2)
    return f(df) + f(df + 2 * d) - 2 * f(df + d)


# ---------------------------------------------------------------- copulas


def test_bias_of_a_log_determinant():
    rng, n, d = np.random.default_rng(0), 30, 10
    draws = rng.standard_normal((4000, n, d))
    draws -= draws.mean(axis=1, keepdims=True)
    logdets = np.linalg.slogdet(draws.transpose(0, 2, 1) @ draws / n)[1]
    assert logdets.mean() == pytest.approx(log_determinant_bias(n, d), abs=0.1)
    assert log_determinant_bias(n, d) < -1.5


@pytest.mark.parametrize(("n", "d"), [(2000, 1), (1000, 20), (300, 40)])
def test_gaussian_is_unbiased_in_many_dimensions(n, d):
    found = [ESTIMATORS["gaussian"](*correlated(n, d, 0.5, seed), n_repeats=1, rng=None,
                                    device=None).mean() for seed in range(20)]
    error = np.std(found) / np.sqrt(len(found))
    assert np.mean(found) == pytest.approx(information(d, 0.5), abs=3 * error + 0.01 * d)


def test_copulas_see_ranks_only():
    x, y = correlated(500, 2, 0.7)
    for estimator in ("gaussian", "elliptical"):
        first = mutual_information(x, y, estimator, random_state=0)
        second = mutual_information(np.exp(x), y**3, estimator, random_state=0)
        assert first.estimate == pytest.approx(second.estimate, abs=1e-9)


@pytest.mark.parametrize("estimator", ["gaussian", "elliptical"])
def test_copulas_are_symmetric(estimator):
    x, y = correlated(1000, 3, 0.6)
    one, other = (mutual_information(*sides, estimator, random_state=0)
                  for sides in ((x, y[:, :2]), (y[:, :2], x)))
    tolerance = 1e-9 if estimator == "gaussian" else 3 * one.std_error  # its neighbours differ
    assert one.estimate == pytest.approx(other.estimate, abs=tolerance)


def test_dependent_columns_of_a_side_change_nothing():
    x, y = correlated(500, 3, 0.6)
    twice = np.hstack([x, x[:, :1], np.full((500, 1), 7.0)])
    assert mutual_information(twice, y, "gaussian").estimate == pytest.approx(
        mutual_information(x, y, "gaussian").estimate, abs=1e-9)


def test_gaussian_says_how_many_samples_it_needs():
    x, y = correlated(50, 30, 0.5)
    with pytest.raises(ValueError, match="more than 61 samples for 60 columns; there are 50"):
        mutual_information(x, y, "gaussian")


@pytest.mark.parametrize(("df", "d"), [(1, 2), (3, 5)])
def test_elliptical_of_students_t(df, d):
    rng = np.random.default_rng(0)
    z = rng.standard_normal((5000, 2 * d)) / np.sqrt(rng.chisquare(df, (5000, 1)) / df)
    x, y = z[:, :d], np.arcsinh(z[:, d:])
    found = mutual_information(x, y, "elliptical", random_state=0)
    assert found.estimate == pytest.approx(student_information(df, d), abs=0.06)
    assert abs(mutual_information(x, y, "gaussian").estimate) < 0.05


@pytest.mark.parametrize("df", [3, 30, np.inf])
def test_likelihood_of_a_t_copula(df):
    """The joint density over the product of its margins', both of SciPy."""
    rng = np.random.default_rng(0)
    z = rng.standard_normal((400, 3)) @ rng.standard_normal((3, 3))
    z /= z.std(axis=0)
    scatter, likelihood = _elliptical._fit(z, df)
    joint = (multivariate_normal.logpdf(z, cov=scatter) if df == np.inf  # SciPy 1.12's t has no such case
             else multivariate_t.logpdf(z, shape=scatter, df=df)).sum()
    assert likelihood == pytest.approx(joint - t.logpdf(z, df).sum(), abs=1e-6)


def test_elliptical_knows_a_long_tail_of_one_side_from_a_shared_one():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3000, 4)) / np.sqrt(rng.chisquare(1, (3000, 1)))
    y = rng.standard_normal((3000, 4))
    assert abs(mutual_information(x, y, "elliptical", random_state=0).estimate) < 0.06


def test_gaussian_with_labels():
    """Two normal classes: the entropy of the mixture, by quadrature, less that of a class."""
    rng, shift = np.random.default_rng(0), 1.5

    def minus_p_log_p(t):
        p = (norm.pdf(t) + norm.pdf(t - shift)) / 2
        return -p * np.log(p)
    truth = quad(minus_p_log_p, -10, 12)[0] - norm.entropy()
    y = rng.integers(2, size=4000)
    x = np.hstack([shift * y[:, None] + rng.standard_normal((4000, 1)),
                   rng.standard_normal((4000, 9))])
    labels = np.array(["cat", "dog"])[y]
    for sides in ((x, labels), (labels, x)):
        assert mutual_information(*sides, "gaussian", random_state=0).estimate == pytest.approx(
            truth, abs=0.03)
    assert mutual_information(x[:, 1:], y, "gaussian", random_state=0).estimate <= 0.003


def test_labels_with_a_class_of_one():
    rng = np.random.default_rng(0)
    y = np.r_[np.zeros(50, int), np.ones(50, int), 2]
    x = y[:, None] + 0.1 * rng.standard_normal((101, 2))
    for estimator in ("gaussian", "auto", "latent"):
        assert mutual_information(x, y, estimator, random_state=0).estimate == pytest.approx(
            np.log(2), abs=0.1)


# ---------------------------------------------------------------- training


class Climbing(torch.nn.Module):
    """Each step takes it further; validation likes it best half-way, at a height of its own."""

    def __init__(self):
        super().__init__()
        self.height = torch.nn.Parameter(torch.zeros(4))
        self.best = torch.tensor([0.05, 0.1, 0.2, 0.02])

    def losses(self, x, y):
        return -self.height if self.training else (self.height - self.best).square()

    def forward(self, x, y):
        return self.height.clone()


def test_the_best_weights_are_kept_of_each_model():
    sides = [torch.zeros(40, 1)] * 2
    rng = np.random.RandomState(0)
    found = train(Climbing, sides, halves(40, 2, rng), rng=rng, device=torch.device("cpu"),
                  lr=0.01, max_epochs=100, batch_size=100, patience=5)
    torch.testing.assert_close(found, torch.tensor([0.05, 0.1, 0.2, 0.02]), atol=1e-3, rtol=0)


def test_halves_are_disjoint_and_complete():
    parts = halves(10, 3, np.random.RandomState(0))
    assert parts.shape == (3, 2, 5)
    for first, second in parts:
        assert sorted([*first, *second]) == list(range(10))
    odd = halves(11, 1, np.random.RandomState(0))[0]
    assert set(odd.ravel()) == set(range(11))
    assert len(np.intersect1d(*odd)) == 1


def test_batched_perceptrons_are_separate():
    torch.manual_seed(0)
    both = BatchedMLP(2, [3, 5, 2])
    x = torch.randn(2, 7, 3)
    for i in range(2):
        alone = torch.nn.functional.silu(x[i] @ both.weights[0][i] + both.biases[0][i])
        torch.testing.assert_close(both(x)[i], alone @ both.weights[1][i] + both.biases[1][i])


# ---------------------------------------------------------------- latent


def hidden(n, d, rho, columns=60):
    x, y = correlated(n, d, rho)
    rng = np.random.default_rng(1)
    return (x @ rng.standard_normal((d, columns)) + 0.01 * rng.standard_normal((n, columns)),
            y @ rng.standard_normal((d, columns)) + 0.01 * rng.standard_normal((n, columns)))


def test_latent_finds_what_is_hidden_in_many_columns():
    x, y = hidden(800, 2, 0.8)
    found = mutual_information(x, y, "latent", random_state=0)
    assert found.estimate == pytest.approx(information(2, 0.8), abs=0.15)
    assert found.pointwise.shape == (800,)
    assert found.pointwise.mean() == pytest.approx(found.estimate)
    strangers = mutual_information(x, np.roll(y, 1, axis=0), "latent", random_state=0)
    assert abs(strangers.estimate) < 0.1


def test_latent_of_what_no_line_shows():
    rng = np.random.default_rng(0)
    angle = rng.uniform(-np.pi, np.pi, 1500)
    x = np.column_stack([np.cos(angle), np.sin(angle)]) + 0.1 * rng.standard_normal((1500, 2))
    y = np.column_stack([np.cos(2 * angle), np.sin(2 * angle)]) \
        + 0.1 * rng.standard_normal((1500, 2))
    assert mutual_information(x, y, "gaussian").estimate < 0.05
    assert mutual_information(x, y, "latent", random_state=0).estimate > 0.8


def test_latent_with_labels():
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=900)
    x = 6 * np.eye(3)[y] @ rng.standard_normal((3, 40)) + rng.standard_normal((900, 40))
    found = mutual_information(x, y, "latent", random_state=0)
    assert found.estimate == pytest.approx(np.log(3), abs=0.05)


@pytest.mark.parametrize(("n", "classes"), [(40, 2), (100, 2), (100, 5)])
@pytest.mark.parametrize("d", [1, 8])
def test_latent_with_classes_of_a_size(n, classes, d):
    """A half of as many samples of each class: the indicators' covariance is singular."""
    rng = np.random.default_rng(0)
    y = np.arange(n) % classes
    for x in (rng.normal(size=(n, d)) + 9 * y[:, None], np.tile(y[:, None], d)):
        for seed in range(3):
            found = mutual_information(x, y, "latent", random_state=seed, max_epochs=3,
                                       discrete_x=False)
            assert found.estimate == pytest.approx(np.log(classes), abs=0.15)


def test_the_root_of_a_covariance_that_is_singular():
    indicators = np.eye(2)[np.arange(80) % 2] - 0.5  # as many of each: nothing is shrunk
    root = _inverse_root(indicators)
    np.testing.assert_allclose(root @ root, np.linalg.pinv(indicators.T @ indicators / 80), atol=1e-9)
    assert not _inverse_root(np.zeros((10, 3))).any()


def test_latent_where_a_half_does_not_vary():
    x = np.zeros((40, 2))
    x[3] = 1
    y = np.arange(40) % 2
    for target, labels in ((y, True), (np.random.default_rng(0).normal(size=40), False)):
        found = mutual_information(x, target, "latent", random_state=0, max_epochs=2,
                                   discrete_x=False, discrete_y=labels)
        assert np.isfinite(found.pointwise).all() and abs(found.estimate) < 0.3


# ---------------------------------------------------------------- LMI as published

QUICK = {"hidden": 64, "lr": 3e-3, "max_epochs": 60}


def test_networks_of_lmi():
    """By the published widths, of which more than 2,048 columns have more."""
    network = _lmi._CrossPredicting(20, 3000, 8, 1024, 1.0)

    def widths(part):
        return [layer.out_features for layer in part.modules() if isinstance(layer, torch.nn.Linear)]

    def dropped(part):
        return [layer.p for layer in part.modules() if isinstance(layer, torch.nn.Dropout)]
    assert widths(network.encode_x) == [1024, 512, 256, 8]
    assert widths(network.encode_y) == [2048, 1024, 512, 8]
    assert widths(network.x_to_x) == widths(network.y_to_x) == [256, 512, 1024, 20]
    assert widths(network.y_to_y) == widths(network.x_to_y) == [512, 1024, 2048, 3000]
    assert dropped(network.y_to_x) == dropped(network.x_to_y) == [0.5] * 4
    assert not any(dropped(network.encode_x) + dropped(network.x_to_x))
    code = network.encode_x(torch.randn(50, 20))
    assert (code < 0).any() and (code > 0).any()             # after a leaky ReLU


def test_loss_of_lmi():
    """The mean squares of four reconstructions, of which two see the other side's code alone."""
    torch.manual_seed(0)
    network = _lmi._CrossPredicting(6, 4, 2, 8, 0.5).eval()
    x, y = torch.randn(10, 6), torch.randn(10, 4)
    z_x, z_y = network.encode_x(x), network.encode_y(y)
    own = (network.x_to_x(z_x) - x).square().mean() + (network.y_to_y(z_y) - y).square().mean()
    cross = (network.x_to_y(z_x) - y).square().mean() + (network.y_to_x(z_y) - x).square().mean()
    torch.testing.assert_close(network.loss(x, y), 0.5 * own + cross)


@pytest.fixture
def transparent(monkeypatch):
    """Codes that are the columns, so that nothing is trained; returns which samples were measured."""
    measured = []

    def codes(sides, learnt, held_out, *training):
        assert len(learnt) == len(sides[0]) // 2
        np.testing.assert_array_equal(np.sort(np.append(learnt, held_out)), range(len(sides[0])))
        measured.append(held_out)
        return [side[held_out].double().numpy() for side in sides]
    monkeypatch.setattr(_lmi, "_codes", codes)
    return measured


@pytest.mark.parametrize("n", [301, 5000])                   # beyond 2,000, of a part is known all
def test_lmi_is_plain_neighbours_of_the_other_half(transparent, n):
    x, y = correlated(n, 4, 0.8)
    found = mutual_information(x, y, "lmi", random_state=0, n_neighbors=5)
    scaled = [((side - side.mean(axis=0)) / side.std(axis=0)).astype(np.float32) for side in (x, y)]
    (held_out,) = transparent
    plain = mutual_information(*(side[held_out] for side in scaled), "ksg", n_neighbors=5,
                               margins="none", norm="max")
    assert found.estimate == pytest.approx(plain.estimate)
    np.testing.assert_allclose(found.pointwise[held_out], plain.pointwise)
    others = np.setdiff1d(range(n), held_out)
    np.testing.assert_allclose(found.pointwise[others], found.estimate)
    assert found.std_error == pytest.approx(plain.std_error, rel=0.02)


def test_lmi_brings_outliers_back(transparent):
    x, y = correlated(400, 1, 0.8)
    x[0] = 1e6
    columns = _lmi._columns(x)
    assert columns.max() == 10 and np.abs(np.delete(columns, 0)).max() < 1
    np.testing.assert_allclose(_lmi._columns(1e-200 * y), _lmi._columns(y))


def test_lmi_in_a_gap(transparent):
    """Terms that measure other halves are of the same samples all the same."""
    errors, gaps = [], []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        z_s, noise, more = rng.standard_normal((3, 300, 2))
        found = mi_gap(0.8 * z_s + 0.6 * noise, z_s, z_s + more, estimator="lmi", random_state=seed)
        errors.append(found.std_error)
        gaps.append(found.gap)
    assert np.mean(errors) == pytest.approx(np.std(gaps), rel=0.4)


def test_lmi_finds_what_is_hidden_in_many_columns():
    x, y = hidden(800, 2, 0.8)
    found = mutual_information(x, y, "lmi", random_state=0, **QUICK)
    assert found.estimate == pytest.approx(information(2, 0.8), abs=4 * found.std_error)
    strangers = mutual_information(x, np.roll(y, 1, axis=0), "lmi", random_state=0, **QUICK)
    assert abs(strangers.estimate) < 4 * strangers.std_error < 0.4


def test_lmi_with_labels():
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=600)
    x = 6 * np.eye(3)[y] @ rng.standard_normal((3, 40)) + rng.standard_normal((600, 40))
    found = mutual_information(x, np.array(["a", "b", "c"])[y], "lmi", random_state=0, **QUICK)
    assert found.estimate == pytest.approx(np.log(3), abs=0.05)


def test_training_of_lmi_ends_by_patience(monkeypatch):
    losses = []
    loss = _lmi._CrossPredicting.loss

    def counted(self, x, y):
        losses.append(torch.is_grad_enabled())
        return loss(self, x, y) if torch.is_grad_enabled() else torch.tensor(1.0)
    monkeypatch.setattr(_lmi._CrossPredicting, "loss", counted)
    mutual_information(*correlated(40, 2, 0.8), "lmi", hidden=8, patience=3, batch_size=8)
    assert losses.count(True) == 4 * 3 and losses.count(False) == 4 * 3  # the first is the best


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_lmi_beside_the_package_of_its_authors(monkeypatch, seed):
    """On the example of its documentation: one line in a hundred columns on each side."""
    monkeypatch.setattr(np, "NaN", np.nan, raising=False)    # which it reads, and NumPy 2 lacks
    theirs = pytest.importorskip("latentmi.lmi")
    rng = np.random.default_rng(seed)
    lines = rng.multivariate_normal([0, 0], [[6, 3], [3, 3.5]], size=600)
    x, y = (lines[:, [i]] @ rng.standard_normal((1, 100)) for i in (0, 1))
    monkeypatch.setattr(np.random, "shuffle", rng.shuffle)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        pointwise = theirs.estimate(x, y, device="cpu")[0] * np.log(2)
    found = mutual_information(x, y, "lmi", random_state=seed, device="cpu")
    error = np.hypot(found.std_error, np.nanstd(pointwise) / np.sqrt(300))
    assert found.estimate == pytest.approx(np.nanmean(pointwise), abs=2 * error)


@pytest.mark.parametrize("estimator", ["latent", "mine", "lmi"])
def test_networks_repeat_themselves_and_leave_the_seeds_alone(estimator):
    x, y = correlated(200, 2, 0.8)
    before, numpy_before = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    first, again, other = (mutual_information(x, y, estimator, random_state=seed, max_epochs=5,
                                              hidden=32) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.pointwise, again.pointwise)
    assert first.estimate != other.estimate
    assert torch.equal(before, torch.random.get_rng_state())
    np.testing.assert_array_equal(numpy_before, np.random.get_state()[1])


@pytest.mark.parametrize("estimator", ["latent", "mine", "lmi"])
def test_repeats_count_for_the_error(estimator):
    x, y = correlated(300, 2, 0.8)
    found = mutual_information(x, y, estimator, n_repeats=3, random_state=0, max_epochs=10,
                               hidden=32)
    assert found.pointwise.shape == (300,)
    assert found.std_error >= np.std(found.pointwise, ddof=1) / np.sqrt(300)


@pytest.mark.parametrize(("params", "match"), [
    ({"n_latent": 0}, "n_latent=0"), ({"self_weight": -1}, "self_weight=-1"),
    ({"lr": 0}, "lr=0"), ({"patience": 0}, "patience=0"), ({"max_epochs": 0}, "max_epochs=0")])
def test_latent_refuses(params, match):
    with pytest.raises(ValueError, match=match):
        mutual_information(*correlated(50, 2, 0.5), "latent", **params)


def test_latent_says_how_many_samples_it_needs():
    with pytest.raises(ValueError, match="more than 8 samples; there are 6"):
        mutual_information(*correlated(6, 2, 0.5), "latent")


@pytest.mark.parametrize("flat", ["few samples", "flat class"])
def test_auto_survives_a_class_without_a_covariance(flat):
    rng = np.random.default_rng(0)
    few = 9 if flat == "few samples" else 60             # of the nine a fold leaves seven
    y = np.repeat([0, 1, 2], [60, 60, few])
    x = rng.normal(size=(len(y), 8)) + 3 * y[:, None]
    if flat == "flat class":
        x[y == 2, 1] = x[y == 2, 0]
    found = mutual_information(x, y, estimator="auto", random_state=0)
    entropy = -sum(p * np.log(p) for p in np.bincount(y) / len(y))
    assert abs(float(found) - entropy) < 0.15            # the classes lie apart


@pytest.mark.parametrize("estimator", ["gaussian", "ksg", "latent"])
def test_labels_may_come_first(estimator):
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=120)
    z = rng.normal(size=(120, 4)) + 2 * labels[:, None]
    found = [mutual_information(*sides, estimator, random_state=0).estimate
             for sides in ((labels, z), (z, labels))]
    assert found[0] == found[1] > 0.2


def test_too_few_samples_are_said_to_be():
    with pytest.raises(ValueError, match="give at least two"):
        mutual_information(np.ones((1, 2)), np.ones((1, 2)))
    with pytest.raises(ValueError, match='"mine" needs 20 samples at least; there are 19'):
        mutual_information(*correlated(19, 2, 0.5), "mine")
    assert np.isfinite(mutual_information(*correlated(20, 2, 0.5), "mine", max_epochs=1).estimate)


@pytest.mark.parametrize(("n_neighbors", "least"), [(1, 9), (5, 11)])
def test_the_least_that_latent_needs(n_neighbors, least):
    x, y = correlated(least, 2, 0.5)
    params = {"n_neighbors": n_neighbors, "max_epochs": 1, "random_state": 0}
    with pytest.raises(ValueError, match=f"needs more than {least - 1} samples; there are {least - 1}"):
        mutual_information(x[1:], y[1:], "latent", **params)
    assert np.isfinite(mutual_information(x, y, "latent", **params).estimate)


def test_a_class_of_one_sample_says_nothing():
    x = np.random.default_rng(0).normal(size=(30, 2))
    y = np.array([0] * 29 + [1])
    x[-1] += 100
    assert mutual_information(x, y, "gaussian").estimate == 0
