"""compare_teachers: its rows are compare's, its choice is the selector's; and comparisons in words."""

import copy
import io
import pickle
import re
import sys

import numpy as np
import pytest
from joblib import delayed, parallel_config
from sklearn.base import BaseEstimator, clone
from sklearn.frozen import FrozenEstimator
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from torch import nn

from cmkdlearn._seeding import seeded_copy
from cmkdlearn.inspection import ComparisonDisplay
from cmkdlearn.model_selection import Comparison, compare, compare_teachers
from cmkdlearn.model_selection._compare import fits_of, run, seeded_splits
from cmkdlearn.model_selection._compare_teachers import _fits_of, _like
from cmkdlearn.model_selection._comparison import comparison_of
from cmkdlearn.preprocessing import ModalitySelector
from cmkdlearn.selection import CCHSelector
from cmkdlearn.students import MultiTeacherDistiller
from cmkdlearn.teachers import ProductOfExperts, UnimodalTeacher

rng = np.random.default_rng(0)
y = np.arange(72) % 3
X = {"image": rng.normal(size=(72, 5)) + y[:, None], "text": rng.normal(size=(72, 4)) + 2 * y[:, None],
     "sound": rng.normal(size=(72, 3))}
training = {"max_epochs": 2, "batch_size": 24, "lr": 0.03, "device": "cpu"}
student = MultiTeacherDistiller(modality="image", **training)
bayes = {name: make_pipeline(ModalitySelector(name), GaussianNB()) for name in X if name != "image"}
TIMES = ("fit_seconds", "ms_per_sample")


class Picks(BaseEstimator):
    """A selector that picks by its seed, and writes down what it was fitted on."""

    seen = []  # noqa: RUF012

    def __init__(self, student="image", teacher=None, pick=lambda seed: "text", random_state=None):
        self.student = student
        self.teacher = teacher
        self.pick = pick
        self.random_state = random_state

    def fit(self, X, y):
        self.seen.append((X, y, self.teacher, self.random_state))
        return self

    def select(self, X):
        name = self.pick(self.random_state)
        return {self.student: X[self.student]} | ({} if name is None else {name: X[name]})


def same(first, second, but=TIMES):
    return all(np.array_equal(first[metric], second[metric], equal_nan=True) for metric in first if metric not in but)


def row(result, name):
    return {metric: values[result.names.index(name)] for metric, values in result.scores.items()}


# -------------------------------------------------------------------- its rows

@pytest.fixture(scope="module")
def result():
    return compare_teachers(student, X, y, cv=3, random_state=0)


def test_rows_are_those_of_compare(result):
    own, text, sound = (UnimodalTeacher(modality=name, **training) for name in X)
    methods = {"no teacher": [], "itself": [("self", own)], "text": [("text", text)], "sound": [("sound", sound)],
               "all teachers": [("text", text), ("sound", sound)],
               "product": [("p", ProductOfExperts([("self", own), ("text", text), ("sound", sound)]))]}
    expected = compare({name: clone(student).set_params(teachers=teachers) for name, teachers in methods.items()},
                       X, y, cv=3, random_state=0)
    assert result.names == list(methods) and same(result.scores, expected.scores)
    assert result.test_over_train == expected.test_over_train and "selected" not in result
    for name, column in expected.table.items():
        if not name.endswith(TIMES):
            np.testing.assert_array_equal(result.table[name], column)


def test_teachers_of_ones_own_and_unlabelled_samples():
    partly = np.where(np.arange(72) % 4, y, -1)
    given = compare_teachers(student, X, partly, teachers=[("bayes", bayes["text"])], cv=2, random_state=1)
    expected = compare({"plain": student, "taught": clone(student).set_params(teachers=[("bayes", bayes["text"])])},
                       X, partly, cv=2, random_state=1)
    assert given.names == ["no teacher", "itself", "bayes", "product"]
    assert same(row(given, "no teacher"), row(expected, "plain"))
    assert same(row(given, "bayes"), row(expected, "taught"))


def test_a_fitted_teacher_was_not_calibrated_on_what_it_has_not_seen():
    fitted = FrozenEstimator(clone(bayes["text"]).fit(X, y))
    assert "product" not in compare_teachers(student, X, y, teachers={"bayes": fitted}, cv=2, random_state=0).names


def test_a_teachers_budget_is_the_students():
    rich = MultiTeacherDistiller(modality="image", module=nn.Linear, module__out_features=3, augmentation="weak",
                                 input_type="table", max_epochs=7, lr=0.5, optimizer__weight_decay=0.1,
                                 label_smoothing=0.2, class_weight="balanced", random_state=3, temperature=2.0)
    other, own = (_like(rich, name).get_params(deep=False) for name in ("text", "image"))
    plain = UnimodalTeacher().get_params(deep=False)
    assert {name: value for name, value in other.items() if name not in plain or plain[name] != value} == {
        "modality": "text", "max_epochs": 7, "lr": 0.5, "optimizer__weight_decay": 0.1, "label_smoothing": 0.2,
        "class_weight": "balanced"}
    assert own == {**other, "modality": "image", "module": nn.Linear, "module__out_features": 3,
                   "augmentation": "weak", "input_type": "table"}


