"""What the experiments of CCH have in common: networks, methods, and how information is taken.

A cell is a pair of modalities or a blend, and how much the teacher's was spoilt, as in "mRNA to
CNV, 20% noise". Teacher and student have one architecture and are trained alike. The text at hand
has lost its formulas and many entries of its tables; what stands in their place is said in each
module. Batches are not printed at all.

Representations are those of the last hidden layer, for samples that the networks were not trained
on, of which the paper says nothing. I(H_S; Y) is of the student's network without a teacher.
"""

import numpy as np
from joblib import Memory
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import f1_score, roc_auc_score
from torch import nn

from cmkdlearn.information import mutual_information
from cmkdlearn.students import MultiTeacherDistiller
from cmkdlearn.teachers import UnimodalTeacher

PAPER = "CCH"
NOISE = (0.0, 0.2, 0.4, 0.6, 0.8)
PLAIN = {"ksg": {"margins": "none", "norm": "max"}}  # estimators as printed, so far as they are
FAST = {"lmi": {"hidden": 128, "lr": 1e-3, "max_epochs": 100}}  # at the small scale, for a CPU
AT_ONCE = {"lmi": {"hidden": 8, "max_epochs": 1}, "mine": {"max_epochs": 1}}  # in miniature


class Perceptron(nn.Sequential):
    """Linear layers with an activation; batch normalisation and dropout after it, if printed."""

    def __init__(self, n_features, widths, n_classes, activation=nn.ReLU, dropout=None):
        layers, width = [nn.Flatten()], n_features
        for size in widths:
            layers += [nn.Linear(width, size), activation()]
            if dropout is not None:
                layers += [nn.BatchNorm1d(size), nn.Dropout(dropout)]
            width = size
        super().__init__(*layers, nn.Linear(width, n_classes))


def network(X, **printed):
    """Return the parameters that say which network reads a table (n, d)."""
    return {"module": Perceptron, "module__n_features": X.shape[1], "input_type": "table",
            **{f"module__{name}": value for name, value in printed.items()}}


def run(method, cell, seed, work, *, data, printed, training, temperature, mi, measured=None):
    """Fit a method, and return its measures.

    Parameters
    ----------
    method, cell : str
    seed : int
    work : Path
    data : Bunch
        ``X_train``, ``X_test``, dicts of "teacher" and "student", ``y_train`` and ``y_test``.
    printed : dict
        The network, as for :class:`Perceptron`.
    training : dict
        Parameters of the estimators, without ``batch_size`` where a batch is all samples.
    temperature : float
    mi : dict
        Parameters of estimators of information, by their names.
    measured : list of such Bunches, optional
        Of which ``X_test`` tells the information, each by networks of its own; [data] if not given.
    """
    nets = Memory(work / "networks", verbose=0).cache(_taught, ignore=["X", "y"])

    def trained(part, data, place):
        """Return the network of a modality without a teacher, which is fitted once."""
        X = data.X_train[part]
        key = (cell if part == "teacher" else cell.rpartition(", ")[0], place, seed)
        return nets(UnimodalTeacher(modality=part, random_state=seed, **network(X, **printed),
                                    **_batches(training, X)), key, {part: X}, data.y_train)

    kind, _, what = method.partition(", ")
    if kind == "MI":
        parts = {f"part {i}": part for i, part in enumerate(measured or ())} or {"whole": data}
        return _information(trained, parts, what or "lmi", mi, cell, seed, work)
    if method in ("teacher", "no KD"):
        model = trained("teacher" if method == "teacher" else "student", data, "whole")
    elif kind == "KD":
        X = data.X_train["student"]
        model = MultiTeacherDistiller(
            [("teacher", FrozenEstimator(trained("teacher", data, "whole")))], modality="student",
            alpha=0.5, temperature=float(what.removeprefix("τ = ")) if what else temperature,
            random_state=seed, **network(X, **printed), **_batches(training, X))
        model.fit(data.X_train, data.y_train)
    return scores(model, data)


def scores(model, data):
    """Return the measures of the paper's tables."""
    found, wanted, proba = model.predict(data.X_test), data.y_test, model.predict_proba(data.X_test)
    measures = {"accuracy": np.mean(found == wanted),
                "f1": f1_score(wanted, found, average="weighted"),
                "macro f1": f1_score(wanted, found, average="macro")}
    if len(np.unique(wanted)) == len(model.classes_):  # or there is no such area
        measures["auc"] = roc_auc_score(wanted, proba if proba.shape[1] > 2 else proba[:, 1],
                                        multi_class="ovr")
    return {name: float(value) for name, value in measures.items()}


def _taught(model, key, X, y):
    """Fit a network once for all methods and cells."""
    return model.fit(X, y)


def _batches(training, X):
    return {"batch_size": len(X), **training}


def _information(trained, parts, estimator, mi, cell, seed, work):
    """Return the information in nats, the mean over parts."""
    estimate = Memory(work / "information", verbose=0).cache(_estimate, ignore=["z", "other"])
    params = {**PLAIN.get(estimator, {}), **mi.get(estimator, {})}
    found = []
    for place, data in parts.items():
        z = {part: np.asarray(trained(part, data, place).encode({part: data.X_test[part]}),
                              dtype=float) for part in ("teacher", "student")}
        student = cell.rpartition(", ")[0]
        found.append([estimate(estimator, params, key, z[of], other) for key, of, other in (
            (("teacher-student", cell, place, seed), "teacher", z["student"]),
            (("student-label", student, place, seed), "student", data.y_test),
            (("teacher-label", cell, place, seed), "teacher", data.y_test))])
    shared, student, teacher = np.mean(found, axis=0).tolist()
    return {"I(T; S)": shared, "I(S; Y)": student, "I(T; Y)": teacher, "MI gap": shared - student}


def _estimate(estimator, params, key, z, other):
    """Estimate once for all cells that share it."""
    return float(mutual_information(z, other, estimator, discrete_x=False, random_state=key[-1],
                                    **params))
