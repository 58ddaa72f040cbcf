"""More processes, more machines, less memory, lower precision."""

import os
import pickle
import re
import signal
import subprocess
import sys
from types import SimpleNamespace

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import Callback
from torch import nn
from torch.utils.data import Dataset

from cmkdlearn._bridge.processes import Processes
from cmkdlearn.losses import LOSSES, Output, get_loss
from cmkdlearn.nn.data import BatchLoader, TensorData
from cmkdlearn.selection import CCHSelector
from cmkdlearn.students import DistilledRegressor, MultiTeacherDistiller, UCMKDStudent
from cmkdlearn.teachers import UnimodalTeacher

RNG = np.random.default_rng(0)
X = RNG.normal(size=(133, 6)).astype(np.float32)  # the last batch is no smaller than two for each
y = (X[:, 0] > 0) + (X[:, 1] > 0).astype(int)
TRAINING = {"max_epochs": 3, "batch_size": 32, "random_state": 0, "device": "auto"}


def losses(estimator):
    return {name: [row[name] for row in estimator.history_]
            for name in estimator.history_[0] if name.endswith(("_loss", "_acc"))}


# -------------------------------------------------------------------- several processes

class Accelerator:
    """One of two, to be asked what a fit asks before it begins."""

    mixed_precision = "no"
    gradient_accumulation_steps = 1
    distributed_type = SimpleNamespace(name="MULTI_CPU")
    num_processes, process_index, is_main_process = 2, 0, True
    device = torch.device("cpu")

    def __init__(self, **params):
        vars(self).update(params)


class Together(Processes):
    """Two processes in one: what the other one would send is known."""

    def __init__(self, index, sent):
        super().__init__(Accelerator(process_index=index))
        self.sent = sent

    def total(self, values):
        self.sent.append(values)
        return sum(self.sent)


@pytest.mark.parametrize("n", [17, 64, 65, 66, 67, 68])
def test_processes_share_every_batch_out(n):
    data, sent = TensorData(X=torch.arange(n)), []
    loaders = []
    for index in (0, 1):
        loaders.append(BatchLoader(data, batch_size=16, shuffle=True))
        Together(index, sent).share_out(loaders[-1])
    for ours, theirs in zip(*loaders, strict=True):
        assert 2 <= len(theirs.X) <= len(ours.X) <= len(theirs.X) + 1
    sent.clear()
    seen = [batch.X for loader in loaders for batch in loader]
    assert sorted(torch.cat(seen).tolist()) == list(range(n))


def test_gradients_are_those_of_the_whole_batch():
    torch.manual_seed(0)
    whole = nn.Linear(3, 2)
    unused = nn.Parameter(torch.zeros(4))
    x, t = torch.randn(7, 3), torch.randn(7, 2)
    nn.functional.mse_loss(whole(x), t).backward()
    sent, parts = [], []
    for index, rows in enumerate(torch.arange(7).split([4, 3])):
        part = nn.Linear(3, 2)
        part.load_state_dict(whole.state_dict())
        nn.functional.mse_loss(part(x[rows]), t[rows]).backward()
        Together(index, sent).average_gradients([*part.parameters(), unused], len(rows))
        parts.append(part)
    assert unused.grad is None  # which weight decay would move, were it zero
    torch.testing.assert_close(parts[1].weight.grad, whole.weight.grad)
    torch.testing.assert_close(parts[1].bias.grad, whole.bias.grad)


