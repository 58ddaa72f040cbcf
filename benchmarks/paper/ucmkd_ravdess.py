"""UCMKD on RAVDESS: emotions in speech and in faces.

The paper does not say how the clips were divided, nor how sounds and frames were made; here four
fifths at random, stratified, are for training, anew with each seed. At the small scale the sound is
a log-mel spectrogram of 32 x 16 points, standardised per clip, and facial action units of the same
clip's video stand in for its frames; the networks are small, too. Its seconds an epoch were taken
while other runs went on.
"""

from functools import lru_cache

import numpy as np
from sklearn.model_selection import train_test_split
from sklearn.utils import Bunch

from benchmarks._networks import SmallConvNet, UnitNet
from benchmarks.paper import _ucmkd
from benchmarks.paper._ucmkd import NEW_SPEAKERS, PAPER  # noqa: F401
from cmkdlearn.datasets import load_ravdess
from cmkdlearn.nn.samples import take
from cmkdlearn.preprocessing import LogMelSpectrogram

LAYOUT = {
    "small": "ravdess_speech.npz",
    "full": "RAVDESS as Zenodo has it, Actor_01 to Actor_24, with a folder of frames beside each "
            "recording (see cmkdlearn.datasets.load_ravdess)",
}
LAYOUT["miniature"] = LAYOUT["full"]
LARGE = ("Table 8", "Table 10", "Table 13")
SMALL = tuple(item for item in _ucmkd.OF_SET["RAVDESS"] if item not in LARGE)
CORNERS = (0.2, 1.0)  # of the grid of Figure 2
OF_MAPS = ("Review", "Review, class-matched")  # and action units have no feature maps
SETTINGS = {
    "miniature": {"epochs": 1, "image_size": 32, "seconds": 0.3, "tiny": True},
    "small": {"epochs": 100},
    "full": {"epochs": 100, "image_size": 224, "seconds": 3.0},
}


def tables(scale):
    if scale == "small":
        return _ucmkd.tables("RAVDESS", SMALL, CORNERS, without=OF_MAPS)
    return _ucmkd.tables("RAVDESS", weights=_ucmkd.WEIGHTS if scale == "full" else CORNERS)


def run(method, cell, seed, settings, folder, work):
    if "image_size" not in settings:
        return _ucmkd.run(lambda seed, condition: divided(small(folder), seed, condition),
                          _small_network, method, cell, seed, settings, work)
    return _ucmkd.run(lambda seed, condition: divided(_distributed(folder, settings, condition),
                                                      seed, condition),
                      _ucmkd.backbones(settings), method, cell, seed, settings, work)


def divided(clips, seed, condition):
    """Return training and test clips: at random, or of other speakers."""
    rows = np.arange(len(clips.y))
    if condition == NEW_SPEAKERS:
        folds = np.unique(clips.fold)
        test = clips.fold == folds[seed % len(folds)]
        train, test = rows[~test], rows[test]
    else:
        train, test = train_test_split(rows, test_size=0.2, stratify=clips.y, random_state=seed)
    return Bunch(X_train=take(clips.X, train), y_train=clips.y[train],
                 X_test=take(clips.X, test), y_test=clips.y[test])


def pooled(spectrograms):
    """Return means over 2 bands and 8 frames: (n, 32, 16), float32."""
    return spectrograms.reshape(-1, 32, 2, 16, 8).mean((2, 4), dtype=np.float32)


@lru_cache
def small(folder):
    """Return the clips of ravdess_speech.npz, by modality."""
    with np.load(folder / "ravdess_speech.npz", allow_pickle=False) as arrays:
        sound = pooled(arrays["logmel"])
        sound -= sound.mean((1, 2), keepdims=True)
        sound /= sound.std((1, 2), keepdims=True)
        return Bunch(X={"audio": sound[:, None], "image": arrays["action_units"]},
                     y=arrays["class_names"][arrays["y"]], fold=arrays["fold"])


def _small_network(modality, role, condition):
    if modality == "audio":
        return {"module": SmallConvNet, "input_type": "channels_first"}
    return {"module": UnitNet, "module__n_features": 35, "input_type": "table"}


def _distributed(folder, settings, condition):
    mel = LogMelSpectrogram(16000, duration=settings["seconds"])
    data = load_ravdess(folder, image_size=settings["image_size"],
                        transformer=_ucmkd.spectrogram(mel, settings, condition))
    return Bunch(X=data.X, y=data.y, fold=data.actor % 4)
