"""CCHSelector: what it estimates, what it concludes, and what it refuses."""

import pickle
import sys

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.utils import Bunch
from skorch.helper import SliceDict

from cmkdlearn import presets
from cmkdlearn.datasets import make_gaussian_modalities
from cmkdlearn.information import _lmi, mutual_information
from cmkdlearn.information._base import with_influence
from cmkdlearn.inspection import CCHDisplay
from cmkdlearn.model_selection import corrected_ttest
from cmkdlearn.selection import CRITERIA, CCHSelector, Verdict
from cmkdlearn.selection._criteria import Pair
from cmkdlearn.selection._verdict import ADVICE, judge, sum_up
from cmkdlearn.students import DistilledRegressor, MultiTeacherDistiller
from cmkdlearn.teachers import UnimodalTeacher
from cmkdlearn.theory import GaussianModalities

rng = np.random.default_rng(0)
X, y = load_digits(return_X_y=True)
X, y = X[:300], y[:300]
X = {"upper": X[:, :32].copy(), "lower": X[:, 32:].copy(), "noise": rng.normal(size=(300, 8))}
NAMES = np.array(list("abcdefghij"))[y]
QUICK = UnimodalTeacher(max_epochs=3, module__hidden=(16,), lr=0.01, device="cpu")


def selector(**params):
    """One with the paper's rule, by the quickest estimator."""
    return CCHSelector(**{"student": "upper", "network": QUICK, "n_repeats": 2, "mi_estimator": "ksg",
                          "criterion": "cch", "random_state": 0, **params})


@pytest.fixture(scope="module")
def fitted():
    return selector(n_repeats=3).fit(X, NAMES)


def gaussian_information(x, y):
    """I(X; Y) of jointly Gaussian samples."""
    x, y = (np.asarray(a, dtype=float).reshape(len(a), -1) for a in (x, y))
    determinants = [np.linalg.det(np.atleast_2d(np.corrcoef(a.T))) for a in (x, y, np.hstack([x, y]))]
    return 0.5 * np.log(determinants[0] * determinants[1] / determinants[2])


# -------------------------------------------------------------------- what it estimates

@pytest.mark.parametrize("seed", [0, 1])
def test_it_picks_the_teacher_that_the_theory_picks(seed):
    n, d, rho_sy = 1000, 2, 0.5
    models = {"weak": 0.3, "strong": 0.8, "fair": 0.6}
    Z, target = make_gaussian_modalities(n, d, rho_ts=0.1, rho_ty=0.1, rho_sy=rho_sy, random_state=seed)
    noise = np.random.default_rng(seed + 10).normal(size=(3, n, d))
    Z = {"s": Z["student"], **{name: rho * Z["student"] + np.sqrt(1 - rho**2) * noise[i]
                              for i, (name, rho) in enumerate(models.items())}}
    found = selector(student="s", representation="prefit", n_repeats=5).fit(Z, target[:, 0])
    truth = {name: GaussianModalities(d=d, rho_ts=rho, rho_ty=rho * rho_sy, rho_sy=rho_sy)
             for name, rho in models.items()}
    one = -np.log(1 - rho_sy**2) / 2  # y here is the first coordinate
    for name, model in truth.items():
        assert found.mi_teacher_student_[name] == pytest.approx(model.mi_teacher_student, abs=0.12)
        assert found.mi_gap_[name] == pytest.approx(model.mi_teacher_student - one, abs=0.12)
    assert found.ranking_ == ["strong", "fair", "weak"]
    assert found.worthwhile_["strong"].answer == "yes"


@pytest.mark.slow
def test_intervals_cover_the_truth():
    rho = {"rho_ts": 0.6, "rho_ty": 0.4, "rho_sy": 0.5}
    truth, covered, found_gaps, widths = GaussianModalities(d=1, **rho).mi_gap, [], [], []
    for seed in range(100):
        Z, target = make_gaussian_modalities(400, 1, **rho, random_state=seed)
        found = selector(student="student", representation="prefit", random_state=seed).fit(Z, target)
        low, high = found.mi_gap_interval_["teacher"]
        covered.append(low < truth < high)
        found_gaps.append(found.mi_gap_["teacher"])
        widths.append(high - low)
    assert np.mean(covered) >= 0.9
    assert np.mean(widths) / 2 < 2.5 * np.std(found_gaps)


