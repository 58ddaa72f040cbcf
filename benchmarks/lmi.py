"""LMI here and in its authors' package ``latentmi``, on the examples of the package's guide.

A line each in a hundred columns ("quick start" and "variance"), and classes, which the package is
given as indicators. 400 samples and three seeds, so that a CPU takes minutes; the difference is
paired. ``pip install --no-deps latentmi`` will do beside what this library needs. All in nats.
"""

import math

import numpy as np
import torch

from benchmarks._report import save, seconds
from cmkdlearn.information import mutual_information

N, SEEDS, COLUMNS = 400, 3, 100


def lines(covariance):
    """Return an example of the package: two correlated numbers, each in many columns."""
    def draw(rng):
        z = rng.multivariate_normal([0, 0], covariance, size=N)
        return z[:, :1] @ rng.standard_normal((1, COLUMNS)), z[:, 1:] @ rng.standard_normal(
            (1, COLUMNS))
    (xx, xy), (_, yy) = covariance
    return draw, -0.5 * math.log(1 - xy**2 / (xx * yy))


def classes(rng):
    """Return five overlapping classes in 20 columns."""
    y = rng.integers(5, size=N)
    return 1.5 * np.eye(5)[y] @ rng.standard_normal((5, 20)) + rng.standard_normal((N, 20)), y


EXAMPLES = {"quick start": lines([[6, 3], [3, 3.5]]), "variance": lines([[6, 4], [4, 3.5]]),
            "classes": (classes, None)}


def theirs(x, y, seed):
    """Return the package's estimate."""
    setattr(np, "NaN", np.nan)  # noqa: B010  it reads this, and NumPy 2 lacks it
    from latentmi.lmi import estimate

    np.random.seed(seed)  # noqa: NPY002  it has no other way to be given one
    torch.manual_seed(seed)
    columns = np.eye(y.max() + 1)[y] if y.ndim == 1 else y
    return float(np.nanmean(estimate(x, columns, device="cpu")[0])) * math.log(2)


def ours(x, y, seed):
    return float(mutual_information(x, y, "lmi", random_state=seed, device="cpu"))


def main():
    torch.set_num_threads(1)
    results = {}
    for name, (draw, truth) in EXAMPLES.items():
        found = {"ours": [], "latentmi": []}
        elapsed = dict.fromkeys(found, 0.0)
        for seed in range(SEEDS):
            x, y = draw(np.random.default_rng(seed))
            for label, estimator in (("ours", ours), ("latentmi", theirs)):
                elapsed[label] += seconds(
                    lambda: found[label].append(estimator(x, y, seed)))  # noqa: B023
        difference = np.subtract(found["ours"], found["latentmi"])
        results[name] = {
            "truth": truth, **found, "seconds": elapsed, "difference": float(difference.mean()),
            "std_error": float(difference.std(ddof=1) / math.sqrt(SEEDS))}
    save("lmi", samples=N, seeds=SEEDS, results=results)


if __name__ == "__main__":
    main()
