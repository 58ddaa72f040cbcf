"""Data of one's own through the tools of scikit-learn: modalities of every kind, and their labels."""

import pickle
from collections.abc import Mapping
from types import SimpleNamespace

import joblib
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import sklearn
import torch
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.feature_extraction import DictVectorizer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    StratifiedKFold,
    cross_val_predict,
    cross_val_score,
    cross_validate,
    train_test_split,
)
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils import indexable, resample, shuffle
from sklearn.utils._indexing import _safe_indexing
from sklearn.utils.validation import _num_samples
from skorch.helper import SliceDict
from torch.utils.data import Dataset

import cmkdlearn
from cmkdlearn import Modalities, compare
from cmkdlearn.datasets import make_imbalanced, subsample
from cmkdlearn.nn.samples import MappedRows, take
from cmkdlearn.preprocessing import ModalitySelector
from cmkdlearn.selection import CCHSelector
from cmkdlearn.students import FusionClassifier, MultiTeacherDistiller, UCMKDStudent
from cmkdlearn.teachers import ProductOfExperts, TeacherEnsemble, UnimodalTeacher

A, y = make_classification(60, 6, n_informative=4, n_classes=3, random_state=0)
A = A.astype(np.float32)
B = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32) + y[:, None]
TEXTS = [f"{'cat dog eel'.split()[k]} number {i}" for i, k in enumerate(y)]
TRAINING = {"max_epochs": 2, "lr": 0.01, "random_state": 0, "device": "cpu"}
ROWS = np.array([7, 3, 3, 50])


class Folder(Dataset):
    """Images with their labels, as an ImageFolder gives them; counts what is read."""

    reads = 0

    def __init__(self, labelled=True):
        self.labelled = labelled
        self.targets = y.tolist()

    def __len__(self):
        return 60

    def __getitem__(self, i):
        Folder.reads += 1
        return (A[i].reshape(2, 3), self.targets[i]) if self.labelled else A[i].reshape(2, 3)


def every_kind(folder):
    index = [f"patient {i}" for i in range(60)]
    np.save(folder / "B.npy", B)
    return {
        "array": A, "frame": pd.DataFrame(A, columns=list("abcdef"), index=index),
        "other frame": pd.DataFrame(B, index=index), "series": pd.Series(TEXTS, index=index),
        "tensor": torch.from_numpy(A), "list": TEXTS, "csr": scipy.sparse.csr_array(A),
        "csc": scipy.sparse.csc_matrix(A), "mapped": np.load(folder / "B.npy", mmap_mode="r"),
        "dataset": Folder(),
    }


def tiny(modality="a", **params):
    return UnimodalTeacher(**{**TRAINING, "modality": modality, "module__hidden": (8,), **params})


FRAMES = {"a": pd.DataFrame(A, columns=list("abcdef"), index=range(100, 160)),
          "b": pd.DataFrame(B, columns=list("wxyz"), index=range(100, 160))}
ARRAYS = {"a": A, "b": B}


# -------------------------------------------------------------------- the type

def test_rows_of_every_kind(tmp_path):
    parts = every_kind(tmp_path)
    X = Modalities(parts)
    for rows in (ROWS, ROWS.tolist(), np.isin(np.arange(60), ROWS), slice(3, 9, 2), pd.Series(ROWS)):
        numbers = np.arange(60)[np.asarray(rows) if isinstance(rows, pd.Series) else rows]
        some = X[rows]
        assert type(some) is Modalities and len(some) == len(numbers) == some.shape[0]
        assert np.array_equal(some["array"], A[numbers])
        assert some["frame"].index.tolist() == [f"patient {i}" for i in numbers]
        assert some["list"] == some["series"].tolist() == [TEXTS[i] for i in numbers]
        assert torch.equal(some["tensor"], torch.from_numpy(A[numbers]))
        for name in ("csr", "csc"):
            assert np.array_equal(some[name].toarray(), A[numbers])
        assert isinstance(some["mapped"], MappedRows) and np.array_equal(some["mapped"][:], B[numbers])
        assert [label for _, label in some["dataset"]] == y[numbers].tolist()


def test_nothing_is_read_of_what_is_not_in_memory(tmp_path):
    Folder.reads = 0
    X = Modalities(every_kind(tmp_path))
    X[ROWS][[1, 2]]
    repr(X)
    assert Folder.reads == 0


