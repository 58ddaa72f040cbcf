"""CCH on CMU-MOSEI: text teaches vision and audio the sign of a sentiment.

Features are averaged over time, as the network does (Table 14), and standardised. Its widths and
its dropout, and all numbers of Tables 2 to 4, are lost in the text at hand; the former are here
those below. The division is the distributed one, 71 / 8 / 20 %. Noise of p stands beside 1 - p of
the standardised text. The paper averages Table 2 over 50 runs: ``--seeds 50``.
"""

from functools import lru_cache

import numpy as np
import torch
from sklearn.preprocessing import StandardScaler
from sklearn.utils import Bunch

from benchmarks.paper import _cch
from benchmarks.paper._cch import AT_ONCE, FAST, NOISE, PAPER  # noqa: F401
from benchmarks.paper._omics import degraded
from benchmarks.paper._tables import Table
from cmkdlearn.datasets import load_mosei

LAYOUT = dict.fromkeys(
    ("miniature", "small", "full"), "train, valid and test with text.npy, audio.npy, vision.npy "
    "and regression_labels.npy (see cmkdlearn.datasets.load_mosei)")
SETTINGS = {"miniature": {"epochs": 1, "noise": (0.0, 0.8), "mi": AT_ONCE},
            "small": {"epochs": 20, "noise": NOISE, "mi": FAST},
            "full": {"epochs": 100, "noise": NOISE, "mi": {}}}
PRINTED = {"widths": (256, 128), "dropout": 0.3}
TEMPERATURE, BATCH, LR = 4.5, 64, 5e-4  # Table 15, but for the batch
STUDENTS = ("vision", "audio")


def tables(scale):
    """Return the paper's tables, of which no number is left."""
    settings = SETTINGS[scale]
    both = {student: f"text to {student}, 0% noise" for student in STUDENTS}
    estimators = {"latentmi": "MI, lmi", "mine": "MI, mine", "ksg": "MI, ksg"}
    for measure in ("I(T; S)", "I(S; Y)", "I(T; Y)", "MI gap"):
        yield Table("Table 2", f"{measure} (nats); T is text", both, estimators, measure=measure,
                    scale=1.0)
    noisy = {f"{level:.0%}": f"text to vision, {level:.0%} noise" for level in settings["noise"]}
    rows = {"without KD": "no KD", "with KD": "KD"}
    for measure, name in (("accuracy", "accuracy"), ("f1", "weighted F1")):
        yield Table("Table 3", f"{name} (%)", both, rows, measure=measure, against="without KD",
                    claims=(("Distillation helps both students.", "with KD", "without KD"),))
    yield Table("Table 4", "weighted F1 (%), noise in the text", noisy, rows, measure="f1",
                against="without KD")
    for measure in ("I(T; S)", "I(S; Y)", "MI gap"):
        yield Table("Table 4", f"{measure} (nats), noise in the text", noisy,
                    {"latentmi": "MI, lmi"}, measure=measure, scale=1.0)


def run(method, cell, seed, settings, folder, work):
    pair, level = cell.split(", ")
    parts, level = _parts(folder), float(level.split("%")[0]) / 100
    X = {split: {"teacher": degraded(part.X["text"], level, [seed, i]),
                 "student": part.X[pair.removeprefix("text to ")]}
         for i, (split, part) in enumerate(parts.items())}
    data = Bunch(X_train=X["train"], y_train=parts["train"].y, X_test=X["test"],
                 y_test=parts["test"].y)
    training = {"optimizer": torch.optim.AdamW, "lr": LR, "batch_size": BATCH, "schedule": "cosine",
                "max_epochs": settings["epochs"]}
    return _cch.run(method, cell, seed, work, data=data, printed=PRINTED, training=training,
                    temperature=TEMPERATURE, mi=settings["mi"])


@lru_cache
def _parts(folder):
    """Return the training and the test samples, means over time in standard units."""
    parts = {}
    for split in ("train", "test"):
        found = load_mosei(folder, split=split)
        parts[split] = Bunch(y=found.y, X={name: np.asarray(part.mean(axis=1), dtype=np.float32)
                                           for name, part in found.X.items()})
    for name in parts["train"].X:
        scaler = StandardScaler().fit(parts["train"].X[name])
        for part in parts.values():
            part.X[name] = scaler.transform(part.X[name])
    return parts
