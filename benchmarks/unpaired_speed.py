"""What a UCMKD epoch and the feature alignment cost, in units of cross-entropy and of POT.

A ResNet-18 on 3 x 64 x 64 images and an MLP on 512 features, batches of 64, one inner step of each
kind. POT is called as its users would, with the gradient of the envelope theorem and our tolerance.
That is of another error: the Euclidean norm of what the weights miss, and not the share of all
mass. So POT is timed once more with the largest of its tolerances that misses no more mass than
ours. Operations are counted without those that only look at a tensor otherwise: on a GPU each is
one launch or more. Memory is the greatest resident size of a process of its own, beyond one that
only built the student; on a GPU what is allocated there beyond the student.
"""

import resource
import subprocess
import sys
import warnings

import numpy as np
import ot
import torch
from sklearn.frozen import FrozenEstimator
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks._report import alternate, ratio, save
from cmkdlearn.alignment import feature_alignment
from cmkdlearn.nn.data import TensorData
from cmkdlearn.students import UCMKDStudent
from cmkdlearn.teachers import UnimodalTeacher

BATCH, CLASSES, SEED = 64, 10, 0
SIZES, RELATIVE, TOL, MOST = (32, 64, 128, 512, 2048), (0.001, 0.01, 0.1, 1.0), 1e-2, 5000
STEPS = {"resnet18": 2, "mlp": 200}
METHODS = {
    "cross-entropy": {"lambda_fa": 0.0, "lambda_la": 0.0},
    "feature KD": {"bilevel": False, "lambda_la": 0.0},
    "bi-level": {},
    "bi-level, label step on the head": {"la_scope": "head"},
}


class Operations(TorchDispatchMode):
    """Counts operations that compute something."""

    count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += not (function.is_view or "empty" in function.__name__)
        return function(*args, **(kwargs or {}))


def operations(function):
    with Operations() as counted:
        function()
    return counted.count


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
    steps = {name: one(name) for name in METHODS}
    times = alternate(11, **steps)
    return {"seconds": times,
            "operations of a step": {name: operations(epoch) / STEPS[network]
                                     for name, epoch in steps.items()},
            "to cross-entropy": {name: ratio(times, name, "cross-entropy")
                                 for name in METHODS if name != "cross-entropy"}}


def transport(n, relative, width=512):
    """Time the alignment of n with n features; ``relative`` is epsilon over the mean cost."""
    generator = torch.Generator().manual_seed(SEED)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    x = torch.randn(n, width, generator=generator).to(device).requires_grad_()
    y = (torch.randn(n, width, generator=generator) + 0.3).to(device)
    reg = relative * torch.cdist(x, y).mean().item()

    def by_pot(tol):
        return ot.solve(torch.cdist(x, y), reg=reg, tol=tol, max_iter=MOST, grad="envelope")

    def missed(tol):
        plan = by_pot(tol).plan
        return sum((plan.sum(axis) - 1 / n).abs().sum().item() for axis in (0, 1))

    tolerances = (TOL, 1e-3, 1e-4, 1e-5)
    misses = [missed(tol) for tol in tolerances]
    at_equal_error = next(tol for tol, miss in zip(tolerances, misses, strict=True) if miss <= TOL)
    methods = {"ours": lambda: feature_alignment(x, y, reg=reg, max_iter=MOST).backward(),
               "pot": lambda: by_pot(TOL).value.backward(),
               "pot at equal error": lambda: by_pot(at_equal_error).value.backward()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        times = alternate(101 if n <= 128 else 5, **methods)
        counts = {name: operations(method) for name, method in methods.items()}
    return {"mass that pot misses": misses[0], "pot's tol at equal error": at_equal_error,
            "seconds": times, "operations": counts,
            **{f"ours to {name}": ratio(times, "ours", name) for name in methods if name != "ours"}}


def memory(method):
    """Return the MiB that two steps add: in a process of its own, or on the GPU."""
    if torch.cuda.is_available():
        fitted, before = student("resnet18", **METHODS[method]), torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        fitted.fit(*data("resnet18", 2))
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    peaks = [int(subprocess.run([sys.executable, "-m", "benchmarks.unpaired_speed", method, steps],
                                check=True, capture_output=True, text=True).stdout)
             for steps in ("0", "2")]
    return (peaks[1] - peaks[0]) / 1024


def main():
    torch.set_num_threads(1)
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
         feature_alignment={f"{n} x {n}": {str(r): transport(n, r) for r in RELATIVE}
                            for n in SIZES}, pot=ot.__version__,
         pot_call="ot.solve(C, reg=reg, tol=1e-2, max_iter=5000, grad='envelope')",
         mebibytes_of_a_step={**added, "ratio": added["bi-level"] / added["cross-entropy"]},
         targets={"bi-level": 3.2, "bi-level, label step on the head": 2.3, "ours to pot": 1,
                  "memory": 2.5})


if __name__ == "__main__":
    main()
