"""The defaults of UCMKDStudent must not hurt: digits, spoken and written, and views of UCI digits.

Beside cross-entropy and UCMKD at the inner rate of its authors' code stand controls that lack one
thing: the classes of the teacher's features are exchanged, or its features are noise of the same
means and spreads. Settings were chosen on validation parts of the training data (see the user guide
on how many), with other seeds; the test parts are looked at here only.
"""

import copy

import numpy as np
import torch
from sklearn.frozen import FrozenEstimator

from benchmarks._data import uci_multiple_features
from benchmarks._networks import DigitNet
from benchmarks.evidence._claims import Claim
from benchmarks.evidence._digits import FADES, UNPAIRED, digits, draw_balanced
from cmkdlearn.students import UCMKDStudent
from cmkdlearn.teachers import UnimodalTeacher

PAPER = "not in the papers: what the defaults are chosen by"
SETTINGS = {
    "small": {"digits": [200], "per_class_teacher": 100, "teacher_epochs": 10},
    "full": {"digits": [200, 600, 1000, 2000], "per_class_teacher": 200, "teacher_epochs": 50},
}
BASELINE = "cross-entropy"
MEASURES = {"accuracy": "student"}
EPOCHS = {200: 40, 600: 20, 1000: 15, 2000: 10}
VIEWS = (("zer", "fac"), ("mor", "pix"), ("fou", "kar"), ("kar", "zer"))
METHODS = {
    "cross-entropy": UNPAIRED["cross-entropy"],
    "UCMKDStudent()": {},
    "classes renamed": {},
    "noise for features": {},
    "a plain sum that fades": FADES,
    "a plain sum that stays": {**FADES, "decay": False},
    "feature KD, weight 1": UNPAIRED["feature KD"],
    "UCMKD, inner rate 1e-5": UNPAIRED["UCMKD, inner rate 1e-5"],
}


def cells(settings):
    pairs = [(pair, n) for pair in (("spoken", "written"), ("written", "spoken"))
             for n in settings["digits"]]
    pairs += [(pair, n) for n in (200, 600) for pair in VIEWS]
    return {f"{student}, taught by {teacher}, {n} labels":
            {"student": student, "teacher": teacher, "n": n} for (student, teacher), n in pairs}


def run(seed, settings, student, teacher, n):
    rng = np.random.default_rng(seed)
    training = {"module": "auto", "batch_size": 32, "optimizer": torch.optim.AdamW, "lr": 1e-3,
                "label_smoothing": 0.1, "random_state": seed}
    if student in ("spoken", "written"):
        training |= {"module": DigitNet, "input_type": "image"}
        mine, theirs = digits(student), digits(teacher)
        rows = draw_balanced(mine.y_train, n // 10, rng)
        shown = draw_balanced(theirs.y_train, settings["per_class_teacher"], rng)
        X, y, X_test, y_test = mine.X_train[rows], mine.y_train[rows], mine.X_test, mine.y_test
        X_T, y_T = theirs.X_train[shown], theirs.y_train[shown]
    else:
        views, labels = uci_multiple_features()
        of_class = [rng.permutation(np.flatnonzero(labels == k)) for k in np.unique(labels)]
        shown, test, rest = (np.concatenate(part) for part in zip(
            *(np.split(rows, (70, 130)) for rows in of_class), strict=True))
        rows = rest[draw_balanced(labels[rest], n // 10, rng)]
        X, y, X_test, y_test = (views[student][rows], labels[rows], views[student][test],
                                labels[test])
        X_T, y_T = views[teacher][shown], labels[shown]
    taught = UnimodalTeacher(max_epochs=settings["teacher_epochs"], **training).fit(X_T, y_T)
    scores = {}
    for name, params in METHODS.items():
        frozen = FrozenEstimator(_without_one_thing(name, taught, rng))
        given = {"max_epochs": EPOCHS[n], **training}
        fitted = UCMKDStudent(frozen, **given, **params)
        scores[name] = {"accuracy": fitted.fit(X, y).score(X_test, y_test)}
    return scores


def _without_one_thing(name, teacher, rng):
    other = copy.copy(teacher)
    if name == "classes renamed":  # what it says of one class, and its cluster, are another's
        order = np.roll(np.arange(len(teacher.classes_)), rng.integers(1, len(teacher.classes_)))
        other.feature_bank_labels_ = teacher.classes_[order][teacher.feature_bank_labels_]
        other.net_ = copy.deepcopy(teacher.net_)
        head = other.net_.module_.head
        with torch.no_grad():
            for part in (head.weight, head.bias):
                part[torch.from_numpy(order)] = part.clone()
    elif name == "noise for features":  # the same means and spreads, and no classes
        z = teacher.feature_bank_
        noise = rng.normal(z.mean(axis=0), z.std(axis=0), size=z.shape)
        other.feature_bank_ = noise.astype(np.float32)
    return other


def _gain(method, over="cross-entropy"):
    return lambda results: results.gain(results.names(0), method, over)


def _worst(results):
    return min((results.gain(cell, "UCMKDStudent()", BASELINE) for cell in results.names(0)),
               key=np.mean)


CLAIMS = [
    Claim("Our defaults never cost more than half a point.", "the defaults",
          lambda r: _worst(r) + 0.005,
          "our default less cross-entropy in the cell where it did worst, plus half a point",
          margin=0.0),
    Claim("UCMKD with our defaults is better than cross-entropy.", "the defaults",
          _gain("UCMKDStudent()"), "our default, less cross-entropy", headline=True),
    Claim("What helps is what the teacher knows of the classes.", "the control",
          _gain("UCMKDStudent()", "classes renamed"),
          "our default, less the same with the teacher's classes exchanged"),
    Claim("What helps is the teacher's features.", "the control",
          _gain("UCMKDStudent()", "noise for features"),
          "our default, less the same with noise for features"),
]