def test_the_published_estimator_can_be_asked(monkeypatch):
    """By name; its networks, which take seconds, are asked for codes that are the columns."""
    monkeypatch.setattr(_lmi, "_codes", lambda sides, learnt, measured, *training:
                        [side[measured].double().numpy() for side in sides])
    Z, target = make_gaussian_modalities(160, 2, rho_ts=0.95, rho_ty=0.3, rho_sy=0.3, random_state=0)
    found = selector(student="student", representation="prefit", mi_estimator="lmi", n_repeats=2).fit(
        Z, target[:, 0] > 0)
    assert found.mi_gap_["teacher"] > 0.3
    assert np.isfinite(found.score(Z, target[:, 0] > 0))


def test_estimates_belong_together(fitted):
    assert set(fitted.mi_gap_) == {"lower", "noise"}
    for name, gap in fitted.mi_gap_.items():
        assert gap == pytest.approx(fitted.mi_teacher_student_[name] - fitted.mi_student_label_)
        low, high = fitted.mi_gap_interval_[name]
        assert (low + high) / 2 == pytest.approx(gap)
    assert fitted.evidence_ == pytest.approx(fitted.mi_gap_)
    assert fitted.evidence_interval_ == fitted.mi_gap_interval_
    assert fitted.ranking_ == ["lower", "noise"] and fitted.best_teacher_ == "lower"
    assert abs(fitted.mi_teacher_student_["noise"]) < 0.1
    assert 0.5 < fitted.mi_student_label_ < np.log(10) + 0.1


def test_representations_are_held_out():
    """A network that knows its training samples by heart has nothing to say of others."""
    memorising = UnimodalTeacher(max_epochs=40, lr=0.01, device="cpu")
    Z = {"a": rng.normal(size=(120, 20)), "b": rng.normal(size=(120, 20))}
    labels = np.arange(120) % 2
    found = selector(student="a", network=memorising).fit(Z, labels)
    assert abs(found.mi_student_label_) < 0.15
    assert abs(found.mi_teacher_student_["b"]) < 0.15


def test_the_same_seed_gives_the_same(fitted):
    again = selector(n_repeats=3).fit(X, NAMES)
    assert again.mi_gap_ == fitted.mi_gap_
    assert again.score(X, NAMES) == fitted.score(X, NAMES)
    assert selector(n_repeats=3, random_state=1).fit(X, NAMES).mi_gap_ != fitted.mi_gap_


def test_score_is_the_gap_of_the_best_teacher_on_what_it_is_given(fitted):
    perfect = {**X, "lower": X["upper"]}
    assert np.isfinite(fitted.score(X, NAMES))
    rho = 0.8
    Z, target = make_gaussian_modalities(4000, 1, rho_ts=rho, rho_ty=0.4, rho_sy=0.5, random_state=0)
    gaussian = selector(student="student", representation="prefit").fit(Z, target)
    assert gaussian.score(Z, target) == pytest.approx(-0.5 * np.log(0.36 / 0.75), abs=0.05)
    with pytest.raises(ValueError, match="'z', which is none of the classes"):
        fitted.score(perfect, np.where(NAMES == "a", "z", NAMES))


# -------------------------------------------------------------------- criteria

def test_criteria_against_gaussian_closed_forms():
    ts, ty, sy = 0.7, 0.6, 0.5
    Z, target = make_gaussian_modalities(100_000, 1, rho_ts=ts, rho_ty=ty, rho_sy=sy, random_state=0)
    mi = gaussian_information
    pair = Pair(mi, Z["teacher"], Z["student"], target, mi(Z["student"], target), rng)
    information = {rho: -0.5 * np.log(1 - rho**2) for rho in (ts, ty, sy)}
    # partial correlation of t and y given s
    partial = (ty - ts * sy) / np.sqrt((1 - ts**2) * (1 - sy**2))
    assert CRITERIA["cch"](pair) == pytest.approx(information[ts] - information[sy], abs=0.01)
    assert CRITERIA["teacher_label"](pair) == pytest.approx(information[ty] - information[sy], abs=0.01)
    assert CRITERIA["conditional"](pair) == pytest.approx(-0.5 * np.log(1 - partial**2), abs=0.01)


