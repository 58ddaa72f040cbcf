"""Networks without this library say the same."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from cmkdlearn.export import export_student, quantize_student
from cmkdlearn.students import (
    DistilledRegressor,
    FusionClassifier,
    MultiTeacherDistiller,
    UCMKDStudent,
)
from cmkdlearn.teachers import TeacherEnsemble, UnimodalTeacher

fast = {"max_epochs": 1, "random_state": 0, "device": "cpu"}
digits = load_digits()
X, y = digits.data[:80], digits.target[:80]
grey = digits.images[:80] / 16
colour = np.uint8(np.stack([grey, 1 - grey, grey], axis=-1) * 255)  # (n, H, W, C), bytes
timm_net = {"module": "test_efficientnet", **fast}

CASES = {
    "table": (MultiTeacherDistiller([("linear", LogisticRegression(max_iter=1000))], **fast), X, y),
    "words for labels": (UnimodalTeacher(**fast), X, np.where(y < 5, "low", "high")),
    "sequence": (UnimodalTeacher(**fast), grey, y),
    "grey images": (UnimodalTeacher(input_type="image", **timm_net), grey, y),
    "bytes, channels last": (UnimodalTeacher(**timm_net), colour, y),
    "channels first": (UnimodalTeacher(**timm_net), np.moveaxis(colour, -1, 1) / 255, y),
    "in the teacher's space": (UCMKDStudent(UnimodalTeacher(module__hidden=(8,), **fast), **fast), X, y),
    "with feature maps": (MultiTeacherDistiller([("t", UnimodalTeacher(**timm_net))], loss="review",
                                                **timm_net), colour, y),
    "one of two modalities": (UnimodalTeacher(modality="x", **fast), {"x": X, "other": grey}, y),
    "user's network": (UnimodalTeacher(nn.Sequential(nn.Linear(64, 10), nn.Tanh()), **fast), X, y),
    "regressor": (DistilledRegressor(**fast), X, 100.0 + y),
    "two targets": (DistilledRegressor(**fast), X, np.column_stack([y, 100.0 + y])),
}


@pytest.fixture(params=CASES)
def case(request):
    estimator, X, y = CASES[request.param]
    return estimator.fit(X, y), X


def said_without_us(path, x, tmp_path):
    """What the program says in a process that never heard of this library."""
    np.save(tmp_path / "x.npy", x)
    read = "torch.export.load(path).module()(torch.from_numpy(x)).detach().numpy()" if path.suffix == ".pt2" \
        else "onnxruntime.InferenceSession(path).run(None, {'X': x})[0]"
    library = "torch" if path.suffix == ".pt2" else "onnxruntime"
    subprocess.run([sys.executable, "-c", (
        f"import sys, numpy as np, {library}\npath = {str(path)!r}\nx = np.load({str(tmp_path / 'x.npy')!r})\n"
        f"np.save({str(tmp_path / 'said.npy')!r}, {read})\nassert 'cmkdlearn' not in sys.modules")],
        check=True)
    return np.load(tmp_path / "said.npy")


def test_torch_program_says_the_same(case, tmp_path):
    estimator, X = case
    part = {name: value[:20] for name, value in X.items()} if isinstance(X, dict) else X[:20]
    assert export_student(estimator, tmp_path / "student.pt2", part) <= 1e-5
    extra = {"classes.json": ""}
    program = torch.export.load(tmp_path / "student.pt2", extra_files=extra).module()
    samples = X["x"] if isinstance(X, dict) else X
    x = torch.from_numpy(samples if samples.dtype == np.uint8 else np.float32(samples))
    say = estimator.predict if isinstance(estimator, DistilledRegressor) else estimator.predict_proba
    expected = say(X)
    scale = max(1, np.abs(expected).max())
    for n in (1, 3, 80):
        np.testing.assert_allclose(program(x[:n]).detach().numpy() / scale, expected[:n] / scale, atol=1e-5)
    classes = json.loads(extra["classes.json"])
    assert classes == getattr(estimator, "classes_", np.empty(0)).tolist()
    assert [path.name for path in tmp_path.iterdir()] == ["student.pt2"]


@pytest.mark.parametrize("name", ["table", "bytes, channels last", "regressor"])
def test_onnx_says_the_same(name, tmp_path):
    pytest.importorskip("onnxscript")
    onnxruntime = pytest.importorskip("onnxruntime")
    estimator, X, y = CASES[name]
    estimator.fit(X, y)
    path = tmp_path / "student.onnx"
    assert export_student(estimator, path, X[:20]) <= 1e-5
    session = onnxruntime.InferenceSession(path)
    x = X if X.dtype == np.uint8 else np.float32(X)
    expected = (estimator.predict if name == "regressor" else estimator.predict_proba)(X)
    scale = max(1, np.abs(expected).max())
    for n in (1, 80):
        np.testing.assert_allclose(session.run(None, {"X": x[:n]})[0] / scale, expected[:n] / scale, atol=1e-5)
    if name != "regressor":
        assert json.loads(session.get_modelmeta().custom_metadata_map["classes"]) == list(range(10))
    assert [path.name for path in tmp_path.iterdir()] == ["student.onnx"]


@pytest.mark.parametrize("name", ["table", "bytes, channels last", "regressor"])
def test_eight_bits_and_what_they_cost(name, tmp_path):
    pytest.importorskip("onnxscript")
    onnxruntime = pytest.importorskip("onnxruntime")
    estimator, X, y = CASES[name]
    estimator.fit(X, y)
    cost = quantize_student(estimator, tmp_path / "small.onnx", X, y)
    said = onnxruntime.InferenceSession(tmp_path / "small.onnx").run(
        None, {"X": X if X.dtype == np.uint8 else np.float32(X)})[0]
    expected = (estimator.predict if name == "regressor" else estimator.predict_proba)(X)
    assert cost.difference == pytest.approx(np.abs(said - expected).max(), rel=1e-3)
    assert 1e-7 < cost.difference / np.abs(expected).max() < 0.1
    assert cost.score_float == pytest.approx(estimator.score(X, y), rel=1e-5)
    if name != "regressor":
        assert cost.score == np.mean(said.argmax(axis=1) == y)
    assert cost.n_bytes == (tmp_path / "small.onnx").stat().st_size < cost.n_bytes_float
    assert [path.name for path in tmp_path.iterdir()] == ["small.onnx"]


def test_eight_bits_are_onnx(tmp_path):
    with pytest.raises(ValueError, match="must end in .onnx"):
        quantize_student(UnimodalTeacher(**fast).fit(X, y), tmp_path / "student.pt2", X, y)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".pt2", ".onnx"])
def test_programs_need_nothing_of_ours(suffix, tmp_path):
    if suffix == ".onnx":
        pytest.importorskip("onnxscript")
        pytest.importorskip("onnxruntime")
    student = UnimodalTeacher(**fast).fit(X, y)
    path = tmp_path / f"student{suffix}"
    export_student(student, path, X[:4])
    np.testing.assert_allclose(said_without_us(path, np.float32(X), tmp_path), student.predict_proba(X), atol=1e-5)


class Undecided(nn.Module):
    """Does what no tracer can follow."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(64, 10)

    def forward(self, x):
        return self.linear(x) if x.sum().item() > 0 else self.linear(-x)


