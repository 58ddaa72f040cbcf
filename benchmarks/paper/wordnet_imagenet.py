"""WordNet-relaxed KD on ImageNet.

Accuracy is that of the validation images, as in the paper.
"""

from sklearn.utils import Bunch

from benchmarks.paper import _wordnet
from benchmarks.paper._wordnet import PAPER  # noqa: F401
from cmkdlearn.datasets import load_imagenet

LAYOUT = {"full": "ImageNet as Kaggle has it, ILSVRC/Data/CLS-LOC, the validation images in class "
                  "folders, and LOC_synset_mapping.txt (see cmkdlearn.datasets.load_imagenet)"}
LAYOUT["miniature"] = LAYOUT["full"]
ITEMS = ("Table 1", "Table 1 (ours)")
SETTINGS = {
    "miniature": {**_wordnet.MINIATURE, "words": ["fish.n.01"]},
    "full": _wordnet.FULL,
}


def tables(scale):
    return _wordnet.tables("ImageNet", ITEMS)


def run(method, cell, seed, settings, folder, work):
    train, test = (load_imagenet(folder, split=split, image_size=settings["image_size"])
                   for split in ("train", "val"))
    data = Bunch(X_train=train.X, y_train=train.y, X_test=test.X, y_test=test.y,
                 class_names=train.class_names)
    return _wordnet.run(data, "wordnet/imagenet", method, cell, seed, settings, work)
