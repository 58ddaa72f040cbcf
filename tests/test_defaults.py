"""What max_epochs and batch_size="auto" come to, and that it is what the methods reckon with."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_iris
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import cross_val_score

from cmkdlearn.io import load, save
from cmkdlearn.students import LFMEDistiller, MultiTeacherDistiller, UCMKDStudent
from cmkdlearn.teachers import UnimodalTeacher

rng = np.random.default_rng(0)
y = np.arange(90) % 3
X = (rng.normal(size=(90, 6)) + y[:, None]).astype(np.float32)
SEEDED = {"random_state": 0, "device": "cpu"}


def weights(fitted):
    return torch.cat([p.detach().flatten() for p in fitted.net_.module_.parameters()])


@pytest.mark.parametrize(("n", "given", "epochs", "size"), [
    (10, {}, 140, 20), (75, {}, 35, 20), (140, {}, 20, 20), (629, {}, 20, 20), (900, {}, 20, 30), (3839, {}, 20, 127),
    (3840, {}, 20, 128), (20_000, {}, 20, 128), (10**6, {}, 20, 128),
    (75, {"batch_size": 64}, 70, 64), (10**6, {"batch_size": -1}, 140, -1),
    (75, {"max_epochs": 3}, 3, 20), (75, {"max_epochs": 0, "batch_size": 1}, 0, 1),
])
def test_what_they_come_to(n, given, epochs, size):
    assert UnimodalTeacher(**given)._budget(n) == (epochs, size)


def test_they_are_what_is_trained():
    teacher = UnimodalTeacher(**SEEDED).fit(X, y)
    assert (teacher.max_epochs_, teacher.batch_size_) == (28, 20)
    assert len(teacher.history_) == 28
    assert [batch["train_batch_size"] for batch in teacher.history_[0, "batches"]] == [20] * 4 + [10]
    assert teacher.get_params()["max_epochs"] == teacher.get_params()["batch_size"] == "auto"


@pytest.mark.parametrize("make", [
    UnimodalTeacher, LFMEDistiller, MultiTeacherDistiller,
    lambda **params: UCMKDStudent(FrozenEstimator(UnimodalTeacher(**SEEDED, max_epochs=2).fit(X, y)), **params)])
def test_methods_reckon_with_the_numbers(make):
    auto, given = (make(**SEEDED, **budget, schedule="cosine").fit(X, y)
                   for budget in ({}, {"max_epochs": 28, "batch_size": 20}))
    assert torch.equal(weights(auto), weights(given))
    np.testing.assert_array_equal(auto.predict_proba(X), given.predict_proba(X))


def test_a_warm_start_reckons_anew():
    teacher = UnimodalTeacher(**SEEDED, warm_start=True).fit(X[:30], y[:30])
    assert len(teacher.history_) == teacher.max_epochs_ == 70
    teacher.fit(X, y)
    assert len(teacher.history_) == 70 + 28 and teacher.net_.max_epochs == 28
    teacher.set_params(batch_size=-1, max_epochs=7).fit(X, y)
    assert len(teacher.history_) == 98 + 7
    assert [batch["train_batch_size"] for batch in teacher.history_[-1, "batches"]] == [90]


def test_they_are_kept(tmp_path):
    save(UnimodalTeacher(**SEEDED).fit(X, y), tmp_path / "file")
    loaded = load(tmp_path / "file")
    assert (loaded.max_epochs, loaded.batch_size, loaded.max_epochs_, loaded.batch_size_) == ("auto", "auto", 28, 20)
    assert len(loaded.set_params(warm_start=True).fit(X, y).history_) == 56


@pytest.mark.parametrize("name", ["max_epochs", "batch_size"])
def test_what_is_refused(name):
    with pytest.raises(TypeError, match=f"{name}='many' is a str; it must be an integer."):
        UnimodalTeacher(**{name: "many"}).fit(X, y)


def test_a_student_by_default_learns_iris():
    """Where 20 epochs of 128 samples reach 0.82; benchmarks/toy_sets.py looks closer."""
    student = MultiTeacherDistiller(**SEEDED)
    assert cross_val_score(student, *load_iris(return_X_y=True), cv=5).mean() > 0.9
