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
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import log_loss

from benchmarks.evidence._pairs import PAIRS, draw
from cmkdlearn.students import MultiTeacherDistiller
from cmkdlearn.teachers import ProductOfExperts, UnimodalTeacher

PAPER = "no paper's; this library's own"
SETTINGS = {"small": {"steps": 300, "batch": 32, "batch_unlabelled": 96}}
BASELINE = "CE"
MEASURES = {"accuracy": "the student's accuracy", "nats": "the student's log-loss (nats)"}
ALONE, MORE = "labels only", "unlabelled pairs"
TRAINING = {"schedule": "cosine", "device": "cpu", "verbose": 0}
HINTON, LITTLE = {"lambda_kd": 1.0, "temperature": 4.0}, {"alpha": 0.8, "temperature": 1.0}
OF_PRODUCT = {"alpha": 0.2, "temperature": 1.0}


def cells(settings):
    return {f"{pair}, {given}": {"pair": pair, "given": given}
            for pair in PAIRS for given in (ALONE, MORE)}


def run(seed, settings, pair, given):
    data, teachers = _taught(pair, seed, settings["steps"], settings["batch"])
    known = slice(data.n_labelled)
    X = {name: part[known] for name, part in data.X_train.items()}
    labels_only = X, data.y_train[known], _budget(settings["steps"], data.n_labelled,
                                                  settings["batch"])
    given_to = labels_only if given == ALONE else (
        data.X_train, np.r_[data.y_train[known], np.full(len(data.y_train) - data.n_labelled, -1)],
        _budget(settings["steps"], len(data.y_train), settings["batch_unlabelled"]))
    methods = {
        "CE": ([], {}, labels_only),
        "KD, λ = 1, τ = 4": ("teacher", HINTON, given_to),
        "KD, α = 0.8, τ = 1": ("teacher", LITTLE, given_to),
        **{name: (name, OF_PRODUCT, given_to) for name in ("product", "itself", "exchanged",
                                                          "joint")}}
    scores = {"teacher": _scores(teachers["teacher"], data)}
    for name, (taught_by, params, (X, y, budget)) in methods.items():
        student = MultiTeacherDistiller(
            [("teacher", FrozenEstimator(teachers[taught_by]))] if taught_by else [],
            modality=data.student, random_state=seed, **TRAINING, **budget, **params)
        scores[name] = _scores(student.fit(X, y), data)
    return scores


def _budget(steps, n, batch):
    """Return how many epochs come to so many steps, about."""
    return {"batch_size": batch, "max_epochs": max(1, round(steps / np.ceil(n / batch)))}


@lru_cache(maxsize=1)
def _taught(pair, seed, steps, batch):
    """Return a pair's data and its teachers, fitted on what has labels: the same for both cells."""
    read, teacher, student, n = PAIRS[pair]
    data = draw(read(), teacher, student, n, seed)
    rng = np.random.default_rng([seed, 1])
    for part in (data.X_train, data.X_test):
        part["exchanged"] = rng.permutation(part[teacher])
        part["joint"] = np.hstack([part[teacher], part[student]])
    data.student, known = student, slice(data.n_labelled)
    X = {name: part[known] for name, part in data.X_train.items()}
    training = {**TRAINING, **_budget(steps, data.n_labelled, batch)}
    teachers = {}
    for name, modalities in {"teacher": [teacher], "joint": ["joint"], "product": [teacher, student],
                             "itself": [student], "exchanged": ["exchanged", student]}.items():
        experts = [(one, UnimodalTeacher(modality=one, **training)) for one in modalities]
        chosen = experts[0][1] if name in ("teacher", "joint") else ProductOfExperts(experts)
        teachers[name] = chosen.set_params(random_state=1000 + seed).fit(X, data.y_train[known])
    return data, teachers


def _scores(model, data):
    p = np.asarray(model.predict_proba(data.X_test), dtype=float)
    p = np.clip(p, 1e-12, None) / p.sum(axis=1, keepdims=True)
    return {"accuracy": model.score(data.X_test, data.y_test),
            "nats": log_loss(data.y_test, p, labels=model.classes_)}
