"""compare: its folds, its seeds, its statistics against SciPy's, and what it draws."""

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.metrics import accuracy_score, f1_score, log_loss
from sklearn.model_selection import KFold, RepeatedStratifiedKFold, ShuffleSplit, StratifiedKFold
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.helper import SliceDict

from cmkdlearn.inspection import ComparisonDisplay
from cmkdlearn.model_selection import compare, corrected_ttest, expected_calibration_error
from cmkdlearn.students import MultiTeacherDistiller
from cmkdlearn.teachers import UnimodalTeacher

X, y = make_classification(90, 6, n_informative=4, n_classes=3, random_state=0)
NAMES = np.array(["cat", "dog", "eel"])
training = {"max_epochs": 2, "module__hidden": (8,), "lr": 0.01, "device": "cpu"}


class Spy(ClassifierMixin, BaseEstimator):
    """Writes down what it was fitted on."""

    seen = []  # noqa: RUF012

    def __init__(self, inner=None, random_state=None):
        self.inner = inner
        self.random_state = random_state

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.seen.append((X[:, 0].tolist(), list(y), self.random_state,
                          getattr(self.inner, "random_state", None)))
        return self

    def predict(self, X):
        return np.repeat(self.classes_[-1], len(X))


# -------------------------------------------------------------------- the test

differences = st.lists(st.floats(-1, 1).map(lambda x: round(x, 3)), min_size=2, max_size=20)


@settings(max_examples=50)
@given(differences)
def test_without_overlap_it_is_students_test(d):
    if np.std(d) < 1e-6:
        return
    test, expected = corrected_ttest(d, 0), stats.ttest_1samp(d, 0)
    assert test.statistic == pytest.approx(expected.statistic) and test.pvalue == pytest.approx(expected.pvalue)
    interval = expected.confidence_interval(0.95)
    assert (test.low, test.high) == pytest.approx((interval.low, interval.high))


@settings(max_examples=50)
@given(differences, st.floats(0.01, 1))
def test_overlap_widens_it(d, ratio):
    """Nadeau and Bengio's statistic, from SciPy's by the ratio of the two variances."""
    if np.std(d) < 1e-6:
        return
    n = len(d)
    plain, test = stats.ttest_1samp(d, 0), corrected_ttest(d, ratio)
    statistic = plain.statistic * np.sqrt((1 / n) / (1 / n + ratio))
    assert test.statistic == pytest.approx(statistic)
    assert test.pvalue == pytest.approx(2 * stats.t(n - 1).cdf(-abs(statistic)))
    assert test.pvalue >= plain.pvalue
    assert (test.low <= 0 <= test.high) == (test.pvalue >= 0.05)


def test_by_hand():
    # d = 1, 2, 3: mean 2, variance 1; with n_test/n_train = 1/2 the error is sqrt(1/3 + 1/2)
    test = corrected_ttest([1, 2, 3], 0.5)
    assert test.statistic == pytest.approx(2 / np.sqrt(5 / 6))
    assert corrected_ttest([0, 0, 0], 0.5) == {"statistic": 0, "pvalue": 1, "low": 0, "high": 0}
    assert corrected_ttest([0.1] * 3, 0.5).pvalue == 0


def test_it_keeps_its_level_where_the_plain_test_does_not():
    """Two equally bad classifiers of noise: rejected at 5 % far too often without the correction."""
    rng = np.random.default_rng(0)
    rejected = np.zeros(2)
    for _ in range(25):
        X, y = rng.normal(size=(60, 4)), rng.integers(2, size=60)
        right = []
        for seed in range(4):
            for train, test in StratifiedKFold(5, shuffle=True, random_state=seed).split(X, y):
                right.append([m.fit(X[train], y[train]).score(X[test], y[test])
                              for m in (GaussianNB(), RidgeClassifier())])
        d = np.subtract(*np.transpose(right))
        rejected += [corrected_ttest(d, ratio).pvalue < 0.05 for ratio in (0, 0.25)]
    assert rejected[0] >= 5 and rejected[1] <= 2


@pytest.mark.parametrize(("d", "ratio", "message"), [
    ([1.0], 0.1, "at least two splits"), ([[1.0, 2]], 0.1, "at least two splits"), ([1, 2], -1, "test_over_train=-1"),
])
def test_differences_that_cannot_be_tested(d, ratio, message):
    with pytest.raises(ValueError, match=message):
        corrected_ttest(d, ratio)


