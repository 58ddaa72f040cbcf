"""Mutual information against closed forms, brute force and scikit-learn."""

import tracemalloc
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import digamma, logsumexp
from sklearn.datasets import load_iris
from sklearn.feature_selection import mutual_info_classif, mutual_info_regression

from cmkdlearn.datasets import make_gaussian_modalities
from cmkdlearn.information import ESTIMATORS, _ksg, mi_gap, mutual_information, register
from cmkdlearn.information._all_pairs import AllPairs
from cmkdlearn.information._base import plug_in
from cmkdlearn.information._gaussian import canonical, log_ratio, whitened
from cmkdlearn.information._ksg import neighbours, normal_scores
from cmkdlearn.selection import CCHSelector
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


def test_a_table_of_many_values_takes_memory_for_those_that_occur():
    """50,000 x 50,000 cells would be 20 GB; one of 50,000 in each row has a number."""
    x = np.random.default_rng(0).permutation(np.repeat(np.arange(50_000), 2))
    y = (7 * x + 3) % 50_000
    tracemalloc.start()
    found = plug_in(x, y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100 * x.nbytes
    np.testing.assert_allclose(found, np.full((1, 100_000), np.log(50_000) + 49_999 / 200_000))


def test_plug_in_is_that_of_a_dense_table():
    x, y = np.random.default_rng(0).integers((30, 20), size=(400, 2)).T
    table = np.zeros((30, 20))
    np.add.at(table, (x, y), 1)
    by_chance = (np.count_nonzero(table) - 49) / 800
    values = np.log(400 * table[x, y] / (table.sum(1)[x] * table.sum(0)[y])) - by_chance
    np.testing.assert_allclose(plug_in(x, y), values[None])


# ---------------------------------------------------------------- KSG as it is defined


def squared_distances(side):
    return np.square(side[:, None] - side[None]).sum(-1)


def counts_by_definition(distances, codes, k):
    """Samples nearer than the k-th of the class, of the class on all sides and of all on each."""
    same = codes[:, None] == codes
    joint = np.where(same, np.maximum.reduce(distances), np.inf)
    counts = np.zeros((1 + len(distances), len(codes)), dtype=int)
    for i in range(len(codes)):
        radius = np.sort(np.delete(joint[i], i))[min(k, same[i].sum() - 1) - 1]
        counts[:, i] = [np.count_nonzero(rows[i] <= radius * (1 - 1e-9))  # of 0 what coincides
                        for rows in [joint, *distances]]
    return counts


def kinds_of_samples(n=240):
    """Continuous, whole numbers, repeated samples, and a mixture of all."""
    rng = np.random.default_rng(0)
    kinds = {"continuous": rng.normal(size=(n, 9)), "binary": rng.integers(2, size=(n, 9)),
             "levels": rng.integers(4, size=(n, 9)),
             "repeated": rng.normal(size=(n // 8, 9))[rng.integers(n // 8, size=n)]}
    kinds["mixed"] = np.where(rng.random((n, 1)) < 0.5, kinds["levels"], kinds["continuous"])
    return {name: values.astype(float) for name, values in kinds.items()}


@pytest.mark.parametrize("kind", kinds_of_samples())
@pytest.mark.parametrize("n_classes", [1, 4])
@pytest.mark.parametrize("k", [1, 5])
def test_neighbours_by_definition(kind, n_classes, k):
    """By trees in up to 6 columns, by brute force beyond; ties are ties in both."""
    rng = np.random.default_rng(k)
    samples = kinds_of_samples()[kind]
    codes = rng.integers(n_classes, size=len(samples))
    for d_x, d_y in [(1, 0), (1, 1), (2, 3), (7, 0), (1, 8), (4, 4)]:
        sides = [samples[:, :d_x]] + ([rng.permutation(samples)[:, :d_y]] if d_y else [])
        distances = [np.abs(side[:, None] - side).max(-1) if d_x + d_y <= 6
                     else squared_distances(side) for side in sides]
        expected = counts_by_definition(distances, codes, k)
        both, near, _ = neighbours(sides, codes, k, CPU, np.ones(len(codes), dtype=bool),
                                   by_trees=d_x + d_y <= 6)
        np.testing.assert_array_equal([both, *near], expected)


def counts_in_double(sides, codes, k):
    """Samples near on all sides and on each, by all whole squared distances, which are exact."""
    longest = max(np.square(side).sum(1).max() for side in sides)
    sides = [np.rint(side * np.sqrt(2.0**50 / longest)) for side in sides]
    lengths = [np.square(side).sum(1) for side in sides]
    squared = [length[:, None] + length - 2 * side @ side.T
               for length, side in zip(lengths, sides, strict=True)]
    joint = np.where(codes[:, None] == codes, np.maximum.reduce(squared), np.inf)
    n_columns = max(side.shape[1] for side in sides)
    kth = np.sqrt(np.partition(joint, k, axis=1)[:, [k]])
    radius = (kth - 3 * np.sqrt(n_columns)).clip(min=0) ** 2
    return np.array([(rows <= radius).sum(1) for rows in (joint, *squared)])


def hard_samples(n, d):
    """Kinds on which single precision alone errs, and one on which it might."""
    rng = np.random.default_rng(d)
    normals = rng.normal(size=(n, d))
    return {"normal": normals, "levels": rng.integers(4, size=(n, d)).astype(float),
            "rounded": normals.round(1), "repeated": normals[rng.integers(n // 8, size=n)],
            "zeros": np.where(rng.random((n, 1)) < 0.6, 0, normals),
            "clusters": normals + 1e5 * rng.integers(5, size=(n, 1)), "far": normals + 1e4,
            "curve": np.cos(np.outer(rng.random(n), np.arange(1, d + 1))),
            "close": normals[rng.integers(n // 4, size=n)] + 1e-4 * rng.normal(size=(n, d)),
            "heavy tails": rng.standard_t(1, size=(n, d))}


@pytest.mark.parametrize("kind", hard_samples(8, 1))
def test_single_precision_loses_no_neighbour(kind):
    """More samples than are compared in double precision, in more than one tile."""
    n, k = 1600, 1
    for d_x, d_y in [(8, 8), (1, 40), (9, 0)]:
        codes = np.arange(n) // 1500
        sides = [hard_samples(n, d)[kind] for d in (d_x, d_y) if d]
        both, near, _ = neighbours(sides, codes, k, CPU, np.arange(n) == 0, by_trees=False)
        np.testing.assert_array_equal([both, *near], counts_in_double(sides, codes, k))


@pytest.mark.parametrize("d", [1, 8, 200])
def test_products_in_single_precision_fall_short_by_no_more_than_is_said(d):
    rng = np.random.default_rng(0)
    side = torch.as_tensor(np.rint(2.0**25 / np.sqrt(d) * rng.uniform(-1, 1, size=(1200, d))))
    side[600:] = side[:600] + torch.as_tensor(rng.integers(-2, 3, size=(600, d)))
    pairs = AllPairs([side])
    (a, b, c), = pairs.quick
    squared = (pairs.exact[0].left @ pairs.exact[0].right.T).numpy()
    centred = side - side.mean(0).round()
    length = np.square(centred.numpy()).sum(1)
    product = (a @ b.T).numpy().astype(float)
    assert a.dtype == torch.float32
    assert (product <= squared).all()
    assert (product > squared - 2 * c * (length[:, None] + length)).all()


def test_single_precision_is_tried_where_it_is_that_and_left_where_it_tells_little():
    def kept(values):
        pairs = AllPairs([torch.as_tensor(np.rint(2.0**23 * values / np.abs(values).max()))])
        for rows in pairs.rows(0, len(values)):
            pairs.within(rows, 0.99 * pairs.nearest(rows, 0, len(values), 2)[:, -1:])
        return pairs.quick is not pairs.exact

    samples = hard_samples(1600, 9)
    assert kept(samples["normal"])
    assert not kept(samples["repeated"])
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("high")
        assert not kept(samples["normal"])
    finally:
        torch.set_float32_matmul_precision(before)


def test_plain_neighbours_are_those_of_kraskov():
    """Equation 8 with the maximum norm of the columns as they are, in many of them, too."""
    x, y = normal(200, 8, 0.9)
    x *= np.arange(1, 9)                                     # a scale counts
    d_x, d_y = (np.abs(side[:, None] - side).max(axis=-1) for side in (x, y))
    radius = np.sort(np.maximum(d_x, d_y), axis=1)[:, [3]]
    near = sum(digamma((distances < radius).sum(axis=1)) for distances in (d_x, d_y))
    expected = digamma(3) + digamma(200) - near
    found = mi(x, y, "ksg", margins="none", norm="max")
    np.testing.assert_allclose(found.pointwise, expected, rtol=1e-12)
    for other in ({"margins": "none"}, {"norm": "max"}):
        assert mi(x, y, "ksg", **other).estimate != pytest.approx(found.estimate, abs=1e-3)


@pytest.mark.parametrize("columns", [2, 5])
def test_influence_is_what_more_weight_does(columns):
    """Weigh one sample more in every count, and differentiate."""
    samples = kinds_of_samples(80)["mixed"]
    sides = [samples[:, :columns], samples[::-1, -columns:].copy()]
    codes = np.zeros(80, dtype=int)
    _, _, moved = neighbours(sides, codes, 3, CPU, np.arange(80) % 2 == 0, by_trees=columns <= 3)
    distances = [squared_distances(side) if columns > 3 else np.abs(side[:, None] - side).max(-1)
                 for side in sides]
    joint = np.maximum(*distances)
    radius = np.sort(joint, axis=1)[:, [3]]
    inside = [rows <= radius * (1 - 1e-9) for rows in (joint, *distances)]

    def total(weights):
        both, *near = [np.log(rows @ weights) for rows in inside]
        return np.sum(both - sum(near))

    for i in range(0, 80, 10):
        step = 1e-5 * np.eye(80)[i]
        slope = (total(1 + step) - total(1 - step)) / 2e-5
        assert moved[i] == pytest.approx(1 + slope, abs=1e-6)
    assert np.isnan(moved[1::2]).all()


def test_ksg_is_equation_8():
    x, y = normal(300, 5, 0.6)
    distances = [squared_distances(normal_scores(side)) for side in (x, y)]
    _, n_x, n_y = counts_by_definition(distances, np.zeros(300, dtype=int), 3)
    expected = digamma(3) + digamma(300) - digamma(n_x) - digamma(n_y)
    found = mi(x, y)
    np.testing.assert_allclose(found.pointwise, expected, atol=1e-9)


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


# ---------------------------------------------------------------- ties


def repeat(samples, times):
    return np.repeat(samples, times, axis=0)


@pytest.mark.parametrize("columns", [1, 9])
def test_discrete_values_as_floats_are_counted(columns):
    """Psi of the counts in the table, whatever k: what Grassberger's entropies come to."""
    rng = np.random.default_rng(0)
    x = rng.choice(4, p=[0.4, 0.3, 0.2, 0.1], size=600)
    y = np.where(rng.random(600) < 0.6, x % 3, rng.integers(3, size=600))
    table = np.zeros((4, 3))
    np.add.at(table, (x, y), 1)
    both, of_x, of_y = table[x, y], table.sum(1)[x], table.sum(0)[y]
    expected = (digamma(both) + digamma(600) - digamma(of_x) - digamma(of_y)).mean()
    as_floats = rng.normal(size=(4, columns))[x]
    for k in (1, 3, 7):
        given = {"n_neighbors": k, "discrete_x": False}
        assert mi(as_floats, y, **given).estimate == pytest.approx(expected, abs=1e-12)
        both_sides = mi(as_floats, y.astype(float)[:, None], discrete_y=False, **given)
        assert both_sides.estimate == pytest.approx(expected, abs=1e-12)
    assert mi(x, y).estimate == pytest.approx(expected, abs=1e-3)  # Miller and Madow


@pytest.mark.parametrize("columns", [1, 9])
def test_repeated_samples_are_one_value_each(columns):
    """60 values that name each other and their class: all that can be said is said."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 60, columns))
    label = np.arange(60) % 3
    for times in (4, 10):
        with pytest.warns(UserWarning, match="no more than 4.09, the entropy of their values"):
            assert mi(repeat(x, times), repeat(y, times)).estimate == pytest.approx(np.log(60))
        assert mi(repeat(x, times), repeat(label, times)).estimate == pytest.approx(np.log(3))


@pytest.mark.parametrize("step", [0.01, 0.1, 0.5])
@pytest.mark.parametrize("d", [1, 4])
def test_rounding_hides_little(step, d):
    label, difference = np.random.default_rng(1).integers(2, size=2000), []
    for seed in range(4):
        x, y = normal(2000, d, 0.6, seed)
        for other in (y, label):
            a = x + (other is label) * label[:, None] / d
            b = other if other is label else (y / step).round()
            labels = {"discrete_x": False, "discrete_y": other is label}
            difference.append(mi((a / step).round(), b, **labels).estimate
                              - mi(a, other, **labels).estimate)
    assert abs(np.mean(difference)) < 0.03


@pytest.mark.parametrize("d", [1, 3, 9])
def test_mostly_zeros_say_nothing_of_what_is_independent(d):
    rng = np.random.default_rng(0)
    x = np.where(rng.random((2000, 1)) < 0.9, 0, rng.exponential(size=(2000, d)))
    for found in (mi(x, rng.integers(2, size=2000)), mi(x, rng.normal(size=(2000, d)))):
        assert abs(found.estimate) < 4 * found.std_error + 1e-3


def test_ties_of_iris_say_what_the_table_does():
    X, y = load_iris(return_X_y=True)
    for column in X.T:
        table = mi(column, y, discrete_x=True).estimate
        assert mi(column, y, discrete_x=False).estimate == pytest.approx(table, abs=0.06)


@pytest.mark.parametrize("margins", ["normal", "standard"])
@pytest.mark.parametrize("d", [2, 4])
def test_scale_offset_and_order_change_nothing(margins, d):
    x, y = normal(300, d, 0.7)
    x, y = np.round(x * 2**20) / 2**20, np.round(y * 4) / 4  # so that an offset loses no digits
    plain = mi(x, y, margins=margins)
    order = np.random.default_rng(1).permutation(300)
    for a, b in [(x * 2.0**900, y), (x * 2.0**-1000, y), (x, y + 2.0**27), (x[order], y[order]),
                 (x[:, ::-1], y), (y, x)]:
        found = mi(a, b, margins=margins)
        assert found.estimate == pytest.approx(plain.estimate, abs=1e-9)
        assert found.std_error == pytest.approx(plain.std_error, abs=1e-9)


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
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="estimator=.* can show no more")
        found = mi(x, x, name)
    assert 4 < found.estimate <= np.log(300)
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


@pytest.mark.parametrize(("d", "rho"), [(1, 0.0), (1, 0.8), (4, 0.6)])
@pytest.mark.parametrize("labels", [False, True])
def test_neighbours_know_their_error(d, rho, labels):
    """By independent contributions it would be 15 to 35 % too small."""
    found = []
    for seed in range(150):
        x, y = normal(200, d, rho, seed)
        label = (y[:, 0] > 0).astype(int) if labels else y
        found.append(mi_gap(x + normal(200, d, rho, seed + 1000)[0], x, label, random_state=0))
    for results in (found, [gap.teacher_student for gap in found],
                    [gap.student_label for gap in found]):
        spread = np.std([float(result) for result in results], ddof=1)
        assert 0.85 < np.mean([result.std_error for result in results]) / spread < 1.3


def test_a_part_of_the_samples_tells_the_error(monkeypatch):
    for x, y in (normal(3000, 1, 0.7), normal(3000, 4, 0.5)):
        part = mi(x, y).std_error
        with monkeypatch.context() as context:
            context.setattr(_ksg, "OBSERVED", 3000)
            assert part == pytest.approx(mi(x, y).std_error, rel=0.1)


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


@pytest.mark.parametrize(("n_clusters", "d", "n"), [(32, 60, 1000), (8, 100, 400), (3, 30, 300)])
def test_auto_finds_no_more_than_which_cluster(n_clusters, d, n):
    x, y, truth = clusters(n, n_clusters, d)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert mi(x, y, "auto").estimate == pytest.approx(truth, abs=0.15)


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


# ---------------------------------------------------------------- what is possible


def entropy(side):
    counts = np.unique(side, axis=0, return_counts=True)[1]
    return np.log(len(side)) - counts @ np.log(counts) / len(side)


@st.composite
def sides(draw):
    """Columns of every kind, some samples repeated; and labels, or columns again."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = draw(st.integers(10, 70))
    kinds = {"normal": lambda: rng.normal(size=n), "binary": lambda: rng.integers(2, size=n),
             "levels": lambda: rng.integers(5, size=n), "flat": lambda: np.full(n, 3.7),
             "mostly zero": lambda: np.maximum(rng.normal(size=n) - 1, 0),
             "one of all": lambda: np.eye(n)[rng.integers(n)],
             "huge": lambda: 1e300 * rng.normal(size=n), "tiny": lambda: 1e-310 * rng.normal(size=n),
             "far off": lambda: 1e8 + 1e-6 * rng.normal(size=n),
             "single": lambda: rng.normal(size=n).astype(np.float32),
             "outlier": lambda: np.where(np.arange(n) == 3, 1e12, rng.normal(size=n))}

    def side():
        names = draw(st.lists(st.sampled_from(sorted(kinds)), min_size=1, max_size=6))
        values = np.column_stack([kinds[name]() for name in names]).astype(float)
        return values[rng.integers(draw(st.integers(1, n)), size=n)] if draw(st.booleans()) else values

    labels = draw(st.booleans())
    return side(), rng.choice(4, p=[0.5, 0.3, 0.15, 0.05], size=n) if labels else side(), labels


@settings(max_examples=60, deadline=None)
@given(data=sides(), name=st.sampled_from(UNTRAINED), k=st.integers(1, 8),
       margins=st.sampled_from(["normal", "standard"]))
def test_no_estimate_is_more_than_samples_can_say(data, name, k, margins):
    x, y, labels = data
    given = {"n_neighbors": k, "margins": margins} if name == "ksg" else {}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="estimator=.* can show no more")
        try:
            found = mi(x, y, name, discrete_x=False, discrete_y=labels, **given)
        except ValueError as error:
            assert name in ("gaussian", "elliptical") and "needs" in str(error) or labels
            return
        again = mi(x, y, name, discrete_x=False, discrete_y=labels, **given)
        swapped = mi(y, x, name, discrete_x=labels, discrete_y=False, **given)
    assert np.isfinite(found.pointwise).all() and np.isfinite(found.std_error)
    assert found.estimate <= min(entropy(x), entropy(y)) + 1e-9
    assert found.estimate == pytest.approx(found.pointwise.mean(), abs=1e-9)
    np.testing.assert_array_equal(again.pointwise, found.pointwise)
    if name in ("ksg", "gaussian"):
        assert swapped.estimate == pytest.approx(found.estimate, abs=1e-6)


def test_what_is_more_than_possible_is_said():
    x = normal(200, 3, 0)[0]
    for name in ("gaussian", "auto"):
        with pytest.warns(UserWarning, match=r"found .* nats, but 200 samples .* more than 5\.3,"):
            found = mi(x, x, name)
        assert found.estimate == pytest.approx(np.log(200)) == pytest.approx(found.pointwise.mean())
    label = np.arange(200) % 4
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # what the entropy of classes falls short of is no news
        assert mi(x + 100 * label[:, None], label).estimate == pytest.approx(np.log(4))


def broken(x, y, value):
    return np.where(np.arange(len(x)) == 7, value, 0.0)


def test_what_is_not_finite_is_an_error():
    x, y = normal(60, 2, 0.5)
    for value in (np.nan, np.inf, -np.inf):
        with pytest.raises(ValueError, match="estimator='broken' returned NaN or infinity"):
            mi(x, y, broken, value=value)
        with pytest.raises(ValueError, match="returned NaN or infinity"):
            mi_gap(x, y, y[:, 0] > 0, estimator=broken, value=value)
    selector = CCHSelector(student="x", representation="prefit", n_repeats=2, random_state=0,
                           mi_estimator=lambda x, y: np.inf)
    with pytest.raises(ValueError, match="returned NaN or infinity"):
        selector.fit({"x": x, "y": y}, (y[:, 0] > 0).astype(int))


@pytest.mark.parametrize("name", ["ksg", "auto"])
def test_classes_of_few_samples(name):
    """Pairs, and some that stand alone: enough for neighbours, too few for a discriminant."""
    label = np.array(list("aabbccddeeffgghhiijjkl"))
    x = np.random.default_rng(0).normal(size=(22, 2)) + 9 * np.unique(label, return_inverse=True)[
        1][:, None]
    assert 0 < mi(x, label, name).estimate <= entropy(label)
    with pytest.raises(ValueError, match="needs 4 samples of some class; the largest has 2"):
        mi(x, label, "gaussian")


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
    ({"hidden": 3}, TypeError, "no parameter 'hidden'; it has n_neighbors, margins, norm"),
    ({"n_neighbors": 50}, ValueError, "n_neighbors=50 needs at least 51 samples; there are 50"),
    ({"n_neighbors": 0}, ValueError, "n_neighbors=0"),
    ({"margins": "uniform"}, ValueError, "margins='uniform'"),
    ({"norm": "l2"}, ValueError, "norm='l2'"),
    ({"n_repeats": 0}, ValueError, "n_repeats=0"),
    ({"n_repeats": 1.5}, TypeError, "n_repeats=1.5"),
    ({"n_neighbors": 1.5}, TypeError, "n_neighbors=1.5"),
    *[({"estimator": "latent", count: 1.5}, TypeError, f"{count}=1.5")
      for count in ("n_latent", "hidden", "n_neighbors", "max_epochs", "batch_size", "patience")],
    *[({"estimator": "lmi", count: 1.5}, TypeError, f"{count}=1.5")
      for count in ("n_latent", "hidden", "n_neighbors", "max_epochs", "batch_size", "patience")],
    ({"estimator": "lmi", "hidden": 3}, ValueError, "hidden=3"),
    ({"estimator": "lmi", "self_weight": -1}, ValueError, "self_weight=-1"),
    ({"estimator": "lmi", "lr": 0}, ValueError, "lr=0"),
    ({"estimator": "lmi", "n_neighbors": 25}, ValueError, "needs 51 samples at least; there are 50"),
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


@pytest.mark.parametrize("d", [2, 20])
def test_no_matter_which_class_has_one_sample(d):
    """Whatever its number, nobody is near within it."""
    y = np.repeat([0, 1, 2], [1, 30, 29])
    x = normal(60, d, 0)[0] + y[:, None]
    found = [mi(x, codes, "ksg").estimate for codes in (y, (y + 2) % 3, (y + 1) % 3)]
    assert found[0] == pytest.approx(found[1], abs=1e-9) and found[0] == pytest.approx(found[2], abs=1e-9)


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
