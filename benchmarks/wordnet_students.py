"""Who teaches a student best? Method A on the shipped images of clothes, over seeds.

Every student has one network, one number of steps and one learning rate; only its teachers differ.
Nothing was tuned: the settings are those of examples/quickstart.py. A seed draws the networks, the
batches, the nouns' clusters and which images are labelled. The rule by which a difference to the
student without a teacher counts: the 95 % interval of the paired differences over the seeds
(Student's t) is clear of zero.
"""

import tempfile

import numpy as np
from joblib import Parallel, delayed
from scipy.stats import t as student_t

from benchmarks._networks import HINTON, SmallConvNet
from benchmarks._report import save
from cmkdlearn.datasets import load_fashion_mini
from cmkdlearn.embedding import ConSEEmbedder
from cmkdlearn.students import MultiTeacherDistiller
from cmkdlearn.teachers import TeacherEnsemble, UnimodalTeacher, WordNetRelaxedTeacher
from cmkdlearn.text import WordNetNouns

SEEDS = range(5)
LABELS = {"all labels": 1.0, "one in six": 1 / 6}
TEACHERS = ("no teacher", "image alone", "names (relaxed 0 %)", "relaxed 100 %", "noise 100 %",
            "T_m", "T_m + relaxed 100 %")
TRAINING = dict(max_epochs=15, batch_size=64, lr=3e-3)


def teachers(name, embedder, nouns):
    def read(**text):
        return WordNetRelaxedTeacher(embedder, nouns=nouns, templates=["{}"], max_epochs=30,
                                     batch_size=128, **text)

    T_m = TeacherEnsemble([(kind, UnimodalTeacher(SmallConvNet, augmentation=kind, **TRAINING))
                           for kind in ("strong", "weak")])
    T_x = {"image alone": read(use_text=False), "names (relaxed 0 %)": read(relaxed_proportion=0.0),
           "relaxed 100 %": read(),
           "noise 100 %": read(relaxation="noise")}
    parts = [] if name == "no teacher" else name.split(" + ")
    return [("T_m", T_m) if part == "T_m" else ("T_x", T_x[part]) for part in parts]


def one(seed, labels, memory):
    """Return the accuracies of all students, and of their teachers, for one seed."""
    import torch

    torch.set_num_threads(1)
    fashion = load_fashion_mini()
    embedder = ConSEEmbedder(memory=".cache/cmkdlearn")
    nouns = WordNetNouns().candidates(hypernym="artifact.n.01", max_words=1,
                                      exclude=fashion.class_names)
    rng = np.random.default_rng(seed)
    y = fashion.y_train.astype(object)
    y[rng.permutation(len(y))[round(LABELS[labels] * len(y)):]] = None
    results = {}
    for name in TEACHERS:
        if name.startswith("names") and labels != "all labels":
            continue  # such a teacher has nothing to say about an unlabelled image
        student = MultiTeacherDistiller(teachers(name, embedder, nouns), module=SmallConvNet,
                                        **HINTON, memory=memory, random_state=seed, **TRAINING)
        student.fit(fashion.X_train, y)
        results[name] = {"student": student.score(fashion.X_test, fashion.y_test)}
        if "T_x" in student.named_teachers_ and len(student.teachers_) == 1:
            T_x = student.named_teachers_.T_x
            results[name] |= {"shown text": T_x.score_with_labels(fashion.X_test, fashion.y_test),
                              "label-free": T_x.score(fashion.X_test, fashion.y_test)}
        print(labels, seed, name, results[name], flush=True)
    return results


def paired(scores, baseline):
    """Return the mean difference over the seeds, and its 95 % interval."""
    gain = np.subtract(scores, baseline)
    half = student_t.ppf(0.975, len(gain) - 1) * gain.std(ddof=1) / np.sqrt(len(gain))
    return gain.mean(), [gain.mean() - half, gain.mean() + half]


def summary(runs):
    """Turn one dict a seed into mean, spread and paired interval against no teacher."""
    rows = {}
    for name in runs[0]:
        scores = np.array([run[name]["student"] for run in runs])
        gain, interval = paired(scores, [run["no teacher"]["student"] for run in runs])
        rows[name] = {"student": scores.tolist(), "mean": scores.mean(), "sd": scores.std(ddof=1),
                      "gain": gain, "interval": interval}
        for key in ("shown text", "label-free"):
            if key in runs[0][name]:
                rows[name][key] = float(np.mean([run[name][key] for run in runs]))
    return rows


def main():
    fashion = load_fashion_mini()
    embedder = ConSEEmbedder(memory=".cache/cmkdlearn")
    embedder.transform(fashion.X_train), embedder.transform(fashion.X_test)
    with tempfile.TemporaryDirectory() as memory:
        jobs = [(seed, labels) for labels in LABELS for seed in SEEDS]
        runs = Parallel(n_jobs=2)(delayed(one)(seed, labels, memory) for seed, labels in jobs)
    results = {labels: summary([run for (_, which), run in zip(jobs, runs, strict=True)
                                if which == labels]) for labels in LABELS}
    save("wordnet_students", seeds=list(SEEDS), train=len(fashion.X_train),
         test=len(fashion.X_test), settings_tried=1, results=results)


if __name__ == "__main__":
    main()
