"""Presets name parameters that exist, say where each comes from, and can be trained with."""

import inspect
from types import SimpleNamespace

import numpy as np
import pytest
import timm
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.frozen import FrozenEstimator
from sklearn.utils._testing import assert_allclose

from cmkdlearn import datasets, io
from cmkdlearn.datasets import make_gaussian_modalities
from cmkdlearn.nn.modules import EmbeddingResNet
from cmkdlearn.presets import _values, names, preset, provenance
from cmkdlearn.selection import CCHSelector
from cmkdlearn.students import (
    DistilledRegressor,
    FusionClassifier,
    MultiTeacherDistiller,
    UCMKDStudent,
)
from cmkdlearn.teachers import UnimodalTeacher, WordNetRelaxedTeacher

BOTH = [(name, source) for source in ("paper", "script") for name in names(source)]
EMBEDDER = SimpleNamespace(transform=None, encode_text=None)  # never called
REQUIRED = {UCMKDStudent: {"teacher": UnimodalTeacher()}, WordNetRelaxedTeacher: {"embedder": EMBEDDER},
            CCHSelector: {"student": "image"}, FusionClassifier: {"modalities": ["image", "audio"]}}
LOADERS = {
    "ucmkd/ravdess": datasets.load_ravdess, "ucmkd/crema-d": datasets.load_cremad,
    "ucmkd/ave": datasets.load_ave, "ucmkd/vggsound": datasets.load_ave,
    "wordnet/imagenet": datasets.load_imagenet, "wordnet/imagenet-lt": datasets.load_imagenet_lt,
    "wordnet/cifar-100": datasets.fetch_cifar100, "wordnet/cifar-100-imb100": datasets.fetch_cifar100,
    "wordnet/scene": datasets.load_scene, "wordnet/utkface": datasets.load_utkface,
    "cch/synthetic": make_gaussian_modalities, "cch/mnist-m": datasets.make_mnistm,
    "cch/mosei": datasets.load_mosei, "cch/brca": datasets.load_tcga, "cch/kipan": datasets.load_tcga,
    "cch/lihc": datasets.load_tcga,
}


def estimator_of(name, part):
    """Whose parameters they are, as the docstring of preset has it."""
    paper = name.partition("/")[0]
    return {"teacher": UnimodalTeacher, "strong_teacher": UnimodalTeacher, "weak_teacher": UnimodalTeacher,
            "network": DistilledRegressor if name == "cch/synthetic" else UnimodalTeacher,
            "wordnet_teacher": WordNetRelaxedTeacher, "feature_kd": UCMKDStudent,
            "vanilla_kd": MultiTeacherDistiller, "selector": CCHSelector, "fusion": FusionClassifier,
            "student": UCMKDStudent if paper == "ucmkd" else DistilledRegressor
            if name == "cch/synthetic" else MultiTeacherDistiller}[part]


def made(estimator, params):
    return estimator(**REQUIRED.get(estimator, {}), **params)


def test_each_data_set_of_the_papers_is_there():
    """As printed each; the authors' code of all but the second paper's."""
    assert set(LOADERS) <= set(names("paper")) == set(names())
    assert set(names("script")) == {name for name in LOADERS if not name.startswith("cch")}


@pytest.mark.parametrize(("name", "source"), BOTH)
def test_presets_name_parameters_that_exist(name, source):
    """And those of which nothing is known exist, too."""
    for part, origins in provenance(name, source=source).items():
        if part == "data":
            assert set(origins) <= set(inspect.signature(LOADERS[name]).parameters)
        elif part != "protocol":
            params = preset(name, source=source)[part]
            estimator = made(estimator_of(name, part), params)
            assert set(params) <= set(clone(estimator).get_params())
            made(estimator_of(name, part), {**dict.fromkeys(origins), **params})  # refuses other names
            module = params.get("module", "auto")
            assert module in ("auto", EmbeddingResNet) or timm.is_model(module)


