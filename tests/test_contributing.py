"""The files that CONTRIBUTING.md shows do what it says."""

import doctest
import re
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

import cmkdlearn.datasets
import cmkdlearn.losses
import cmkdlearn.teachers
from cmkdlearn.losses import LOSSES, Output, get_loss
from cmkdlearn.students import MultiTeacherDistiller

GUIDE = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text()
STORMS = "wind,rain,radar,cloud,storm\n9,1,7,8,1\n1,0,1,2,0\n8,2,9,9,1\n2,1,0,3,0\n"
X, y = (part[:200] for part in load_digits(return_X_y=True))


@pytest.fixture
def add(monkeypatch):
    """Follow a recipe: the file, and the line in the package's ``__init__``."""
    def follow(package, file, name):
        code = re.search(rf"`cmkdlearn/{package}/{file}.py`:\n\n```python\n(.*?)```", GUIDE, re.DOTALL)[1]
        module = types.ModuleType(f"cmkdlearn.{package}.{file}")
        monkeypatch.setitem(sys.modules, module.__name__, module)
        exec(compile(code, f"{file}.py", "exec"), vars(module))
        monkeypatch.setattr(getattr(cmkdlearn, package), name, vars(module)[name], raising=False)
        flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
        found = doctest.testmod(module, optionflags=flags)
        assert found.attempted and not found.failed
        return vars(module)[name]

    return follow


def test_a_loss(add, monkeypatch):
    monkeypatch.setitem(LOSSES, "logits", None)  # taken out again afterwards
    add("losses", "_logits", "Logits")
    S, T = torch.randn(2, 5, 3)
    assert get_loss("logits")(Output(S), Output(T)).item() == pytest.approx(((S - T) ** 2).mean().item())
    student = MultiTeacherDistiller([("linear", LogisticRegression(max_iter=500))], loss="logits",
                                    max_epochs=2, random_state=0)
    assert np.isfinite(student.fit(X, y).history_[-1, "train_kd_loss"])


def test_a_teacher(add):
    teacher = add("teachers", "_corrected", "CorrectedTeacher")(max_epochs=1, random_state=0).fit(X, y)
    plain, shown = teacher.decision_function(X), teacher.teaching_logits(X, np.where(y < 5, y, -1))
    assert (plain.argmax(1) != y).any()
    np.testing.assert_array_equal(shown[y >= 5], plain[y >= 5])  # nothing is known of these
    np.testing.assert_array_equal(shown[y < 5].argmax(1), y[y < 5])
    np.testing.assert_array_equal(np.sort(shown), np.sort(plain))
    student = MultiTeacherDistiller([("corrected", teacher)], max_epochs=1, random_state=0)
    assert student.fit(X, y).predict(X).shape == (200,)


def test_a_data_set(add, tmp_path):
    fetch = add("datasets", "_storms", "fetch_storms")
    (tmp_path / "storms.csv").write_text(STORMS)
    X, y = fetch(folder=tmp_path, return_X_y=True)
    assert X["ground"].tolist() == [[9, 1], [1, 0], [8, 2], [2, 1]] and y.tolist() == [1, 0, 1, 0]
    assert X["sky"].shape == (4, 2) and "licence" in fetch(folder=tmp_path).DESCR
    (tmp_path / "storms.csv").write_text(STORMS.replace("9", "8"))
    with pytest.raises(OSError, match="storms.csv is not the published file"):
        fetch(folder=tmp_path)
