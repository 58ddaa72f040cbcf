"""Is the MI gap's zero where it should be? Classes of known density, so that the gap is known.

Teacher and student are normal within each class, of means that depend on it, and correlated as much
as it takes for a gap of 0 or 0.4 nats. "Bent": each side then goes through two layers of a network
that can be undone, which changes no information and leaves nothing normal. "Unlike classes":
correlated in half of the classes alone, and of another scale in each. Every rule sees the same
draws. An interval should hold what the same rule says on average over draws in 95 of 100 of them,
by a half-width of 1.96 of their standard deviations.
"""

import time
import warnings
from itertools import product

import numpy as np
from scipy.optimize import brentq
from scipy.special import logsumexp

from benchmarks import _report
from cmkdlearn.information import mutual_information
from cmkdlearn.selection import CCHSelector

GAPS = (0.0, 0.4)
KINDS = ("normal", "bent", "unlike classes")
CLASSES, COLUMNS, SAMPLES = (2, 10), (2, 8, 32), {150: 4, 1000: 1}
# what the intervals are asked of: a kind, classes, columns, samples
REPEATED, DRAWS = (("normal", 2, 2, 150), ("bent", 10, 8, 300)), 40
TRUTH = 4000  # draws, of one seed: the gap of a correlation is then a smooth function
SEPARATION = 1.6  # of the teacher's classes, in units of the student's


def numbers_only(x, y):
    """Estimate as "ksg" does, without a word about samples: the interval is that of the folds."""
    return float(mutual_information(x, y, discrete_x=False, discrete_y=y.ndim == 1))


CONTROL, ITS_FOLDS = "cch, ksg", "cch, ksg, interval of the folds"
RULES = {
    CONTROL: {"criterion": "cch", "mi_estimator": "ksg"},
    ITS_FOLDS: {"criterion": "cch", "mi_estimator": numbers_only},
    "calibrated, ksg": {"criterion": "calibrated", "mi_estimator": "ksg"},
    "calibrated, auto": {"criterion": "calibrated", "mi_estimator": "auto"},
}


class Task:
    """Modalities of ``n_columns`` each, whose classes correlate by ``rho``."""

    def __init__(self, kind, n_classes, n_columns):
        rng = np.random.default_rng(0)
        self.kind, self.n_classes, self.n_columns = kind, n_classes, n_columns
        self.means = np.zeros((2, n_classes, n_columns))
        informative = min(n_columns, n_classes - 1)
        self.means[:, :, :informative] = rng.standard_normal((2, n_classes, informative))
        self.means[1] = (self.means[0] + np.sqrt(3) * self.means[1]) / 2
        self.means[0] *= SEPARATION
        code, unlike = np.arange(n_classes), kind == "unlike classes"
        self.scales = np.where(unlike, 0.6 + 0.8 * code / (n_classes - 1), 1.0)[:, None]
        self.correlated = np.where(unlike, code % 2 == 0, True)[:, None]
        self.layers = [np.linalg.qr(rng.standard_normal((n_columns, n_columns)))[0]
                       for _ in range(4)]

    def normal(self, n, rho, rng):
        y = rng.integers(self.n_classes, size=n)
        own, other = rng.standard_normal((2, n, self.n_columns))
        r = rho * self.correlated[y]
        sides = own, r * own + np.sqrt(1 - r**2) * other
        return [self.scales[y] * z + means[y]
                for z, means in zip(sides, self.means, strict=True)], y

    def gap(self, rho):
        (t, s), y = self.normal(TRUTH, rho, np.random.default_rng(1))
        t, s = ((z[:, None] - means) / self.scales
                for z, means in zip((t, s), self.means, strict=True))
        r, size = rho * self.correlated, self.n_columns * np.log(self.scales[:, 0])
        of_t, of_s = (-np.square(z).sum(axis=2) / 2 - size for z in (t, s))
        both = (-((t**2 - 2 * r * t * s + s**2) / (1 - r**2) + np.log(1 - r**2)).sum(axis=2) / 2
                - 2 * size)
        shared = logsumexp(both, axis=1) - logsumexp(of_t, axis=1)  # less log p(s), as the next
        return float(np.mean(shared - of_s[np.arange(TRUTH), y]))

    def correlation(self, gap):
        """Return the correlation of a gap; 0 where none is so small."""
        if self.gap(0.0) >= gap:
            return 0.0
        return brentq(lambda rho: self.gap(rho) - gap, 0.0, 0.999, xtol=1e-3)

    def draw(self, n, rho, rng):
        sides, y = self.normal(n, rho, rng)
        if self.kind == "bent":
            for layers in (0, 2), (1, 3):
                sides = [self._layer(z @ self.layers[i])
                         for z, i in zip(sides, layers, strict=True)]
        return {"t": sides[0], "s": sides[1]}, y

    @staticmethod
    def _layer(z):
        return np.where(z > 0, 1.5 * z, 0.3 * z) + 0.3


def ask(task, rho, n, rule, draws):
    """Return the evidence and its interval of each draw."""
    rows = []
    for seed in range(draws):
        X, y = task.draw(n, rho, np.random.default_rng(seed))
        selector = CCHSelector(student="s", representation="prefit", n_repeats=2,
                               n_components=None, random_state=seed, **RULES[rule]).fit(X, y)
        rows.append([round(float(value), 4) for value in (
            selector.evidence_["t"], *selector.evidence_interval_["t"])])
    return rows


def zeros():
    """Return what each rule says of known gaps."""
    found = []
    for kind, n_classes, n_columns, gap in product(KINDS, CLASSES, COLUMNS, GAPS):
        task = Task(kind, n_classes, n_columns)
        rho = task.correlation(gap)
        for (n, draws), rule in product(SAMPLES.items(), RULES):
            if rule == ITS_FOLDS:  # another interval of the same evidence
                continue
            found.append({"kind": kind, "classes": n_classes, "columns": n_columns, "n": n,
                          "gap": gap, "rule": rule, "draws": ask(task, rho, n, rule, draws)})
        print(kind, n_classes, n_columns, gap, flush=True)
    return found


def intervals():
    """Return how wide each rule's interval is, and how often it holds the draws' mean."""
    found = []
    for (kind, n_classes, n_columns, n), rule in product(REPEATED, RULES):
        task = Task(kind, n_classes, n_columns)
        mean, low, high = np.array(ask(task, task.correlation(GAPS[-1]), n, rule, DRAWS)).T
        half = float(np.mean(high - low) / 2 / mean.std(ddof=1))
        found.append({"kind": kind, "classes": n_classes, "columns": n_columns, "n": n,
                      "rule": rule, "half_width_in_sd": round(half, 2),
                      "held": int(np.sum((low < mean.mean()) & (mean.mean() < high)))})
        print(found[-1], flush=True)
    return found


def main():
    start = time.perf_counter()
    warnings.simplefilter("ignore", UserWarning)  # of estimates above the samples' entropy
    _report.save("cch_calibration", draws_of_intervals=DRAWS, intervals=intervals(), zeros=zeros(),
                 seconds=round(time.perf_counter() - start))


if __name__ == "__main__":
    main()
