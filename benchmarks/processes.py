"""An epoch in two processes against one, at the same batch of a step.

timm's ResNet-18 on 512 images of 3 x 32 x 32, batches of 64, two processes on gloo (nccl where
there are two GPUs) with one thread each against one with one thread. An efficiency of 1 is half
the time.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator

from benchmarks._report import save
from cmkdlearn.students import MultiTeacherDistiller

N, SHAPE, C, BATCH, EPOCHS, SEED = 512, (3, 32, 32), 10, 64, 4, 0


def epochs():
    """Train in this process, alone or one of several, and return the seconds of each epoch."""
    rng = np.random.default_rng(SEED)
    X, y = rng.integers(256, size=(N, *SHAPE), dtype=np.uint8), rng.integers(C, size=N)
    student = MultiTeacherDistiller(batch_size=BATCH, max_epochs=EPOCHS, random_state=SEED,
                                    accelerator=Accelerator).fit(X, y)
    return student.history_[:, "dur"], student.history_[:, "train_loss"]


def run(processes):
    """Start them as torchrun does, and return what the first one measured, without its warm-up."""
    with socket.socket() as connection:
        connection.bind(("127.0.0.1", 0))
        port = connection.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        started = []
        for rank in range(processes):
            env = {**os.environ, "RANK": str(rank), "LOCAL_RANK": str(rank),
                   "WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1",
                   "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
            if torch.cuda.device_count() < processes:
                env["ACCELERATE_USE_CPU"] = "true"
            started.append(subprocess.Popen(
                [sys.executable, "-m", "benchmarks.processes", f"{folder}/{rank}"], env=env))
        if any([process.wait() for process in started]):
            raise RuntimeError("One of the processes failed; see above.")
        seconds, losses = json.loads(Path(folder, "0").read_text())
    return seconds[1:], losses


def main():
    (one, curve_of_one), (two, curve_of_two) = run(1), run(2)
    efficiency = np.median(one) / (2 * np.median(two))
    save("processes", samples=N, shape=SHAPE, batch_size=BATCH, seed=SEED,
         seconds={"one": one, "two": two}, losses={"one": curve_of_one, "two": curve_of_two},
         efficiency=float(efficiency), target_efficiency=0.85)


if __name__ == "__main__":
    if len(sys.argv) == 2:
        Path(sys.argv[1]).write_text(json.dumps(epochs()))
    else:
        main()