def test_it_is_a_mapping():
    X = Modalities(ARRAYS)
    assert isinstance(X, Mapping) and list(X) == list(X.keys()) == ["a", "b"]
    assert len(X.keys()) == len(X.values()) == len(X.items()) == 2
    assert "a" in X and "c" not in X and X.get("c") is None and dict(X) == ARRAYS
    assert {**X} == ARRAYS and X["a"] is A and len(X) == 60 and X.shape == (60,)
    with pytest.raises(KeyError, match="c"):
        X["c"]
    assert list(Modalities(a=A, b=B)) == list(Modalities(SliceDict(**ARRAYS))) == ["a", "b"]
    assert list(Modalities({"my sound": A}, b=B)) == ["my sound", "b"]
    assert repr(Modalities(a=A, text=TEXTS)) == "Modalities(a=ndarray (60, 6), text=list (60,))"
    assert cmkdlearn.Modalities is cmkdlearn.preprocessing.Modalities


@pytest.mark.parametrize(("make", "error", "message"), [
    (lambda: Modalities(), ValueError, "there must be one at least"),
    (lambda: Modalities(a=A, b=B[:59]), ValueError, r"\{'a': 60, 'b': 59\}"),
    (lambda: Modalities({1: A}), TypeError, "called by a string; got 1"),
    (lambda: Modalities(a=A)[3], TypeError, r"take \[3:4\]"),
    (lambda: Modalities(a=FRAMES["a"], b=FRAMES["b"][::-1]), ValueError, "in another order"),
    (lambda: Modalities(a=A)[np.array([60])], IndexError, "out of bounds"),
])
def test_what_it_refuses(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_tools_of_scikit_learn_take_it(tmp_path):
    X = Modalities(every_kind(tmp_path))
    assert _num_samples(X) == 60 and indexable(X, y)[0] is X
    assert _safe_indexing(X, ROWS)["list"] == [TEXTS[i] for i in ROWS]
    left, right, y_left, y_right = train_test_split(X, y, random_state=0)
    assert len(left) == 45 and len(right) == 15
    assert np.array_equal([label for _, label in right["dataset"]], y_right)
    mixed, labels = shuffle(X, y, random_state=0)
    assert mixed["list"][0] == TEXTS[np.flatnonzero((A == mixed["array"][0]).all(axis=1))[0]]
    assert len(resample(X, n_samples=7)) == 7


def test_copies_and_pickles(tmp_path):
    X = Modalities(every_kind(tmp_path))
    again = pickle.loads(pickle.dumps(X))
    assert list(again) == list(X) and np.array_equal(again["array"], A)
    assert joblib.hash(Modalities(ARRAYS)) == joblib.hash(Modalities(ARRAYS))
    assert joblib.hash(Modalities(ARRAYS)) != joblib.hash(Modalities(a=A, b=-B))


def test_the_tools_of_this_library_take_it():
    X = Modalities(FRAMES)
    for thinned, labels in (make_imbalanced(X, y, factor=4, random_state=0),
                            subsample(X, y, 0.5, random_state=0)):
        assert isinstance(thinned, Modalities) and len(thinned) == len(labels) < 60
    assert type(take(X, [1, 2])) is Modalities


# -------------------------------------------------------------------- frames

def estimators():
    linear = make_pipeline(ModalitySelector("b"), StandardScaler(), LogisticRegression())
    return {
        "teacher": tiny(),
        "student": MultiTeacherDistiller([("network", tiny("b")), ("linear", linear)], modality="a",
                                         cv=2, **TRAINING),
        "ensemble": TeacherEnsemble([("a", tiny("a")), ("b", tiny("b"))]),
        "fusion": FusionClassifier(modalities=["a", "b"], teacher_modality="b", **TRAINING),
        "unpaired": UCMKDStudent(tiny("b"), modality="a", **TRAINING),
        "pipeline": make_pipeline(FunctionTransformer(), tiny()),
    }


@pytest.mark.parametrize("name", estimators())
@pytest.mark.parametrize("data", [FRAMES, {"a": A, "b": FRAMES["b"]}], ids=["frames", "mixed"])
def test_cross_validation_of_frames(name, data):
    estimator = estimators()[name]
    expected = cross_val_score(estimator, SliceDict(**ARRAYS), y, cv=2, error_score="raise")
    scores = cross_val_score(estimator, Modalities(data), y, cv=2, error_score="raise")
    assert np.array_equal(scores, expected)


def test_names_of_columns_are_kept():
    fitted = cross_validate(tiny(), Modalities(FRAMES), y, cv=2, return_estimator=True)
    assert fitted["estimator"][0].feature_names_in_.tolist() == list("abcdef")


def test_grid_search_of_frames():
    student = MultiTeacherDistiller([("network", tiny("b"))], modality="a", **TRAINING)
    search = GridSearchCV(student, {"modality": ["a", "b"], "network__modality": ["a", "b"]}, cv=2,
                          error_score="raise", n_jobs=2).fit(Modalities(FRAMES), y)
    assert len(search.cv_results_["mean_test_score"]) == 4
    assert np.array_equal(search.predict(FRAMES), search.predict(Modalities(FRAMES)))
    proba = cross_val_predict(tiny(), Modalities(FRAMES), y, cv=2, method="predict_proba")
    assert proba.shape == (60, 3)


def test_selector_and_comparison_of_frames():
    selector = CCHSelector(student="a", representation="prefit", n_repeats=2, random_state=0)
    by_frames = clone(selector).fit(Modalities(FRAMES), y)
    assert by_frames.evidence_ == clone(selector).fit(ARRAYS, y).evidence_
    search = GridSearchCV(selector, {"cv": [2, 3]}, cv=2, error_score="raise")
    assert np.isfinite(search.fit(Modalities(FRAMES), y).best_score_)
    result, expected = (compare({"a": tiny("a"), "b": tiny("a")}, data, y, cv=2, random_state=0)
                        for data in (Modalities(FRAMES), ARRAYS))
    assert np.array_equal(result.scores["log_loss"], expected.scores["log_loss"])


def test_weights_and_a_validation_set_are_routed_with_it():
    weights = np.random.default_rng(0).random(60)
    with sklearn.config_context(enable_metadata_routing=True):
        estimator = tiny().set_fit_request(sample_weight=True).set_score_request(sample_weight=False)
        scores = cross_val_score(estimator, Modalities(FRAMES), y, cv=2, error_score="raise",
                                 params={"sample_weight": weights})
    folds = StratifiedKFold(2).split(A, y)
    assert scores.tolist() == [
        tiny(None).fit(A[train], y[train], sample_weight=weights[train]).score(A[test], y[test])
        for train, test in folds]
    fitted = tiny().fit(FRAMES, y, X_val=Modalities(FRAMES), y_val=y)
    assert fitted.history_[-1, "valid_acc"] == pytest.approx(fitted.score(FRAMES, y))


def test_texts_and_sparse_matrices_reach_the_teachers_that_read_them():
    X = Modalities(a=FRAMES["a"], text=TEXTS, counts=scipy.sparse.csr_array(np.abs(B)))
    of_text = make_pipeline(ModalitySelector("text"), TfidfVectorizer(), LogisticRegression())
    of_counts = make_pipeline(ModalitySelector("counts"), LogisticRegression())
    student = MultiTeacherDistiller([("text", of_text), ("counts", of_counts)], modality="a", cv=2,
                                    **TRAINING)
    assert np.isfinite(cross_val_score(student, X, y, cv=2, error_score="raise")).all()
    assert student.fit(X, y).named_teachers_.text.decision_function(X).argmax(axis=1).tolist() \
        == y.tolist()


# -------------------------------------------------------------------- images in a Dataset

def test_cross_validation_of_a_dataset():
    folder, images = Folder(), A.reshape(60, 2, 3)
    network = UnimodalTeacher(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(6, 3)),
                              modality="image", input_type="image", **TRAINING)
    expected = cross_val_score(network, SliceDict(image=images), y, cv=3, error_score="raise")
    for dataset in (folder, Folder(labelled=False)):
        scores = cross_val_score(network, Modalities(image=dataset), folder.targets, cv=3,
                                 error_score="raise")
        assert np.array_equal(scores, expected)
    wrong = np.roll(y, 1)
    with pytest.raises(ValueError, match="of X, a Folder, has the label"):
        cross_val_score(network, Modalities(image=folder), wrong, cv=3, error_score="raise")


