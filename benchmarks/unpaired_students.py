"""Unpaired students against cross-entropy: spoken and written digits, and views of UCI digits.

Every method has the same network, steps, label smoothing and seeds. Settings were chosen on
validation parts of the training data (see the user guide on how many); the test parts are looked at
here only. Finished cells are kept in the JSON and not run again.
"""

import copy
import json
import warnings

import numpy as np
from scipy import stats
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator

from benchmarks._data import fsdd, mnist, uci_multiple_features
from benchmarks._networks import DigitNet
from benchmarks._report import FOLDER, save
from cmkdlearn.students import UCMKDStudent
from cmkdlearn.teachers import UnimodalTeacher

SEEDS = range(100, 105)
TRAINING = {"batch_size": 32, "label_smoothing": 0.1}
# (student, teacher, labelled samples of the student, epochs)
CELLS = [("spoken", "written", 200, 40), ("written", "spoken", 200, 40),
         *[(student, teacher, n, epochs) for n, epochs in ((200, 40), (600, 20))
           for student, teacher in (("zer", "fac"), ("mor", "pix"), ("fou", "kar"),
                                    ("kar", "zer"))],
         ("spoken", "written", 1000, 15), ("written", "spoken", 1000, 15)]
METHODS = {
    "cross-entropy": {"lambda_fa": 0.0},
    "UCMKDStudent()": {},
    "classes renamed": {},
    "noise for features": {},
    "weights that stay": {"decay": False},
    "feature KD, weight 1": {"lambda_fa": 1.0, "feature_scale": 1.0, "label_cost": 0.0,
                             "decay": False},
    "bi-level, relative step": {"lambda_fa": 1.0, "feature_scale": 1.0, "lambda_la": 1.0,
                                "bilevel": True, "decay": False},
    "UCMKDStudent.paper()": None,
}


def control(name, teacher, seed):
    """Return the teacher with a bank that lacks one thing."""
    rng = np.random.default_rng(seed)
    other = copy.copy(teacher)
    if name == "classes renamed":  # classes keep their clusters, but each has another's
        renamed = np.roll(teacher.classes_, rng.integers(1, len(teacher.classes_)))
        other.feature_bank_labels_ = renamed[teacher.feature_bank_labels_]
    elif name == "noise for features":  # the same means and spreads, and no classes
        z = teacher.feature_bank_
        noise = rng.normal(z.mean(axis=0), z.std(axis=0), size=z.shape)
        other.feature_bank_ = noise.astype(np.float32)
    return FrozenEstimator(other)


def splits(student, teacher, n, seed, data):
    """Return X, y, X_test, y_test of the student and X, y of the teacher."""
    rng = np.random.default_rng(seed)
    if student in ("spoken", "written"):
        mine, theirs = data[student], data[teacher]
        rows = stratified(mine.y_train, n, rng)
        shown = rng.permutation(len(theirs.y_train))[:2700]
        return (mine.X_train[rows], mine.y_train[rows], mine.X_test, mine.y_test,
                theirs.X_train[shown], theirs.y_train[shown])
    views, y = data["uci"]
    order = rng.permutation(len(y))
    shown, test, rest = order[:700], order[700:1300], order[1300:]
    rows = rest[stratified(y[rest], n, rng)]
    return (views[student][rows], y[rows], views[student][test], y[test],
            views[teacher][shown], y[shown])


def stratified(y, n, rng):
    return np.concatenate([rng.permutation(np.flatnonzero(y == k))[: n // 10] for k in range(10)])


def run(cell, data):
    student, teacher, n, epochs = cell
    images = student in ("spoken", "written")
    network = {"module": DigitNet, "input_type": "image"} if images else {}
    scores = {name: [] for name in METHODS}
    for seed in SEEDS:
        X, y, X_test, y_test, X_T, y_T = splits(student, teacher, n, seed, data)
        taught = UnimodalTeacher(max_epochs=20, random_state=seed, **TRAINING, **network)
        taught.fit(X_T, y_T)
        for name, params in METHODS.items():
            frozen = control(name, taught, seed)
            given = {"max_epochs": epochs, "random_state": seed, **TRAINING, **network}
            if params is None:
                fitted = UCMKDStudent.paper(frozen, **given)
            else:
                fitted = UCMKDStudent(frozen, **given, **params)
            scores[name].append(fitted.fit(X, y).score(X_test, y_test))
    return {name: summary(accuracy, scores["cross-entropy"]) for name, accuracy in scores.items()}


def summary(accuracy, baseline):
    """Return the mean and spread, and the 95 % interval of the paired gain over a baseline."""
    gain = np.array(accuracy) - baseline
    half = stats.t.ppf(0.975, len(gain) - 1) * stats.sem(gain)
    return {"accuracy": accuracy, "mean": np.mean(accuracy), "sd": np.std(accuracy, ddof=1),
            "gain": gain.mean(), "interval": [gain.mean() - half, gain.mean() + half]}


def main():
    warnings.simplefilter("ignore", ConvergenceWarning)
    written = mnist()
    written.y_train, written.y_test = written.y_train.astype(int), written.y_test.astype(int)
    data = {"written": written, "spoken": fsdd(), "uci": uci_multiple_features()}
    path = FOLDER / "unpaired_students.json"
    results = json.loads(path.read_text())["results"] if path.exists() else {}
    for cell in CELLS:
        student, teacher, n, _ = cell
        name = f"{student}, taught by {teacher}, {n} labels"
        if name not in results:
            results[name] = run(cell, data)
            save("unpaired_students", seeds=list(SEEDS), training=TRAINING, results=results)


if __name__ == "__main__":
    main()
