"""WordNet-relaxed KD on ImageNet.

Accuracy is that of the validation images, as in the paper.
"""

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
    return _wordnet.run_imagenet(load_imagenet, folder, "wordnet/imagenet", method, cell, seed,
                                 settings, work)
