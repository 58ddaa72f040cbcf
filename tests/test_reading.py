"""Inputs mean the same at fit and at predict, and nothing of the caller's is touched."""

import os
import threading

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.utils.data import Dataset, TensorDataset

from cmkdlearn.base import as_teacher
from cmkdlearn.nn.data import seeded
from cmkdlearn.selection import CCHSelector
from cmkdlearn.students import DistilledRegressor, FusionClassifier, MultiTeacherDistiller
from cmkdlearn.teachers import TeacherEnsemble, UnimodalTeacher

rng = np.random.default_rng(0)
y = np.arange(120) % 3
BYTES = (rng.integers(160, size=(120, 6, 6)) + 40 * y[:, None, None]).astype(np.uint8)
FLAT = {"random_state": 0, "device": "cpu", "max_epochs": 3}


FLATTENED = nn.Sequential(nn.Flatten(), nn.Linear(36, 3))


def flat():
    return FLATTENED


class Samples(Dataset):
    def __init__(self, X):
        self.X = X

    def __len__(self):
        return len(self.X)

    def __getitem__(self, i):
        return self.X[i]


# what the same pixels may come as
AS_BYTES = [("int64", BYTES.astype(np.int64)), ("int16", BYTES.astype(np.int16)), ("list", BYTES.tolist()),
            ("tensor", torch.from_numpy(BYTES)), ("float32", BYTES.astype(np.float32)),
            ("float64", BYTES.astype(float)), ("dataset", Samples(BYTES.astype(np.int64))),
            ("dataset of floats", Samples(BYTES.astype(np.float32)))]


@pytest.mark.parametrize(("kind", "X"), AS_BYTES, ids=[kind for kind, _ in AS_BYTES])
@pytest.mark.parametrize("module", [flat(), "test_resnet"], ids=["own", "timm"])
def test_fitted_on_bytes_the_same_pixels_say_the_same(kind, X, module):
    teacher = UnimodalTeacher(module, **FLAT).fit(BYTES, y)
    np.testing.assert_array_equal(teacher.predict_proba(X), teacher.predict_proba(BYTES))


def test_fitted_on_bytes_a_unit_interval_is_understood():
    teacher = UnimodalTeacher(flat(), **FLAT).fit(BYTES, y)
    np.testing.assert_array_equal(teacher.predict_proba(BYTES / np.float32(255)), teacher.predict_proba(BYTES))


def test_whole_numbers_are_bytes_at_fit_too():
    as_ints, as_bytes = (UnimodalTeacher(flat(), input_type="image", **FLAT).fit(X, y)
                         for X in (BYTES.astype(np.int64), BYTES))
    np.testing.assert_array_equal(as_ints.predict_proba(BYTES), as_bytes.predict_proba(BYTES))


def test_fitted_on_a_unit_interval_bytes_are_understood():
    floats = BYTES / np.float32(255)
    teacher = UnimodalTeacher(flat(), input_type="image", **FLAT).fit(floats, y)
    np.testing.assert_array_equal(teacher.predict_proba(BYTES), teacher.predict_proba(floats))
    with pytest.warns(UserWarning, match="up to 239.*X is divided by 255"):
        said = teacher.predict_proba(BYTES.astype(np.float32))
    np.testing.assert_array_equal(said, teacher.predict_proba(floats))


def test_fitted_on_floats_up_to_255_bytes_are_the_same_numbers():
    floats = BYTES.astype(np.float32)
    teacher = UnimodalTeacher(flat(), input_type="image", lr=1e-5, **FLAT).fit(floats, y)
    np.testing.assert_array_equal(teacher.predict_proba(BYTES), teacher.predict_proba(floats))
    with pytest.warns(UserWarning, match="those of the fit reached to 239"):
        teacher.predict_proba(floats / 255)


@pytest.mark.parametrize(("fitted", "asked", "match"), [
    (BYTES, BYTES.astype(int) - 200, "images of int64 from -200 to .* Whole numbers are bytes"),
    (BYTES, BYTES.astype(int) * 2, "Whole numbers are bytes, 0 to 255"),
    (BYTES, BYTES / 255.0 - 0.5, "those of the fit were bytes"),
    (BYTES / 255.0 - 0.5, BYTES, "X holds bytes, but the images of the fit were floating-point"),
])
def test_other_units_are_refused(fitted, asked, match):
    teacher = UnimodalTeacher(flat(), input_type="image", **FLAT).fit(fitted, y)
    with pytest.raises(ValueError, match=match):
        teacher.predict(asked)


def test_a_dataset_of_other_units_is_refused_when_it_comes_to_it():
    teacher = UnimodalTeacher(flat(), **FLAT).fit(BYTES, y)
    wrong = BYTES.astype(np.int64)
    wrong[50] += 200
    with pytest.raises(ValueError, match="Whole numbers are bytes, 0 to 255"):
        teacher.predict(Samples(wrong))


