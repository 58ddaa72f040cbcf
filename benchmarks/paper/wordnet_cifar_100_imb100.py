"""WordNet-relaxed KD on CIFAR100-imb100: class sizes that fall off by a factor of 100.

The test images stay balanced. The small scale is that of ``wordnet-cifar-100``, thinned out: 78
images in the first class and one in the last, where CIFAR100-imb100 has 500 and 5.
"""

import numpy as np
from sklearn.utils import Bunch

from benchmarks.paper import _wordnet
from benchmarks.paper._wordnet import PAPER  # noqa: F401
from benchmarks.paper.wordnet_cifar_100 import LAYOUT, MINIATURE, SMALL, read  # noqa: F401
from cmkdlearn.datasets import make_imbalanced

ITEMS = ("Table 1", "Table 1 (ours)", "Table 3")
SETTINGS = {
    "miniature": MINIATURE,
    "small": {**SMALL, "n_train": 7800},
    "full": _wordnet.FULL,
}


def tables(scale):
    return _wordnet.tables("CIFAR100-imb100", ITEMS, without=("DMAE",) if scale == "small" else ())


def run(method, cell, seed, settings, folder, work):
    data = Bunch(**read(folder, settings))
    rows, data.y_train = make_imbalanced(np.arange(len(data.y_train)), data.y_train, factor=100,
                                         random_state=0)
    data.X_train = data.X_train[rows]
    return _wordnet.run(data, "wordnet/cifar-100-imb100", method, cell, seed, settings, work)
