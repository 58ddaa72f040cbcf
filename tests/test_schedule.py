"""The learning rate of every step: in closed form, by groups, begun anew and taken up again."""

import numpy as np
import pytest
import torch
from sklearn.base import clone
from skorch.callbacks import Callback, LRScheduler
from torch import nn

from cmkdlearn.io import load, save
from cmkdlearn.students import UCMKDStudent
from cmkdlearn.teachers import UnimodalTeacher

rng = np.random.default_rng(0)
y = np.arange(90) % 3
X = (rng.normal(size=(90, 6)) + y[:, None]).astype(np.float32)
TRAINING = {"max_epochs": 5, "batch_size": 20, "lr": 0.01, "random_state": 0, "device": "cpu"}
STEPS = 5 * 5  # the last batch of an epoch has ten samples


class Rates(Callback):
    """Note the rates of the optimiser in each step, as it is about to make it."""

    def on_train_begin(self, net, **kwargs):
        self.seen = []

    def on_grad_computed(self, net, **kwargs):
        self.seen.append([group["lr"] for group in net.optimizer_.param_groups])


class Kill(Callback):
    armed = True

    def on_batch_end(self, net, training, **kwargs):
        if Kill.armed and training and len(net.history) == 4:
            raise SystemExit


def fit(**params):
    return UnimodalTeacher(**{**TRAINING, "callbacks": [("rates", Rates())], **params}).fit(X, y)


def rates(fitted):
    return np.array(dict(fitted.net_.callbacks_)["rates"].seen)


def weights(fitted):
    return torch.cat([p.detach().flatten() for p in fitted.net_.module_.parameters()])


def cosine(k, first, steps):
    return 0.01 * (1 + np.cos(np.pi * (k - first) / (steps - first))) / 2


def test_the_rate_of_every_step():
    rising, k = 5, np.arange(STEPS)
    expected = np.where(k < rising, 0.01 * (k + 1) / rising, cosine(k, rising, STEPS))
    fitted = fit(schedule="cosine", warmup=0.2)
    np.testing.assert_allclose(rates(fitted)[:, 0], expected, rtol=1e-12)
    np.testing.assert_allclose(np.ravel(fitted.history_[:, "batches", :, "event_lr"]), expected, rtol=1e-12)
    np.testing.assert_allclose(rates(fit(warmup=0.2))[:, 0], np.minimum(0.01 * (k + 1) / rising, 0.01))
    np.testing.assert_array_equal(rates(fit())[:, 0], 0.01)


def test_all_steps_may_rise():
    expected = 0.01 * (np.arange(STEPS) + 1) / STEPS
    np.testing.assert_allclose(rates(fit(schedule="cosine", warmup=0.99))[:, 0], expected, rtol=1e-12)


def test_without_warmup_it_is_torchs():
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.01)
    schedule, expected = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=STEPS), []
    for _ in range(STEPS):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step(), schedule.step()
    np.testing.assert_allclose(rates(fit(schedule="cosine"))[:, 0], expected, atol=1e-12)


def test_groups_keep_their_ratios():
    seen = rates(fit(schedule="cosine", warmup=0.2, optimizer__param_groups=[("encoder.*", {"lr": 1e-4})]))
    np.testing.assert_allclose(seen[:, 0] / seen[:, 1], 0.01, rtol=1e-12)


def test_steps_are_those_of_what_early_stopping_leaves():
    fitted = fit(schedule="cosine", early_stopping=True, validation_fraction=0.2)  # 72 samples, 4 batches
    np.testing.assert_allclose(rates(fitted)[:, 0], cosine(np.arange(20), 0, 20), atol=1e-12)


def test_every_warm_start_has_its_own():
    teacher = fit(schedule="cosine", warm_start=True)
    teacher.fit(X, y)
    np.testing.assert_allclose(rates(teacher)[:, 0], cosine(np.arange(STEPS), 0, STEPS), atol=1e-12)
    teacher.set_params(max_epochs=2, lr=0.02).fit(X, y)
    np.testing.assert_allclose(rates(teacher)[:, 0], 2 * cosine(np.arange(10), 0, 10), atol=1e-12)
    teacher.set_params(schedule=None).fit(X, y)
    np.testing.assert_array_equal(rates(teacher)[:, 0], 0.02)


