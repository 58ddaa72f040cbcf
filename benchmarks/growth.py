"""How time and memory grow with samples, classes, nouns and teachers, and by which power.

Each point is a process of its own: the seconds of the call, the best of three, and its peak
resident memory beyond what was resident before it. The exponent is the slope of log time over log
size, by least squares.
"""

import json
import resource
import subprocess
import sys
import time

import numpy as np

from benchmarks._report import save

SEED, WIDTH = 0, 64
CURVES = {
    "MultiTeacherDistiller.fit: samples": (4000, 8000, 16000, 32000),
    "MultiTeacherDistiller.fit: classes": (10, 40, 160, 640),
    "MultiTeacherDistiller.fit: frozen teachers": (1, 2, 4, 8),
    "UCMKDStudent.fit: samples": (2000, 4000, 8000, 16000),
    "WordNetRelaxer.fit: nouns": (2000, 8000, 32000),
    "WordNetRelaxedTeacher.fit: samples": (2000, 4000, 8000, 16000),
    "mutual_information, ksg: samples": (4000, 8000, 16000, 32000),
    "CCHSelector.fit: samples": (500, 1000, 2000, 4000),
}


def task(name, size):
    """Return the call that is timed; what it needs is made before."""
    from sklearn.frozen import FrozenEstimator

    from cmkdlearn.information import mutual_information
    from cmkdlearn.selection import CCHSelector
    from cmkdlearn.students import MultiTeacherDistiller, UCMKDStudent
    from cmkdlearn.teachers import UnimodalTeacher, WordNetRelaxedTeacher
    from cmkdlearn.text import WordNetRelaxer

    rng = np.random.default_rng(SEED)
    estimator, axis = name.split(": ")
    n = size if axis == "samples" else 4000
    n_classes = size if axis == "classes" else 10
    X, y = rng.normal(size=(n, WIDTH)).astype(np.float32), np.arange(n) % n_classes
    training = {"max_epochs": 2, "batch_size": 128, "random_state": SEED, "device": "cpu"}
    if estimator == "MultiTeacherDistiller.fit":
        teacher = UnimodalTeacher(**training).fit(X, y)
        teachers = [(f"t{i}", FrozenEstimator(teacher))
                    for i in range(size if axis == "frozen teachers" else 1)]
        return lambda: MultiTeacherDistiller(teachers, **training).fit(X, y)
    if estimator == "UCMKDStudent.fit":
        teacher = UnimodalTeacher(**training).fit(X[:2000], y[:2000])
        return lambda: UCMKDStudent(FrozenEstimator(teacher), **training).fit(X, y)
    if estimator.startswith("WordNet"):
        nouns = {f"noun {i}": row for i, row in enumerate(
            rng.normal(size=(size if axis == "nouns" else 2000, WIDTH)))}
        if estimator == "WordNetRelaxer.fit":
            relaxer = WordNetRelaxer(list(nouns), np.stack(list(nouns.values())), n_clusters=50,
                                     random_state=SEED)
            return lambda: relaxer.fit(X)
        names = {k: row for k, row in enumerate(rng.normal(size=(n_classes, WIDTH)))}
        return lambda: WordNetRelaxedTeacher(nouns=nouns, class_names=names, n_clusters=30,
                                             **training).fit(X, y)
    if estimator.startswith("mutual"):
        return lambda: mutual_information(X[:, :8], X[:, 8:16], estimator="ksg",
                                          random_state=SEED)
    views = {"a": X[:, :32], "b": X[:, 32:]}
    return lambda: CCHSelector(student="a", n_repeats=2, random_state=SEED,
                               network=UnimodalTeacher(max_epochs=2, batch_size=128, device="cpu")
                               ).fit(views, y)


def measure(name, size):
    call = task(name, size)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    added = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return {"size": size, "seconds": min(seconds), "mebibytes": added / 1024}


def main():
    if len(sys.argv) == 3:
        print(json.dumps(measure(sys.argv[1], int(sys.argv[2]))))
        return
    curves = {}
    for name, sizes in CURVES.items():
        points = [json.loads(subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "benchmarks.growth", name, str(size)],
            check=True, capture_output=True, text=True).stdout) for size in sizes]
        exponent = np.polyfit(np.log(sizes), np.log([p["seconds"] for p in points]), 1)[0]
        curves[name] = {"points": points, "exponent": float(exponent)}
    save("growth", seed=SEED, curves=curves)


if __name__ == "__main__":
    main()
