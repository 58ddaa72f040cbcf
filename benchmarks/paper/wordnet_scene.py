"""WordNet-relaxed KD on Scene: natural scenes of six classes.

The paper's list of training and validation images is not published; at the full scale they are
Kaggle's training and test folders. The small scale takes 1,500 of the same pictures for training
and 1,000 for testing, at 32 x 32; see ``_wordnet._small`` for what else is small there. Table 2 and
Figure 3 are CIFAR-100's in the paper.
"""

from functools import lru_cache

import numpy as np
from sklearn.utils import Bunch

from benchmarks._data import pictures
from benchmarks.paper import _wordnet
from benchmarks.paper._wordnet import PAPER  # noqa: F401
from cmkdlearn.datasets import load_scene

LAYOUT = {
    "small": "scene_64_jpeg.npz",
    "full": "Kaggle's Intel Image Classification as unpacked, seg_train and seg_test (see "
            "cmkdlearn.datasets.load_scene)",
}
LAYOUT["miniature"] = LAYOUT["full"]
ITEMS = ("Table 1", "Table 1 (ours)", "Table 1 (a tenth labelled, ours)", "Table 3",
         "Table 2 (ours)", "Table 2 (label-free, ours)", "Figure 3 (ours)")
SETTINGS = {
    "miniature": {**_wordnet.MINIATURE, "words": ["geological_formation.n.01"]},
    "small": {"networks": "small", "n_train": 1500, "n_test": 1000, "epochs": 15,
              "teacher_epochs": 30, "attributed": 300,
              "words": ["structure.n.01", "way.n.06", "geological_formation.n.01",
                        "body_of_water.n.01", "vegetation.n.01"]},
    "full": _wordnet.FULL,
}


def tables(scale):
    return _wordnet.tables("Scene", ITEMS, without=("DMAE",) if scale == "small" else ())


def run(method, cell, seed, settings, folder, work):
    read = _small if settings["networks"] == "small" else _distributed
    return _wordnet.run(read(folder, settings), "wordnet/scene", method, cell, seed, settings,
                        work)


def _distributed(folder, settings):
    train, test = (load_scene(folder, split=split, image_size=settings["image_size"])
                   for split in ("train", "test"))
    return Bunch(X_train=train.X, y_train=train.y, X_test=test.X, y_test=test.y,
                 class_names=_wordnet.named(train.y))


def _small(folder, settings):
    return _wordnet.drawn(_pictures(folder), settings)


@lru_cache
def _pictures(folder):
    with np.load(folder / "scene_64_jpeg.npz", allow_pickle=False) as arrays:
        X = np.stack([*map(np.asarray, pictures(arrays["jpeg"], arrays["offset"]))])
        return Bunch(X=_wordnet.resized(X, 32), y=arrays["class_names"][arrays["y"]],
                     fold=arrays["fold"])
