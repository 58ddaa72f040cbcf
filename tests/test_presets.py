"""Presets name parameters that exist, say where each comes from, and can be trained with."""

import inspect
from types import SimpleNamespace

import numpy as np
import pytest
import timm
import torch
from sklearn.datasets import load_digits
from sklearn.frozen import FrozenEstimator
from sklearn.utils._testing import assert_allclose

from benchmarks import presets
from benchmarks.presets import ESTIMATORS, LOADERS, NOT_KNOWN, PRESETS, preset, sources
from cmkdlearn.students import UCMKDStudent
from cmkdlearn.teachers import UnimodalTeacher

NAMES = sorted(PRESETS)
EMBEDDER = SimpleNamespace(transform=None, encode_text=None)  # never called
REQUIRED = {"WordNetRelaxedTeacher": {"embedder": EMBEDDER}, "UCMKDStudent": {"teacher": UnimodalTeacher()},
            "CCHSelector": {"student": "image"}, "FusionClassifier": {"modalities": ["image", "audio"]}}


def test_there_is_a_preset_for_each_data_set_of_the_papers():
    assert set(LOADERS) == set(NAMES) and len(NAMES) == 15


@pytest.mark.parametrize("name", NAMES)
def test_presets_name_parameters_that_exist(name):
    """And values that the estimators take: constructors refuse names, fit refuses values."""
    settings, parts = PRESETS[name], ESTIMATORS[name.partition("/")[0]]
    assert set(settings) <= {"data", "protocol", *parts}
    for part, estimator in parts.items():
        if part in settings:
            made = estimator(**REQUIRED.get(estimator.__name__, {}),
                             **{key: value for key, (value, _) in settings[part].items()})
            assert set(settings[part]) <= set(made.get_params())
            known = estimator(**REQUIRED.get(estimator.__name__, {}), **preset(name)[part])
            if hasattr(known, "_check_params"):
                known._check_params()
            module = preset(name)[part].get("module", "auto")
            assert module == "auto" or timm.is_model(module)
    assert set(settings["data"]) <= set(inspect.signature(LOADERS[name]).parameters)


@pytest.mark.parametrize("name", NAMES)
def test_each_value_has_a_source(name):
    for part, settings in PRESETS[name].items():
        for key, (value, source) in settings.items():
            assert isinstance(source, str) and source, (part, key)
            assert (source == NOT_KNOWN) <= (value is None), (part, key)
    assert sources(name)["protocol"].keys() == PRESETS[name]["protocol"].keys()


def test_what_is_not_known_is_left_to_the_estimator():
    assert PRESETS["cch/brca"]["student"]["temperature"] == (None, NOT_KNOWN)
    assert "temperature" not in preset("cch/brca")["student"]
    assert preset("cch/brca")["selector"]["n_components"] is None  # which is known


def test_an_unknown_preset():
    with pytest.raises(ValueError, match="There is no preset 'ucmkd/ravdes', but ucmkd/ravdess"):
        preset("ucmkd/ravdes")


def test_presets_are_not_changed_by_their_use():
    preset("ucmkd/ravdess")["student"]["callbacks"].clear()
    assert preset("ucmkd/ravdess")["student"]["callbacks"]


def test_a_student_is_trained_by_its_preset():
    X, y = load_digits(return_X_y=True)
    teacher = UnimodalTeacher(max_epochs=5, random_state=0).fit(X[:300, :32], y[:300])
    params = preset("ucmkd/ravdess")["student"] | {"module": "auto", "max_epochs": 12, "lr": 1e-2}
    student = UCMKDStudent(FrozenEstimator(teacher), random_state=0, **params)
    assert student.fit(X[300:600, 32:], y[300:600]).score(X[600:900, 32:], y[600:900]) > 0.5
    rates = student.history_[:, "event_lr"]
    assert_allclose(rates[:3], 1e-2 * np.array([0.01, 0.109, 0.208]))
    assert rates[10] == 1e-2 and rates[11] < 1e-2


def test_the_schedules_are_those_of_the_authors_scripts():
    """As their torch schedulers would have it, or by hand."""
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    rise = torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=0.01, total_iters=10)
    expected = []
    for _ in range(10):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        rise.step()
    fall = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=90, eta_min=0.01)
    for _ in range(90):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        fall.step()
    factors = [presets.warm_up_and_cosine(i, warm_up=10, epochs=100, floor=0.01) for i in range(100)]
    assert_allclose(factors, expected, rtol=1e-4)
    steps = [presets.warm_up_and_steps(i, steps=(25, 40)) for i in (0, 3, 7, 24, 25, 39, 40, 500)]
    assert_allclose(steps, [1 / 8, 1 / 2, 1, 1, 0.1, 0.1, 0.01, 0.01])


def test_the_cosine_distance():
    x, y = torch.tensor([[1.0, 0.0], [3.0, 4.0]]), torch.tensor([[0.0, 2.0], [5.0, 0.0], [-1.0, 0.0]])
    assert_allclose(presets.cosine_distance(x, y), [[1, 0, 2], [0.2, 0.4, 1.6]], atol=1e-6)
