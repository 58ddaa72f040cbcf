"""Our "latent" beside the package of LMI's authors, on correlated columns hidden in a hundred.

The package wants NumPy 1: ``pip install latentmi "numpy<2"`` in an environment of its own, with
this library. Its estimates are in bits; all figures here are in nats. One thread, one after the
other.
"""

import math
import random

import numpy as np
import torch

from benchmarks._report import save, seconds
from benchmarks.information import HIDDEN
from cmkdlearn.information import mutual_information

SEED = 0


def theirs(x, y):
    from latentmi.lmi import estimate

    for seed in (random.seed, np.random.seed, torch.manual_seed):
        seed(SEED)
    return float(np.nanmean(estimate(x, y)[0])) * math.log(2)


def ours(x, y):
    return mutual_information(x, y, "latent", random_state=SEED).estimate


def main():
    torch.set_num_threads(1)
    results = {}
    for name, (n, (draw, truth)) in HIDDEN.items():
        x, y = draw(n, np.random.default_rng(SEED))
        results[name] = {"truth": round(float(truth), 4)}
        for label, estimator in (("ours", ours), ("latentmi", theirs)):
            found = []
            elapsed = seconds(lambda: found.append(estimator(x, y)))  # noqa: B023
            results[name][label] = {"estimate": round(found[0], 4), "seconds": round(elapsed, 2)}
    total = {label: sum(cells[label]["seconds"] for cells in results.values())
             for label in ("ours", "latentmi")}
    error = {label: float(np.mean([abs(cells[label]["estimate"] - cells["truth"])
                                   for cells in results.values()])) for label in total}
    save("latentmi", seed=SEED, results=results, mean_absolute_error=error,
         seconds=total, latentmi_to_ours=total["latentmi"] / total["ours"])


if __name__ == "__main__":
    main()