CASES = {
    "cross-entropy": lambda **kw: MultiTeacherDistiller(**kw),
    "taught": lambda **kw: MultiTeacherDistiller([("t", UnimodalTeacher(**kw))], **kw),
    "fitnet": lambda **kw: MultiTeacherDistiller(
        [("t", UnimodalTeacher(max_epochs=1, device="cpu"))], loss="fitnet", **kw),
    "early stopping": lambda **kw: MultiTeacherDistiller(
        early_stopping=True, n_iter_no_change=1, **{**kw, "lr": 0.3, "max_epochs": 9}),
    "regressor": lambda **kw: DistilledRegressor(**kw),
}
ONE_OF_TWO = """
import pickle, sys
sys.path.insert(0, sys.argv[2])
from accelerate import Accelerator
from test_scale import CASES, TRAINING, X, losses, y

found = {}
for name, make in CASES.items():
    estimator = make(accelerator=Accelerator, accelerator__cpu=True, **TRAINING).fit(X, y)
    pickle.dumps(estimator)
    found[name] = losses(estimator), estimator.predict(X), [
        p.detach().numpy() for p in estimator.net_.module_.parameters()]
try:
    make(accelerator=Accelerator, **{**TRAINING, "batch_size": 3}).fit(X, y)
except ValueError as error:
    found["error"] = str(error)
with open(sys.argv[1], "wb") as file:
    pickle.dump(found, file)
"""


