"""Who waits is told how long; who does not look sees nothing."""

import io
import sys

import numpy as np
import pytest
from skorch.callbacks import Callback

from cmkdlearn._bridge import progress
from cmkdlearn._progress import spelled
from cmkdlearn.students import MultiTeacherDistiller
from cmkdlearn.teachers import UnimodalTeacher

y = np.arange(60) % 2
X = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
TRAINING = {"max_epochs": 4, "batch_size": 20, "random_state": 0, "device": "cpu"}  # 12 steps


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Notebook(io.StringIO):
    """As ipykernel's stderr."""

    __module__ = "ipykernel.iostream"


def watch(monkeypatch, seconds_a_look, stderr, **params):
    """Fit while each look at the clock finds it so much later; there is one a step."""
    clock = iter(np.arange(0, 10**6) * float(seconds_a_look))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(sys, "stderr", stderr)
    UnimodalTeacher(**{**TRAINING, **params}).fit(X, y)
    return stderr.getvalue().splitlines()


@pytest.mark.parametrize("stderr", [Terminal, Notebook])
def test_a_long_fit_tells_how_long_and_then_each_epoch(monkeypatch, capsys, stderr):
    said = watch(monkeypatch, 5, stderr())
    assert said[0] == "UnimodalTeacher: 4 epochs on cpu, about 55 s left. verbose=0 is silent."
    assert "train_loss" in said[1] and len(said) == 1 + 2 + 4  # a head of two lines, a line an epoch
    assert capsys.readouterr().out == ""


def test_ten_seconds_are_long(monkeypatch):
    assert watch(monkeypatch, 0.75, Terminal()) == []
    assert watch(monkeypatch, 0.9, Terminal())[0].endswith("about 9 s left. verbose=0 is silent.")


@pytest.mark.parametrize(("stderr", "params"), [(io.StringIO, {}), (Terminal, {"verbose": 0})])
def test_who_does_not_look_sees_nothing(monkeypatch, capsys, stderr, params):
    assert watch(monkeypatch, 5, stderr(), **params) == []
    assert capsys.readouterr().out == ""


def test_a_fit_without_stderr_is_silent(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)  # as pythonw has it
    UnimodalTeacher(**TRAINING).fit(X, y)


def test_a_line_an_epoch_on_request(monkeypatch, capsys):
    assert watch(monkeypatch, 5, Terminal(), verbose=1) == []
    assert len(capsys.readouterr().out.splitlines()) == 2 + 4


def test_a_sink_of_ones_own_hears_each_epoch():
    heard = []
    UnimodalTeacher(**TRAINING, callbacks__print_log__sink=heard.append).fit(X, y)
    assert len(heard) == 2 + 4


def test_what_goes_on_is_told_what_is_left(monkeypatch, tmp_path):
    """A training that was killed after two epochs of four has six steps to go, not twelve."""
    class Kill(Callback):
        def on_batch_end(self, net, training, **kwargs):
            if len(net.history) == 3 and not tmp_path.joinpath("killed").exists():
                tmp_path.joinpath("killed").touch()
                raise SystemExit

    params = {"checkpoint": tmp_path / "state", "callbacks": [Kill()]}
    with pytest.raises(SystemExit):
        watch(monkeypatch, 0, Terminal(), **params)
    assert watch(monkeypatch, 5, Terminal(), **params)[0] == \
        "UnimodalTeacher: 2 epochs on cpu, about 25 s left. verbose=0 is silent."


@pytest.mark.parametrize(("seconds", "text"), [(59, "about 59 s"), (89.9, "about 90 s"), (90, "about 2 min"),
                                               (3600, "about 60 min"), (5400, "about 2 h"), (86400, "about 24 h")])
def test_durations_are_spelled(seconds, text):
    assert spelled(seconds) == text


def test_what_is_refused():
    with pytest.raises(ValueError, match="verbose='quiet' is unknown. Use 'auto'"):
        MultiTeacherDistiller(verbose="quiet").fit(X, y)
