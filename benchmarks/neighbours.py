"""Mutual information by nearest neighbours in 8 + 8 columns, beside SciPy's k-d trees.

The rival is the same estimate by trees alone (``norm="max"``), which is how others do it:
scipy.spatial.cKDTree, on all cores. Both with as many threads as there are cores.
"""

import os

import numpy as np
import scipy
import torch

from benchmarks._report import alternate, ratio, save, seconds
from benchmarks.information import normal, sparse
from cmkdlearn.information import mutual_information

SEED, ROUNDS = 0, 3


def data(n):
    return normal(sparse(8, 0.6, 8))[0](n, np.random.default_rng(SEED))


def main():
    torch.set_num_threads(os.cpu_count())
    x, y = data(10_000)
    times = alternate(ROUNDS, ours=lambda: mutual_information(x, y, "ksg"),
                      trees=lambda: mutual_information(x, y, "ksg", norm="max"))
    large = data(100_000)
    save("neighbours", seed=SEED, rounds=ROUNDS, threads=torch.get_num_threads(),
         scipy=scipy.__version__, ours_to_trees=ratio(times, "ours", "trees"),
         seconds={10_000: min(times["ours"]),
                  100_000: seconds(lambda: mutual_information(*large, "ksg"))})


if __name__ == "__main__":
    main()