def test_a_dataset_as_it_is_says_what_to_do():
    for estimator in (tiny(None), MultiTeacherDistiller(**TRAINING)):
        with pytest.raises(TypeError, match=r"Put the Dataset into cmkdlearn\.Modalities"):
            cross_val_score(estimator, Folder(), y, cv=3, error_score="raise")


@pytest.mark.parametrize(("make", "owner", "named"), [
    (lambda lost: lost, "UnimodalTeacher", []),
    (lambda lost: MultiTeacherDistiller(**TRAINING), "MultiTeacherDistiller", []),
    (lambda lost: MultiTeacherDistiller([("sound", lost)], modality="a", **TRAINING), "UnimodalTeacher", ["sound"]),
    (lambda lost: MultiTeacherDistiller([("both", ProductOfExperts([("b", tiny("b")), ("ear", lost)]))],
                                        modality="a", **TRAINING), "UnimodalTeacher", ["ear", "both"]),
    (lambda lost: MultiTeacherDistiller([("many", TeacherEnsemble([("ear", lost)]))], modality="a", **TRAINING),
     "UnimodalTeacher", ["ear", "many"]),
    (lambda lost: UCMKDStudent(lost, modality="a", **TRAINING), "UnimodalTeacher", [])])
def test_who_was_not_told_its_modality_is_named(make, owner, named):
    with pytest.raises(ValueError, match=rf"\['a', 'b'\]: say which one {owner} is to read, "
                                         rf"as in {owner}\(modality='a'\)") as error:
        make(UnimodalTeacher(**TRAINING)).fit(ARRAYS, y)
    assert getattr(error.value, "__notes__", []) == [f"It came from the teacher {name!r}." for name in named]


