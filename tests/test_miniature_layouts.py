"""The miniature data sets: loaders read them, classes can be learned, a seed makes them again."""

import miniature_layouts as miniature
import numpy as np
import pytest
from sklearn.neighbors import NearestCentroid
from sklearn.utils._testing import assert_array_equal

from cmkdlearn import datasets
from cmkdlearn.datasets import _cifar

# Each set's maker, and what reads its training and its test samples.
SPLITS = {
    "cremad": (datasets.load_cremad, {"split": "train"}, {"split": "test"}),
    "ave": (datasets.load_ave, {"split": "train"}, {"split": "test"}),
    "vggsound": (datasets.load_vggsound, {"split": "train"}, {"split": "test"}),
    "scene": (datasets.load_scene, {"split": "train"}, {"split": "test"}),
    "imagenet": (datasets.load_imagenet, {"split": "train"}, {"split": "val"}),
    "imagenet_lt": (datasets.load_imagenet_lt, {"split": "train"}, {"split": "test"}),
    "mosei": (datasets.load_mosei, {"split": "train"}, {"split": "test"}),
}
SMALL = {"size": 12, "seconds": 0.1}


def make(name, folder, **sizes):
    """Call a maker with small pictures and sounds, where it has any."""
    maker = getattr(miniature, name)
    known = maker.__kwdefaults__
    return maker(folder, **{key: value for key, value in SMALL.items() if key in known} | sizes)


def parts(data):
    """Samples as plain rows, by modality: spectra of sounds, and everything else as it is."""
    X = data.X if isinstance(data.X, dict) else {"X": data.X}
    for name, part in X.items():
        rows = np.stack([part[i] for i in range(len(part))]) if hasattr(part, "files") else part
        rows = np.abs(np.fft.rfft(rows)) if isinstance(part, datasets.SoundFiles) else rows
        yield name, np.asarray(rows, dtype=float).reshape(len(rows), -1)


def small_files(name):
    options = {"image_size": 12}
    return options | {"duration": 0.1} if name in ("cremad", "ave", "vggsound", "ravdess") else options


@pytest.mark.parametrize("name", SPLITS)
def test_what_is_learned_of_the_training_samples_holds_of_the_others(name, tmp_path):
    loader, train, test = SPLITS[name]
    make(name, tmp_path, **({"n_train": 40} if name == "mosei" else {}))
    options = {} if name == "mosei" else small_files(name)
    train, test = loader(tmp_path, **train, **options), loader(tmp_path, **test, **options)
    assert set(train.y) == set(test.y) and len(set(train.y)) > 1
    for (modality, X), (_, X_test) in zip(parts(train), parts(test), strict=True):
        score = NearestCentroid().fit(X, train.y).score(X_test, test.y)
        assert score > 0.8, (modality, score)


def test_ravdess(tmp_path):
    make("ravdess", tmp_path, n_actors=3, per_emotion=3)
    data = datasets.load_ravdess(tmp_path, **small_files("ravdess"))
    assert_array_equal(np.unique(data.actor, return_counts=True), [[1, 2, 3], [24, 24, 24]])
    assert_array_equal(np.unique(data.y, return_counts=True)[1], np.full(8, 9))
    train = data.actor < 3
    for modality, X in parts(data):
        score = NearestCentroid().fit(X[train], data.y[train]).score(X[~train], data.y[~train])
        assert score > 0.8, (modality, score)


def test_a_full_ravdess_has_1440_clips(tmp_path, monkeypatch):
    """4 of the neutral and 8 of each other emotion of 24 actors."""
    clips = []
    monkeypatch.setattr(miniature, "sound", lambda file, *drawn, rate: clips.append(file.stem))
    monkeypatch.setattr(miniature, "frames", lambda *drawn: None)
    miniature.ravdess(tmp_path, n_actors=24, per_emotion=8)
    assert len(set(clips)) == len(clips) == 1440


def test_utkface(tmp_path):
    make("utkface", tmp_path, n=4)
    data = datasets.load_utkface(tmp_path, image_size=12)
    assert_array_equal(np.unique(data.y, return_counts=True)[1], np.full(5, 4))
    assert set(data.gender) == {"male", "female"}


def test_imagenet_lt_has_a_long_tail(tmp_path):
    make("imagenet_lt", tmp_path)
    for split, sizes in (("train", [8, 4, 2, 1]), ("val", [2] * 4), ("test", [2] * 4)):
        data = datasets.load_imagenet_lt(tmp_path, split=split, image_size=12)
        assert_array_equal(np.bincount(data.y), sizes)
    train = datasets.load_imagenet_lt(tmp_path)
    assert not set(train.X.files) & set(datasets.load_imagenet_lt(tmp_path, split="val").X.files)


def test_cifar100(tmp_path, monkeypatch):
    digest = miniature.cifar100(tmp_path, n_classes=7)
    monkeypatch.setattr(_cifar, "CIFAR100", _cifar.CIFAR100._replace(digest=digest))
    data = datasets.fetch_cifar100(folder=tmp_path)
    assert_array_equal(np.unique(data.y_train, return_counts=True),
                       [sorted(data.class_names[:7]), ["4"] * 7])
    X, X_test = (part.reshape(len(part), -1) / 255 for part in (data.X_train, data.X_test))
    assert NearestCentroid().fit(X, data.y_train).score(X_test, data.y_test) > 0.8


def test_tcga(tmp_path):
    miniature.tcga(tmp_path)
    data = datasets.load_tcga(tmp_path)
    assert data.n_incomplete == 1 and len(data.y) == 23
    for modality, X in parts(data):
        score = NearestCentroid().fit(X[::2], data.y[::2]).score(X[1::2], data.y[1::2])
        assert score > 0.8, (modality, score)


@pytest.mark.parametrize("name", [*SPLITS, "ravdess", "utkface", "cifar100", "tcga"])
def test_one_seed_makes_the_same_files(name, tmp_path):
    def files(folder, seed):
        (tmp_path / folder).mkdir()
        make(name, tmp_path / folder, seed=seed)
        return {file.relative_to(tmp_path / folder): file.read_bytes()
                for file in (tmp_path / folder).rglob("*") if file.is_file()}

    first, again, other = files("a", 0), files("b", 0), files("c", 1)
    assert first == again
    assert first != other