@pytest.mark.parametrize("X", [BYTES.astype(np.float32), BYTES / 255.0 - 0.9])
def test_a_pretrained_network_refuses_other_units(X):
    with pytest.raises(ValueError, match=r"a pretrained network reads bytes, or .* in \[0, 1\]"):
        UnimodalTeacher("resnet18", module__pretrained=True, input_type="image", device="cpu").fit(X, y)


def test_a_frozen_teacher_teaches_the_same_on_other_dtypes():
    teacher = UnimodalTeacher(flat(), **FLAT).fit(BYTES, y)
    students = [MultiTeacherDistiller([("t", FrozenEstimator(teacher))], module=flat(), input_type="image",
                                      **FLAT).fit(X, y) for X in (BYTES, BYTES.astype(np.float32))]
    np.testing.assert_array_equal(*(student.teacher_logits_ for student in students))


# ------------------------------------------------------------------ large numbers, other dtypes

SECONDS = rng.integers(0, 240, size=(400, 1))
LATE = (SECONDS[:, 0] > 120).astype(int)


@pytest.mark.parametrize("dtype", [np.float64, np.int64, np.uint32])
def test_small_changes_of_large_numbers_survive(dtype, tmp_path):
    """As scikit-learn's scaler keeps them, which works in double precision."""
    X = (1_760_000_000 + SECONDS).astype(dtype)
    teacher = UnimodalTeacher(max_epochs=30, lr=0.01, random_state=0, device="cpu").fit(X[:300], LATE[:300])
    scaled = StandardScaler().fit(X[:300])
    reference = UnimodalTeacher(max_epochs=30, lr=0.01, random_state=0, device="cpu").fit(
        scaled.transform(X[:300]), LATE[:300])
    np.testing.assert_allclose(teacher.predict_proba(X[300:]), reference.predict_proba(scaled.transform(X[300:])),
                               atol=1e-3)
    joblib.dump(X, tmp_path / "X")
    mapped = joblib.load(tmp_path / "X", mmap_mode="r")
    np.testing.assert_array_equal(teacher.predict_proba(mapped), teacher.predict_proba(X))


def test_regressors_keep_them_too():
    X = 1e9 + SECONDS
    taught = DistilledRegressor(max_epochs=40, lr=0.01, random_state=0, device="cpu").fit(X, SECONDS[:, 0])
    assert taught.score(X, SECONDS[:, 0]) > 0.9


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_tensors_are_read(dtype):
    X = torch.randn(60, 5, generator=torch.Generator().manual_seed(0)).to(dtype)
    labels = np.arange(60) % 2
    fitted = [UnimodalTeacher(max_epochs=2, random_state=0, device="cpu").fit(data, labels)
              for data in (X, TensorDataset(X), {"a": X}["a"].float().numpy())]
    for other in fitted[1:]:
        np.testing.assert_array_equal(other.predict_proba(X.float()), fitted[0].predict_proba(X))


@pytest.fixture
def double_by_default():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("make", [
    lambda: UnimodalTeacher(max_epochs=1, device="cpu"),
    lambda: UnimodalTeacher(nn.Sequential(nn.Linear(4, 2)), max_epochs=1, device="cpu"),
    lambda: MultiTeacherDistiller([("t", LogisticRegression())], loss="crd", max_epochs=1, device="cpu"),
    lambda: TeacherEnsemble([("a", UnimodalTeacher(max_epochs=1, device="cpu"))])])
def test_another_default_dtype_is_left_alone(double_by_default, make):
    X, labels = rng.normal(size=(50, 4)), np.arange(50) % 2
    assert make().fit(X, labels).predict(X).shape == (50,)
    assert torch.get_default_dtype() == torch.float64


def test_floats_in_the_unit_interval_are_not_read_as_sequences_without_a_word():
    X = BYTES / 255.0
    with pytest.warns(UserWarning, match='If these are greyscale images, pass input_type="image"'):
        assert UnimodalTeacher(**FLAT).fit(X, y).reader_.kind == "sequence"


@pytest.mark.filterwarnings("error::UserWarning")
@pytest.mark.parametrize("params", [{"X": BYTES / 255.0, "input_type": "sequence"},
                                    {"X": BYTES / 255.0, "input_type": "image"}, {"X": BYTES - 100.0}])
def test_what_is_said_is_not_asked_again(params):
    X = params.pop("X")
    UnimodalTeacher(module=None if params.get("input_type") == "image" else "auto", **FLAT, **params) \
        .set_params(module=flat() if params.get("input_type") == "image" else "auto").fit(X, y)


# ------------------------------------------------------------------ the caller's own

class InPlace(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 2)

    def forward(self, x):
        return self.layer(x.relu_().div_(2))


