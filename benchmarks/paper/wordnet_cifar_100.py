"""WordNet-relaxed KD on CIFAR-100, on which the paper takes the method apart.

The small scale reads CIFAR-100's test images alone and trains on some of them: a small CIFAR-100,
whose numbers are none of CIFAR-100's. See ``_wordnet._small`` for what else is small there. Its
embedder knows the names of ImageNet's classes, and has never seen some of the 100: people, above
all.
"""

from functools import lru_cache

import numpy as np
from sklearn.utils import Bunch

from benchmarks._data import pictures
from benchmarks.paper import _wordnet
from benchmarks.paper._wordnet import PAPER  # noqa: F401
from cmkdlearn.datasets import fetch_cifar100

LAYOUT = {"small": "cifar100_test_png.npz", "full": "cifar-100-binary.tar.gz"}
LAYOUT["miniature"] = LAYOUT["full"]
ITEMS = ("Table 1", "Table 1 (ours)", "Table 1 (a tenth labelled, ours)", "Table 2",
         "Table 2 (label-free, ours)", "Table 3", "Figure 2", "Figure 3")
WORDS = ["animal.n.01", "artifact.n.01", "plant.n.02", "edible_fruit.n.01", "vegetable.n.01",
         "geological_formation.n.01", "body_of_water.n.01"]
MINIATURE = {**_wordnet.MINIATURE, "words": ["edible_fruit.n.01"]}
SMALL = {"networks": "small", "epochs": 30, "teacher_epochs": 30, "attributed": 300, "n_test": 1000,
         "words": WORDS}
SETTINGS = {
    "miniature": MINIATURE,
    "small": {**SMALL, "n_train": 4000},
    "full": _wordnet.FULL,
}


def tables(scale):
    return _wordnet.tables("CIFAR100", ITEMS, without=("DMAE",) if scale == "small" else ())


def run(method, cell, seed, settings, folder, work):
    return _wordnet.run(read(folder, settings), "wordnet/cifar-100", method, cell, seed,
                        settings, work)


def read(folder, settings):
    """Return the images of training and test, (3, image_size, image_size) each."""
    if settings["networks"] == "small":
        return _wordnet.drawn(_small(folder), settings)
    return _distributed(folder, settings["image_size"])


@lru_cache
def _distributed(folder, image_size):
    data = fetch_cifar100(folder=folder)
    X_train, X_test = (_wordnet.resized(X, image_size) for X in (data.X_train, data.X_test))
    return Bunch(X_train=X_train, y_train=data.y_train, X_test=X_test, y_test=data.y_test,
                 class_names=_wordnet.named(data.y_train))


@lru_cache
def _small(folder):
    with np.load(folder / "cifar100_test_png.npz", allow_pickle=False) as arrays:
        X = np.stack([*map(np.asarray, pictures(arrays["png"], arrays["offset"]))])
        return Bunch(X=np.moveaxis(X, -1, 1), y=arrays["class_names"][arrays["y"]],
                     fold=arrays["fold"])