# -------------------------------------------------------------------- the selector's row

@pytest.mark.parametrize(("picked", "chosen"), [("text", "text"), (None, "no teacher")])
def test_who_always_picks_one_has_its_row(picked, chosen):
    given = compare_teachers(student, X, y, teachers=bayes, selector=Picks(pick=lambda seed: picked), cv=2,
                             random_state=0)
    assert given.names[-2:] == ["product", "selected"] and given.selected == [chosen] * 2
    ours, theirs = row(given, "selected"), row(given, chosen)
    assert same(ours, theirs, but=["fit_seconds"]) and (ours["fit_seconds"] > theirs["fit_seconds"]).all()


def test_each_split_has_its_choice():
    partly = np.where(np.arange(72) % 4, y, -1)
    Picks.seen.clear()
    given = compare_teachers(student, X, partly, teachers=bayes, cv=3, random_state=0,
                             selector=Picks(pick=lambda seed: ("text", "sound")[seed % 2]))
    splits, _ = seeded_splits(3, partly, 0)
    for split, ((seed, train, _), (shown, labels, teacher, seeded)) in enumerate(
            zip(splits, Picks.seen, strict=True)):
        known = train[partly[train] >= 0]
        assert len(known) == 36 and teacher == ["text", "sound"]
        assert seeded == seeded_copy(Picks(), seed).random_state
        np.testing.assert_array_equal(labels, y[known])
        np.testing.assert_array_equal(shown["image"], X["image"][known])
        assert given.selected[split] == ("text", "sound")[seeded % 2]
        for metric in ("accuracy", "log_loss"):
            values = given.scores[metric][:, split]
            assert values[-1] == values[given.names.index(given.selected[split])]
    assert len(set(given.selected)) == 2
    assert f"Of 3 splits the selector chose 'text' in {given.selected.count('text')}, 'sound' in" in repr(given)


def test_the_choice_is_cchselectors():
    selector = CCHSelector(student="image", representation="prefit", n_repeats=2, criterion="teacher_label")
    given = compare_teachers(student, X, y, teachers=bayes, selector=selector, cv=2, random_state=0)
    for (seed, train, _), chosen in zip(seeded_splits(2, y, 0)[0], given.selected, strict=True):
        fitted = seeded_copy(clone(selector).set_params(teacher=["text", "sound"]), seed).fit(
            {name: part[train] for name, part in X.items()}, y[train])
        assert chosen == (fitted.best_teacher_ if fitted.worthwhile_[fitted.best_teacher_] else "no teacher")


# -------------------------------------------------------------------- what cannot be

@pytest.mark.parametrize(("change", "error", "message"), [
    ({"student": SVC()}, TypeError, "has no parameters teachers and modality"),
    ({"student": nn.Linear(3, 3)}, TypeError, "student is a network"),
    ({"student": clone(student).set_params(teachers=[("t", SVC())])}, ValueError, r"has the teachers \['t'\] already"),
    ({"student": MultiTeacherDistiller()}, ValueError, "The student's modality=None is unknown. Use 'image'"),
    ({"X": X["image"]}, ValueError, "X is a ndarray; compare_teachers needs the modalities by name"),
    ({"X": {"image": X["image"]}}, ValueError, "X has the modality 'image' only"),
    ({"teachers": {}}, ValueError, "there must be one at least"),
    ({"teachers": [("a", SVC()), ("a", SVC())]}, ValueError, "different names"),
    ({"teachers": {"selected": SVC()}}, ValueError, "cannot be called 'selected'"),
    ({"teachers": {"net": nn.Linear(3, 3)}}, TypeError, "Teacher 'net' is a network"),
    ({"selector": SVC()}, TypeError, "no parameters student and teacher"),
    ({"selector": Picks(student="text")}, ValueError, "set student='image' and teacher=None"),
    ({"selector": Picks(teacher="text")}, ValueError, "set student='image' and teacher=None"),
    ({"selector": Picks(), "teachers": {"bayes": bayes["text"]}}, ValueError,
     r"which are \['text', 'sound'\], and the teacher is called 'bayes'"),
    ({"selector": Picks(), "teachers": {"image": SVC()}}, ValueError, "the teacher is called 'image'"),
    ({"y": y[:5]}, ValueError, "inconsistent numbers of samples"),
    ({"verbose": "loud"}, ValueError, "verbose='loud' is unknown. Use 'auto'"),
])
def test_what_does_not_go_together_is_refused_before_any_fit(change, error, message, monkeypatch):
    monkeypatch.setattr(MultiTeacherDistiller, "fit", None)
    with pytest.raises(error, match=message):
        compare_teachers(**{"student": student, "X": X, "y": y, "cv": 2} | change)


