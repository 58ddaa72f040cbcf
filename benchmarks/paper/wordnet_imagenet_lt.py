"""WordNet-relaxed KD on ImageNet-LT, ImageNet with a long tail.

Accuracy is that of the list of validation images, as in the authors' script.
"""

from sklearn.utils import Bunch

from benchmarks.paper import _wordnet
from benchmarks.paper._wordnet import PAPER  # noqa: F401
from cmkdlearn.datasets import load_imagenet_lt

LAYOUT = {"full": "ImageNet as for paper/wordnet-imagenet, with ImageNet_LT_train.txt and "
                  "ImageNet_LT_val.txt beside it (see cmkdlearn.datasets.load_imagenet_lt)"}
LAYOUT["miniature"] = LAYOUT["full"]
ITEMS = ("Table 1", "Table 1 (ours)")
SETTINGS = {
    "miniature": {**_wordnet.MINIATURE, "words": ["fish.n.01"]},
    "full": _wordnet.FULL,
}


def tables(scale):
    return _wordnet.tables("ImageNet-LT", ITEMS)


def run(method, cell, seed, settings, folder, work):
    train, test = (load_imagenet_lt(folder, split=split, image_size=settings["image_size"])
                   for split in ("train", "val"))
    data = Bunch(X_train=train.X, y_train=train.y, X_test=test.X, y_test=test.y,
                 class_names=train.class_names)
    return _wordnet.run(data, "wordnet/imagenet-lt", method, cell, seed, settings, work)