def test_what_cannot_be_exported_is_named(tmp_path):
    teacher = UnimodalTeacher(**fast)
    with pytest.raises(NotFittedError):
        export_student(teacher, tmp_path / "a.pt2", X)
    teacher.fit(X, y)
    with pytest.raises(ValueError, match=r"path='.*a.pickle' must end in .pt2"):
        export_student(teacher, tmp_path / "a.pickle", X)
    with pytest.raises(ValueError, match="X holds 1 sample"):
        export_student(teacher, tmp_path / "a.pt2", X[:1])
    for other in (TeacherEnsemble([("a", teacher)]), FusionClassifier(modalities=["a", "b"]), LogisticRegression()):
        with pytest.raises(TypeError, match=f"{type(other).__name__} is no network that reads one modality"):
            export_student(other, tmp_path / "a.pt2", X)
    with pytest.raises(TypeError, match=r"Pipeline is no network.*pipeline\[-1\].*pipeline\[:-1\].transform"):
        export_student(make_pipeline(StandardScaler(), teacher), tmp_path / "a.pt2", X)
    search = GridSearchCV(UnimodalTeacher(**fast), {"lr": [0.01]}, cv=2).fit(X, y)
    with pytest.raises(TypeError, match="GridSearchCV is no network.*best_estimator_"):
        export_student(search, tmp_path / "a.pt2", X)
    teacher = UnimodalTeacher(Undecided, **fast).fit(X, y)
    with pytest.raises(ValueError, match="Undecided.*cannot be traced"):
        export_student(teacher, tmp_path / "a.pt2", X[:4])
    assert list(tmp_path.iterdir()) == []


def test_a_program_that_says_something_else_is_not_kept(tmp_path, monkeypatch):
    teacher = UnimodalTeacher(**fast).fit(X, y)
    right = teacher.predict_proba(X[:4])
    monkeypatch.setattr(UnimodalTeacher, "predict_proba", lambda self, X: right + 2e-5)
    with pytest.raises(ValueError, match="differs from the estimator's by 2e-05"):
        export_student(teacher, tmp_path / "a.pt2", X[:4])
    assert list(tmp_path.iterdir()) == []


def test_onnx_says_which_package_is_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ImportError, match=r'pip install "\.\[onnx\]"'):
        export_student(UnimodalTeacher(**fast).fit(X, y), tmp_path / "a.onnx", X[:4])