@pytest.mark.parametrize("kind", ["array", "read-only", "map", "dict"])
@pytest.mark.parametrize("loss", ["kd", "crd"])
def test_no_network_writes_to_the_callers_data(kind, loss, tmp_path):
    X = rng.normal(size=(60, 6)).astype(np.float32)
    labels, old = np.arange(60) % 2, X.copy()
    if kind == "map":
        joblib.dump(X, tmp_path / "X")
        X = joblib.load(tmp_path / "X", mmap_mode="r")
    elif kind == "read-only":
        X.flags.writeable = False
    data = {"a": X, "b": X} if kind == "dict" else X
    student = MultiTeacherDistiller([("t", LogisticRegression())], module=InPlace(), loss=loss,
                                    modality="a" if kind == "dict" else None, max_epochs=1, device="cpu")
    student.fit(data, labels).predict(data)
    student.encode(data)
    np.testing.assert_array_equal(X, old)


def test_a_linear_teacher_draws_no_random_numbers():
    before = torch.get_rng_state()
    as_teacher(LogisticRegression().fit(rng.normal(size=(20, 2)), np.arange(20) % 2))
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_while_another_thread_trains_goes_on():
    trains, done = threading.Event(), threading.Event()

    def train():
        with seeded(0):
            trains.set()
            done.wait(60)

    thread = threading.Thread(target=train)
    thread.start()
    trains.wait()
    child = os.fork()
    if child == 0:
        with seeded(1):
            os._exit(7)
    try:
        for _ in range(600):
            finished, status = os.waitpid(child, os.WNOHANG)
            if finished:
                break
            done.wait(0.1)
        else:
            os.kill(child, 9)
            os.waitpid(child, 0)
        assert finished and os.waitstatus_to_exitcode(status) == 7
    finally:
        done.set()
        thread.join()


# ------------------------------------------------------------------ names and orders

TABLE = pd.DataFrame(rng.normal(size=(120, 4)), columns=list("pqrs"))
OTHER = pd.DataFrame(rng.normal(size=(120, 3)), columns=list("tuv"))
QUICK = {"max_epochs": 1, "random_state": 0, "device": "cpu"}


@pytest.mark.parametrize("make", [
    lambda: MultiTeacherDistiller(modality="a", **QUICK),
    lambda: FusionClassifier(modalities=("a", "b"), **QUICK),
    lambda: CCHSelector(student="a", network=UnimodalTeacher(**QUICK), distiller=MultiTeacherDistiller(**QUICK),
                        n_repeats=2, random_state=0)])
def test_columns_in_another_order_are_refused(make):
    X = {"a": TABLE, "b": OTHER}
    fitted = make().fit(X, y)
    swapped = {name: table[table.columns[::-1]] for name, table in X.items()}
    for ask in (fitted.predict, *([lambda X: fitted.score(X, y)] if isinstance(fitted, CCHSelector) else [])):
        ask(X)
        with pytest.raises(ValueError, match="feature names should match"):
            ask(swapped)


@pytest.mark.parametrize("make", [
    lambda: MultiTeacherDistiller(modality="a", **QUICK),
    lambda: TeacherEnsemble([("t", UnimodalTeacher(modality="a", **QUICK))]),
    lambda: CCHSelector(student="a", network=UnimodalTeacher(**QUICK), n_repeats=2)])
def test_rows_in_another_order_are_refused(make):
    shuffled = OTHER.sample(frac=1, random_state=0)
    with pytest.raises(ValueError, match="rows of modality 'b' have the names of those of modality 'a', but in"):
        make().fit({"a": TABLE, "b": shuffled}, y)
    labels = pd.Series(y).sample(frac=1, random_state=0)
    with pytest.raises(ValueError, match="rows of y have the names of those of modality 'a', but in"):
        make().fit({"a": TABLE, "b": OTHER}, labels)


def test_other_indices_are_nobodys_business():
    labels = pd.Series(y, index=np.arange(len(y)) + 1000)
    MultiTeacherDistiller(modality="a", **QUICK).fit({"a": TABLE, "b": OTHER}, labels)


def test_a_device_without_double_precision_gets_single(monkeypatch):
    """As Apple's has none, of which the processor plays the part here."""
    for module in ("cmkdlearn.nn.data", "cmkdlearn._bridge.net"):
        monkeypatch.setattr(f"{module}.SINGLE", ("cpu",))
    X = rng.normal(size=(60, 4))
    teacher = UnimodalTeacher(**FLAT).fit(X, np.arange(60) % 3)
    assert teacher.net_.module_.preprocess.mean.dtype == torch.float32
    monkeypatch.undo()
    plain = UnimodalTeacher(**FLAT).fit(X, np.arange(60) % 3)
    np.testing.assert_allclose(teacher.predict_proba(X), plain.predict_proba(X), atol=1e-5)
