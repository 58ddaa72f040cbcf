"""CCH on TCGA's liver cancers: blast-like, cholangio-like and liver-like."""

from benchmarks.paper import _omics
from benchmarks.paper._cch import AT_ONCE, NOISE, PAPER  # noqa: F401
from benchmarks.paper.cch_kipan import LAYOUT  # noqa: F401

PAIRS = ("mRNA to CNV",)
SETTINGS = {
    "miniature": {"pairs": PAIRS, "noise": (0.0, 0.8), "epochs": 2, "columns": 10, "mi": AT_ONCE},
    "full": {"pairs": PAIRS, "noise": NOISE, "epochs": 200, "columns": 100, "mi": {}},
}
TABLE_7 = {"I(T; S)": (0.0914, 0.0825, 0.0699, 0.0736, 0.0409), "I(S; Y)": (0.0781,) * 5,
           "KD": (0.5795, 0.5692, 0.5368, 0.5259, 0.5080), "no KD": (0.5548,) * 5}


def tables(scale):
    return _omics.tables(SETTINGS[scale], "Table 7", TABLE_7)


def run(method, cell, seed, settings, folder, work):
    return _omics.run(*_omics.cohort(folder), method, cell, seed, settings, work, fusion={})