# -------------------------------------------------------------------- in words

def scores_of(*accuracies, **others):
    """A comparison of given accuracies; all other scores are the same for all."""
    rows = [[{"accuracy": value, "macro_f1": 0.5, "log_loss": 1.0, "calibration_error": np.nan, "fit_seconds": 1.0}
             for value in values] for values in accuracies]
    for metric, given in others.items():
        for scores, values in zip(rows, given, strict=True):
            for split, value in zip(scores, values, strict=True):
                split[metric] = value
    return rows


NAMES = ["no teacher", "text & more", "sound"]
# differences of 1, 2 and 3 points: their mean 2, their deviation 1; with n_test/n_train = 1/2 the error is
# sqrt(1/3 + 1/2), and 4.3027 is Student's 97.5 % quantile of two degrees of freedom
HALF = 4.302652729911275 * np.sqrt(5 / 6)
BY_HAND = comparison_of(NAMES, scores_of([0.5, 0.5, 0.5], [0.51, 0.52, 0.53], [0.4, 0.4, 0.4],
                                         log_loss=[[1, 1, 1], [0.9, 0.9, 0.9], [1.2, 1.2, 1.2]]), 0.5,
                        selected=["text & more", "no teacher", "text & more"])


def test_the_table_by_hand(monkeypatch):
    frame = BY_HAND.summary()
    assert frame.index.tolist() == NAMES and frame.index.name == "estimator"
    assert frame.verdict.tolist() == ["reference", "within noise", "worse"]
    np.testing.assert_allclose(frame.accuracy, [0.5, 0.52, 0.4])
    np.testing.assert_allclose(frame.difference, [0, 0.02, -0.1], atol=1e-12)
    np.testing.assert_allclose(frame.loc["text & more", ["low", "high"]].astype(float),
                               [0.02 - 0.01 * HALF, 0.02 + 0.01 * HALF])
    assert frame.pvalue.iloc[2] == 0 and frame.iloc[0][["low", "high", "pvalue"]].isna().all()
    assert BY_HAND.summary("log_loss").verdict.tolist() == ["reference", "better", "worse"]
    assert BY_HAND.summary("macro_f1").verdict.tolist() == ["reference", "within noise", "within noise"]
    assert BY_HAND.summary("calibration_error").verdict.tolist() == ["reference", "not measured", "not measured"]
    with pytest.raises(ValueError, match="metric='acuracy' is unknown. Did you mean 'accuracy'"):
        BY_HAND.summary("acuracy")
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="Comparison.summary needs the package 'pandas'"):
        BY_HAND.summary()


def test_it_prints_as_a_table():
    assert repr(BY_HAND).splitlines() == str(BY_HAND).splitlines() == [
        "Mean accuracy of 3 splits, and its difference to that of 'no teacher' with a 95 % interval",
        "no teacher   50.0 %",
        "text & more  52.0 %  +2.0 points [-1.9, 5.9]      within noise",
        "sound        40.0 %  -10.0 points [-10.0, -10.0]  worse, clear of noise",
        "Of 3 splits the selector chose 'no teacher' in 1, 'text & more' in 2"]
    single = comparison_of(["only"], scores_of([0.25, 0.75]), 0.5)
    assert repr(single) == "Mean accuracy of 2 splits\nonly  50.0 %"


def test_a_notebook_shows_the_same_table():
    shown = BY_HAND._repr_html_()
    assert shown.count("<tr>") == 3 and shown.count("<td>") == 12 and shown.endswith("in 2</p>")
    assert "<td>text &amp; more</td><td>52.0 %</td><td>+2.0 points [-1.9, 5.9]</td><td>within noise</td>" in shown


def test_it_is_a_bunch(result):
    assert isinstance(result, Comparison) and isinstance(result, dict) and result["table"] is result.table
    assert {"summary", "scores", "names"} <= set(dir(result))
    for twin in (pickle.loads(pickle.dumps(result)), copy.deepcopy(result)):
        assert type(twin) is Comparison and repr(twin) == repr(result) and same(twin.scores, result.scores, but=())


# -------------------------------------------------------------------- how long it takes

class Terminal(io.StringIO):
    def isatty(self):
        return True


def told(monkeypatch, seconds, verbose="auto", stderr=None, n_fits=None):
    """What is said of jobs that say that they took so long."""
    stderr = Terminal() if stderr is None else stderr
    monkeypatch.setattr(sys, "stderr", stderr)
    jobs = [delayed(dict)(fit_seconds=value, number=i) for i, value in enumerate(seconds)]
    results = run(jobs, n_fits or [1] * len(jobs), None, verbose)
    assert [result["number"] for result in results] == list(range(len(jobs)))
    return stderr.getvalue()