@pytest.mark.parametrize(("name", "source"), BOTH)
def test_presets_have_values_that_estimators_take(name, source):
    for part, params in preset(name, source=source).items():
        if part not in ("data", "protocol"):
            estimator = made(estimator_of(name, part), params)
            getattr(estimator, "_check_params", lambda: None)()


@pytest.mark.parametrize(("name", "source"), BOTH)
def test_each_value_has_an_origin(name, source):
    settings = preset(name, source=source)
    for part, origins in provenance(name, source=source).items():
        assert all(isinstance(origin, str) and origin for origin in origins.values())
        assert set(settings[part]) == {key for key, origin in origins.items() if origin != _values.UNKNOWN}


def test_ucmkd_as_printed():
    """Table 12 is the same for all four data sets, and every student has the rate of its teacher."""
    student = preset("ucmkd/ave")["student"]
    table_12 = {"module": "resnet18", "batch_size": 64, "max_epochs": 100, "optimizer": torch.optim.SGD, "lr": 1e-2,
                "lambda_fa": 1.0, "lambda_la": 1.0, "fa_steps": 1, "la_steps": 1}
    assert table_12.items() <= student.items()
    assert {"inner_lr": "lr", "metric": "l2", "sinkhorn_reg": 0.1, "la_scope": "all"}.items() <= student.items()
    for name in ("crema-d", "ravdess", "vggsound"):
        assert preset(f"ucmkd/{name}")["student"] == student
    assert preset("ucmkd/ave")["feature_kd"] == student | {"lambda_la": 0.0, "bilevel": False}
    assert preset("ucmkd/ave-vit-l")["teacher"]["module"] == "vit_large_patch16_224"
    script = preset("ucmkd/ravdess", source="script")["student"]
    assert script["optimizer"] is torch.optim.AdamW and script["inner_lr"] == 5e-5 and script["la_scope"] == "head"


def test_ucmkd_as_printed_is_what_the_class_has():
    own = UCMKDStudent.paper(UnimodalTeacher()).get_params(deep=False)
    assert preset("ucmkd/ravdess")["student"].items() <= own.items()


def test_wordnet_as_printed_and_as_published():
    """RandAugment on ImageNet and AutoAugment elsewhere; weights of the two regularisers that differ."""
    kinds = {name: preset(f"wordnet/{name}")["strong_teacher"]["augmentation"].autoaugment
             for name in ("imagenet", "imagenet-lt", "cifar-100", "utkface")}
    assert kinds == {"imagenet": 0.0, "imagenet-lt": 1.0, "cifar-100": 1.0, "utkface": 1.0}
    weights = [[preset("wordnet/scene", source=source)["wordnet_teacher"][weight]
                for weight in ("lambda_hier", "lambda_cosreg")] for source in ("paper", "script")]
    assert weights == [[0.1, 0.01], [0.2, 0.005]]


def test_cch_as_printed():
    """Tables 12, 15, 17, 19 and 21."""
    rates = {name: preset(f"cch/{name}")["student"]["lr"] for name in ("mnist-m", "mosei", "brca")}
    assert rates == {"mnist-m": 0.002, "mosei": 0.0005, "brca": 0.01}
    heat = {name: preset(f"cch/{name}")["student"]["temperature"] for name in ("mnist-m", "mosei", "kipan")}
    assert heat == {"mnist-m": 3.0, "mosei": 4.5, "kipan": 2.0}
    fusions = {name: preset(f"cch/{name}")["fusion"] for name in ("brca", "kipan")}
    assert [(fusion["lr"], fusion["temperature"], fusion["max_epochs"]) for fusion in fusions.values()] \
        == [(0.04, 4.0, 200), (0.007, 1.0, 200)]
    repeats = {name: preset(f"cch/{name}")["selector"]["n_repeats"] for name in ("mosei", "mnist-m", "lihc")}
    assert repeats == {"mosei": 50, "mnist-m": 5, "lihc": 5}
    assert preset("cch/lihc")["selector"]["mi_estimator"] == "lmi"


