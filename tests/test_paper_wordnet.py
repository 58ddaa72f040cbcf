"""WordNet-relaxed KD as printed: the numbers agree, and every experiment runs in miniature."""

import math
from importlib import import_module

import miniature_layouts as miniature
import numpy as np
import pytest
from sklearn.utils import Bunch

from benchmarks.paper import _wordnet
from benchmarks.paper._tables import jobs_of
from benchmarks.paper._wordnet import (
    ALL,
    EXACT,
    NOISE,
    OURS,
    TABLE_1,
    TABLE_2,
    TABLE_3,
    TENTH,
    TEXTS,
    WORDNET,
    alone,
)
from cmkdlearn.datasets import _cifar
from cmkdlearn.nn.modules import EmbeddingResNet
from cmkdlearn.students import MultiTeacherDistiller

# Each experiment, its preset and its miniature.
EXPERIMENTS = {
    "wordnet_scene": ("wordnet/scene", "scene"),
    "wordnet_cifar_100": ("wordnet/cifar-100", "cifar100"),
    "wordnet_cifar_100_imb100": ("wordnet/cifar-100-imb100", "cifar100"),
    "wordnet_imagenet": ("wordnet/imagenet", "imagenet"),
    "wordnet_imagenet_lt": ("wordnet/imagenet-lt", "imagenet_lt"),
    "wordnet_utkface": ("wordnet/utkface", "utkface"),
}
METHODS = ["CE", "T_m", "Baseline", "Z-Score", "FFKD", "LFME", "DMAE", alone("img"), OURS]


def experiment(name):
    return import_module(f"benchmarks.paper.{name}")


# -------------------------------------------------------------------- what is printed

def test_numbers_that_the_paper_prints_twice_are_the_same():
    assert TABLE_2["img, 0%gt 100%wn"][2] == TABLE_1["CIFAR100"]["Ours"]
    for dataset, printed in TABLE_3.items():
        assert printed["accuracy"][1] == TABLE_1[dataset]["Ours"]
    assert TABLE_3["CIFAR100"]["teacher"][1] == TABLE_2["img, 0%gt 100%wn"][0]


def test_table_2_has_its_nine_rows_in_their_order():
    assert list(TABLE_2) == [*WORDNET, *EXACT, *NOISE] and len(TABLE_2) == 9
    for text, params in TEXTS.items():  # the names say what is done
        if "gt" in text:
            exact = int(text.removeprefix("img, ").partition("%gt")[0]) / 100
            assert 1 - params.get("relaxed_proportion", 1.0) == pytest.approx(exact)
            assert (params.get("relaxation") == "noise") == ("noise" in text)
            assert params.get("use_image", True) == text.startswith("img")


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_printed_and_measured_numbers_stand_side_by_side(name):
    module = experiment(name)
    tables = module.tables("full")
    assert {table.item for table in tables} == set(module.ITEMS)
    table = tables[0]
    results = Bunch(table={(ALL, OURS, "accuracy"): {0: 0.5}})
    (ours,) = [row for row in table.entries(results) if row[0] == "Ours"]
    printed = TABLE_1[{"wordnet_scene": "Scene", "wordnet_cifar_100": "CIFAR100",
                       "wordnet_cifar_100_imb100": "CIFAR100-imb100", "wordnet_imagenet": "ImageNet",
                       "wordnet_imagenet_lt": "ImageNet-LT", "wordnet_utkface": "UTKFace"}[name]]["Ours"]
    assert ours[1] == f"paper {printed:.2f}; here 50.00"
    for table in tables:
        assert set(table.printed) <= set(table.rows)
        assert all(len(values) == 1 for values in table.printed.values())


# -------------------------------------------------------------------- what is done

def how(scale, name, tmp_path, **settings):
    images = np.zeros((4, 3, 32, 32), dtype=np.uint8)
    data = Bunch(X_train=images, y_train=np.array(["a", "b"] * 2), class_names={"a": "sneaker", "b": "dog"})
    given = {"words": ["artifact.n.01"], "image_size": 32, "epochs": 2, "teacher_epochs": 3, **settings}
    return _wordnet.HOW[scale](name, data, given, 7, tmp_path)


@pytest.mark.parametrize("scale", _wordnet.HOW)
@pytest.mark.parametrize("name", [preset for preset, _ in EXPERIMENTS.values()])
def test_all_parameters_are_ones_that_the_estimators_take(scale, name, tmp_path):
    made = how(scale, name, tmp_path)
    for method in METHODS:
        if "vit" not in made and method == "DMAE":
            continue
        student = _wordnet._student(method, made, made.student)
        student._check_params()
        for _, teacher in student.teachers if isinstance(student, MultiTeacherDistiller) else ():
            teacher._check_params()


def test_the_papers_configuration_is_what_is_printed(tmp_path):
    for name, of_imagenet in (("wordnet/scene", False), ("wordnet/imagenet", True)):
        student = _wordnet._student(OURS, made := how("paper", name, tmp_path), made.student)
        T_1s, T_2w, T_x = (teacher for _, teacher in student.teachers)
        assert student.module == "resnet18" and student.augmentation.autoaugment == (not of_imagenet)
        assert T_1s.augmentation == student.augmentation and type(T_2w.augmentation).__name__ == "WeakAugmentation"
        assert T_1s.module == T_2w.module == "resnet50.tv_in1k"
        assert T_1s.get_params()["module__pretrained"] and T_x.get_params()["module__pretrained"]
        assert T_x.module is EmbeddingResNet and T_x.get_params()["module__in_features"] == 1024
        assert (T_x.lambda_hier, T_x.lambda_cosreg, T_x.nouns_per_cluster) == (0.1, 0.01, 5)
        assert T_x.exclude == "names" and T_x.nouns is None
        assert T_x.embedder.model_name == "ViT-B-32" and student.teacher_view == "same"
        # equation 1: half of it is T_m, the mean of two
        np.testing.assert_allclose(student._weights(), [0.25, 0.25, 0.5])