# -------------------------------------------------------------------- calibration

def test_calibration_bin_by_bin():
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(3), size=200)
    y = rng.integers(3, size=200)
    total = 0
    for b in range(10):
        inside = [i for i in range(200) if b / 10 < p[i].max() <= (b + 1) / 10]
        if inside:
            accuracy = np.mean([p[i].argmax() == y[i] for i in inside])
            total += len(inside) / 200 * abs(accuracy - np.mean([p[i].max() for i in inside]))
    assert expected_calibration_error(y, p, n_bins=10) == pytest.approx(total)
    named = expected_calibration_error(NAMES[y], p, labels=NAMES, n_bins=10)
    assert named == pytest.approx(total)


def test_calibration_of_the_certain():
    assert expected_calibration_error([0, 1, 1], np.eye(2)[[0, 1, 1]]) == 0
    assert expected_calibration_error([0, 1, 1], np.eye(2)[[1, 0, 0]]) == 1
    with pytest.raises(ValueError, match=r"shape \(3, 2\), a column a class; it has \(3, 3\)"):
        expected_calibration_error([0, 1, 1], np.eye(3))


# -------------------------------------------------------------------- compare

def test_scores_against_a_loop():
    folds = StratifiedKFold(3, shuffle=True, random_state=4)
    result = compare({"linear": LogisticRegression(), "bayes": GaussianNB()}, X, NAMES[y], cv=folds)
    for row, model in enumerate((LogisticRegression(), GaussianNB())):
        for split, (train, test) in enumerate(folds.split(X, y)):
            model.fit(X[train], NAMES[y[train]])
            predicted, p, truth = model.predict(X[test]), model.predict_proba(X[test]), NAMES[y[test]]
            expected = {"accuracy": accuracy_score(truth, predicted),
                        "macro_f1": f1_score(truth, predicted, average="macro"),
                        "log_loss": log_loss(truth, p, labels=NAMES),
                        "calibration_error": expected_calibration_error(truth, p, labels=NAMES)}
            for metric, value in expected.items():
                assert result.scores[metric][row, split] == pytest.approx(value)
    frame = pd.DataFrame(result.table)
    assert frame.estimator.tolist() == ["linear", "bayes"] and result.test_over_train == pytest.approx(0.5)
    difference = np.subtract(*result.scores["accuracy"][::-1])
    assert frame.diff_accuracy[1] == pytest.approx(difference.mean())
    assert frame.pvalue_accuracy[1] == pytest.approx(corrected_ttest(difference, 0.5).pvalue)
    assert frame.std_accuracy[0] == pytest.approx(result.scores["accuracy"][0].std(ddof=1))
    assert np.isnan(frame.pvalue_accuracy[0]) and np.isnan(frame.mean_n_parameters).all()
    assert (frame.mean_fit_seconds > 0).all()


def test_all_get_the_same_folds_and_seeds():
    Spy.seen.clear()
    compare([("a", Spy()), ("b", Spy(GaussianNB()))], X, y, cv=3, random_state=0)
    first, second = Spy.seen[:3], Spy.seen[3:]
    assert first == second and len({seed for _, _, seed, _ in first}) == 3
    Spy.seen.clear()
    compare({"a": Spy(inner=Spy()), "own": Spy(inner=Spy(random_state=5), random_state=7)}, X, y, cv=2,
            random_state=0)
    assert all(isinstance(inner, int) and inner != outer for _, _, outer, inner in Spy.seen[:2])  # a teacher too
    assert all((outer, inner) == (7, 5) for _, _, outer, inner in Spy.seen[2:])


def test_it_repeats_itself():
    methods = {"plain": MultiTeacherDistiller(**training),
               "taught": MultiTeacherDistiller([("bayes", GaussianNB())], **training)}
    first, second = (compare(methods, X, y, cv=2, random_state=3).scores for _ in range(2))
    assert np.array_equal(first["log_loss"], second["log_loss"])
    assert first["n_parameters"].tolist() == [[6 * 8 + 8 + 8 * 3 + 3] * 2] * 2
    assert first["n_bytes"].tolist() == [[4 * (6 * 8 + 8 + 8 * 3 + 3 + 6) + 8 * 6] * 2] * 2  # std, and mean
    assert (first["ms_per_sample"] > 0).all()


