"""CCH on Gaussian modalities of 100 columns, with one continuous target.

Networks of 64 ReLU units. The correlations of teacher and student with the target and the weights
of distillation are lost in the text at hand; here they are 0.9, 0.5, and those below. A batch is
all samples. "Linear, in closed form" is what the theory says of linear students of the same data.
The paper has ten seeds.
"""

import numpy as np
import torch
from joblib import Memory
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import mean_squared_error

from benchmarks.paper._cch import AT_ONCE, FAST, PAPER, network  # noqa: F401
from benchmarks.paper._tables import Table
from cmkdlearn.datasets import make_gaussian_modalities
from cmkdlearn.information import mutual_information
from cmkdlearn.students import DistilledRegressor
from cmkdlearn.theory import GaussianModalities

LAYOUT = dict.fromkeys(("miniature", "small", "full"), "nothing; the data are drawn")
SETTINGS = {
    "miniature": {"n_train": 60, "n_test": 40, "d": 10, "epochs": 2, "rhos": (0.1, 0.8),
                  "weights": (1.0,), "mi": AT_ONCE},
    "small": {"n_train": 10_000, "n_test": 5000, "d": 100, "epochs": 300,
              "rhos": (0.1, 0.5, 0.8), "weights": (0.1, 1.0), "mi": FAST},
    "full": {"n_train": 10_000, "n_test": 5000, "d": 100, "epochs": 300,
             "rhos": (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8), "weights": (0.1, 0.5, 1.0, 5.0),
             "mi": {}},
}
RHO = {"rho_ty": 0.9, "rho_sy": 0.5}
TRAINING = {"optimizer": torch.optim.Adam, "lr": 0.01}  # Table 10


def tables(scale):
    """Return what Figures 1 and 4 show; they print no numbers."""
    settings = SETTINGS[scale]
    cells = {f"ρ = {rho}": f"ρ = {rho}" for rho in settings["rhos"]}
    students = {f"KD, λ = {weight:g}": f"KD, λ = {weight:g}" for weight in settings["weights"]}
    yield Table("Figures 1 and 4", "the student's mean squared error", cells,
                {"no KD": "no KD", **students}, measure="mse", scale=1.0, against="no KD")
    yield Table("Figures 1 and 4", "linear, in closed form", cells,
                {"no KD": "no KD", **students}, measure="linear", scale=1.0, against="no KD")
    for measure in ("I(T; S)", "I(S; Y)", "MI gap"):
        yield Table("Figure 1", f"{measure} of the representations (nats)", cells,
                    {"lmi": "MI"}, measure=measure, scale=1.0)


def run(method, cell, seed, settings, folder, work):
    rho = {"rho_ts": float(cell.removeprefix("ρ = ")), **RHO}
    n, n_test, d = settings["n_train"], settings["n_test"], settings["d"]
    X, y = make_gaussian_modalities(n + n_test, d, n_targets=1, random_state=seed, **rho)
    X = {name: part.astype(np.float32) for name, part in X.items()}
    given = {**network(X["student"], widths=(64,), n_classes=1), **TRAINING, "batch_size": n,
             "max_epochs": settings["epochs"], "random_state": seed}
    known, new = ({name: part[rows] for name, part in X.items()}
                  for rows in (slice(n), slice(n, None)))

    nets = Memory(work / "networks", verbose=0).cache(_taught, ignore=["X", "y"])

    def trained(name):
        return nets(DistilledRegressor(modality=name, **given), (cell, seed), known, y[:n])

    if method == "MI":
        z_t, z_s = (np.asarray(trained(name).encode(new), dtype=float)
                    for name in ("teacher", "student"))
        params = {"estimator": "lmi", "random_state": seed, **settings["mi"].get("lmi", {})}
        shared = float(mutual_information(z_t, z_s, **params))
        student = float(mutual_information(z_s, y[n:], **params))
        return {"I(T; S)": shared, "I(S; Y)": student, "MI gap": shared - student}
    weight = 0.0 if method == "no KD" else float(method.removeprefix("KD, λ = "))
    if method == "no KD":
        student = trained("student")
    else:
        teachers = [("teacher", FrozenEstimator(trained("teacher")))]
        student = DistilledRegressor(teachers, modality="student", lambda_kd=weight, **given)
        student.fit(known, y[:n])
    best = 1 - rho["rho_sy"] ** 2
    return {"mse": mean_squared_error(y[n:], student.predict(new)),
            "linear": float(best + GaussianModalities(d=d, **rho).excess_risk(n, weight))}


def _taught(model, key, X, y):
    """Fit a network once for all methods of a cell and seed."""
    return model.fit(X, y)
