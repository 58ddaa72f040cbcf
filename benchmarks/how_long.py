"""How long a fit takes: microseconds a sample and epoch, by network, input and method.

An epoch's time is that of two epochs less that of one, divided by the samples; the median of three.
What is left is once a fit: checks, statistics, the teacher's answers.
"""

import statistics

import numpy as np
import torch
from sklearn.frozen import FrozenEstimator

from benchmarks._report import save, seconds
from cmkdlearn.students import MultiTeacherDistiller, UCMKDStudent
from cmkdlearn.teachers import UnimodalTeacher

SEED, CLASSES, BATCH, ROUNDS = 0, 10, 64, 3
INPUTS = {  # shape, network and number of samples
    "table of 64 columns, default network": ((64,), "auto", 6400),
    "table of 2,000 columns, default network": ((2000,), "auto", 3200),
    "images 1 x 28 x 28, default network": ((1, 28, 28), "auto", 64),
    "images 3 x 32 x 32, resnet18": ((3, 32, 32), "resnet18", 64),
    "images 3 x 64 x 64, resnet18": ((3, 64, 64), "resnet18", 64),
    "images 3 x 224 x 224, resnet18": ((3, 224, 224), "resnet18", 16),
}


def measure(shape, module, n):
    rng = np.random.default_rng(SEED)
    X = rng.normal(size=(n, *shape)).astype(np.float32)
    y = np.arange(n) % CLASSES
    given = {"module": module, "batch_size": BATCH, "random_state": SEED}
    teacher = FrozenEstimator(UnimodalTeacher(**given, max_epochs=1).fit(X, y))

    def epoch(student):
        times = [[seconds(lambda k=k: student.set_params(max_epochs=k).fit(X, y)) for k in (1, 2)]
                 for _ in range(ROUNDS)]
        return statistics.median(two - one for one, two in times) / n

    students = {"no teacher": MultiTeacherDistiller([], **given),
                "a fitted teacher": MultiTeacherDistiller([("t", teacher)], **given),
                "UCMKDStudent": UCMKDStudent(teacher, **given)}
    found = {name: 1e6 * epoch(student) for name, student in students.items()}
    fitted = students["no teacher"]
    fitted.predict(X[:BATCH])
    found["predict"] = 1e6 * seconds(lambda: fitted.predict(X)) / n
    return found


def main():
    torch.set_num_threads(1)
    save("how_long", seed=SEED, batch_size=BATCH, rounds=ROUNDS, threads=1,
         microseconds={name: _said(name, measure(*given)) for name, given in INPUTS.items()})


def _said(name, found):
    print(name, found, flush=True)
    return found


if __name__ == "__main__":
    main()
