"""Images, their words and their teachers, as the experiments on WordNet-relaxed text share them."""

from functools import lru_cache

import numpy as np
from sklearn.utils import Bunch

from benchmarks._data import cifar10
from benchmarks._networks import SmallConvNet
from cmkdlearn.datasets import load_fashion_mini, make_imbalanced
from cmkdlearn.embedding import ConSEEmbedder
from cmkdlearn.teachers import TeacherEnsemble, UnimodalTeacher, WordNetRelaxedTeacher
from cmkdlearn.text import WordNetNouns

WORDS = {"Fashion-MNIST": ("artifact.n.01",), "CIFAR-10": ("animal.n.01", "vehicle.n.01")}


@lru_cache
def _pool(name, n_train, n_test):
    if name == "CIFAR-10":
        data = cifar10(n_train, n_test)
        data.class_names = list(data.class_names)
        return data
    data = load_fashion_mini()
    return Bunch(X_train=data.X_train[:n_train], y_train=data.y_train[:n_train],
                 X_test=data.X_test[:n_test], y_test=data.y_test[:n_test],
                 class_names=list(data.class_names))


def images(dataset, settings):
    """Return images, labels and candidate nouns; the images are the same for every seed.

    "Fashion-MNIST, imbalanced" has classes whose sizes fall off by a factor of 100.
    """
    name, _, imbalanced = dataset.partition(", ")
    data = Bunch(**_pool(name, 3000 if imbalanced else settings["n_train"], settings["n_test"]))
    if imbalanced:
        data.X_train, data.y_train = make_imbalanced(data.X_train, data.y_train, factor=100,
                                                     random_state=0)
    nouns = WordNetNouns()
    data.nouns = sorted({noun for hypernym in WORDS[name] for noun in nouns.candidates(
        hypernym=hypernym, max_words=1, exclude=data.class_names)})
    channels, width = (3, 32) if name == "CIFAR-10" else (1, 16)
    data.network = {"module": SmallConvNet, "module__channels": channels,
                    "module__width": width}
    return data


def training(settings, seed):
    return {"max_epochs": settings["epochs"], "batch_size": 64, "lr": 3e-3, "random_state": seed}


def reader(data, settings, seed, **text):
    """Return T_x, which reads image and text."""
    return WordNetRelaxedTeacher(ConSEEmbedder(memory=".cache/cmkdlearn"), nouns=data.nouns,
                                 templates=["{}"], max_epochs=settings["teacher_epochs"],
                                 batch_size=128, random_state=seed, **text)


def ensemble(data, settings, seed):
    """Return T_m, two networks that are augmented strongly and weakly."""
    return TeacherEnsemble([
        (kind, UnimodalTeacher(augmentation=kind, **data.network, **training(settings, seed)))
        for kind in ("strong", "weak")])


def without_labels(y, share, rng):
    """Return y with all but a share of the labels taken away, the same share of each class."""
    y = np.asarray(y, dtype=object).copy()
    for k in set(y):
        rows = rng.permutation(np.flatnonzero(y == k))
        y[rows[max(1, round(share * len(rows))):]] = None
    return y
