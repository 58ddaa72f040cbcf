"""The fewer labels, the more a teacher that needs none can say.

Students of a share of the labels, the other images without: 2 to 100 %. The paper does not have
this curve. All students take equally many steps, whatever share of a batch is labelled; the student
without a teacher is trained on the labelled images alone, for as many steps.
"""

import tempfile

import numpy as np
from sklearn.base import clone

from benchmarks._networks import HINTON
from benchmarks.evidence._claims import Claim
from benchmarks.evidence._images import images, reader, training, without_labels
from cmkdlearn.students import MultiTeacherDistiller

PAPER = "not in the papers: the share of labelled images"
SETTINGS = {
    "small": {"n_train": 1500, "n_test": 1000, "epochs": 15, "teacher_epochs": 30},
    "full": {"n_train": 50000, "n_test": 10000, "epochs": 100, "teacher_epochs": 30},
}
BASELINE = "no teacher"
MEASURES = {"accuracy": "student"}
SHARES = {"Fashion-MNIST": (0.02, 0.05, 0.1, 0.2, 0.5, 1.0), "CIFAR-10": (0.02, 0.1, 1.0)}
TEXTS = {"relaxed 100%": {}, "noise 100%": {"relaxation": "noise"},
         "image alone": {"use_text": False}}


def cells(settings):
    return {f"{name}, {share:.0%} labelled": {"dataset": name, "share": share}
            for name, shares in SHARES.items() for share in shares}


def run(seed, settings, dataset, share):
    data, scores = images(dataset, settings), {}
    y = without_labels(data.y_train, share, np.random.default_rng(seed))
    labelled = np.array([label is not None for label in y])
    student = MultiTeacherDistiller(**HINTON, **data.network, **training(settings, seed))
    steps = settings["epochs"] * -(-len(y) // 64)
    alone = clone(student).set_params(max_epochs=round(steps / -(-labelled.sum() // 64)))
    alone.fit(data.X_train[labelled], y[labelled].astype(str))
    scores["no teacher"] = {"accuracy": alone.score(data.X_test, data.y_test)}
    with tempfile.TemporaryDirectory() as memory:
        for name, text in TEXTS.items():
            student.set_params(teachers=[("T_x", reader(data, settings, seed, **text))],
                               memory=memory)
            student.fit(data.X_train, y)
            scores[name] = {
                "accuracy": student.score(data.X_test, data.y_test),
                "teacher": student.named_teachers_.T_x.score(data.X_test, data.y_test)}
    return scores


def _gain(results, labels, method, over):
    cells = [cell for cell in results.names(0) if cell.endswith(f" {labels} labelled")]
    return results.gain(cells, method, over)


def draw(results, figure):
    axes = figure.subplots(1, 2)
    for ax, (dataset, shares) in zip(axes, SHARES.items(), strict=True):
        cells = [f"{dataset}, {share:.0%} labelled" for share in shares]
        for name in (BASELINE, *TEXTS):
            scores = np.array([results.over_seeds(cell, name) for cell in cells])
            ax.errorbar(shares, scores.mean(axis=1), scores.std(axis=1, ddof=1), fmt="o-",
                        capsize=2, label=name if name == BASELINE else f"taught: {name}")
        ax.set(xscale="log", xticks=shares, xticklabels=[f"{share:.0%}" for share in shares],
               xlabel="share of the images that is labelled", ylabel="test accuracy",
               title=f"{dataset}: student")
        ax.minorticks_off()
    axes[0].legend(frameon=False)


CLAIMS = [
    Claim("With few labels, a label-free teacher makes the student better.",
          "2 % labelled", lambda r: _gain(r, "2%", "relaxed 100%", "no teacher"),
          "student of T_x at 100 % relaxed, less no teacher", headline=True),
    Claim("With all labels, too.", "100 % labelled",
          lambda r: _gain(r, "100%", "relaxed 100%", "no teacher"), "the same"),
    Claim("With few labels, the relaxed text adds to the image.", "2 % labelled",
          lambda r: _gain(r, "2%", "relaxed 100%", "image alone"),
          "student of T_x at 100 % relaxed, less that of the image alone"),
]
