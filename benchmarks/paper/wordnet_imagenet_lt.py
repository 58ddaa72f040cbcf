"""WordNet-relaxed KD on ImageNet-LT, ImageNet with a long tail.

Accuracy is that of the list of validation images, as in the authors' script.
"""

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
    return _wordnet.run_imagenet(load_imagenet_lt, folder, "wordnet/imagenet-lt", method, cell,
                                 seed, settings, work)
