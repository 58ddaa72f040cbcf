"""Memory and time of `fit` on a memory-mapped array larger than it should ever need.

A table of 4,096 columns in a sparse file, 4 GB of it unless told otherwise (`python -m
benchmarks.large_data --gigabytes 20`), an MLP 4096-32-10, one epoch. Each `fit` runs in a process
of its own; "beyond the model" is its peak resident memory less that of the same `fit` on the first
1,024 rows.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks._report import save, seconds
from cmkdlearn.students import MultiTeacherDistiller

D, C, BATCH, FEW, SEED = 4096, 10, 512, 1024, 0


def measure(path, rows):
    """Fit in this process, and print its peak resident memory (MiB) and the time (s)."""
    X = np.load(path, mmap_mode="r")[:rows]
    student = MultiTeacherDistiller(module__hidden=(32,), max_epochs=1, batch_size=BATCH,
                                    random_state=SEED)
    elapsed = seconds(lambda: student.fit(X, np.arange(len(X)) % C))
    unit = 2**20 if sys.platform == "darwin" else 2**10
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, elapsed)


def in_a_process_of_its_own(path, rows):
    command = [sys.executable, "-m", "benchmarks.large_data", "--measure", str(path), str(rows)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return map(float, said.split())


def main(gigabytes):
    rows = int(gigabytes * 1e9 / (4 * D))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "X.npy"
        X = np.lib.format.open_memmap(path, "w+", np.float32, (rows, D))
        X[:FEW] = np.random.default_rng(SEED).normal(size=(FEW, D))  # the rest are holes
        X.flush()
        alone, _ = in_a_process_of_its_own(path, FEW)
        peak, elapsed = in_a_process_of_its_own(path, rows)
    save("large_data", gigabytes=gigabytes, samples=rows, features=D, batch_size=BATCH, seed=SEED,
         mebibytes={"the model alone": alone, "peak": peak, "beyond the model": peak - alone},
         seconds_of_fit=elapsed, target_mebibytes_beyond_the_model=1907)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--gigabytes", type=float, default=4)
    parser.add_argument("--measure", nargs=2, metavar=("PATH", "ROWS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(options.measure[0], int(options.measure[1]))
    else:
        main(options.gigabytes)
