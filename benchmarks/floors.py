"""What the machine could do at best: arithmetic and bytes of each hot path, and the time it takes.

The two floors of a path are its floating-point operations divided by the rate of a large matrix
product, and the bytes that it has to move at least divided by the rate of a copy, both measured
here, with one thread. Operations of a training step are three times those of the forward pass
(forward, gradient to the inputs, gradient to the weights); elementwise work is not counted, so that
the floor of a path of small layers is far below what any program reaches.
"""

import numpy as np
import torch
from sklearn.frozen import FrozenEstimator

from benchmarks._report import save, seconds
from cmkdlearn.alignment import feature_alignment
from cmkdlearn.information import mutual_information
from cmkdlearn.students import MultiTeacherDistiller, UCMKDStudent
from cmkdlearn.teachers import UnimodalTeacher

SEED, FLOAT, ROUNDS = 0, 4, 5


def best(function):
    function()
    return min(seconds(function) for _ in range(ROUNDS))


def machine(device):
    """Return the rates of a product (operations a second) and of a copy (bytes a second)."""
    n = 8192 if device == "cuda" else 1024
    a, b = torch.randn(n, n, device=device), torch.randn(n, n, device=device)
    large = torch.empty(2**26, device=device)
    return 2 * n**3 / best(lambda: a @ b), 2 * FLOAT * len(large) / best(large.clone)


def paths(device):
    """Yield name, operations, bytes and the function to time."""
    rng = np.random.default_rng(SEED)
    n, d, hidden, classes, batch = 20000, 512, 256, 10, 128
    X, y = rng.normal(size=(n, d)).astype(np.float32), np.arange(n) % classes
    training = {"max_epochs": 1, "batch_size": batch, "random_state": SEED, "device": device,
                "module__hidden": (hidden,)}
    weights = d * hidden + hidden * classes
    plain = MultiTeacherDistiller(**training)
    # a step reads and writes the weights, their gradients and two moments
    moved = FLOAT * (n * d + n // batch * weights * 8)
    yield "fit: an epoch of an MLP 512-256-10, 20,000 samples", 6 * n * weights, moved, \
        lambda: plain.fit(X, y)
    teacher = FrozenEstimator(UnimodalTeacher(**training).fit(X, y))
    distilled = MultiTeacherDistiller([("t", teacher)], **training)
    yield "fit with a frozen teacher, the same", 8 * n * weights, moved + FLOAT * n * d, \
        lambda: distilled.fit(X, y)
    unpaired = UCMKDStudent(teacher, **training)
    yield "fit: UCMKD in two levels, the same", 18 * n * weights, 3 * moved, \
        lambda: unpaired.fit(X, y)
    yield "predict, the same", 2 * n * weights, FLOAT * n * d, lambda: plain.predict(X)
    for m in (32, 64, 128, 512, 2048):
        x, z = (torch.randn(m, d, device=device) + shift for shift in (0, 0.3))
        x.requires_grad_()
        # costs and their gradient to one side; the kernel is made of the costs and read once
        yield f"feature_alignment with gradient, {m} x {m}", 4 * m * m * d, \
            FLOAT * m * m * 6, lambda x=x, z=z: feature_alignment(x, z).backward()
    x, z = rng.normal(size=(2, 10000, 8))
    yield "mutual_information by ksg, 10,000 x (8 + 8)", 3 * 10000**2 * 16, 8 * 10000 * 16, \
        lambda: mutual_information(x, z, estimator="ksg", random_state=SEED)


def main():
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_num_threads(1)
    rows, rates = {}, []
    for name, needed, read, function in paths(device):
        rates.append(machine(device))  # each time: what else a machine does changes
        operations, moved = rates[-1]
        floor = max(needed / operations, read / moved)
        taken = best(function)
        rows[name] = {"operations": needed, "bytes": read, "seconds at best": floor,
                      "bound by": "arithmetic" if needed / operations >= read / moved else "bytes",
                      "seconds": taken, "times the floor": taken / floor}
    operations, moved = (sorted(rate)[len(rate) // 2] for rate in zip(*rates, strict=True))
    save("floors", seed=SEED, operations_a_second=operations, bytes_a_second=moved, paths=rows)


if __name__ == "__main__":
    main()
