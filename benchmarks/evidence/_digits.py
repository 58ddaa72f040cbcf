"""Spoken and written digits that belong together by their class at most."""

from functools import lru_cache

import numpy as np
import torch
from sklearn.frozen import FrozenEstimator
from sklearn.utils import Bunch

from benchmarks._data import fsdd, mnist
from benchmarks._networks import HINTON, DigitNet
from cmkdlearn.students import MultiTeacherDistiller, UCMKDStudent
from cmkdlearn.teachers import UnimodalTeacher

DIRECTIONS = {"spoken, taught by written": ("spoken", "written"),
              "written, taught by spoken": ("written", "spoken")}
FADES = {"bilevel": False, "lambda_fa": 0.1, "lambda_la": 0.0, "label_cost": 1.0, "decay": True}
UNPAIRED = {
    "cross-entropy": {"lambda_fa": 0.0, "lambda_la": 0.0},
    "feature KD": {"bilevel": False, "lambda_la": 0.0, "feature_scale": 1.0},
    # Algorithm 1 with the weights of Table 12, and the inner rate of the authors' code
    "UCMKD, inner rate 1e-5": {
        "bilevel": True, "inner_lr": 1e-5, "lambda_fa": 1.0, "lambda_la": 1.0, "fa_steps": 1,
        "la_steps": 1, "metric": "l2", "feature_scale": 1.0, "label_cost": 0.0,
        "sinkhorn_reg": 0.1, "order": "first", "la_gradient": "full", "decay": False},
    "a plain sum that fades": FADES,
}


@lru_cache
def digits(name):
    """Return train and test of "spoken", "spoken, new speakers" or "written".

    Of the written digits the first 2,000 test images, about as many as there are recordings.
    """
    if name == "written":
        data = mnist()
        return Bunch(X_train=data.X_train, y_train=data.y_train.astype(int),
                     X_test=data.X_test[:2000], y_test=data.y_test[:2000].astype(int))
    return fsdd(split="speaker" if name.endswith("new speakers") else "take")


def draw_balanced(y, per_class, rng):
    """Return rows with equally many of each class, in random order."""
    rows = [rng.choice(np.flatnonzero(y == k), per_class, replace=False) for k in np.unique(y)]
    return rng.permutation(np.concatenate(rows))


def class_matched(y, y_others, rng):
    """Return for each label the row of another modality's sample of that class, at random."""
    return np.array([rng.choice(np.flatnonzero(y_others == k)) for k in y])


def training(epochs, seed, smoothing=0.1, module=DigitNet):
    """Return the network and its training, the same for every method.

    The paper's own would be another (SGD, at 0.01); what is compared here are losses and levels.
    """
    return {"module": module, "input_type": "image", "max_epochs": epochs, "batch_size": 32,
            "optimizer": torch.optim.AdamW, "lr": 1e-3, "label_smoothing": smoothing,
            "random_state": seed}


def taught(X, y, epochs, seed, smoothing=0.1, module=DigitNet):
    """Return a frozen teacher of the modality "theirs"."""
    teacher = UnimodalTeacher(modality="theirs", **training(epochs, seed, smoothing, module))
    return FrozenEstimator(teacher.fit({"theirs": X}, y))


def unpaired(name, teacher, settings):
    """Return a student by its name in ``UNPAIRED``, or by what stands there."""
    params = UNPAIRED[name] if isinstance(name, str) else name
    return UCMKDStudent(teacher, modality="mine", **settings, **params)


def paired(loss, teacher, settings):
    """Return a student that is shown pairs."""
    return MultiTeacherDistiller([("theirs", teacher)], modality="mine", loss=loss, **HINTON,
                                 **settings)
