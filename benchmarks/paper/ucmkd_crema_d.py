"""UCMKD on CREMA-D: acted emotions, heard and seen.

The division of OGM-GE (train.csv and test.csv), which the authors' script reads too. Sounds are
linear log spectrograms, standardised per clip; of each video one frame is seen.
"""

from benchmarks.paper import _ucmkd
from benchmarks.paper._ucmkd import PAPER  # noqa: F401
from cmkdlearn.datasets import load_cremad

FOLDER = ("CREMA-D as distributed (AudioWAV), with frames in Image-01-FPS and OGM-GE's train.csv "
          "and test.csv (see cmkdlearn.datasets.load_cremad)")
LAYOUT = {"miniature": FOLDER, "full": FOLDER}
SETTINGS = {
    "miniature": {"epochs": 1, "image_size": 32, "seconds": 0.3, "tiny": True},
    "full": {"epochs": 100, "image_size": 224, "seconds": 3.0},
}


def tables(scale):
    return _ucmkd.tables("CREMA-D")


def run(method, cell, seed, settings, folder, work):
    return _ucmkd.run_distributed(load_cremad, folder, method, cell, seed, settings, work)