def test_ten_splits_by_default():
    result = compare({"a": GaussianNB(), "b": GaussianNB()}, X, y, random_state=0)
    assert result.scores["accuracy"].shape == (2, 10) and result.test_over_train == pytest.approx(0.25)
    assert result.table["pvalue_accuracy"][1] == 1 and result.table["diff_log_loss"] == [0, 0]


def test_unlabelled_samples_are_always_there_and_never_tested():
    few = np.where(np.arange(90) % 3 == 0, y, -1)
    data = np.column_stack([np.arange(90), X])
    Spy.seen.clear()
    result = compare({"spy": Spy()}, data, few, cv=3)
    for rows, labels, _, _ in Spy.seen:
        assert set(np.flatnonzero(few < 0)) <= set(rows) and labels.count(-1) == 60
        assert len(rows) == 60 + 20
    assert result.test_over_train == pytest.approx(0.5)


def test_modalities():
    data = SliceDict(image=X[:, :3].astype(np.float32), text=X.astype(np.float32))
    student = MultiTeacherDistiller([("text", UnimodalTeacher(modality="text", **training))], modality="image",
                                    **training)
    scores = compare({"plain": student.__class__(modality="image", **training), "taught": student}, data, y,
                     cv=2).scores
    assert np.isfinite(scores["log_loss"]).all()


def test_what_has_no_probabilities():
    scores = compare({"ridge": make_pipeline(StandardScaler(), RidgeClassifier())}, X, y, cv=2).scores
    assert np.isnan(scores["log_loss"]).all() and np.isfinite(scores["accuracy"]).all()


@pytest.mark.parametrize(("change", "message"), [
    ({"max_epochs": 3}, "max_epochs is 2 for 'a', 3 for 'b'"),
    ({"label_smoothing": 0.1}, "label_smoothing is 0.0 for 'a', 0.1 for 'b'"),
    ({"module__hidden": (9,)}, r"module__hidden is \(8,\) for 'a', \(9,\) for 'b'"),
])
def test_unequal_budgets_are_named(change, message):
    with pytest.warns(UserWarning, match=message):
        compare({"a": MultiTeacherDistiller(**training), "b": MultiTeacherDistiller(**training | change)},
                X, y, cv=2)


def test_what_is_the_methods_own_is_no_difference():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compare({"a": MultiTeacherDistiller(**training), "svm": GaussianNB(),
                 "b": MultiTeacherDistiller([("nb", GaussianNB())], loss="dkd", lambda_kd=2, **training)}, X, y, cv=2)


@pytest.mark.parametrize(("estimators", "cv", "message"), [
    ({}, 2, "there must be one at least"),
    ([("a", GaussianNB()), ("a", GaussianNB())], 2, "different names"),
    ({"a": GaussianNB()}, ShuffleSplit(1), "makes one split"),
    ({"a": GaussianNB()}, 1, "n_splits"),
])
def test_comparisons_that_cannot_be(estimators, cv, message):
    with pytest.raises(ValueError, match=message):
        compare(estimators, X, y, cv=cv)


def test_the_display():
    methods = {"linear": LogisticRegression(), "bayes": GaussianNB(), "ridge": RidgeClassifier()}
    display = ComparisonDisplay.from_estimators(methods, X, y, cv=KFold(3), metric="macro_f1")
    assert display.figure_ is display.ax_.figure
    labels = [text.get_text() for text in display.ax_.get_yticklabels()]
    table = display.comparison.table
    assert labels == [f"{name}  {mean:.3f}" for name, mean in zip(methods, table["mean_macro_f1"], strict=True)]
    drawn = [line.get_xdata() for line in display.ax_.lines]
    assert any(np.allclose(xs, [table["low_macro_f1"][1], table["high_macro_f1"][1]]) for xs in drawn if len(xs) == 2)
    assert "difference to linear" in display.ax_.get_xlabel()
    assert f"p = {table['pvalue_macro_f1'][2]:.2g}" in [text.get_text() for text in display.ax_.texts]
    with pytest.raises(ValueError, match="metric='f1' is unknown"):
        display.plot("f1")


def test_repeats():
    cv = RepeatedStratifiedKFold(n_splits=2, n_repeats=3, random_state=0)
    assert compare({"a": GaussianNB()}, X, y, cv=cv).scores["accuracy"].shape == (1, 6)
