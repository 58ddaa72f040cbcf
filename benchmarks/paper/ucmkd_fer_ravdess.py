"""UCMKD from still faces to speech (ours): FER-2013 teaches RAVDESS.

Two sets that were never paired: the teacher has seen faces of strangers in the seven emotions that
both sets have (calm is left out), 48 x 48 points in grey, and the student hears the clips of
RAVDESS. All else is as in ``paper/ucmkd-ravdess``: the division at random and by speakers, small
networks, Table 12.
"""

from functools import lru_cache

import numpy as np
from sklearn.utils import Bunch

from benchmarks._data import pictures
from benchmarks._networks import SmallConvNet
from benchmarks.paper import _ucmkd, ucmkd_ravdess
from benchmarks.paper._tables import Table
from benchmarks.paper._ucmkd import COSINE, NEW_SPEAKERS, PAPER  # noqa: F401
from cmkdlearn.nn.samples import take

LAYOUT = {"small": "fer2013_part_jpeg.npz and ravdess_speech.npz"}
SETTINGS = {"small": {"epochs": 100, "n_faces": 2000}}
RAVDESS_NAMES = {"fear": "fearful", "surprise": "surprised"}
METHODS = ("Teacher", "CE", "Feature KD", "UCMKD", "UCMKD, the script's", "UCMKDStudent()")


def tables(scale):
    return (Table("Table 1 (FER to RAVDESS, ours)", "faces of strangers teach speech",
                  {"Table 12": "V→A", COSINE: f"V→A, {COSINE}",
                   NEW_SPEAKERS: f"V→A, {NEW_SPEAKERS}"},
                  {name: name for name in METHODS}, against="CE",
                  claims=((_ucmkd.BEST, "UCMKD", "CE"), (_ucmkd.BEST, "UCMKD", "Feature KD"))),)


def run(method, cell, seed, settings, folder, work):
    return _ucmkd.run(lambda seed, condition: _data(folder, settings["n_faces"], seed, condition),
                      lambda *role: {"module": SmallConvNet, "input_type": "channels_first"},
                      method, cell, seed, settings, work)


def _data(folder, n_faces, seed, condition):
    clips, faces = ucmkd_ravdess.small(folder), _faces(folder)
    shared = np.flatnonzero(np.isin(clips.y, np.unique(faces.y)))
    clips = Bunch(X=take({"audio": clips.X["audio"]}, shared), y=clips.y[shared],
                  fold=clips.fold[shared])
    data = ucmkd_ravdess.divided(clips, seed, condition)
    drawn = np.random.default_rng(seed).choice(len(faces.y), n_faces, replace=False)
    data.X_test["image"], data.y_test_teacher = faces.X_test, faces.y_test
    return Bunch(**data, X_teacher={"image": faces.X[drawn]}, y_teacher=faces.y[drawn])


@lru_cache
def _faces(folder):
    with np.load(folder / "fer2013_part_jpeg.npz", allow_pickle=False) as arrays:
        parts = {}
        for part in ("train", "test"):
            images = [*map(np.asarray, pictures(arrays[f"jpeg_{part}"], arrays[f"offset_{part}"],
                                                mode="L"))]
            names = np.array([RAVDESS_NAMES.get(name, name) for name in arrays["class_names"]])
            parts[part] = np.stack(images)[:, None], names[arrays[f"y_{part}"]]
    (X, y), (X_test, y_test) = parts["train"], parts["test"]
    return Bunch(X=X, y=y, X_test=X_test, y_test=y_test)
