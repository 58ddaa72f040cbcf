"""CCH on MNIST-M, taught by MNIST that is blurred more and more.

Digits are binarised at one half, repeated in three channels and blended with grey patches of
BSDS500's photographs; the blends' coefficients and all temperatures but one are lost in the text
at hand, and here those below. Pixels are in [0, 1]. The small scale has a fraction of the digits, a
rate that is ten times the printed one, since it takes fewer steps, and small networks in its
estimator.
"""

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sklearn.utils import Bunch
from torch import nn

from benchmarks._data import pictures
from benchmarks.paper import _cch
from benchmarks.paper._cch import AT_ONCE, FAST, PAPER  # noqa: F401
from benchmarks.paper._tables import Table
from cmkdlearn.datasets import make_mnistm
from cmkdlearn.preprocessing import Blur

LAYOUT = dict.fromkeys(
    ("miniature", "small", "full"), "mnist.npz (X_train, y_train, X_test, y_test; bytes) and "
    "bsds500_grey_jpeg.npz (jpeg, offset), or a folder BSDS500 with pictures anywhere in it")
SIGMAS = (0.0, 0.5, 1.5, 2.5, 3.5)
SETTINGS = {
    "miniature": {"n_train": 40, "n_test": 30, "epochs": 1, "lr": 0.002, "gammas": (0.5, 0.3),
                  "sigmas": (0.0, 3.5), "temperatures": (3,), "mi": AT_ONCE},
    "small": {"n_train": 1000, "n_test": 1000, "epochs": 40, "lr": 0.02, "gammas": (0.5,),
              "sigmas": SIGMAS, "temperatures": (3,), "mi": FAST},
    "full": {"n_train": 60_000, "n_test": 10_000, "epochs": 100, "lr": 0.002, "gammas": (0.5, 0.3),
             "sigmas": SIGMAS, "temperatures": (1, 3, 5), "mi": {}},
}
PRINTED = {"widths": (1024, 256), "activation": nn.LeakyReLU}  # Table 11
TEMPERATURE, BATCH = 3.0, 64  # Table 12, and ours
ITEMS = {0.5: "Figure 2, Table 1", 0.3: "Table 13"}  # the former's blend shows more of the digit
GAP = {0.5: (0.4399, 0.2662, 0.0199), 0.3: (0.1271, 0.0264, -0.0152, -0.3213, -0.4868)}
SHARED = {0.3: (1.3956, 1.2949, 1.2533, 0.9472, 0.7817)}
STUDENT = {0.3: (1.2685,) * 5}


def tables(scale):
    """Return the paper's tables; the accuracies that it prints are lost."""
    settings = SETTINGS[scale]
    for gamma in settings["gammas"]:
        cells = {f"blur {sigma:g}": f"γ = {gamma}, blur {sigma:g}" for sigma in settings["sigmas"]}
        known = dict.fromkeys(settings["temperatures"])
        yield Table(ITEMS[gamma], f"the student's accuracy, γ = {gamma} (%)", cells,
                    {"no KD": "no KD", **{f"KD, τ = {tau}": f"KD, τ = {tau}" for tau in known},
                     "teacher": "teacher"}, against="no KD")
        for measure, printed in (("MI gap", GAP), ("I(T; S)", SHARED), ("I(S; Y)", STUDENT)):
            numbers = dict(zip(SIGMAS, printed.get(gamma, ()), strict=False))
            yield Table(ITEMS[gamma], f"{measure}, γ = {gamma} (nats)", cells, {"lmi": "MI"},
                        {"lmi": [numbers.get(sigma) for sigma in settings["sigmas"]]},
                        measure=measure, scale=1.0)


def run(method, cell, seed, settings, folder, work):
    gamma, sigma = (float(part.split()[-1]) for part in cell.split(", "))
    digits, photographs = _digits(folder), _photographs(folder)
    n, m = settings["n_train"], settings["n_test"]
    rows = np.random.default_rng(seed).permutation(len(digits.X_train))[:n]
    images = np.concatenate([digits.X_train[rows], digits.X_test[:m]])
    y = np.concatenate([digits.y_train[rows], digits.y_test[:m]]).astype(int)
    blended = make_mnistm(images, photographs, gamma=gamma, threshold=0.5, rgb=True,
                          random_state=seed)
    X = {"teacher": Blur(sigma).fit_transform(images), "student": blended}
    X = {name: part.reshape(len(part), -1) / np.float32(255) for name, part in X.items()}
    data = Bunch(X_train={name: part[:n] for name, part in X.items()}, y_train=y[:n],
                 X_test={name: part[n:] for name, part in X.items()}, y_test=y[n:])
    training = {"optimizer": torch.optim.SGD, "lr": settings["lr"], "batch_size": BATCH,
                "max_epochs": settings["epochs"]}
    return _cch.run(method, cell, seed, work, data=data, printed=PRINTED, training=training,
                    temperature=TEMPERATURE, mi=settings["mi"])


@lru_cache
def _digits(folder):
    with np.load(folder / "mnist.npz", allow_pickle=False) as arrays:
        return Bunch(**arrays)


@lru_cache
def _photographs(folder):
    packed = folder / "bsds500_grey_jpeg.npz"
    if packed.is_file():
        with np.load(packed, allow_pickle=False) as arrays:
            return [*map(np.asarray, pictures(arrays["jpeg"], arrays["offset"], mode="L"))]
    files = sorted(Path(folder, "BSDS500").rglob("*.jpg"))
    return [np.asarray(Image.open(file).convert("L")) for file in files]
