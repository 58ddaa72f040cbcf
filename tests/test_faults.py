"""What goes wrong while a model is trained, and what is left of it then."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from skorch.callbacks import Callback, LRScheduler

from cmkdlearn.students import (
    DistilledRegressor,
    DMAEDistiller,
    FFKDDistiller,
    FusionClassifier,
    LFMEDistiller,
    MultiTeacherDistiller,
    UCMKDStudent,
)
from cmkdlearn.teachers import UnimodalTeacher

digits = load_digits()
X, y = digits.data[:200].astype(np.float32), digits.target[:200]
images = digits.images[:200, None].astype(np.float32) / 16
training = {"max_epochs": 5, "random_state": 0, "device": "cpu", "batch_size": 50}
teacher = UnimodalTeacher(max_epochs=2, random_state=0, device="cpu").fit(X, y)
frozen = FrozenEstimator(teacher)
vit = {"module__embed_dim": 12, "module__depth": 2, "module__num_heads": 2}


class Killed(BaseException):
    """A process that is killed asks nobody."""


class KillAt(Callback):
    """Kill the training in the middle of an epoch."""

    epoch, error = 4, Killed
    armed = False

    def on_batch_end(self, net, training, **kwargs):
        if KillAt.armed and training and len(net.history) == KillAt.epoch:
            raise KillAt.error


@pytest.fixture
def killing():
    KillAt.armed, KillAt.error = True, Killed
    yield KillAt
    KillAt.armed = False


def weights(fitted):
    return torch.cat([p.detach().flatten() for p in fitted.net_.module_.state_dict().values()])


CASES = {
    "plain": (UnimodalTeacher(), X),
    "augmented": (UnimodalTeacher("test_resnet", augmentation="weak"), images),
    "early stopping": (UnimodalTeacher(early_stopping=True, n_iter_no_change=3), X),
    "distilled": (MultiTeacherDistiller([("t", LogisticRegression(max_iter=1000))]), X),
    "a loss with parameters": (MultiTeacherDistiller([("t", frozen)], loss="crd"), X),
    "mixed, and seen so": (MultiTeacherDistiller([("t", frozen)], teacher_view="same", mixup=0.4), X),
    "unpaired": (UCMKDStudent(frozen), X),
    "unpaired, two levels": (UCMKDStudent(frozen, bilevel=True, lambda_fa=1.0, lambda_la=1.0), X),
    "experts": (LFMEDistiller(shots=(19, 20)), X),
    "feedback": (FFKDDistiller(frozen), X),
    "fusion": (FusionClassifier(modalities={"a": slice(32), "b": slice(32, 64)}, teacher_modality="a"), X),
    "regression": (DistilledRegressor(), X),
    "masked": (DMAEDistiller(module="vit_tiny_patch16_224", pretrain_epochs=2, module__img_size=8,
                             module__patch_size=4, **vit), images),
}


@pytest.mark.parametrize("name", CASES)
def test_killed_and_resumed_is_as_never_killed(name, tmp_path, killing):
    estimator, X = CASES[name]
    estimator.set_params(**training)
    killing.armed = False
    undisturbed = estimator.set_params(checkpoint=None, callbacks=[KillAt()]).fit(X, y)
    expected, history = weights(undisturbed), undisturbed.history_[:, "train_loss"]
    killing.armed = True
    with pytest.raises(Killed):
        estimator.set_params(checkpoint=tmp_path).fit(X, y)
    assert list(tmp_path.iterdir())
    killing.armed = False
    resumed = estimator.fit(X, y)
    torch.testing.assert_close(weights(resumed), expected, rtol=0, atol=0)
    assert resumed.history_[:, "train_loss"] == history
    assert list(tmp_path.iterdir()) == []                   # finished: nothing is left
    assert resumed.net_.max_epochs == 5
    np.testing.assert_array_equal(resumed.fit(X, y).predict(X), undisturbed.predict(X))


def test_a_schedule_goes_on_where_it_was(tmp_path, killing):
    def fit(**params):
        return UnimodalTeacher(callbacks=[("rate", LRScheduler("StepLR", step_size=2, gamma=0.1)), ("kill", KillAt())],
                               **training, **params).fit(X, y)
    killing.armed = False
    expected = fit()
    killing.armed = True
    with pytest.raises(Killed):
        fit(checkpoint=tmp_path)
    killing.armed = False
    torch.testing.assert_close(weights(fit(checkpoint=tmp_path)), weights(expected), rtol=0, atol=0)


def test_another_training_has_another_checkpoint(tmp_path, killing):
    estimator = UnimodalTeacher(checkpoint=tmp_path, callbacks=[KillAt()], **training)
    for fit in (lambda: estimator.fit(X, y), lambda: estimator.set_params(lr=0.1).fit(X, y),
                lambda: estimator.fit(X[:150], y[:150]), lambda: estimator.fit(X, (y + 1) % 10)):
        before = len(list(tmp_path.iterdir()))
        with pytest.raises(Killed):
            fit()
        assert len(list(tmp_path.iterdir())) == before + 1


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: b"\x80\x04cos\n",
                                    lambda data: os.urandom(1000)])
def test_a_damaged_checkpoint_is_not_used(tmp_path, killing, damage):
    estimator = UnimodalTeacher(checkpoint=tmp_path, callbacks=[KillAt()], **training)
    with pytest.raises(Killed):
        estimator.fit(X, y)
    file, = tmp_path.iterdir()
    file.write_bytes(damage(file.read_bytes()))
    killing.armed = False
    with pytest.warns(UserWarning, match="cannot be read, so training begins anew"):
        found = estimator.fit(X, y)
    expected = UnimodalTeacher(callbacks=[KillAt()], **training).fit(X, y)
    torch.testing.assert_close(weights(found), weights(expected), rtol=0, atol=0)


def test_a_checkpoint_that_cannot_be_written_costs_no_training(tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.warns(UserWarning, match="cannot be written.*No space left"):
        fitted = UnimodalTeacher(checkpoint=tmp_path, **training).fit(X, y)
    assert len(fitted.history_) == 5 and list(tmp_path.iterdir()) == []


def test_parameters_that_have_no_name_have_no_checkpoint(tmp_path):
    with pytest.raises(ValueError, match="checkpoint=.* needs parameters that can be pickled"):
        UnimodalTeacher(checkpoint=tmp_path, callbacks=[("a", Local())], **training).fit(X, y)


def Local():
    """A callback that holds what can be copied, but not written down."""
    class Lock:
        def __deepcopy__(self, memo):
            return self

        def __reduce__(self):
            raise TypeError("cannot pickle a lock")

    callback = Callback()
    callback.lock = Lock()
    return callback


def test_a_process_that_was_killed_goes_on(tmp_path):
    """By the system's own hand, not by an exception."""
    script = """
import sys, time, torch
from sklearn.datasets import load_digits
from cmkdlearn.teachers import UnimodalTeacher
from skorch.callbacks import Callback
class Slow(Callback):
    def on_epoch_end(self, net, **kwargs):
        time.sleep(float(sys.argv[2]))
X, y = load_digits(return_X_y=True)
fitted = UnimodalTeacher(max_epochs=6, random_state=0, device="cpu", checkpoint=sys.argv[1],
                         callbacks=[Slow()]).fit(X, y)
print(torch.cat([p.flatten() for p in fitted.net_.module_.parameters()]).double().sum().item())
"""
    def start(folder, pause):
        return subprocess.Popen([sys.executable, "-c", script, str(folder), str(pause)], stdout=subprocess.PIPE, text=True)

    undisturbed, process = start(tmp_path / "a", 0), start(tmp_path / "b", 1)
    deadline = time.monotonic() + 120
    while not list((tmp_path / "b").glob("*.ckpt")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert list((tmp_path / "b").glob("*.ckpt"))
    resumed = start(tmp_path / "b", 0)
    assert resumed.communicate()[0] == undisturbed.communicate()[0] != ""


@pytest.mark.slow
def test_two_processes_may_write_one_cache_entry(tmp_path):
    script = """
import sys, numpy as np
from cmkdlearn.embedding import ConSEEmbedder
X = np.random.default_rng(0).integers(256, size=(6, 28, 28), dtype=np.uint8)
print(ConSEEmbedder(memory=sys.argv[1]).transform(X).sum())
"""
    processes = [subprocess.Popen([sys.executable, "-W", "error::UserWarning", "-c", script, str(tmp_path)],
                                  stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate()[0] for process in processes]
    assert said[0] == said[1] != "" and not any(process.returncode for process in processes)
    again = subprocess.run(processes[0].args, stdout=subprocess.PIPE, text=True, check=True)
    assert again.stdout == said[0]


@pytest.mark.parametrize("name", ["plain", "distilled", "unpaired", "fusion", "regression", "early stopping"])
def test_ctrl_c_leaves_a_model_that_works_and_says_so(name, killing):
    estimator, X = CASES[name]
    estimator.set_params(**training, checkpoint=None, callbacks=[KillAt()])
    killing.error = KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        estimator.fit(X, y)
    assert estimator.interrupted_ is True
    assert len(estimator.predict(X)) == len(y)
    killing.armed = False
    assert estimator.fit(X, y).interrupted_ is False


def test_an_interrupted_teacher_can_still_teach(killing):
    killing.error = KeyboardInterrupt
    broken_off = UnimodalTeacher(callbacks=[KillAt()], **training)
    with pytest.raises(KeyboardInterrupt):
        broken_off.fit(X, y)
    killing.armed = False
    assert broken_off.feature_bank_.shape[0] == len(X)
    UCMKDStudent(FrozenEstimator(broken_off), **training).fit(X, y)
    MultiTeacherDistiller([("t", FrozenEstimator(broken_off))], **training).fit(X, y)


def test_ctrl_c_can_be_resumed(tmp_path, killing):
    killing.error = KeyboardInterrupt
    estimator = UnimodalTeacher(checkpoint=tmp_path, callbacks=[KillAt()], **training)
    with pytest.raises(KeyboardInterrupt):
        estimator.fit(X, y)
    killing.armed = False
    expected = UnimodalTeacher(callbacks=[KillAt()], **training).fit(X, y)
    torch.testing.assert_close(weights(estimator.fit(X, y)), weights(expected), rtol=0, atol=0)