@pytest.mark.slow
def test_two_processes_train_as_one(tmp_path):
    pytest.importorskip("accelerate")
    processes = []
    for rank in ("0", "1"):  # as accelerate launch and torchrun set them
        env = {**os.environ, "RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": "2",
               "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port(), "OMP_NUM_THREADS": "1"}
        processes.append(subprocess.Popen(
            [sys.executable, "-c", ONE_OF_TWO, tmp_path / rank, os.path.dirname(__file__)], env=env))
    assert [process.wait(timeout=300) for process in processes] == [0, 0]
    first, second = (pickle.loads((tmp_path / rank).read_bytes()) for rank in ("0", "1"))
    assert "A batch of 3" in first.pop("error") and "A batch of 3" in second.pop("error")
    for name, (curve, predicted, weights) in first.items():
        alone = CASES[name](**TRAINING).fit(X, y)  # without Accelerate at all
        for term, values in losses(alone).items():
            # the divergence is a small difference of terms of the order of 1
            assert curve[term] == pytest.approx(values, rel=2e-5, abs=1e-6), (name, term)
        np.testing.assert_allclose(predicted, alone.predict(X), rtol=1e-4)
        assert second[name][0] == curve
        assert all(map(np.array_equal, weights, second[name][2]))


@pytest.fixture
def alone():
    """Accelerate keeps its first settings for the process's life."""
    pytest.importorskip("accelerate")
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


def test_one_process_by_accelerate_is_as_without(alone):
    from accelerate import Accelerator

    ours = MultiTeacherDistiller(accelerator=Accelerator, accelerator__cpu=True, **TRAINING)
    same = clone(ours).fit(X, y)
    plain = MultiTeacherDistiller(**{**TRAINING, "device": "cpu"}).fit(X, y)
    assert np.array_equal(same.predict_proba(X), plain.predict_proba(X))
    again = pickle.loads(pickle.dumps(same))
    assert np.array_equal(again.fit(X, y).predict_proba(X), plain.predict_proba(X))


def test_bfloat16_is_used_in_training_and_only_there(alone):
    from accelerate import Accelerator

    seen = []

    class Watching(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.head = nn.Linear(6, 16), nn.Linear(16, 3)

        def forward(self, x):
            hidden = self.inner(x)
            seen.append((self.training, hidden.dtype))
            return self.head(hidden.relu())

    def loss(half):
        params = {"accelerator": Accelerator, "accelerator__cpu": True,
                  "accelerator__mixed_precision": "bf16"} if half else {}
        torch.manual_seed(0)
        student = MultiTeacherDistiller(module=Watching(), **params, **TRAINING).fit(X, y)
        logits = student.decision_function(X)
        assert logits.dtype == np.float32
        return losses(student)["train_loss"]

    full = loss(False)
    seen.clear()
    half = loss(True)
    assert {dtype for training, dtype in seen if training} == {torch.bfloat16}
    assert {dtype for training, dtype in seen if not training} == {torch.float32}
    assert half == pytest.approx(full, rel=0.01) and half != full


@pytest.mark.parametrize("params, error, message", [
    ({"accelerator": Accelerator()}, TypeError, "must be the class accelerate.Accelerator"),
    ({"accelerator__mixed_precision": "fp16"}, ValueError, 'train in "bf16"'),
    ({"accelerator__gradient_accumulation_steps": 2}, ValueError, "leave it at 1"),
    ({"accelerator__distributed_type": SimpleNamespace(name="FSDP")}, ValueError, "FSDP"),
    ({"accelerator__num_processes": 1}, ValueError, "2 processes were started, but Accelerate knows of 1"),
    ({"random_state": None}, ValueError, "random_state=None"),
    ({"random_state": np.random.RandomState(0)}, ValueError, "use an integer"),
    ({"device": "cpu"}, ValueError, 'use device="auto"'),
    ({"iterator_train": torch.utils.data.DataLoader}, ValueError, "iterator_train=DataLoader"),
])
def test_what_accelerate_cannot_do_here_is_refused(params, error, message, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    params = {"accelerator": Accelerator, **TRAINING, **params}
    with pytest.raises(error, match=re.escape(message)):
        MultiTeacherDistiller(**params).fit(X, y)


# -------------------------------------------------------------------- a batch too large

class Small(nn.Module):
    """Has memory for a few samples."""

    def __init__(self, most=None, normalised=False):
        super().__init__()
        self.most, self.sizes = most, []
        self.body = nn.Sequential(nn.Linear(6, 8), nn.ReLU(),
                                  nn.BatchNorm1d(8) if normalised else nn.Identity())
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        if self.most and len(x) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        self.sizes.append(len(x))
        return self.head(self.body(x))


def fitted(most, **params):
    torch.manual_seed(0)
    return MultiTeacherDistiller(module=Small(most), **{**TRAINING, **params})


@pytest.mark.parametrize("most", [16, 9, 2])
def test_a_batch_too_large_is_halved_and_gives_the_same_step(most):
    labels = np.where(np.arange(len(y)) % 3, y, -1)  # parts of several numbers of labelled ones
    params = {"teachers": [("t", UnimodalTeacher(max_epochs=1, device="cpu"))], "early_stopping": True}
    with pytest.warns(UserWarning, match="too small for a batch of 32: it is read in parts of") as said:
        halved = fitted(most, **params).fit(X, labels)
    assert len(said) == 1
    whole = fitted(None, **params).fit(X, labels)
    for name, values in losses(whole).items():
        assert losses(halved)[name] == pytest.approx(values, rel=1e-5, abs=1e-6), name
    np.testing.assert_allclose(halved.predict_proba(X), whole.predict_proba(X), atol=1e-5)
    assert max(halved.net_.module_.encoder.sizes) <= most


def test_an_error_in_mid_step_leaves_no_gradient_behind():
    class Late(Small):
        def forward(self, x):
            logits = super().forward(x)
            if self.training and len(x) > 8:
                logits.register_hook(self.fail)  # when some gradients are there already
            return logits * 1

        @staticmethod
        def fail(gradient):
            raise torch.OutOfMemoryError("CUDA out of memory.")

    torch.manual_seed(0)
    with pytest.warns(UserWarning, match="parts of 8"):
        halved = MultiTeacherDistiller(module=Late(), **TRAINING).fit(X, y)
    assert losses(halved)["train_loss"] == pytest.approx(losses(fitted(None).fit(X, y))["train_loss"])


def test_batch_statistics_are_those_of_the_parts_and_this_is_said():
    with pytest.warns(UserWarning, match="Batch normalisation has the statistics of the parts"):
        MultiTeacherDistiller(module=Small(16, normalised=True), **TRAINING).fit(X, y)


@pytest.mark.parametrize("make", [
    lambda **kw: MultiTeacherDistiller([("t", TEACHER)], loss="rkd", **kw),
    lambda **kw: MultiTeacherDistiller([("t", TEACHER)], loss=get_loss("kd") + get_loss("dist"), **kw),
    lambda **kw: UCMKDStudent(TEACHER, **kw),
], ids=["rkd", "a sum with dist", "ucmkd"])
def test_a_loss_that_compares_samples_is_not_computed_by_halves(make):
    with pytest.raises(torch.OutOfMemoryError, match="halves do not add up to it. Lower batch_size=32"):
        make(module=Small(16), **TRAINING).fit(X, y)


TEACHER = UnimodalTeacher(max_epochs=1, device="cpu")


def test_not_even_one_sample():
    class Full(Small):
        def forward(self, x):
            if self.training:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return super().forward(x)

    with pytest.raises(torch.OutOfMemoryError, match="Not even a single sample fits"):
        MultiTeacherDistiller(module=Full(), **TRAINING).fit(X, y)


@pytest.mark.parametrize("name", [name for name in LOSSES if LOSSES[name].min_samples == 1])
def test_losses_that_add_up_are_means_over_the_samples(name):
    torch.manual_seed(0)
    S, T = (Output(torch.randn(6, 4), torch.randn(6, 5), (torch.randn(6, 3, 4, 4),)) for _ in "ST")
    loss, labels = get_loss(name), torch.tensor([0, 1, 2, 3, 0, 1])
    if loss.must_build:
        loss.build(S, T)
    parts = [loss(S.map(lambda t, r=r: t[r]), T.map(lambda t, r=r: t[r]), labels[r]) * len(labels[r])
             for r in (slice(0, 2), slice(2, 6))]
    torch.testing.assert_close(sum(parts) / 6, loss(S, T, labels), rtol=1e-4, atol=1e-6)


# -------------------------------------------------------------------- faster

@pytest.mark.parametrize("make", [MultiTeacherDistiller, lambda **kw: UCMKDStudent(
    UnimodalTeacher(max_epochs=1, device="cpu", random_state=0), **kw)], ids=["plain", "bi-level"])
def test_a_compiled_network_learns_the_same_and_stays_what_it_is(make):
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    plain = make(**TRAINING).fit(X, y)
    compiled = make(compile=True, compile__backend=backend, **TRAINING).fit(X, y)
    assert graphs
    np.testing.assert_array_equal(compiled.predict_proba(X), plain.predict_proba(X))
    assert list(compiled.net_.module_.state_dict()) == list(plain.net_.module_.state_dict())
    compiled.set_params(compile__backend="eager")  # a function in here has no pickle
    compiled.net_.set_params(compile__backend="eager")
    again = pickle.loads(pickle.dumps(compiled))
    np.testing.assert_array_equal(again.predict_proba(X), plain.predict_proba(X))


@pytest.mark.parametrize("scope", ["all", "head"])
def test_bi_level_steps_of_a_network_compiled_with_its_backward_pass(scope):
    teacher = FrozenEstimator(UnimodalTeacher(max_epochs=1, device="cpu", random_state=0).fit(X, y))
    plain = UCMKDStudent(teacher, la_scope=scope, **TRAINING)
    compiled = clone(plain).set_params(compile=True, compile__backend="aot_eager")
    np.testing.assert_allclose(compiled.fit(X, y).predict_proba(X), plain.fit(X, y).predict_proba(X), atol=1e-5)


def test_what_cannot_be_compiled_runs_as_it_is_and_says_so():
    def backend(graph, inputs):
        raise OSError("there is no compiler")

    with pytest.warns(UserWarning, match="(?s)cannot be compiled here.*no compiler") as said:
        student = MultiTeacherDistiller(compile=True, compile__backend=backend, **TRAINING).fit(X, y)
        compiled = student.predict_proba(X)
    assert len(said) == 1
    np.testing.assert_array_equal(compiled, MultiTeacherDistiller(**TRAINING).fit(X, y).predict_proba(X))


def test_fused_optimisers_are_routed():
    fused = MultiTeacherDistiller(optimizer__fused=True, **TRAINING).fit(X, y)
    assert fused.net_.optimizer_.defaults["fused"]
    plain = MultiTeacherDistiller(**TRAINING).fit(X, y)
    np.testing.assert_allclose(fused.predict_proba(X), plain.predict_proba(X), atol=1e-5)


def test_a_network_in_channels_last_stays_so():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                            nn.Linear(4, 3))
    images = RNG.random((len(y), 3, 6, 6), dtype=np.float32)
    outputs = []
    for layout in (torch.contiguous_format, torch.channels_last):
        student = MultiTeacherDistiller(module=network.to(memory_format=layout), **TRAINING)
        student.fit(images, y)
        weight = student.net_.module_.encoder[0].weight
        assert weight.is_contiguous(memory_format=layout)
        outputs.append(student.predict_proba(images))
    np.testing.assert_allclose(*outputs, atol=1e-5)


# -------------------------------------------------------------------- sweeps on a cluster

def sweep(callbacks=()):
    """A grid of students, each with out-of-fold teachers."""
    teacher = UnimodalTeacher(max_epochs=1)
    student = MultiTeacherDistiller([("t", teacher)], cv=2, **{**TRAINING, "max_epochs": 2},
                                    callbacks=list(callbacks))
    return GridSearchCV(student, {"lambda_kd": [0.0, 1.0], "t__lr": [1e-3, 1e-2]}, cv=2)


def selector():
    return CCHSelector(student="a", mi_estimator="ksg", n_repeats=2, random_state=0,
                       network=UnimodalTeacher(max_epochs=1))


TWO = {"a": X[:, :3], "b": X[:, 3:]}


def same_as_serial(backend, callbacks=()):
    with joblib.parallel_config(backend=backend, n_jobs=2):
        there = sweep(callbacks).fit(X, y)
        gap = selector().fit(TWO, y).mi_gap_
        teaching = sweep().estimator.fit(X, y).teacher_logits_
    here = sweep().fit(X, y)
    np.testing.assert_array_equal(there.cv_results_["mean_test_score"],
                                  here.cv_results_["mean_test_score"])
    np.testing.assert_array_equal(there.predict_proba(X), here.predict_proba(X))
    assert gap == selector().fit(TWO, y).mi_gap_
    np.testing.assert_array_equal(teaching, sweep().estimator.fit(X, y).teacher_logits_)


def test_threads_train_one_at_a_time():
    same_as_serial("threading")


@pytest.mark.slow
def test_a_worker_of_a_cluster_that_is_killed_changes_nothing(tmp_path):
    distributed = pytest.importorskip("distributed")
    killed = tmp_path / "killed"

    class KillOnce(Callback):  # sent by value, as what is local is
        def on_epoch_end(self, net, **kwargs):
            if not killed.exists():
                killed.touch()
                os.kill(os.getpid(), signal.SIGKILL)

    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) \
            as cluster, distributed.Client(cluster) as client:
        workers = set(client.scheduler_info()["workers"])
        same_as_serial("dask", [KillOnce()])
        assert killed.exists() and workers - set(client.scheduler_info()["workers"])


@pytest.mark.slow
def test_ray_gives_what_one_process_gives():
    ray = pytest.importorskip("ray")
    from ray.util.joblib import register_ray

    ray.init(num_cpus=2, include_dashboard=False)
    try:
        register_ray()
        same_as_serial("ray")
    finally:
        ray.shutdown()


# -------------------------------------------------------------------- what others left, or lost

class Counting(LogisticRegression):
    fits = 0

    def fit(self, X, y):
        Counting.fits += 1
        return super().fit(X, y)


def test_what_another_version_kept_is_not_read(tmp_path, monkeypatch):
    def fits():
        before = Counting.fits
        MultiTeacherDistiller([("t", Counting())], memory=str(tmp_path), **TRAINING).fit(X, y)
        return Counting.fits - before

    assert [fits(), fits()] == [1, 0]
    monkeypatch.setattr("cmkdlearn._hashing.__version__", "9.9")
    assert [fits(), fits()] == [1, 0]


class Deadly(Dataset):
    def __len__(self):
        return len(X)

    def __getitem__(self, i):
        if i == 40 and torch.utils.data.get_worker_info():
            os.kill(os.getpid(), signal.SIGKILL)
        return X[i]


def test_a_lost_worker_is_an_error_that_names_it():
    with pytest.raises(RuntimeError, match=r"DataLoader worker \(pid.*exited unexpectedly"):
        MultiTeacherDistiller(iterator_train__num_workers=1, **TRAINING).fit(Deadly(), y)


def free_port():
    import socket

    if not hasattr(free_port, "number"):
        with socket.socket() as connection:
            connection.bind(("127.0.0.1", 0))
            free_port.number = str(connection.getsockname()[1])
    return free_port.number
