"""Real data for benchmarks and tests marked ``data``: files in the folder $CMKDLEARN_DATA."""

import io
import os
from pathlib import Path

import numpy as np
from sklearn.utils import Bunch


def folder():
    """Return the folder with the data files."""
    if "CMKDLEARN_DATA" not in os.environ:
        raise FileNotFoundError("Set CMKDLEARN_DATA to the folder that holds the data files.")
    return Path(os.environ["CMKDLEARN_DATA"])


def has(name):
    """Tell whether a data file is at hand; what a test skips by."""
    return "CMKDLEARN_DATA" in os.environ and (folder() / f"{name}.npz").is_file()


def mnist():
    """MNIST: grey images (n, 28, 28), uint8, and integer labels."""
    with _arrays("mnist") as arrays:
        return Bunch(**arrays)


def cifar10(n_train=None, n_test=None, random_state=0):
    """CIFAR-10: colour images (n, 32, 32, 3), uint8, decoded from JPEG, and class names.

    With ``n_train`` or ``n_test``, as many images drawn at random, equally many of each class.
    """
    from PIL import Image

    rng = np.random.default_rng(random_state)
    data = Bunch()
    with _arrays("cifar10_jpeg") as arrays:
        data.class_names = arrays["class_names"]
        for part, n in (("train", n_train), ("test", n_test)):
            y, jpeg, offset = (arrays[f"{name}_{part}"] for name in ("y", "jpeg", "offset"))
            drawn = np.arange(len(y)) if n is None else _balanced(y, n, rng)
            data[f"y_{part}"] = data.class_names[y[drawn]]
            data[f"X_{part}"] = np.stack([
                np.asarray(Image.open(io.BytesIO(jpeg[offset[i]:offset[i + 1]]))) for i in drawn])
    return data


def _balanced(y, n, rng):
    classes = np.unique(y)
    per_class, rest = divmod(n, len(classes))
    if rest:
        raise ValueError(f"{n} images cannot be divided evenly among {len(classes)} classes.")
    drawn = [rng.choice(np.flatnonzero(y == k), per_class, replace=False) for k in classes]
    return rng.permutation(np.concatenate(drawn))


def _arrays(name):
    return np.load(folder() / f"{name}.npz", allow_pickle=False)