def test_permutation_leaves_what_the_classes_explain():
    """Within a class t and s share a common cause, or not: only the first is evidence."""
    labels = np.arange(20_000) % 2
    noise = rng.normal(size=(4, 20_000, 1))
    means = 3 * labels[:, None]
    common, alone = noise[0] + means, noise[1] + means
    for z_t, expected in [(0.6 * noise[0] + 0.8 * noise[2] + means, True), (noise[3] + means, False)]:
        pair = Pair(gaussian_information, z_t, common, labels, 0.0, np.random.default_rng(0))
        assert (CRITERIA["permutation"](pair) > 0.05) == expected
        assert CRITERIA["permutation"](pair) == pytest.approx(0, abs=0.01) or expected
    shuffled = Pair(gaussian_information, alone, common, labels, 0.0, np.random.default_rng(0)).shuffled()
    for k in (0, 1):
        np.testing.assert_array_equal(np.sort(shuffled[labels == k, 0]), np.sort(alone[labels == k, 0]))
    assert not np.array_equal(shuffled, alone)


def classes(n, rho=0.0, n_columns=8, n_classes=10, far=1.0, seed=0):
    """Teacher, student and labels: normal in each class, there correlated column by column."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % n_classes
    own, other = rng.normal(size=(2, n, n_columns))
    means = np.random.default_rng(1).normal(size=(2, n_classes, n_columns))[:, labels]
    return own + far * means[0], rho * own + np.sqrt(1 - rho**2) * other + means[1], labels


def pair_of(z_t, z_s, labels, estimator="gaussian"):
    def mi(x, y):
        return with_influence(x, y, estimator, y.dtype.kind == "i", 0)
    return Pair(mi, z_t, z_s, labels, mi(z_s, labels), np.random.default_rng(0))


def test_the_calibrated_zero_is_in_its_place():
    """The teacher tells every label and nothing else: the gap is 0, which plain estimates miss."""
    found = {rule: np.mean([CRITERIA[rule](pair_of(*classes(150, far=4, seed=seed), "ksg"))[0]
                            for seed in range(20)]) for rule in ("calibrated", "cch")}
    assert found["calibrated"] == pytest.approx(0, abs=0.05)  # 0.06 is a draw's standard deviation
    assert found["cch"] < -0.15


def test_calibrated_against_closed_forms():
    """A teacher that tells every label, and shares more: the gap is that of two normals."""
    rho = 0.5
    sure = pair_of(*classes(4000, rho, n_columns=3, n_classes=3, far=20))
    assert CRITERIA["calibrated"](sure)[0] == pytest.approx(-1.5 * np.log(1 - rho**2), abs=0.03)
    # one that knows nothing misses all that the labels tell of the student, which lies on one axis
    labels = np.arange(20_000) % 2
    z_t, z_s = rng.normal(size=(2, 20_000, 1)) + np.outer([0, 1], 2.0 * labels)[:, :, None]
    grid = np.linspace(-9, 11, 4001)
    density = np.exp(-0.5 * (grid - [[0], [2]]) ** 2) / np.sqrt(2 * np.pi)
    mixture = density.mean(axis=0)
    truth = (0.5 * density * np.log(density / mixture)).sum() * (grid[1] - grid[0])
    assert CRITERIA["calibrated"](pair_of(z_t, z_s, labels))[0] == pytest.approx(-truth, abs=0.02)


def test_calibrated_goes_by_ranks():
    z_t, z_s, labels = classes(200, 0.5, n_columns=3)
    bent = pair_of(np.exp(z_t), z_s**3 - 7, labels)
    np.testing.assert_allclose(CRITERIA["calibrated"](bent),
                               CRITERIA["calibrated"](pair_of(z_t, z_s, labels)))


def test_a_class_of_one_is_no_obstacle():
    z_t, z_s, labels = classes(61, 0.5, n_columns=2, n_classes=3)
    labels[-1] = 3
    found = CRITERIA["calibrated"](pair_of(z_t, z_s, labels, "ksg"))
    assert np.isfinite(found).all()


def test_the_papers_rule_is_as_printed():
    """The difference of two plain estimates, whatever the default criterion is."""
    z_t, z_s, labels = classes(300, 0.5)
    asked = CCHSelector(student="s", representation="prefit", n_repeats=2, criterion="cch", mi_estimator="ksg")
    printed = mutual_information(z_t, z_s).estimate - mutual_information(z_s, labels).estimate
    assert asked.fit({"s": z_s, "t": z_t}, labels).score({"s": z_s, "t": z_t}, labels) == pytest.approx(printed)
    assert all(presets.preset(name)["selector"]["criterion"] == "cch" for name in ("cch/brca", "cch/mosei"))


def test_auto_is_calibrated_where_it_can_be():
    z_t, z_s, labels = classes(120, n_columns=2, n_classes=4)
    Z, asked = {"s": z_s, "t": z_t}, {"student": "s", "representation": "prefit", "n_repeats": 2,
                               "mi_estimator": "ksg"}
    assert CCHSelector(**asked).fit(Z, labels).criterion_ == "calibrated"
    assert CCHSelector(**asked).fit(Z, z_s[:, 0]).criterion_ == "cch"
    assert CCHSelector(**asked).fit(Z, np.arange(120) // 3).criterion_ == "cch"  # no fold has four of a class
    with pytest.raises(ValueError, match='criterion="calibrated" needs 4 samples of some class'):
        CCHSelector(**asked, criterion="calibrated").fit(Z, np.arange(120) // 3)
    with pytest.raises(ValueError, match='criterion="calibrated" shuffles within classes'):
        CCHSelector(**asked, criterion="calibrated").fit(Z, z_s[:, 0])


def test_intervals_by_hand():
    """Two repeats of two folds of two samples; then without a word about samples."""
    tests = [np.array(test) for test in ([0, 2], [1, 3], [0, 1], [2, 3])]
    rows = [np.array(row) for row in ([1.0, 0.4, -0.4], [2.0, 0.2, -0.2], [1.0, 0.2, -0.2], [3.0, 0, 0])]
    found = sum_up(rows, tests, 2)
    of_samples = np.std([0.3, 0.0, -0.2, -0.1], ddof=1) / 2
    error = np.hypot(of_samples, np.std([1.5, 2.0], ddof=1) / np.sqrt(2))
    assert found.mean == pytest.approx(1.75)
    assert (found.high - found.low) / 2 == pytest.approx(stats.t.ppf(0.975, 3) * error)
    assert found.pvalue == pytest.approx(2 * stats.t.sf(1.75 / error, 3))
    unknown = sum_up([np.r_[row[0], np.nan, np.nan] for row in rows], tests, 2)
    assert {**unknown} == {"mean": 1.75, **corrected_ttest([1, 2, 1, 3], 1)}


@pytest.mark.parametrize("criterion", CRITERIA)
def test_every_criterion_runs_and_ranks_noise_last(criterion):
    found = selector(criterion=criterion).fit(X, y)
    assert found.ranking_ == ["lower", "noise"]
    assert found.worthwhile_["noise"].answer != "yes"


# -------------------------------------------------------------------- what it concludes

@pytest.mark.parametrize(("values", "answer"), [
    ([1.0, 1.1, 0.9, 1.0], "yes"), ([-1.0, -1.1, -0.9, -1.0], "no"),
    ([0.1, -0.1, 0.2, -0.1], "not ruled out"), ([-0.1, 0.1, -0.2, 0.1], "leans no"),
])
def test_verdicts(values, answer):
    verdict = judge(Bunch(mean=np.mean(values), **corrected_ttest(values, 1)))
    assert verdict.answer == answer
    assert bool(verdict) == (answer == "yes")
    assert (verdict.confidence > 0.975) == (answer in ("yes", "no"))
    assert 0.5 <= verdict.confidence <= 1
    assert verdict.advice == ADVICE[answer]


def test_verdicts_in_words():
    assert str(Verdict("leans no", 0.804)) == "leans no, 80 % sure of the sign"
    assert str(Verdict("not ruled out", 0.5)) == "not ruled out, 50 % sure of the sign"
    assert [str(Verdict(answer, 0.99)) for answer in ("yes", "no")] == ["yes", "no"]


@pytest.mark.parametrize("seed", range(20))
def test_noise_is_never_worthwhile(seed):
    draws = np.random.default_rng(seed)
    labels = draws.integers(2, size=200)
    Z = {"s": draws.normal(size=(200, 5)) + labels[:, None], "noise": draws.normal(size=(200, 5))}
    found = selector(student="s", random_state=seed).fit(Z, labels)
    assert not found.worthwhile_["noise"]


def test_grid_search_over_the_teacher():
    search = GridSearchCV(selector(), {"teacher": ["noise", "lower"]}, cv=2).fit(SliceDict(**X), NAMES)
    assert search.best_params_ == {"teacher": "lower"}
    gaps = search.cv_results_["mean_test_score"]
    assert gaps[1] > gaps[0] + 0.3


def test_select(fitted):
    assert list(fitted.select(X)) == ["upper"]  # the gap of "lower" is negative here
    Z = {"s": X["upper"], "t": X["upper"] + 0.1 * rng.normal(size=(300, 32))}
    near = selector(student="s", criterion="permutation").fit(Z, y)
    assert list(near.select(Z)) == ["s", "t"] and near.select(Z)["t"] is Z["t"]


def test_distiller_is_taught_where_it_is_worthwhile():
    student = MultiTeacherDistiller(max_epochs=2, module__hidden=(8,), device="cpu")
    Z = {**X, "near": X["upper"] + 0.1 * rng.normal(size=(300, 32))}
    taught = selector(criterion="permutation", distiller=student).fit(Z, NAMES)
    assert taught.best_teacher_ == "near" and taught.worthwhile_["near"]
    assert taught.distiller_.named_teachers_.teacher.modality == "near"
    assert taught.distiller_.modality == "upper"
    plain = selector(teacher="noise", distiller=student).fit(Z, NAMES)
    assert not plain.worthwhile_["noise"] and plain.distiller_.teachers_ == []
    predicted = taught.predict({"upper": X["upper"]})
    np.testing.assert_array_equal(predicted, taught.predict(X["upper"]))
    np.testing.assert_array_equal(taught.classes_[taught.predict_proba(Z).argmax(axis=1)], predicted)
    assert not hasattr(selector(), "predict")


def test_continuous_targets_with_a_regressor():
    Z, target = make_gaussian_modalities(300, 3, rho_ts=0.9, rho_ty=0.6, rho_sy=0.5, random_state=0)
    network = DistilledRegressor(max_epochs=5, module__hidden=(8,), lr=0.01, device="cpu")
    found = selector(student="student", network=network, distiller=network).fit(Z, target[:, 0])
    assert found.mi_teacher_student_["teacher"] > 0.5
    assert found.predict(Z).shape == (300,)
    assert not hasattr(found, "classes_")


# -------------------------------------------------------------------- what goes in

def test_a_table_and_a_dict_are_the_same(fitted):
    columns = {name: [f"{name}{j}" for j in range(part.shape[1])] for name, part in X.items()}
    table = pd.DataFrame(np.hstack(list(X.values())), columns=sum(columns.values(), []))
    found = selector(n_repeats=3, modalities=columns).fit(table, NAMES)
    assert found.mi_gap_ == pytest.approx(fitted.mi_gap_)
    assert found.score(table, NAMES) == pytest.approx(fitted.score(X, NAMES))
    assert found.n_features_in_ == 72


def test_any_classifier_may_be_the_network():
    found = selector(network=LogisticRegression(max_iter=1000, C=0.01)).fit(X, y)  # represents a sample by its features
    assert found.ranking_ == ["lower", "noise"]


def test_copies(fitted):
    assert clone(fitted).get_params()["student"] == "upper"
    again = pickle.loads(pickle.dumps(fitted))
    assert again.score(X, NAMES) == fitted.score(X, NAMES)


def test_memory_keeps_representations(tmp_path, monkeypatch):
    fits = []
    original = UnimodalTeacher.fit
    monkeypatch.setattr(UnimodalTeacher, "fit", lambda self, *args: fits.append(1) or original(self, *args))
    first = selector(teacher="lower", memory=str(tmp_path)).fit(X, y)
    assert len(fits) == 2 * 2 * 2 + 2  # repeats, folds, modalities; and both on all samples
    second = selector(teacher="noise", memory=str(tmp_path)).fit(X, y)
    assert len(fits) == 10 + 4 + 1  # the student's are there
    assert first.mi_student_label_ == second.mi_student_label_


@pytest.mark.parametrize(("params", "error", "message"), [
    ({"student": "uper"}, ValueError, "student='uper' is unknown. Did you mean 'upper'"),
    ({"teacher": "lowr"}, ValueError, "Did you mean 'lower'"),
    ({"teacher": "upper"}, ValueError, "needs another modality"),
    ({"teacher": []}, ValueError, "needs another modality"),
    ({"n_repeats": 1}, ValueError, "n_repeats=1 .* at least 2"),
    ({"cv": 1}, ValueError, "cv=1"),
    ({"n_components": 0}, ValueError, "n_components=0"),
    ({"criterion": "chc"}, ValueError, "Did you mean 'cch'"),
    ({"representation": "fit"}, ValueError, "'prefit'"),
    ({"distiller": LogisticRegression()}, TypeError, "teachers and modality"),
    ({"distiller": MultiTeacherDistiller([("t", QUICK)])}, ValueError, "has teachers already"),
    ({"distiller": MultiTeacherDistiller(), "network": LogisticRegression()}, TypeError, "cannot teach the"),
    ({"modalities": {"upper": [0]}}, ValueError, "leave modalities= out"),
    ({"cv": 200}, ValueError, "fewer than cv=200"),
])
def test_bad_parameters(params, error, message):
    with pytest.raises(error, match=message):
        selector(**params).fit(X, y)


@pytest.mark.parametrize(("part", "labels", "message"), [
    (X["lower"][:-1], y, "inconsistent numbers"),
    (np.where(X["lower"] == 0, np.nan, X["lower"]), y, "modality 'lower' contains NaN"),
    (X["lower"][:, :0], y, "0 feature"),
    (X["lower"].astype(complex), y, "Complex data not supported"),
    (X["lower"].astype(str).astype(object) + "x", y, "could not convert"),
    (X["lower"], np.zeros(300), "one class"),
    (X["lower"], np.r_[99, y[1:]], "Class 99 has 1 samples"),
    (X["lower"], None, "y is None"),
    (X["lower"], y[:-1], "inconsistent numbers"),
])
@pytest.mark.parametrize("representation", ["cross-fit", "prefit"])
def test_bad_input(part, labels, message, representation):
    with pytest.raises(ValueError, match=message):
        selector(representation=representation).fit({"upper": X["upper"], "lower": part}, labels)


def test_more_bad_input(fitted):
    with pytest.raises(ValueError, match="X is a ndarray; CCHSelector compares modalities"):
        selector().fit(X["upper"], y)
    with pytest.raises(ValueError, match="needs another modality"):
        selector().fit({"upper": X["upper"]}, y)
    with pytest.raises(ValueError, match="shuffles within classes"):
        selector(criterion="permutation", representation="prefit").fit(X, rng.normal(size=300))


def test_constant_and_duplicated_columns_are_no_obstacle():
    Z = {"upper": np.c_[X["upper"], X["upper"], np.ones(300)], "constant": np.ones((300, 3))}
    found = selector().fit(Z, y)
    assert not found.worthwhile_["constant"]
    assert abs(found.mi_teacher_student_["constant"]) < 0.1


def test_without_pandas_a_table_says_how_to_get_it(fitted, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"CCHSelector.summary needs the package 'pandas'.*pip install .\.\[plot\]"):
        fitted.summary()


def test_summary(fitted):
    table = fitted.summary()
    assert list(table.index) == fitted.ranking_ and table.index.name == "teacher"
    for name, row in table.iterrows():
        assert (row["low"], row["high"]) == fitted.evidence_interval_[name]
        assert row["evidence"] == fitted.evidence_[name]
        assert row["mi_gap"] == pytest.approx(row["mi_teacher_student"] - row["mi_student_label"])
        assert row["verdict"] == str(fitted.worthwhile_[name])
        assert row["advice"] == fitted.worthwhile_[name].advice
    assert "Go on without this teacher." in table._repr_html_()


def test_display(fitted):
    display = CCHDisplay.from_estimator(fitted)
    labels = [text.get_text() for text in display.ax_.get_yticklabels()]
    assert labels == fitted.ranking_
    zero, *drawn = display.ax_.lines
    assert list(zero.get_xdata()) == [0, 0]
    for line, name in zip(drawn[::2], fitted.ranking_, strict=True):
        assert tuple(line.get_xdata()) == fitted.evidence_interval_[name]
    assert [text.get_text() for text in display.ax_.texts] == [
        str(fitted.worthwhile_[name]) for name in fitted.ranking_]
    _, ax = plt.subplots()
    assert CCHDisplay(["a"], {"a": 1.0}, {"a": (0.5, 1.5)}, {"a": Verdict("yes", 0.99)},
                      student="s").plot(ax=ax).ax_ is ax