def test_a_modality_may_be_a_list_of_dicts():
    records = [{"kind": text.split()[0]} for text in TEXTS]
    of_records = make_pipeline(ModalitySelector("records"), DictVectorizer(), LogisticRegression())
    X = Modalities(a=A, records=records)
    student = MultiTeacherDistiller([("records", of_records)], modality="a", **TRAINING).fit(X, y)
    assert student.teacher_logits_.argmax(axis=1).tolist() == y.tolist()


def test_rows_of_a_table_may_be_tuples():
    pairs = [tuple(row) for row in A[:, :2].tolist()]
    assert np.array_equal(tiny(None).fit(pairs, y).predict(pairs),
                          tiny(None).fit(A[:, :2], y).predict(A[:, :2]))


def test_folds_of_a_memory_map_stay_in_their_file(tmp_path):
    np.save(tmp_path / "A.npy", A)
    X = Modalities(a=np.load(tmp_path / "A.npy", mmap_mode="r"))
    assert np.array_equal(cross_val_score(tiny(), X, y, cv=3, error_score="raise"),
                          cross_val_score(tiny(), Modalities(a=A), y, cv=3))


# -------------------------------------------------------------------- what is not read

class AnnData(SimpleNamespace):
    pass


class MuData(SimpleNamespace):
    pass


CELLS = AnnData(X=scipy.sparse.csr_array(A), obs=pd.DataFrame({"type": y}), shape=(60, 6))
OMICS = MuData(mod={"rna": CELLS}, obs=CELLS.obs)


@pytest.mark.parametrize("method", [
    lambda X: tiny(None).fit(X, y), lambda X: tiny("rna").fit({"rna": X}, y),
    lambda X: MultiTeacherDistiller(**TRAINING).fit(X, y), lambda X: Modalities(rna=X),
    lambda X: FusionClassifier(modalities=["a", "b"], **TRAINING).fit(X, y),
    lambda X: CCHSelector(student="a").fit(X, y), lambda X: ModalitySelector("rna").fit(X),
    lambda X: tiny(None).fit(A, y).predict(X),
])
def test_annotated_data_say_which_arrays_to_pass(method):
    with pytest.raises(TypeError, match=r'X is a AnnData.* pass \{"rna": data\.X\}, made dense by'):
        method(CELLS)
    with pytest.raises(TypeError, match=r"X is a MuData.* pass \{name: part\.X for name, part in"):
        method(OMICS)


def test_a_frame_may_have_columns_of_such_names():
    frame = pd.DataFrame(A[:, :2], columns=["obs", "X"])
    assert tiny(None).fit(frame, y).feature_names_in_.tolist() == ["obs", "X"]


INDICATORS = np.eye(3, dtype=int)[y]


@pytest.mark.parametrize("labels", [
    INDICATORS, INDICATORS.tolist(), pd.DataFrame(INDICATORS), torch.from_numpy(INDICATORS),
    scipy.sparse.csr_array(INDICATORS), [[0], [0, 1]] * 30,
], ids=["array", "list", "frame", "tensor", "sparse", "ragged"])
@pytest.mark.parametrize("method", [
    lambda labels: tiny().fit(ARRAYS, labels),
    lambda labels: tiny().fit(ARRAYS, y, X_val=ARRAYS, y_val=labels),
    lambda labels: MultiTeacherDistiller(modality="a", **TRAINING).fit(ARRAYS, labels),
    lambda labels: TeacherEnsemble([("a", tiny())]).fit(ARRAYS, labels),
    lambda labels: CCHSelector(student="a").fit(ARRAYS, labels),
    lambda labels: compare({"a": tiny()}, ARRAYS, labels, cv=2),
])
def test_several_labels_of_a_sample(method, labels):
    with pytest.raises(ValueError, match=r"one label a sample.*\(multi-label\).*MultiOutputClass"):
        method(labels)


def test_one_estimator_a_column_does():
    several = MultiOutputClassifier(tiny(None)).fit(A, INDICATORS)
    expected = [tiny(None).fit(A, INDICATORS[:, k]).predict(A) for k in range(3)]
    assert np.array_equal(several.predict(A), np.transpose(expected))
