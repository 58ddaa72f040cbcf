"""WordNet-relaxed KD on UTKFace: five races, as its authors labelled them.

The paper's split is not published: four fifths at random, stratified, are for training, anew with
each seed.
"""

import numpy as np
from sklearn.model_selection import train_test_split
from sklearn.utils import Bunch

from benchmarks.paper import _wordnet
from benchmarks.paper._wordnet import PAPER  # noqa: F401
from cmkdlearn.datasets import load_utkface
from cmkdlearn.nn.samples import take

LAYOUT = {"full": "the aligned and cropped faces, age_gender_race_date.jpg.chip.jpg (see "
                  "cmkdlearn.datasets.load_utkface)"}
LAYOUT["miniature"] = LAYOUT["full"]
ITEMS = ("Table 1", "Table 1 (ours)", "Table 3")
SETTINGS = {
    "miniature": {**_wordnet.MINIATURE, "words": ["adult.n.01"]},
    "full": _wordnet.FULL,
}


def tables(scale):
    return _wordnet.tables("UTKFace", ITEMS)


def run(method, cell, seed, settings, folder, work):
    faces = load_utkface(folder, target="race", image_size=settings["image_size"],
                         skip_malformed=True)
    rows = np.arange(len(faces.y))
    train, test = train_test_split(rows, test_size=0.2, stratify=faces.y, random_state=seed)
    data = Bunch(X_train=take(faces.X, train), y_train=faces.y[train],
                 X_test=take(faces.X, test), y_test=faces.y[test],
                 class_names=_wordnet.named(faces.y))
    return _wordnet.run(data, "wordnet/utkface", method, cell, seed, settings, work)