def test_texts_of_one_modality_are_half_as_wide(tmp_path):
    made = how("paper", "wordnet/scene", tmp_path)
    for text in ("img", "0%gt 100%wn"):
        assert _wordnet._reader(text, made).get_params()["module__in_features"] == 512


def test_synonyms_are_candidates_but_for_one_method(tmp_path):
    made = how("small", "wordnet/scene", tmp_path)
    allowed, without = (_wordnet._reader(text, made).nouns
                        for text in (_wordnet.BEST, "img, 0%gt 100%wn, no synonyms"))
    assert "andiron" in allowed and "andiron" not in without  # which is a dog, too
    assert not {"sneaker", "dog"} & {*allowed, *without}


def test_the_third_teacher_is_another_one(tmp_path):
    made = how("small", "wordnet/scene", tmp_path)
    student = _wordnet._student("Baseline", made, made.student)
    assert [teacher.random_state for _, teacher in student.teachers] == [7, 7, 1007]


def test_images_are_enlarged_as_they_are():
    X = np.zeros((3, 32, 32, 3), dtype=np.uint8)
    X[:, :, 16:, 1] = 200
    enlarged = _wordnet.resized(X, 64)
    assert enlarged.shape == (3, 3, 64, 64) and enlarged.dtype == np.uint8
    assert (enlarged[:, 1, :, :30] == 0).all() and (enlarged[:, 1, :, 34:] == 200).all()
    assert np.array_equal(_wordnet.resized(X, 32), np.moveaxis(X, -1, 1))


# -------------------------------------------------------------------- end to end

@pytest.fixture
def folder(request, tmp_path, monkeypatch):
    maker = EXPERIMENTS[request.node.callspec.params["name"]][1]
    digest = getattr(miniature, maker)(tmp_path)
    if maker == "cifar100":
        monkeypatch.setattr(_cifar, "CIFAR100", _cifar.CIFAR100._replace(digest=digest))
    return tmp_path


def check(name, folder, methods=None):
    module = experiment(name)
    settings = module.SETTINGS["miniature"]
    jobs = [job for job in jobs_of(module.tables("miniature")) if methods is None or job["method"] in methods]
    for job in jobs:
        scores = module.run(job["method"], job["cell"], 0, settings, folder, folder / "work")
        assert all(math.isfinite(value) and 0 <= value <= 1 for value in scores.values())
        assert ("teacher" in scores) == ("T_x" in job["method"])
    return jobs


@pytest.mark.parametrize("name", ["wordnet_scene"])
def test_a_miniature(name, folder):
    assert len(check(name, folder, ["CE", alone("img, 0%gt 100%wn")])) == 4  # with a tenth of the labels, too


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_miniatures(name, folder):
    assert {job["cell"] for job in check(name, folder)} <= {ALL, TENTH}


@pytest.mark.slow
def test_the_papers_configuration_runs_but_for_its_weights_and_sizes(tmp_path):
    """Schedules, checkpoints, kept teachers, and those that see what the student sees."""
    miniature.scene(tmp_path)
    module = experiment("wordnet_scene")
    data = module._distributed(tmp_path, module.SETTINGS["miniature"])
    made = _wordnet.HOW["paper"]("wordnet/scene", data, module.SETTINGS["full"], 0, tmp_path / "work")
    tiny = _wordnet.HOW["tiny"]("wordnet/scene", data, module.SETTINGS["miniature"], 0, tmp_path / "work")
    made.embedder = tiny.embedder
    small = {"max_epochs": 2, "batch_size": 8, "module__pretrained": False}
    made.T_m |= {**small, "module": "test_resnet"}
    made.student |= {**small, "module": "test_resnet"}
    made.T_x |= {**small, **{key: tiny.T_x[key] for key in ("nouns", "n_clusters", "module__name",
                                                            "module__in_features")}}
    student = _wordnet._student(OURS, made, made.student).fit(data.X_train, data.y_train)
    assert student.predict(data.X_test).shape == (12,)
    assert student.named_teachers_.T_x.history_[0, "event_lr"] == pytest.approx(1e-3 / 8)  # warming up


@pytest.mark.data
@pytest.mark.parametrize("name", ["wordnet_scene", "wordnet_cifar_100"])
def test_small_scales_test_on_other_images_than_they_train_on(name, data_folder):
    module = experiment(name)
    if name == "wordnet_scene":
        data = module._small(data_folder, module.SETTINGS["small"])
    else:
        data = module.read(data_folder, module.SETTINGS["small"])
    settings = module.SETTINGS["small"]
    assert data.X_train.shape == (settings["n_train"], 3, 32, 32) and len(data.X_test) == settings["n_test"]
    assert set(data.y_train) == set(data.y_test) == set(data.class_names)
    rows = {image.tobytes() for image in data.X_train}
    assert sum(image.tobytes() in rows for image in data.X_test) == 0
