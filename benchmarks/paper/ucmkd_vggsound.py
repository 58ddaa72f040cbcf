"""UCMKD on VGGSound: sounds in videos.

The set's own division. Sounds are linear log spectrograms, standardised per clip; of each video one
frame is seen. All stay in their files until a batch of them is wanted.
"""

from benchmarks.paper import _ucmkd
from benchmarks.paper._ucmkd import PAPER  # noqa: F401
from cmkdlearn.datasets import load_vggsound

FOLDER = ("VGGSound's vggsound.csv, with what was extracted from its videos in Image-01-FPS and "
          "audio (see cmkdlearn.datasets.load_vggsound)")
LAYOUT = {"miniature": FOLDER, "full": FOLDER}
SETTINGS = {
    "miniature": {"epochs": 1, "image_size": 32, "seconds": 0.3, "tiny": True},
    "full": {"epochs": 100, "image_size": 224, "seconds": 10.0},
}


def tables(scale):
    return _ucmkd.tables("VGGSound")


def run(method, cell, seed, settings, folder, work):
    return _ucmkd.run_distributed(load_vggsound, folder, method, cell, seed, settings, work)
