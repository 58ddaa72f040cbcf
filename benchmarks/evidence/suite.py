"""What would I gain? Pairs of real modalities, with and without unlabelled pairs.

One modality of each pair teaches, the other is the student's. 150 to 300 samples have labels; in
half of the cells paired samples without a label, up to 1,000, are there as well. Students and
teachers are one network (a hidden layer of 256 on up to 64 principal components) and take as many
steps. The method and its weight were chosen on 16 of the pairs (RAVDESS, fashion by usage, ROSMAP,
UCI's digits) with other seeds; the other 18 are the report. A seed is also a fold: the one that is
tested.

- *KD*: the teacher's logits as they are, by Hinton's temperature and weight, or with little of
  both.
- *product*: the teacher and a network like the student, calibrated and multiplied
  (:class:`~cmkdlearn.teachers.ProductOfExperts`).
- *itself*: the same without the teacher; a gain of this size owes nothing to the other modality.
- *exchanged*: the same with the teacher's modality exchanged between samples, so that it says
  nothing.
- *joint*: in the product's place one network that reads both modalities.
"""

from functools import lru_cache

import numpy as np
from scipy.stats import sem, ttest_1samp
from scipy.stats import t as student_t
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import log_loss

from benchmarks._networks import HINTON
from benchmarks.evidence._claims import Claim
from benchmarks.evidence._pairs import PAIRS, REPORTED, sample
from cmkdlearn.students import MultiTeacherDistiller
from cmkdlearn.teachers import ProductOfExperts, UnimodalTeacher

PAPER = "no paper's; this library's own"
SETTINGS = {"small": {"steps": 300, "batch": 32, "batch_unlabelled": 96}}
BASELINE = "CE"
MEASURES = {"accuracy": "the student's accuracy", "nats": "the student's log-loss (nats)"}
ALONE, MORE = "labels only", "unlabelled pairs"
TRAINING = {"schedule": "cosine", "device": "cpu", "verbose": 0}
LITTLE = {"alpha": 0.8, "temperature": 1.0}
OF_PRODUCT = {"alpha": 0.2, "temperature": 1.0}
METHODS = {  # who teaches, and with what
    "CE": (None, {}),
    "KD, λ = 1, τ = 4": ("teacher", HINTON),
    "KD, α = 0.8, τ = 1": ("teacher", LITTLE),
    **{name: (name, OF_PRODUCT) for name in ("product", "itself", "exchanged", "joint")}}


def cells(settings):
    return {f"{pair}, {given}": {"pair": pair, "given": given}
            for pair in PAIRS for given in (ALONE, MORE)}


def run(seed, settings, pair, given, methods=METHODS):
    needed = tuple(dict.fromkeys(["teacher", *(who for who, _ in methods.values() if who)]))
    data, teachers = _taught(pair, seed, settings["steps"], settings["batch"], needed)
    known = slice(data.n_labelled)
    X = {name: part[known] for name, part in data.X_train.items()}
    labels_only = X, data.y_train[known], budget(settings["steps"], data.n_labelled,
                                                  settings["batch"])
    given_to = labels_only if given == ALONE else (
        data.X_train, np.r_[data.y_train[known], np.full(len(data.y_train) - data.n_labelled, -1)],
        budget(settings["steps"], len(data.y_train), settings["batch_unlabelled"]))
    scores = {"teacher": _scores(teachers["teacher"], data)}
    for name, (who, params) in methods.items():
        X, y, length = given_to if who else labels_only
        student = MultiTeacherDistiller(
            [("teacher", FrozenEstimator(teachers[who]))] if who else [],
            modality=data.student, random_state=seed, **TRAINING, **length, **params)
        scores[name] = _scores(student.fit(X, y), data)
    return scores


def budget(steps, n, batch):
    """Return how many epochs come to so many steps, about."""
    return {"batch_size": batch, "max_epochs": max(1, round(steps / np.ceil(n / batch)))}


@lru_cache(maxsize=1)
def _taught(pair, seed, steps, batch, needed):
    """Return a pair's data and its teachers, fitted on what has labels: the same for both cells."""
    read, teacher, student, n = PAIRS[pair]
    data = sample(read(), teacher, student, n, seed)
    rng = np.random.default_rng([seed, 1])
    for part in (data.X_train, data.X_test):
        part["exchanged"] = rng.permutation(part[teacher])
        part["joint"] = np.hstack([part[teacher], part[student]])
    data.student, known = student, slice(data.n_labelled)
    X = {name: part[known] for name, part in data.X_train.items()}
    training = {**TRAINING, **budget(steps, data.n_labelled, batch)}
    teachers = {}
    read_by = {"teacher": [teacher], "joint": ["joint"], "product": [teacher, student],
               "itself": [student], "exchanged": ["exchanged", student]}
    for name in needed:
        experts = [(one, UnimodalTeacher(modality=one, **training)) for one in read_by[name]]
        chosen = experts[0][1] if name in ("teacher", "joint") else ProductOfExperts(experts)
        teachers[name] = chosen.set_params(random_state=1000 + seed).fit(X, data.y_train[known])
    return data, teachers


