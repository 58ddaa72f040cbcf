"""Gaussian modalities, where the truth is known: the gap, and what distillation gains.

Linear students that minimise equation 4 exactly, over correlations of teacher and student, weights
and sample sizes; 100 draws of the training data a seed. The excess risk is a target's, in units of
its variance.
"""

import numpy as np

from benchmarks.evidence._claims import Claim
from cmkdlearn.datasets import make_gaussian_modalities
from cmkdlearn.information import mi_gap
from cmkdlearn.theory import GaussianModalities

PAPER = "CCH: Figures 1 and 4, Theorem 1"
SETTINGS = {
    "small": {"d": 4, "rho_ty": 0.9, "rho_sy": 0.5, "draws": 100, "n_for_mi": 2000},
    "full": {"d": 4, "rho_ty": 0.9, "rho_sy": 0.5, "draws": 2000, "n_for_mi": 10000},
}
BASELINE = "λ = 0"
MEASURES = {"risk": "excess risk of the student", "theory": "the same, in closed form",
            "gap": "MI gap (nats)"}
CORRELATIONS, LAMBDAS, SAMPLES = (0.1, 0.3, 0.45, 0.55, 0.7, 0.8), (0.0, 0.1, 1.0, 10.0), (30, 300)


def cells(settings):
    return {f"ρ_TS = {rho}, n = {n}": {"rho_ts": rho, "n": n}
            for n in SAMPLES for rho in CORRELATIONS}


def run(seed, settings, rho_ts, n):
    d, draws = settings["d"], settings["draws"]
    rho_ty, rho_sy = settings["rho_ty"], settings["rho_sy"]
    rho = {"rho_ts": rho_ts, "rho_ty": rho_ty, "rho_sy": rho_sy}
    X, y = make_gaussian_modalities(n * draws, d, **rho, random_state=seed)
    s, t, y = (part.reshape(draws, n, d) for part in (X["student"], X["teacher"], y))
    s_T, truth = s.swapaxes(1, 2), GaussianModalities(d=d, **rho)
    scores = {}
    for weight in LAMBDAS:
        target = (y + weight * rho_ty * t) / (1 + weight)                           # eq. 4
        W = np.linalg.solve(s_T @ s, s_T @ target)
        risk = ((W - rho_sy * np.eye(d)) ** 2).sum(axis=(1, 2)).mean() / d
        scores[f"λ = {weight:g}"] = {"risk": risk, "theory": truth.excess_risk(n, weight)}
    X, y = make_gaussian_modalities(settings["n_for_mi"], d, **rho, random_state=seed)
    scores["truth"] = {"gap": truth.mi_gap}
    for estimator in ("ksg", "latent", "mine"):
        gap = mi_gap(X["teacher"], X["student"], y, estimator=estimator, random_state=seed)
        scores[estimator] = {"gap": float(gap)}
    return scores


def _saved(results, positive, method="λ = 0.1"):
    """Share of the excess risk that distillation saves, over cells by the sign of the true gap."""
    cells = [cell for cell in results.names(0)
             if (results.over_seeds(cell, "truth", "gap")[0] > 0) == positive]
    return np.mean([1 - results.over_seeds(cell, method, "risk")
                    / results.over_seeds(cell, BASELINE, "risk") for cell in cells], axis=0)


CLAIMS = [
    Claim("Where the gap is positive, distillation with a small weight helps.",
          "Theorem 1, Appendix B",
          lambda r: _saved(r, positive=True), "share of the excess risk saved at λ = 0.1, gap > 0",
          unit="% of the risk",
          quote="distillation improves the student provided two conditions hold",
          printed="an inequality"),
    Claim("Where the gap is negative, distillation does not help.", "section 4.1, Figure 1",
          lambda r: -_saved(r, positive=False), "share of the excess risk lost at λ = 0.1, gap < 0",
          unit="% of the risk", quote="provides no benefit otherwise", printed="curves"),
    Claim("The same with a weight of 1.", "section 4.1, Figures 1 and 4",
          lambda r: -_saved(r, positive=False, method="λ = 1"),
          "share of the excess risk lost at λ = 1, gap < 0", unit="% of the risk",
          quote="provides no benefit otherwise", printed="curves"),
    Claim("The closed form of the excess risk is right.", "theory.GaussianModalities",
          lambda r: 0.1 - np.mean([np.abs(
              r.over_seeds(cell, f"λ = {weight:g}", "risk")
              / r.over_seeds(cell, f"λ = {weight:g}", "theory") - 1)
              for cell in r.names(0) for weight in LAMBDAS], axis=0),
          "0.1 less the mean relative difference of closed form and experiment", unit="%"),
]