def test_printed_layers():
    """Tables 9, 11 and 18, input and output included."""
    X, y = load_digits(return_X_y=True)
    network = preset("cch/mnist-m")["network"] | {"max_epochs": 1, "device": "cpu"}
    net = UnimodalTeacher(**network).fit(X[:100], y[:100]).net_.module_
    assert [(type(part).__name__, getattr(part, "out_features", None)) for part in net.encoder] == [
        ("Linear", 1024), ("LeakyReLU", None), ("Linear", 256), ("LeakyReLU", None)]
    assert net.head.out_features == 10
    fusion = preset("cch/kipan")["fusion"] | {"max_epochs": 1, "device": "cpu"}
    fitted = FusionClassifier(modalities={"a": slice(32), "b": slice(32, 64)}, **fusion).fit(X[:100], y[:100])
    for branch in fitted.net_.module_.branches:
        assert [type(part).__name__ for part in branch.encoder] == ["Linear", "ReLU", "BatchNorm1d"]
    assert fitted.net_.module_.head.in_features == 128
    train, y = make_gaussian_modalities(100, 100, random_state=0)
    student = DistilledRegressor(modality="student", **preset("cch/synthetic")["student"] | {"max_epochs": 1})
    assert [p.shape[0] for p in student.fit(train, y).net_.module_.parameters()][:2] == [64, 64]


def test_printed_layers_are_kept_in_files(tmp_path):
    X, y = load_digits(return_X_y=True)
    X = X[:200].reshape(200, 8, 8)  # a sequence, as CMU-MOSEI's are
    network = preset("cch/mosei")["network"] | {"max_epochs": 1, "device": "cpu", "random_state": 0}
    fitted = UnimodalTeacher(input_type="sequence", **network).fit(X, y[:200])
    assert [type(part).__name__ for part in fitted.net_.module_.encoder[1]] == ["Linear", "ReLU", "BatchNorm1d"]
    io.save(fitted, tmp_path / "teacher.cmkd")
    assert_allclose(io.load(tmp_path / "teacher.cmkd").predict_proba(X), fitted.predict_proba(X))


def test_what_is_unknown_is_left_to_the_estimator():
    assert provenance("cch/mosei")["network"]["module__dropout"] == "unknown"
    assert "module__dropout" not in preset("cch/mosei")["network"]
    assert preset("cch/brca")["selector"]["n_components"] is None  # which is known


def test_what_there_is_not():
    with pytest.raises(ValueError, match="There is no preset 'ucmkd/ravdes', but ucmkd/ravdess"):
        preset("ucmkd/ravdes")
    with pytest.raises(ValueError, match="Of 'cch/brca' no published code is known here"):
        preset("cch/brca", source="script")
    with pytest.raises(ValueError, match="source='papers' is unknown. Did you mean 'paper'"):
        names("papers")


def test_presets_are_not_changed_by_their_use():
    preset("ucmkd/ravdess", source="script")["student"]["callbacks"].clear()
    assert preset("ucmkd/ravdess", source="script")["student"]["callbacks"]


def test_a_student_is_trained_by_its_preset():
    X, y = load_digits(return_X_y=True)
    teacher = UnimodalTeacher(max_epochs=5, random_state=0).fit(X[:300, :32], y[:300])
    params = preset("ucmkd/ravdess", source="script")["student"] | {"module": "auto", "max_epochs": 12, "lr": 1e-2}
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
    factors = [_values.warm_up_and_cosine(i, warm_up=10, epochs=100, floor=0.01) for i in range(100)]
    assert_allclose(factors, expected, rtol=1e-4)
    steps = [_values.warm_up_and_steps(i, steps=(25, 40)) for i in (0, 3, 7, 24, 25, 39, 40, 500)]
    assert_allclose(steps, [1 / 8, 1 / 2, 1, 1, 0.1, 0.1, 0.01, 0.01])


def test_the_cosine_distance():
    x, y = torch.tensor([[1.0, 0.0], [3.0, 4.0]]), torch.tensor([[0.0, 2.0], [5.0, 0.0], [-1.0, 0.0]])
    assert_allclose(_values.cosine_distance(x, y), [[1, 0, 2], [0.2, 0.4, 1.6]], atol=1e-6)