def _scores(model, data):
    p = np.asarray(model.predict_proba(data.X_test), dtype=float)
    p = np.clip(p, 1e-12, None) / p.sum(axis=1, keepdims=True)
    return {"accuracy": model.score(data.X_test, data.y_test),
            "nats": log_loss(data.y_test, p, labels=model.classes_)}


def gains(results, method, given, over=BASELINE, pairs=REPORTED):
    """Return the gains of a method, an array (pairs, seeds), in accuracy."""
    return np.array([results.gain(f"{pair}, {given}", method, over) for pair in pairs])


def clear(gains):
    """Return which pairs' gains are clear of noise (Student's t at 5 %)."""
    return ttest_1samp(gains, 0, axis=1).pvalue < 0.05


def draw(results, figure):
    """One point a pair that is reported, by method: its gain over labels alone."""
    methods = [name for name in results.names(1) if name not in (BASELINE, "teacher", "product")]
    methods.append("product")
    axes = figure.subplots(1, 2, sharey=True)
    for ax, given in zip(axes, (ALONE, MORE), strict=True):
        for i, method in enumerate(methods):
            found = 100 * gains(results, method, given)
            sure, mean = clear(found), found.mean(axis=1)
            half = student_t.ppf(0.975, found.shape[1] - 1) * sem(found, axis=1)
            x = i + np.linspace(-0.3, 0.3, len(mean))
            ax.errorbar(x, mean, half, fmt="none", color=f"C{i}", alpha=0.3)
            for rows, face in ((sure, f"C{i}"), (~sure, "white")):
                ax.scatter(x[rows], mean[rows], 18, face, edgecolors=f"C{i}", zorder=3)
            ax.annotate(f"{np.sum(sure & (mean > 0))} up\n{np.sum(sure & (mean < 0))} down",
                        (i, 1), xycoords=("data", "axes fraction"), xytext=(0, -2), va="top",
                        textcoords="offset points", ha="center", fontsize="small")
        ax.axhline(0, color="grey", linewidth=1)
        ax.set_xticks(range(len(methods)), [name.replace(", ", ",\n") for name in methods],
                      fontsize="small")
        ax.set_title(f"{given} ({len(mean)} pairs; filled: clear of noise)", fontsize="medium")
    axes[0].set_ylabel("gain over labels alone (points)")
    low, high = axes[0].get_ylim()
    axes[0].set_ylim(low, high + 0.15 * (high - low))  # the counts need some room


def words(results):
    """Return what the guide's first page says: when it helps, by how much, and by which call."""
    def counted(method, given):
        found = 100 * gains(results, method, given)
        sure, mean = clear(found), found.mean(axis=1)
        return (f"{mean.mean():+.1f} points (clear gains {np.sum(sure & (mean > 0))}, clear losses "
                f"{np.sum(sure & (mean < 0))})")
    return (
        "When does distillation help, by how much, and by which call? Measured on "
        f"{len(REPORTED)} pairs of real modalities that had no part in choosing the method, with "
        f"150 to 300 labels and {len(results.seeds)} seeds, as the mean gain over labels alone:\n\n"
        "- Where there are pairs without a label: "
        f"{counted('product', MORE)}, by a :class:`~cmkdlearn.teachers.ProductOfExperts` of the "
        "teacher and the student's own modality and ``alpha=0.2``; without the other modality the "
        f"same call gave {counted('itself', MORE)}.\n"
        "- Where all pairs have a label: the same call "
        f"{counted('product', ALONE)}, the teacher alone with the defaults "
        f"{counted('KD, α = 0.8, τ = 1', ALONE)}, and with the literature's λ = 1 and τ = 4 "
        f"{counted('KD, λ = 1, τ = 4', ALONE)}.\n"
        "- What it brings on your own data, :func:`~cmkdlearn.model_selection.compare_teachers` "
        "tells in one call.\n")


def _claim(says, method, given, over=BASELINE, measured="", **more):
    measured = measured or "a student taught so, less one of labels alone"
    return Claim(says, "no table has it",
                 lambda r: gains(r, method, given, over).mean(axis=1),
                 f"{measured}; {given}, over the pairs that are reported", **more)


CLAIMS = [
    _claim("A product of calibrated experts teaches more than the labels, with unlabelled pairs.",
           "product", MORE, headline=True),
    _claim("Of that the other modality has its part.", "product", MORE, "itself", headline=True,
           measured="the product of both less the student's own modality alone"),
    _claim("One network that reads both modalities teaches as much.", "joint", MORE, "product",
           measured="one teacher of both modalities less the product"),
    _claim("The other modality's teacher alone, in small weight, helps with unlabelled pairs.",
           "KD, α = 0.8, τ = 1", MORE),
    _claim("The other modality's teacher alone, by λ = 1 and τ = 4, helps with unlabelled pairs.",
           "KD, λ = 1, τ = 4", MORE),
    _claim("Without unlabelled pairs, a product of experts helps.", "product", ALONE,
           headline=True),
    _claim("Without unlabelled pairs, distillation by λ = 1 and τ = 4 helps.", "KD, λ = 1, τ = 4",
           ALONE, headline=True),
    _claim("Without unlabelled pairs, a teacher in small weight helps.", "KD, α = 0.8, τ = 1",
           ALONE),
]
