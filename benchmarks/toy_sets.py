"""The students' defaults against scikit-learn's, on its toy sets: accuracy and time.

``python -m benchmarks.toy_sets tune`` compares settings of ``max_epochs`` and ``batch_size`` on
other data: parts of MNIST, spoken digits and three omics (in the folder $CMKDLEARN_DATA), and what
scikit-learn makes up. The default was chosen there. Without "tune" it is looked at on the toy sets.
"""

import sys
import time
import warnings

import numpy as np
import torch
from sklearn.datasets import (
    load_breast_cancer,
    load_digits,
    load_iris,
    load_wine,
    make_classification,
    make_gaussian_quantiles,
    make_moons,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import RepeatedStratifiedKFold, train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks import _data
from benchmarks._report import save
from cmkdlearn import base
from cmkdlearn.students import MultiTeacherDistiller
from cmkdlearn.teachers import UnimodalTeacher

TOYS = {"iris": load_iris, "wine": load_wine, "breast cancer": load_breast_cancer,
        "digits": load_digits}
SEED = 0
# Of max_epochs and batch_size="auto": the least number of steps, the least batch, and what part of
# the samples a batch is.
SETTINGS = {"20 epochs of 128": (0, 128, 10), "128, 100 steps": (100, 128, 10),
            "128, 200 steps": (200, 128, 10), "a tenth": (0, 16, 10),
            "a tenth, 120 steps": (120, 16, 10), "a tenth, 200 steps": (200, 16, 10),
            "a fifteenth, 120 steps": (120, 20, 15), "a thirtieth, 120 steps": (120, 20, 30),
            "a thirtieth, 140 steps": (140, 20, 30), "a thirtieth, 150 steps": (150, 20, 30)}


def tuning_sets():
    """Data to choose by, by name."""
    mnist, sounds, omics = _data.mnist(), _data.fsdd(), _data.rosmap()
    for n in (200, 600, 1800):
        yield f"MNIST, {n}", *part(mnist.X_train, mnist.y_train, n)
    yield "spoken digits", *part(sounds.X_train, sounds.y_train, 300)
    for name, X in omics.X_train.items():
        yield name, X, omics.y_train
    for i, (n, d, classes, clusters, informative) in enumerate(
            [(150, 4, 3, 1, 2), (180, 13, 3, 1, 6), (570, 30, 2, 2, 15), (400, 10, 4, 2, 6)]):
        yield f"classes {i}", *make_classification(
            n, d, n_informative=informative, n_redundant=0, n_classes=classes,
            n_clusters_per_class=clusters, class_sep=1.5, random_state=i)
    yield "moons", *make_moons(200, noise=0.25, random_state=SEED)
    yield "quantiles", *make_gaussian_quantiles(n_samples=300, n_features=5, n_classes=3,
                                                random_state=SEED)


def part(X, y, n):
    rows, _ = train_test_split(np.arange(len(y)), train_size=n, stratify=y, random_state=SEED)
    return X[rows].reshape(n, -1).astype(np.float32), y[rows]


def cross_validate(estimators, X, y):
    """Accuracies and seconds of five times two folds: all estimators on one fold, then the next."""
    folds = list(RepeatedStratifiedKFold(n_splits=2, n_repeats=5, random_state=SEED).split(X, y))
    scores = {name: [] for name in estimators}
    times = {name: [] for name in estimators}
    for make in estimators.values():
        make(SEED).fit(X[folds[0][0]], y[folds[0][0]])  # the first one imports and allocates
    for seed, (train, test) in enumerate(folds):
        for name, make in estimators.items():
            estimator = make(seed)
            start = time.process_time()  # other work on the machine counts for nobody
            estimator.fit(X[train], y[train])
            times[name].append(time.process_time() - start)
            scores[name].append(estimator.score(X[test], y[test]))
    return {name: {"mean": float(np.mean(scores[name])),
                   "std_error": float(np.std(scores[name], ddof=1) / len(folds) ** 0.5),
                   "seconds": float(np.median(times[name]))} for name in estimators}


def standardised(make):
    return lambda seed: make_pipeline(StandardScaler(), make(seed))


def with_budget(steps, batch, batches):
    def make(seed):
        base.LEAST_STEPS, base.LEAST_BATCH, base.BATCHES = steps, batch, batches
        return MultiTeacherDistiller(random_state=seed, device="cpu")
    return make


def tune():
    results = {}
    for name, X, y in tuning_sets():
        results[name] = cross_validate({
            "MLPClassifier": standardised(lambda seed: MLPClassifier(random_state=seed)),
            **{setting: with_budget(*values) for setting, values in SETTINGS.items()}}, X, y)
        print(name, {k: (round(v["mean"], 3), round(v["seconds"], 3))
                     for k, v in results[name].items()}, file=sys.stderr, flush=True)
    summary = {}
    for setting in SETTINGS:
        ours, theirs = ([cells[name] for cells in results.values()]
                        for name in (setting, "MLPClassifier"))
        pairs = list(zip(ours, theirs, strict=True))
        summary[setting] = {
            "as accurate": sum(a["mean"] >= b["mean"] - b["std_error"] for a, b in pairs),
            "mean difference": float(np.mean([a["mean"] - b["mean"] for a, b in pairs])),
            "times the time": {word: float(of([a["seconds"] / b["seconds"] for a, b in pairs]))
                               for word, of in (("median", np.median), ("max", np.max))}}
    save("toy_sets_tuning", seed=SEED, sets=len(results), settings=SETTINGS, summary=summary,
         results=results)


def look():
    kinds = {"MLPClassifier": lambda seed: MLPClassifier(random_state=seed),
             "LogisticRegression": lambda seed: LogisticRegression(),
             "UnimodalTeacher": lambda seed: UnimodalTeacher(random_state=seed, device="cpu"),
             "MultiTeacherDistiller": lambda seed: MultiTeacherDistiller(random_state=seed,
                                                                         device="cpu")}
    results = {}
    for name, toy in TOYS.items():
        X, y = toy(return_X_y=True)
        results[name] = {
            "raw": cross_validate(kinds, X, y),
            "standardised": cross_validate({kind: standardised(make)
                                            for kind, make in kinds.items()}, X, y)}
    save("toy_sets", seed=SEED, splits="5 x 2", target_times_the_time=1.5, results=results)


def main():
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", ConvergenceWarning)
    tune() if sys.argv[1:] == ["tune"] else look()


if __name__ == "__main__":
    main()