def test_killed_and_resumed_is_as_never_killed(tmp_path, monkeypatch):
    params = {"schedule": "cosine", "warmup": 0.2, "callbacks": [("kill", Kill())]}
    with pytest.raises(SystemExit):
        fit(checkpoint=tmp_path, **params)
    monkeypatch.setattr(Kill, "armed", False)
    expected, resumed = fit(**params), fit(checkpoint=tmp_path, **params)
    assert torch.equal(weights(resumed), weights(expected))
    assert [epoch["batches"][-1]["event_lr"] for epoch in resumed.history_] \
        == [epoch["batches"][-1]["event_lr"] for epoch in expected.history_]


def test_a_student_of_its_own_step_has_it_too():
    teacher = UnimodalTeacher(**TRAINING)
    student = UCMKDStudent(teacher, bilevel=True, schedule="cosine", callbacks=[("rates", Rates())], **TRAINING)
    np.testing.assert_allclose(rates(student.fit(X, y))[:, 0], cosine(np.arange(STEPS), 0, STEPS), atol=1e-12)


def test_it_is_a_parameter_like_the_others(tmp_path):
    teacher = clone(UnimodalTeacher(**TRAINING, schedule="cosine", warmup=0.1)).fit(X, y)
    save(teacher, tmp_path / "file")
    loaded = load(tmp_path / "file")
    assert (loaded.schedule, loaded.warmup) == ("cosine", 0.1)
    assert torch.equal(weights(loaded.fit(X, y)), weights(teacher))


@pytest.mark.parametrize(("params", "message"), [
    ({"schedule": "cosin"}, "schedule='cosin' is unknown. Did you mean 'cosine'"),
    ({"warmup": 1}, "warmup=1 is out of range"),
    ({"warmup": -0.1}, "warmup=-0.1 is out of range"),
    ({"schedule": "cosine", "callbacks": [("rate", LRScheduler("StepLR", step_size=1))]},
     "and so does .*LRScheduler.* in callbacks"),
    ({"warmup": 0.1, "callbacks": [LRScheduler("StepLR", step_size=1)]}, "leave out the one or the other"),
])
def test_what_is_refused(params, message):
    with pytest.raises(ValueError, match=message):
        fit(**params)


@pytest.mark.parametrize(("optimizer", "params", "fused"), [
    (torch.optim.AdamW, {}, True), (torch.optim.SGD, {}, True), (torch.optim.RMSprop, {}, None),
    (torch.optim.AdamW, {"optimizer__fused": False}, False),
    (torch.optim.AdamW, {"optimizer__foreach": True}, None)])
def test_a_step_is_one_operation_where_torch_has_it(optimizer, params, fused):
    """Unless its user asks for another; and it leads to the same place but for rounding."""
    fitted, plain = (UnimodalTeacher(optimizer=optimizer, max_epochs=2, random_state=0, **given).fit(X, y)
                     for given in (params, {"optimizer__foreach": False}))
    (group,) = fitted.net_.optimizer_.param_groups
    assert group.get("fused") is fused
    np.testing.assert_allclose(fitted.decision_function(X), plain.decision_function(X), rtol=1e-3, atol=1e-4)


class SparseWords(nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.out = nn.Embedding(50, 4, sparse=True), nn.Linear(4, 3)

    def forward(self, x):
        return self.out(self.words(x.long()).mean(1))


def test_sparse_gradients_have_no_fused_step():
    words = np.random.default_rng(0).integers(50, size=(90, 6)).astype(np.float32)
    fitted = UnimodalTeacher(SparseWords, optimizer=torch.optim.SGD, input_type="table", **TRAINING)
    assert fitted.fit(words, y).net_.optimizer_.param_groups[0]["fused"] is None