def test_the_second_job_tells_how_long_the_rest_takes(monkeypatch):
    # the first includes imports; 6 s for two fits, of which seven are left
    assert "Comparison: 10 fits, those of teachers included, about 21 s left. verbose=0 is silent." in \
        told(monkeypatch, [8, 6, 1, 1], n_fits=[1, 2, 3, 4])


def test_a_long_first_job_tells_at_once(monkeypatch):
    said = told(monkeypatch, [60, 6000, 1, 1])
    assert said.count("left. verbose") == 1 and "4 fits, those of teachers included, about 3 min left" in said


def test_who_does_not_look_and_who_need_not_wait_see_nothing(monkeypatch):
    assert told(monkeypatch, [60, 60], stderr=io.StringIO()) == ""
    assert told(monkeypatch, [60, 60], verbose=0) == ""
    assert told(monkeypatch, [1, 2, 2]) == ""
    said = told(monkeypatch, [1, 2, 2], verbose=1, stderr=io.StringIO())
    assert "about 2 s left" in said and "3/3" in said


def test_comparisons_hand_on_verbose(monkeypatch):
    methods = {"a": GaussianNB(), "b": GaussianNB()}
    for compared in (lambda **params: compare(methods, X["text"], y, cv=2, **params),
                     lambda **params: compare_teachers(student, X, y, teachers=bayes, cv=2, **params)):
        monkeypatch.setattr(sys, "stderr", stderr := Terminal())
        compared(verbose=0)
        assert not stderr.getvalue()
        compared(verbose=1)
        assert re.search(r"Comparison: (4|60) fits, .* left", stderr.getvalue())


def test_a_fit_counts_with_its_teachers():
    taught = clone(student).set_params(teachers=[("a", GaussianNB()), ("b", FrozenEstimator(GaussianNB()))])
    assert fits_of(student) == fits_of(GaussianNB()) == fits_of(bayes["text"]) == 1 and fits_of(taught) == 2
    assert fits_of(make_pipeline(StandardScaler(), taught)) == 2
    assert fits_of(MultiTeacherDistiller([("nested", taught)])) == 3
    assert fits_of(clone(taught).set_params(cv=3)) == fits_of(ProductOfExperts([("a", GaussianNB())], cv=3)) == 5
    assert fits_of(MultiTeacherDistiller([SVC()])) == 1  # which its own fit refuses
    # three modalities: five repeats of two halves, and all samples
    assert _fits_of(CCHSelector(student="image"), 3) == 18 and _fits_of(Picks(), 3) == 3


def test_two_at_a_time_are_the_same():
    methods = {"a": GaussianNB(), "b": GaussianNB(var_smoothing=1.0)}
    with parallel_config(backend="threading"):
        twice = compare(methods, X["text"], y, cv=5, random_state=0, n_jobs=2)
    once = compare(methods, X["text"], y, cv=5, random_state=0)
    assert same(twice.scores, once.scores) and not np.array_equal(*once.scores["log_loss"])


@pytest.mark.slow  # workers import all that they need
def test_two_students_at_a_time_are_the_same(result):
    twice = compare_teachers(student, X, y, cv=3, random_state=0, n_jobs=2)
    assert same(twice.scores, result.scores)


# -------------------------------------------------------------------- the picture

def test_what_is_clear_of_noise_is_drawn_in_colour():
    display = ComparisonDisplay(BY_HAND).plot()
    intervals = [line for line in display.ax_.lines if line.get_linewidth() == 2]
    assert [line.get_color() for line in intervals] == ["0.45", "C0"]
    np.testing.assert_allclose(intervals[0].get_xdata(), [0.02 - 0.01 * HALF, 0.02 + 0.01 * HALF])
    assert display.ax_.get_xlabel() == "accuracy, difference to no teacher (points)"
    assert display.ax_.xaxis.get_major_formatter()(0.05, 0) == "5"
    display.plot("log_loss")
    assert display.ax_.get_xlabel() == "log loss, difference to no teacher (nats; less is better)"


def test_from_student():
    display = ComparisonDisplay.from_student(student, X, y, teachers=bayes, selector=Picks(), cv=2, random_state=0)
    expected = compare_teachers(student, X, y, teachers=bayes, selector=Picks(), cv=2, random_state=0)
    assert same(display.comparison.scores, expected.scores)
    assert [text.get_text().split("  ")[0] for text in display.ax_.get_yticklabels()] == expected.names
    with pytest.raises(ValueError, match="metric='f1' is unknown"):
        ComparisonDisplay.from_student(student, X, y, metric="f1")
