"""What a UCMKD epoch and the feature alignment cost, in units of cross-entropy and of POT.

A ResNet-18 on 3 x 64 x 64 images and an MLP on 512 features, batches of 64, one inner step of each
kind. Memory is the greatest resident size of a process of its own, beyond one that only built the
student.
"""

import resource
import subprocess
import sys
import warnings

import numpy as np
import ot
import torch
from sklearn.frozen import FrozenEstimator

from benchmarks._report import alternate, ratio, save
from cmkdlearn.alignment import feature_alignment
from cmkdlearn.nn.data import TensorData
from cmkdlearn.students import UCMKDStudent
from cmkdlearn.teachers import UnimodalTeacher

BATCH, CLASSES, SEED = 64, 10, 0
STEPS = {"resnet18": 2, "mlp": 200}
METHODS = {
    "cross-entropy": {"lambda_fa": 0.0, "lambda_la": 0.0},
    "feature KD": {"bilevel": False, "lambda_la": 0.0},
    "bi-level": {},
    "bi-level, label step on the head": {"la_scope": "head"},
}


def data(network, batches):
    rng = np.random.default_rng(SEED)
    shape = (3, 64, 64) if network == "resnet18" else (512,)
    X = rng.normal(size=(batches * BATCH, *shape)).astype(np.float32)
    return X, np.arange(len(X)) % CLASSES


def student(network, **params):
    """Return a student that has seen one batch, of a teacher with equally wide features."""
    width = 512 if network == "resnet18" else 256
    X, y = data("mlp", 10)
    teacher = UnimodalTeacher(module__hidden=(width,), max_epochs=1, batch_size=BATCH,
                              random_state=SEED).fit(X, y)
    X, y = data(network, 1)
    module = {"module": "resnet18"} if network == "resnet18" else {}
    return UCMKDStudent(FrozenEstimator(teacher), **module, batch_size=BATCH,
                        warm_start=True, random_state=SEED, **{"max_epochs": 1, **params}).fit(X, y)


def epochs(network):
    X, y = data(network, STEPS[network])

    def one(method):
        fitted = student(network, **METHODS[method])
        pair = (TensorData(**fitted._read(X, reset=False), y=torch.from_numpy(y)), None)
        return lambda: fitted.net_.partial_fit(pair)
    times = alternate(5, **{name: one(name) for name in METHODS})
    return {"seconds": times, "to cross-entropy": {
        name: ratio(times, name, "cross-entropy") for name in METHODS if name != "cross-entropy"}}


def transport(n, width=512):
    generator = torch.Generator().manual_seed(SEED)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    x = torch.randn(n, width, generator=generator).to(device).requires_grad_()
    y = (torch.randn(n, width, generator=generator) + 0.3).to(device)
    a = torch.full((n,), 1 / n, device=device)

    def by_pot():
        cost = torch.cdist(x, y)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ot.sinkhorn2(a, a, cost, 0.1 * cost.mean().item(), numItermax=100,
                         stopThr=0).backward()
    times = alternate(7, ours=lambda: feature_alignment(x, y).backward(), pot=by_pot)
    return {"seconds": times, "pot_to_ours": ratio(times, "pot", "ours")}


def memory(method):
    """Return the MiB that two steps add, in a process of its own."""
    peaks = [int(subprocess.run([sys.executable, "-m", "benchmarks.unpaired_speed", method, steps],
                                check=True, capture_output=True, text=True).stdout)
             for steps in ("0", "2")]
    return (peaks[1] - peaks[0]) / 1024


def main():
    if len(sys.argv) == 3:
        method, steps = sys.argv[1], int(sys.argv[2])
        X, y = data("resnet18", max(steps, 1))
        fitted = student("resnet18", **METHODS[method], max_epochs=0) if not steps else \
            student("resnet18", **METHODS[method])
        if steps:
            fitted.fit(X, y)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
        return
    added = {name: memory(name) for name in ("cross-entropy", "bi-level")}
    save("unpaired_speed", batch_size=BATCH, steps=STEPS, seed=SEED,
         epoch={network: epochs(network) for network in STEPS},
         feature_alignment={f"{n} x {n}": transport(n) for n in (64, 512)},
         mebibytes_of_a_step={**added, "ratio": added["bi-level"] / added["cross-entropy"]},
         targets={"bi-level": 3.2, "bi-level, label step on the head": 2.3,
                  "pot_to_ours on the GPU": 5, "pot_to_ours on the CPU": 1, "memory": 2.5})


if __name__ == "__main__":
    main()
