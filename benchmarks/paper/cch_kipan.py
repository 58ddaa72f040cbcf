"""CCH on TCGA's kidney cancers: chromophobe, clear cell and papillary."""

from benchmarks.paper import _omics
from benchmarks.paper._cch import AT_ONCE, NOISE, PAPER  # noqa: F401

LAYOUT = dict.fromkeys(("miniature", "full"),
                       _omics.LAYOUT.format("subtypes, with a column subtype"))
PAIRS = ("mRNA to CNV", "RPPA to CNV")
SETTINGS = {
    "miniature": {"pairs": PAIRS, "noise": (0.0, 0.8), "epochs": 2, "columns": 10, "mi": AT_ONCE},
    "full": {"pairs": PAIRS, "noise": NOISE, "epochs": 200, "columns": 100, "mi": {}},
}
TABLE_6 = {"I(T; S)": (0.7898, 0.7198, 0.6771, 0.6209, 0.6389), "I(S; Y)": (0.6994,) * 5,
           "KD": (0.8826, 0.8721, 0.8517, 0.8477, 0.8544), "no KD": (0.8667,) * 5}
TABLE_8 = {
    "mRNA to CNV": {"nats": (1.0458, 0.7898, 0.6994), "fusion": (0.9610, 0.9851, 0.9219, 0.9591),
                    "fusion + KD": (0.9740, 0.9872, 0.9293, 0.9725)},
    "RPPA to CNV": {"nats": (1.1609, 0.6893, 0.6994), "fusion": (0.9740, 0.9995, 0.9333, 0.9721),
                    "fusion + KD": (0.9610, 0.9971, 0.9225, 0.9595)},
}
FUSION = {"lr": 0.007, "temperature": 1.0}  # Table 19


def tables(scale):
    return _omics.tables(SETTINGS[scale], "Table 6", TABLE_6, ("Table 8", TABLE_8, ()))


def run(method, cell, seed, settings, folder, work):
    return _omics.run(*_omics.cohort(folder), method, cell, seed, settings, work, FUSION)
