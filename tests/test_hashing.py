"""Values are known by what they hold."""

import copy
import functools
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from torch import nn

from cmkdlearn._hashing import content_hash
from cmkdlearn.selection import CCHSelector
from cmkdlearn.students import MultiTeacherDistiller
from cmkdlearn.teachers import UnimodalTeacher

X, y = load_digits(return_X_y=True)
X, y = X[:150].astype(np.float32), y[:150]


def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(64, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 10))


@given(st.sampled_from([torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.bool]),
       st.lists(st.integers(0, 3), max_size=3))
def test_equal_tensors_are_one(dtype, shape):
    values = (torch.arange(int(np.prod(shape))).reshape(shape) % 3).to(dtype)
    assert content_hash(values) == content_hash(values.clone()) == content_hash(torch.stack([values, values])[0])
    assert content_hash(values) != content_hash(values[None])
    if dtype is not torch.bool:
        assert content_hash(values) != content_hash(values.to(torch.bool))
    if values.numel():
        assert content_hash(values) != content_hash(values ^ True if dtype is torch.bool else values + 1)


def test_equal_networks_are_one_and_others_are_not():
    plain = network()
    assert content_hash(plain) == content_hash(copy.deepcopy(plain)) == content_hash(network())
    other = network()
    with torch.no_grad():
        other[0].weight[0, 0] += 1e-3
    assert content_hash(plain) != content_hash(other)
    estimator = UnimodalTeacher(plain)
    assert content_hash(estimator) == content_hash(clone(estimator))


def test_another_process_gives_the_same_name():
    code = ("import torch; from torch import nn; from cmkdlearn._hashing import content_hash; torch.manual_seed(0);"
            "print(content_hash(nn.Linear(3, 2)))")
    names = {subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
             for _ in range(2)}
    assert len(names) == 1


@pytest.mark.parametrize("module", [network(), "auto"])
def test_candidates_share_a_teacher_whatever_its_network(tmp_path, monkeypatch, module):
    fits = []
    fit = UnimodalTeacher.fit
    monkeypatch.setattr(UnimodalTeacher, "fit", lambda self, X, y: fits.append(1) or fit(self, X, y))
    student = MultiTeacherDistiller([("t", UnimodalTeacher(module, max_epochs=1, device="cpu"))], module=module,
                                    max_epochs=1, random_state=0, device="cpu", memory=str(tmp_path))
    GridSearchCV(student, {"lambda_kd": [0.5, 1, 2]}, cv=2, refit=False).fit(X, y)
    assert len(fits) == 2                               # one a fold


def test_selectors_share_networks_given_as_instances(tmp_path, monkeypatch):
    fits = []
    fit = UnimodalTeacher.fit
    monkeypatch.setattr(UnimodalTeacher, "fit", lambda self, X, y: fits.append(1) or fit(self, X, y))
    views = {"a": X, "b": X[:, ::-1].copy()}
    for criterion in ("cch", "permutation"):
        CCHSelector(student="a", criterion=criterion, n_repeats=2, random_state=0, memory=str(tmp_path),
                    network=UnimodalTeacher(network(), max_epochs=1, device="cpu")).fit(views, y)
    assert len(fits) == 2 * 2 * 2 + 2                   # repeats, folds and modalities; and on all samples


# ------------------------------------------------------------------ code, ties, and what does not count

def defined(source, **names):
    """What a notebook's cell defines as its last name."""
    scope = {"nn": nn, "torch": torch, "__name__": "__main__", **names}
    exec(source, scope)
    return list(scope.values())[-1]


NET = """
def act(x): return torch.{act}(x)
class Net(nn.Module):
    width = {width}
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(64, 10)
    def forward(self, x): return self.layer(act(x / {scale}))
"""


def test_the_code_of_users_classes_counts():
    """Also of the functions it calls and the numbers it looks up, but not where it was defined."""
    plain = {"act": "relu", "width": 3, "scale": 16}
    first, again = (defined(NET.format(**plain)) for _ in range(2))
    assert content_hash(first) == content_hash(again) == content_hash(defined("\n\n" + NET.format(**plain)))
    for change in ({"act": "tanh"}, {"width": 4}, {"scale": 8}):
        assert content_hash(defined(NET.format(**{**plain, **change}))) != content_hash(first)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = first()
        torch.manual_seed(0)
        other = defined(NET.format(**{**plain, "act": "tanh"}))()
    assert content_hash(made) == content_hash(copy.deepcopy(made)) != content_hash(other)


def test_the_code_of_users_functions_counts():
    def scaled(factor):
        return lambda x: x * factor

    assert content_hash(scaled(2)) == content_hash(scaled(2)) != content_hash(scaled(3))
    assert content_hash(defined("def f(x, k=1): return x + k")) != content_hash(defined("def f(x, k=2): return x + k"))
    recursive = defined("def f(n): return n and f(n - 1)")
    assert content_hash(recursive) == content_hash(recursive)


@pytest.mark.parametrize("member", [
    "def f(self): return {0}", "@property\n    def f(self): return {0}", "@staticmethod\n    def f(): return {0}",
    "@classmethod\n    def f(cls): return {0}", "@functools.cached_property\n    def f(self): return {0}",
    "f = property(fset=lambda self, x: {0})", "f = functools.partialmethod(print, {0})",
    "class f:\n        k = {0}"])
def test_whatever_a_class_runs_counts(member):
    def network(number):
        return content_hash(defined(f"class Net(nn.Module):\n    {member.format(number)}", functools=functools))

    assert network(1) == network(1) != network(2)


def test_what_learns_and_what_is_tied_counts():
    free, frozen = network(), network()
    frozen[0].weight.requires_grad_(False)
    assert content_hash(free) != content_hash(frozen)
    apart, tied = (nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)) for _ in range(2))
    with torch.no_grad():
        for layers in (apart, tied):
            for p in layers.parameters():
                p.fill_(0.5)
    tied[1].weight = tied[0].weight
    assert content_hash(apart) != content_hash(tied) == content_hash(copy.deepcopy(tied))


def test_how_long_a_frozen_teacher_was_trained_does_not_count():
    first, second = (UnimodalTeacher(max_epochs=2, random_state=0, device="cpu").fit(X, y) for _ in range(2))
    assert first.history_[-1]["dur"] != second.history_[-1]["dur"]
    assert content_hash(first) == content_hash(second)


def test_without_a_seed_no_teacher_is_shared(tmp_path):
    def taught(seed):
        return MultiTeacherDistiller([("t", UnimodalTeacher(max_epochs=1, device="cpu"))], max_epochs=1,
                                     random_state=seed, device="cpu", memory=tmp_path).fit(X, y).teacher_logits_

    assert np.array_equal(taught(0), taught(0))
    assert not np.array_equal(taught(None), taught(None))
