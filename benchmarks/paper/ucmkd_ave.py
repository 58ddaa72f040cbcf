"""UCMKD on AVE: events that are heard and seen.

The set's own division. Sounds are linear log spectrograms, standardised per clip; of each video one
frame is seen.
"""

from benchmarks.paper import _ucmkd
from benchmarks.paper._ucmkd import PAPER  # noqa: F401
from cmkdlearn.datasets import load_ave

FOLDER = ("AVE_Dataset as distributed (trainSet.txt and so on), with what was extracted from its "
          "videos in Image-01-FPS-SE and Audio-1004-SE (see cmkdlearn.datasets.load_ave)")
LAYOUT = {"miniature": FOLDER, "full": FOLDER}
SETTINGS = {
    "miniature": {"epochs": 1, "image_size": 32, "seconds": 0.3, "tiny": True},
    "full": {"epochs": 100, "image_size": 224, "seconds": 10.0},
}


def tables(scale):
    return _ucmkd.tables("AVE")


def run(method, cell, seed, settings, folder, work):
    return _ucmkd.run_distributed(load_ave, folder, method, cell, seed, settings, work)
