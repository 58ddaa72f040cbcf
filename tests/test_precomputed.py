"""Logits that were worked out beforehand, and pipelines that choose their modality, as teachers."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from skorch.helper import SliceDict

from cmkdlearn._hashing import content_hash
from cmkdlearn.base import as_teacher
from cmkdlearn.datasets import ArrayFiles
from cmkdlearn.model_selection import compare
from cmkdlearn.preprocessing import ModalitySelector
from cmkdlearn.students import MultiTeacherDistiller, UCMKDStudent
from cmkdlearn.teachers import PrecomputedTeacher, PretrainedTeacher, TeacherEnsemble

fast = {"max_epochs": 2, "random_state": 0, "device": "cpu"}
rng = np.random.default_rng(0)
n = 90
y = np.arange(n) % 3
x = (rng.normal(size=(n, 4)) + y[:, None]).astype(np.float32)
z = rng.normal(size=(n, 3)).astype(np.float32)
X = SliceDict(x=x, id=np.arange(n))


# -------------------------------------------------------------------- by ids

def test_rows_are_found_by_their_ids():
    order = rng.permutation(n)
    names = np.array([f"sample {i}" for i in range(n)])
    t = PrecomputedTeacher(z[order], range(3), ids=names[order], modality="id")
    data = {"x": x, "id": names}
    t.fit({"x": x[:50], "id": names[:50]}, y[:50])
    assert_array_equal(t.teaching_logits(data), z)
    assert_array_equal(t.teaching_logits({"id": names[[7, 3, 7]]}), z[[7, 3, 7]])
    assert_array_equal(t.teaching_logits(names[[7, 3]]), z[[7, 3]])  # the modality alone
    assert t.teaching_logits(data).dtype == np.float32
    assert_array_equal(t.predict(data), z.argmax(1))
    assert_allclose(t.predict_proba(data), torch.from_numpy(z).softmax(1), rtol=1e-6)
    assert t.score(data, y) == np.mean(z.argmax(1) == y)


def test_without_ids_they_are_positions():
    t = PrecomputedTeacher(z.tolist(), range(3), modality="id").fit(X, y)
    assert_allclose(t.teaching_logits({"id": [5, 0]}), z[[5, 0]])
    assert_allclose(t.teaching_logits({"id": [[5.0], [0.0]]}), z[[5, 0]])  # a column of numbers


def test_a_column_of_a_table_may_hold_them():
    table = np.column_stack([x, np.arange(n)[::-1]])
    t = PrecomputedTeacher(z, range(3), modality=[4]).fit(table, y)
    assert_array_equal(t.teaching_logits(table), z[::-1])
    frame = pd.DataFrame(table, columns=[*"abcd", "id"])
    assert_array_equal(clone(t).set_params(modality=["id"]).fit(frame, y).teaching_logits(frame), z[::-1])
    student = MultiTeacherDistiller([("t", t)], modality=[0, 1, 2, 3], **fast)
    assert_array_equal(student.fit(table, y).teacher_logits_, z[::-1])
    assert len(cross_val_score(student, table, y, cv=2)) == 2


@pytest.mark.parametrize("values", [torch.from_numpy(z), pd.DataFrame(z), z.astype(np.float16),
                                    (100 * z).astype(int)])
def test_logits_of_any_kind(values):
    t = PrecomputedTeacher(values, range(3), modality="id").fit(X, y)
    assert_allclose(t.teaching_logits(X), np.asarray(values), rtol=1e-6)


def test_columns_follow_the_sorted_classes():
    t = PrecomputedTeacher(z, ["c", "a", "b"], modality="id").fit(X, np.array([*"cab"])[y])
    assert t.classes_.tolist() == ["a", "b", "c"]
    assert_array_equal(t.teaching_logits(X), z[:, [1, 2, 0]])
    two = PrecomputedTeacher(z[:, :2], ["b", "a"], modality="id").fit(X, np.array([*"aba"])[y])
    assert_array_equal(two.decision_function(X), z[:, 0] - z[:, 1])


# -------------------------------------------------------------------- as a modality

def test_a_modality_may_hold_the_logits():
    data = SliceDict(x=x, logits=z)
    t = PrecomputedTeacher(None, range(3), modality="logits").fit(data, y)
    assert_array_equal(t.teaching_logits({"logits": z[5:8]}), z[5:8])
    assert_array_equal(t.teaching_logits(z[5:8]), z[5:8])
    student = MultiTeacherDistiller([("t", t)], modality="x", **fast).fit(data, y)
    assert_array_equal(student.teacher_logits_, z)
    assert student.predict(x).shape == (n,)
    with pytest.raises(ValueError, match=r"modality='x' of X holds float32 of shape \(90, 4\)"):
        clone(t).set_params(modality="x").fit(data, y)
    alone = PrecomputedTeacher(None, range(3)).fit(z, y)
    assert_array_equal(alone.teaching_logits(z), z)


# -------------------------------------------------------------------- what is refused

@pytest.mark.parametrize("params, match", [
    ({"ids": [*range(89), 3]}, r"ids holds \[3\] more than once"),
    ({"ids": range(89)}, r"ids has shape \(89,\); it must be \(90,\)"),
    ({"ids": range(1, 91)}, r"modality='id' of X holds 1 ids that ids does not, such as \[0\]"),
    ({"ids": [str(i) for i in range(n)]}, r"90 ids that ids does not, such as \[0, 1, 2, 3, 4\]"),
    ({"logits": z[:80]}, "10 ids that ids=None, which are 0 to 79, does not, such as .80"),
    ({"logits": z[:, :2]}, r"logits has shape \(90, 2\); it must be \(m, 3\)"),
    ({"logits": z[:, 0]}, r"logits has shape \(90,\)"),
    ({"logits": np.where(np.arange(n)[:, None] == 4, np.nan, z)}, "NaN or infinite, first for sample 4"),
    ({"logits": np.where(np.arange(n)[:, None] == 4, -np.inf, z)}, "NaN or infinite"),
    ({"logits": z.astype(str)}, "logits holds <U"),
    ({"logits": np.exp(z) / np.exp(z).sum(1, keepdims=True)}, "holds probabilities.*logarithm"),
    ({"modality": "x"}, r"modality='x' of X has shape \(90, 4\), and must be an id for each"),
    ({"modality": "di"}, "modality='di' is unknown. Use 'x' or 'id'"),
    ({"modality": None}, "say which one PrecomputedTeacher is to read"),
    ({"classes": [0, 1, 1]}, r"holds \[1\] more than once"),
    ({"classes": [0, 1]}, r"y holds \[2\]"),
    ({"classes": None}, "classes=None must be a list")])
def test_what_cannot_be_is_refused(params, match):
    t = PrecomputedTeacher(**{"logits": z, "classes": range(3), "modality": "id", **params})
    with pytest.raises(ValueError, match=match):
        t.fit(X, y)


def test_no_position_is_guessed():
    with pytest.raises(ValueError, match=r"X has shape \(90, 4\).*which row of logits is whose.*np.arange"):
        PrecomputedTeacher(z, range(3)).fit(x, y)
    with pytest.raises(ValueError, match="names a modality, but X is a ndarray"):
        PrecomputedTeacher(z, range(3), modality="id").fit(x, y)


def test_the_unfitted_say_so():
    failed = PrecomputedTeacher(z[:80], range(3), modality="id")
    with pytest.raises(ValueError, match="10 ids"):
        failed.fit(X, y)
    with pytest.raises(NotFittedError):
        failed.predict({"id": [0]})
    with pytest.raises(NotFittedError):
        PrecomputedTeacher(z, range(3), modality="id").predict(X)


def test_it_has_no_features():
    t = PrecomputedTeacher(z, range(3), modality="id").fit(X, y)
    for teacher in (clone(t), FrozenEstimator(t), TeacherEnsemble([("t", t)])):
        with pytest.raises(TypeError, match="has no (encode|head_): an unpaired student needs"):
            UCMKDStudent(teacher, modality="x", **fast).fit(X, y)
    with pytest.raises(ValueError, match="Teacher 't' has no features, which loss='crd' needs"):
        MultiTeacherDistiller([("t", t)], modality="x", loss="crd", **fast).fit(X, y)


# -------------------------------------------------------------------- rows follow

class Shown(MultiTeacherDistiller):
    """A student that looks whether it was shown the logits of its own samples."""

    def fit(self, X, y):
        super().fit(X, y)
        np.testing.assert_array_equal(self.teacher_logits_, z[X["id"]])
        return self


def test_each_sample_keeps_its_own_logits():
    order = rng.permutation(n)
    data = SliceDict(x=x[order], id=order)
    student = Shown([("t", PrecomputedTeacher(z, range(3), modality="id"))], modality="x", **fast)
    cross_val_score(student, data, y[order], error_score="raise",
                    cv=StratifiedKFold(3, shuffle=True, random_state=0))
    clone(student).set_params(cv=3).fit(data, y[order])
    search = GridSearchCV(student, {"temperature": [1, 4]}, cv=2, error_score="raise").fit(data, y[order])
    assert_array_equal(search.best_estimator_.teacher_logits_, z[order])
    compare({"plain": MultiTeacherDistiller(modality="x", **fast), "taught": student,
             "teacher": student.teachers[0][1]}, data, y[order], cv=2, random_state=0)
    student.fit(data[rng.integers(n, size=n)], y[order])  # a bootstrap: some twice


def test_unlabelled_samples_are_taught():
    some = np.where(np.arange(n) % 2, y, -1)
    student = MultiTeacherDistiller([("t", PrecomputedTeacher(z, range(3), modality="id"))],
                                    modality="x", **fast)
    assert_array_equal(student.fit(X, some).teacher_logits_, z)


def test_memory_knows_it_by_its_logits(tmp_path):
    t = PrecomputedTeacher(z, range(3), modality="id")
    student = MultiTeacherDistiller([("t", t)], modality="x", memory=tmp_path, **fast).fit(X, y)
    other = clone(student).set_params(t__logits=-z).fit(X, y)
    assert_array_equal(other.teacher_logits_, -z)
    clone(student).set_params(t__logits=z.copy()).fit(X, y)
    assert len(list(tmp_path.rglob("output.pkl"))) == 2


def test_a_memory_map_is_read_by_the_rows_that_are_asked_for(tmp_path):
    """The file is larger than it is: rows that nobody asks for are a hole, which takes no memory."""
    m = 10**5
    table = np.lib.format.open_memmap(tmp_path / "z.npy", "w+", np.float32, (m, 3))
    table[::m // n][:n] = z
    table[1] = np.nan  # nobody's
    del table
    logits = np.load(tmp_path / "z.npy", mmap_mode="r")
    ids = np.arange(n) * (m // n)
    t = PrecomputedTeacher(logits, range(3), modality="id")
    assert clone(t).logits is logits  # sklearn.base.clone copies all else into memory
    data = SliceDict(x=x, id=ids)
    student = MultiTeacherDistiller([("t", t)], modality="x", **fast)
    assert_array_equal(student.fit(data, y).teacher_logits_, z)
    assert len(cross_val_score(student, data, y, cv=2)) == 2

    class Asked(np.memmap):
        rows: list = []

        def __getitem__(self, rows):
            self.rows.append(rows)
            return super().__getitem__(rows)

    watched = clone(t).set_params(logits=logits.view(Asked)).fit(data, y)
    assert_array_equal(watched.teaching_logits({"id": ids[[3, 1]]}), z[[3, 1]])
    assert [rows.tolist() for rows in Asked.rows] == [ids.tolist(), ids[[3, 1]].tolist()]


def test_modalities_beside_it_may_be_files(tmp_path):
    for i, row in enumerate(x):
        np.save(tmp_path / f"{i}.npy", row)
    data = {"x": ArrayFiles([tmp_path / f"{i}.npy" for i in range(n)]), "id": np.arange(n)}
    student = MultiTeacherDistiller([("t", PrecomputedTeacher(z, range(3), modality="id"))],
                                    modality="x", **fast).fit(data, y)
    assert_array_equal(student.teacher_logits_, z)
    with pytest.raises(TypeError, match="PrecomputedTeacher reads arrays"):
        PrecomputedTeacher(None, range(3), modality="x").fit(data, y)


def test_a_pickle_and_a_clone_say_the_same():
    t = PrecomputedTeacher(z, range(3), modality="id").fit(X, y)
    assert_array_equal(pickle.loads(pickle.dumps(t)).teaching_logits(X), z)
    assert content_hash(t) == content_hash(pickle.loads(pickle.dumps(t)))
    assert clone(t).logits is z and not hasattr(clone(t), "classes_")


def test_requests_of_metadata_are_cloned():
    with sklearn.config_context(enable_metadata_routing=True):
        t = PrecomputedTeacher(z, range(3), modality="id").set_score_request(sample_weight=True)
        assert clone(t).get_metadata_routing().score.requests["sample_weight"] is True


# -------------------------------------------------------------------- scikit-learn's, of one modality

numbers = x.astype(float) + rng.normal(size=(n, 4))
numbers[::7, 1] = np.nan
words = [["poor bad", "fair mean", "fine good"][c] + f" thing number {rng.integers(9)}" for c in y]
of_text = make_pipeline(ModalitySelector("text"), TfidfVectorizer(), LogisticRegression())
of_numbers = make_pipeline(ModalitySelector("numbers"), SimpleImputer(), StandardScaler(), SVC())
TEXTS = {"list": words, "str": np.array(words), "object": np.array(words, dtype=object),
         "series": pd.Series(words)}


def modalities(kind):
    return {"x": x, "numbers": numbers, "text": TEXTS[kind]}


@pytest.mark.parametrize("kind", TEXTS)
def test_a_pipeline_reads_a_modality_of_its_own(kind):
    """Texts as a list, or as an array; numbers of which some are missing."""
    data = modalities(kind)
    student = MultiTeacherDistiller([("text", of_text), ("numbers", of_numbers)], modality="x", **fast)
    student.fit(data, y)
    tfidf = TfidfVectorizer().fit_transform(words)
    table = StandardScaler().fit_transform(SimpleImputer().fit_transform(numbers))
    expected = [LogisticRegression().fit(tfidf, y).decision_function(tfidf),
                SVC().fit(table, y).decision_function(table)]
    assert_allclose(student.teacher_logits_, np.mean(expected, axis=0), atol=1e-5)
    assert student.predict({"x": x}).shape == (n,)
    assert_array_equal(clone(student).fit(data, y).predict(data), student.predict(data))
    result = compare({"text": of_text, "student": student}, data, y, cv=2, random_state=0)
    assert result.scores["accuracy"][0].tolist() == [1, 1]  # the words tell the classes
    ensemble = TeacherEnsemble([("text", of_text), ("numbers", of_numbers)]).fit(data, y)
    assert_allclose(ensemble.teaching_logits(data), student.teacher_logits_, atol=1e-5)


@pytest.mark.parametrize("kind", ["str", "object"])
def test_pipelines_teach_inside_cross_validation(kind):
    data = SliceDict(**modalities(kind))
    student = MultiTeacherDistiller([("text", of_text), ("numbers", of_numbers)], modality="x", cv=2, **fast)
    assert np.isfinite(cross_val_score(student, data, y, cv=2, error_score="raise")).all()
    assert cross_val_score(of_text, data, y, cv=2).tolist() == [1, 1]
    grid = {"text__logisticregression__C": [0.1, 10], "text__modalityselector__modality": ["text"]}
    search = GridSearchCV(student, grid, cv=2, error_score="raise").fit(data, y)
    assert search.best_estimator_.named_teachers_.text.estimator[-1].C == \
        search.best_params_["text__logisticregression__C"]
    assert len(compare({"text": of_text, "student": student}, data, y, cv=2).scores["accuracy"]) == 2


def test_sparse_features_teach_without_pairs():
    student = UCMKDStudent(of_text, modality="x", **fast).fit(modalities("list"), y)
    vectors = TfidfVectorizer().fit_transform(words)
    assert_allclose(student.teacher_.encode(modalities("list")), vectors.toarray(), rtol=1e-6)
    assert student.project(x).shape == (n, vectors.shape[1])
    frozen = FrozenEstimator(clone(of_text).fit(modalities("list"), y))
    student = UCMKDStudent(frozen, modality="x", **fast)
    assert student.fit(modalities("list"), y, X_teacher=modalities("list"), y_teacher=y).score(x, y) >= 0


def test_columns_of_a_table_inside_a_pipeline():
    frame = pd.DataFrame(numbers, columns=[*"abcd"])
    columns = make_column_transformer((make_pipeline(SimpleImputer(), StandardScaler()), ["b", "d"]))
    teacher = make_pipeline(ModalitySelector("table"), columns, LogisticRegression())
    data = {"x": x, "table": frame, "text": words}
    student = MultiTeacherDistiller([("table", teacher)], modality="x", **fast).fit(data, y)
    own = make_pipeline(clone(columns), LogisticRegression()).fit(frame, y).decision_function(frame)
    assert_allclose(student.teacher_logits_, own, atol=1e-5)
    assert UCMKDStudent(teacher, modality="x", **fast).fit(data, y).project(x).shape == (n, 2)
    assert len(compare({"teacher": teacher, "student": student}, data, y, cv=2).scores["accuracy"]) == 2


def test_files_beside_the_modality_of_a_pipeline_stay_unread(tmp_path):
    for i, row in enumerate(x):
        np.save(tmp_path / f"{i}.npy", row)
    data = {"x": ArrayFiles([tmp_path / f"{i}.npy" for i in range(n)]), "text": words}
    student = MultiTeacherDistiller([("text", of_text)], modality="x", **fast).fit(data, y)
    own = TfidfVectorizer().fit_transform(words)
    assert_allclose(student.teacher_logits_, LogisticRegression().fit(own, y).decision_function(own), atol=1e-5)


bare = make_pipeline(StandardScaler(), SVC())
pictures = {"picture": rng.normal(size=(n, 8, 8)).astype(np.float32), "numbers": np.nan_to_num(numbers)}


@pytest.mark.parametrize("use", [
    lambda: MultiTeacherDistiller([("t", bare)], modality="picture", input_type="image", **fast)
    .fit(pictures, y),
    lambda: MultiTeacherDistiller([("t", FrozenEstimator(clone(bare).fit(pictures["numbers"], y)))],
                                  modality="picture", input_type="image", **fast).fit(pictures, y),
    lambda: UCMKDStudent(bare, modality="numbers", **fast).fit(pictures, y),
    lambda: TeacherEnsemble([("t", bare)]).fit(pictures, y),
    lambda: as_teacher(clone(bare).fit(pictures["numbers"], y)).teaching_logits(pictures),
    lambda: compare({"t": bare, "u": bare}, pictures, y, cv=2)],
    ids=["distiller", "frozen", "ucmkd", "ensemble", "as_teacher", "compare"])
def test_who_forgets_the_selector_is_told_of_it(use):
    with pytest.raises((ValueError, TypeError)) as caught:
        use()
    assert 'ModalitySelector("name")' in " ".join([str(caught.value), *getattr(caught.value, "__notes__", [])])


def test_teachers_of_all_kinds_together():
    """A network, logits, texts and numbers teach one student; each reads its own."""
    net = torch.nn.Linear(4, 3)
    data = SliceDict(**modalities("object"), id=np.arange(n))
    student = MultiTeacherDistiller([
        ("network", PretrainedTeacher(net, range(3), modality="x", device="cpu")),
        ("logits", PrecomputedTeacher(z, range(3), modality="id")), ("text", of_text)],
        modality="x", **fast).fit(data, y)
    parts = [teacher.teaching_logits(data) for teacher in student.teachers_]
    assert_allclose(parts[0], net(torch.from_numpy(x)).detach(), atol=1e-6)
    assert_array_equal(parts[1], z)
    assert_allclose(student.teacher_logits_, np.mean(parts, axis=0), atol=1e-5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cross_val_score(student, data, y, cv=2, error_score="raise")
