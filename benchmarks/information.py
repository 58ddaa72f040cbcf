"""Every estimator of mutual information on tasks of known truth, and the speed of two of them.

The tasks follow Czyż et al., "Beyond Normal" (2023): normal and Student's t distributions, dense
and sparse, up to 50 + 50 dimensions; their columns warped, or the whole space; uniform noise.
Beside them, labels, and clusters that both sides share, as two classifiers' representations do.
"auto" was developed on TUNING; what counts is the error on HELD_OUT.
"""

import time
import warnings

import numpy as np
import torch
from scipy.special import digamma, gammaln, logsumexp, ndtr

from benchmarks._report import save
from cmkdlearn.information import mutual_information

N, SEEDS, TARGET = 3000, (0,), 0.10
ESTIMATORS = ("ksg", "gaussian", "elliptical", "latent", "mine", "auto")


def dense(d_x, d_y, rho):
    """All pairs of columns correlate."""
    return np.full((d_x + d_y, d_x + d_y), rho) + (1 - rho) * np.eye(d_x + d_y), d_x


def sparse(d, rho, pairs=2):
    """The first columns of both sides correlate in pairs."""
    matrix = np.eye(2 * d)
    for i in range(pairs):
        matrix[i, d + i] = matrix[d + i, i] = rho
    return matrix, d


def normal(structure):
    matrix, d = structure
    root = np.linalg.cholesky(matrix)

    def draw(n, rng):
        z = rng.standard_normal((n, len(root))) @ root.T
        return z[:, :d], z[:, d:]

    logdet = [np.linalg.slogdet(part)[1] for part in (matrix[:d, :d], matrix[d:, d:], matrix)]
    return draw, 0.5 * (logdet[0] + logdet[1] - logdet[2])


def student(structure, df):
    """Truth: the normal distribution's, plus what a shared scale says."""
    matrix, d = structure
    gaussian, truth = normal(structure)

    def draw(n, rng):
        scale = np.sqrt(df / rng.chisquare(df, size=(n, 1)))
        x, y = gaussian(n, rng)
        return x * scale, y * scale

    def entropy(z):
        return gammaln(z / 2) - z / 2 * digamma(z / 2)

    k = len(matrix)
    return draw, truth + entropy(df) + entropy(df + k) - entropy(df + d) - entropy(df + k - d)


def warped(task, of_x, of_y=None):
    """Functions that can be undone change no mutual information."""
    draw, truth = task

    def warp(n, rng):
        x, y = draw(n, rng)
        return of_x(x), (of_y or of_x)(y)

    return warp, truth


def half_cube(z):
    return z * np.sqrt(np.abs(z))


def wiggly(z):
    return z + 0.4 * np.sin(z) + 0.2 * np.sin(1.7 * z + 1) + 0.03 * np.sin(3.3 * z - 2.5)


def swiss_roll(z):
    angle = 1.5 * np.pi * (1 + 2 * ndtr(z[:, 0]))
    return np.column_stack([angle * np.cos(angle), angle * np.sin(angle)]) / 21


def spiral(z, speed=1 / 3):
    """Turn the first columns' plane by an angle that grows with the distance."""
    turn = speed * np.square(z).sum(axis=1)
    c, s = np.cos(turn), np.sin(turn)
    return np.column_stack([c * z[:, 0] - s * z[:, 1], s * z[:, 0] + c * z[:, 1], z[:, 2:]])


def uniform_noise(epsilon, d=1):
    def draw(n, rng):
        x = rng.random((n, d))
        return x, x + rng.uniform(-epsilon, epsilon, (n, d))

    return draw, d * (1 / (4 * epsilon) if epsilon > 0.5 else epsilon - np.log(2 * epsilon))


def bimodal(rho):
    """Normal scores to a mixture of two normals, column by column."""
    def quantile(z):
        grid = np.linspace(-8, 8, 4001)
        return np.interp(ndtr(z), 0.3 * ndtr(grid / 0.5 + 4) + 0.7 * ndtr(grid / 0.5 - 3), grid)
    return warped(normal(dense(1, 1, rho)), quantile)


def labels(d, informative, classes, distance, warp=None):
    """Normal classes of unit covariance, in the first columns; truth by 10**6 draws."""
    centres = np.zeros((classes, d))
    centres[:, :informative] = distance * np.random.default_rng(0).standard_normal(
        (classes, informative))

    def draw(n, rng):
        y = rng.integers(classes, size=n)
        x = centres[y] + rng.standard_normal((n, d))
        return (x if warp is None else warp(x)), y

    rng = np.random.default_rng(1)
    y = rng.integers(classes, size=10**6)
    x = centres[y, :informative] + rng.standard_normal((len(y), informative))
    log_p = np.stack([-0.5 * np.square(x - centre).sum(1) for centre in centres[:, :informative]])
    return draw, float(np.mean(log_p[y, np.arange(len(y))] - logsumexp(log_p, axis=0))
                       + np.log(classes))


def clusters(d, classes, distance):
    """Normal clusters of unit covariance on both sides, of one hidden label; truth by draws."""
    centres = distance * np.random.default_rng(5).standard_normal((2, classes, d))

    def draw(n, rng):
        label = rng.integers(classes, size=n)
        return tuple(centre[label] + rng.standard_normal((n, d)) for centre in centres)

    log_p = [side @ centre.T - 0.5 * np.square(centre).sum(axis=1)
             for side, centre in zip(draw(10**5, np.random.default_rng(1)), centres, strict=True)]
    ratio = logsumexp(sum(log_p), axis=1) - sum(logsumexp(part, axis=1) for part in log_p)
    return draw, float(ratio.mean() + np.log(classes))


def squared(d, noise):
    """Labels that no linear function tells: whether a sample is far out; truth by 10**6 draws."""
    middle = d - 2 / 3

    def probability(x):
        return 1 / (1 + np.exp(-(np.square(x).sum(1) - middle) / noise))

    def draw(n, rng):
        x = rng.standard_normal((n, d))
        return x, (rng.random(n) < probability(x)).astype(int)

    p = probability(np.random.default_rng(1).standard_normal((10**6, d)))

    def entropy(q):
        return -q * np.log(q) - (1 - q) * np.log(1 - q)

    return draw, float(entropy(p.mean()) - entropy(np.clip(p, 1e-12, 1 - 1e-12)).mean())


TUNING = {
    "normal 1+1": normal(dense(1, 1, 0.6)),
    "normal dense 10+10": normal(dense(10, 10, 0.5)),
    "normal sparse 20+20": normal(sparse(20, 0.8, 4)),
    "student dense 4+4, df 2": student(dense(4, 4, 0.5), 2),
    "student sparse 3+3, df 4": student(sparse(3, 0.8), 4),
    "half-cube of normal sparse 15+15": warped(normal(sparse(15, 0.8, 3)), half_cube),
    "asinh of student sparse 2+2, df 1.5": warped(student(sparse(2, 0.6), 1.5), np.arcsinh),
    "uniform noise 0.25": uniform_noise(0.25),
    "spiral of normal sparse 4+4": warped(normal(sparse(4, 0.8)), spiral),
    "swiss roll 2+1": warped(normal(dense(1, 1, 0.8)), swiss_roll, ndtr),
    "2 clusters in 20+20": clusters(20, 2, 2.0),
    "10 clusters in 8+8": clusters(8, 10, 2.0),
    "5 clusters in 30+30": clusters(30, 5, 1.0),
    "10 labels, 20 columns": labels(20, 5, 10, 1.0),
    "far out or not, 4 columns": squared(4, 0.5),
}

HELD_OUT = {
    "normal 1+1": normal(dense(1, 1, 0.75)),
    "normal dense 2+2": normal(dense(2, 2, 0.5)),
    "normal dense 3+3": normal(dense(3, 3, 0.5)),
    "normal dense 5+5": normal(dense(5, 5, 0.5)),
    "normal dense 25+25": normal(dense(25, 25, 0.5)),
    "normal dense 50+50": normal(dense(50, 50, 0.5)),
    "normal sparse 3+3": normal(sparse(3, 0.8)),
    "normal sparse 5+5": normal(sparse(5, 0.8)),
    "normal sparse 25+25": normal(sparse(25, 0.8)),
    "normal sparse 50+50": normal(sparse(50, 0.8)),
    "independent 10+10": normal(sparse(10, 0, 0)),
    "student 1+1, df 1": student(dense(1, 1, 0), 1),
    "student dense 2+2, df 1": student(dense(2, 2, 0.5), 1),
    "student dense 3+3, df 2": student(dense(3, 3, 0.5), 2),
    "student sparse 5+5, df 2": student(sparse(5, 0.8), 2),
    "student dense 5+5, df 3": student(dense(5, 5, 0.5), 3),
    "asinh of student 1+1, df 1": warped(student(dense(1, 1, 0), 1), np.arcsinh),
    "asinh of student sparse 3+3, df 2": warped(student(sparse(3, 0.8), 2), np.arcsinh),
    "asinh of student sparse 5+5, df 2": warped(student(sparse(5, 0.8), 2), np.arcsinh),
    "half-cube of normal 1+1": warped(normal(dense(1, 1, 0.75)), half_cube),
    "half-cube of normal sparse 25+25": warped(normal(sparse(25, 0.8)), half_cube),
    "normal CDF of normal 1+1": warped(normal(dense(1, 1, 0.75)), ndtr),
    "normal CDF of normal sparse 3+3": warped(normal(sparse(3, 0.8)), ndtr),
    "normal CDF of normal sparse 5+5": warped(normal(sparse(5, 0.8)), ndtr),
    "wiggly 1+1": warped(normal(dense(1, 1, 0.75)), wiggly),
    "bimodal 1+1": bimodal(0.75),
    "uniform noise 0.1": uniform_noise(0.1),
    "uniform noise 0.75": uniform_noise(0.75),
    "swiss roll 2+1": warped(normal(dense(1, 1, 0.75)), swiss_roll, ndtr),
    "spiral of normal sparse 3+3": warped(normal(sparse(3, 0.8)), spiral),
    "spiral of normal sparse 5+5": warped(normal(sparse(5, 0.8)), spiral),
    "spiral of normal sparse 25+25": warped(normal(sparse(25, 0.8)), spiral),
    "uniform noise 0.5, 3+3": uniform_noise(0.5, 3),
    "3 clusters in 12+12": clusters(12, 3, 1.5),
    "8 clusters in 5+5": clusters(5, 8, 1.0),
    "4 clusters in 40+40": clusters(40, 4, 0.8),
    "3 labels, 1 column": labels(1, 1, 3, 3.0),
    "5 labels, 10 columns": labels(10, 2, 5, 1.0),
    "10 labels, 50 columns": labels(50, 6, 10, 1.0),
    "4 labels, 5 columns, half-cube": labels(5, 2, 4, 1.5, half_cube),
    "far out or not, 2 columns": squared(2, 0.3),
    "far out or not, 8 columns": squared(8, 0.5),
}


def estimates(tasks, estimators=ESTIMATORS):
    """Return the truth, and the estimate, error and seconds of each estimator on each task."""
    results = {}
    for name, (draw, truth) in tasks.items():
        results[name] = {"truth": round(float(truth), 4)}
        for estimator in estimators:
            found, start = [], time.perf_counter()
            for seed in SEEDS:
                x, y = draw(N, np.random.default_rng(seed))
                found.append(mutual_information(x, y, estimator, random_state=seed))
            results[name][estimator] = {
                "estimate": round(float(np.mean([float(result) for result in found])), 4),
                "chosen": found[0].estimator,
                "std_error": round(float(np.mean([result.std_error for result in found])), 4),
                "seconds": round((time.perf_counter() - start) / len(SEEDS), 2)}
    return results


def errors(results):
    """Return the mean and the greatest absolute error of each estimator."""
    table = {}
    for estimator in ESTIMATORS:
        off = [abs(cells[estimator]["estimate"] - cells["truth"]) for cells in results.values()]
        table[estimator] = {"mean": float(np.mean(off)), "max": float(np.max(off))}
    return table


def hidden(d, rho, columns=100):
    """``d`` correlated pairs, each side's mixed into many columns with a little noise."""
    mix = np.random.default_rng(d).standard_normal((2, columns, d)) / np.sqrt(d)
    matrix = np.block([[mix[0] @ mix[0].T, rho * mix[0] @ mix[1].T],
                       [rho * mix[1] @ mix[0].T, mix[1] @ mix[1].T]])
    return normal((matrix + 0.01 * np.eye(2 * columns), columns))


HIDDEN = {"2 of 100, n = 2,000": (2000, hidden(2, 0.8)),
          "3 of 100, n = 2,000": (2000, hidden(3, 0.42)),
          "6 of 100, n = 5,000": (5000, hidden(6, 0.818))}


def latent_in_many_columns():
    """What is asked of "latent"; each in under a tenth of the time of the latentmi package."""
    results = {}
    for name, (n, (draw, truth)) in HIDDEN.items():
        x, y = draw(n, np.random.default_rng(0))
        start = time.perf_counter()
        found = mutual_information(x, y, "latent", random_state=0)
        results[name] = {"truth": round(float(truth), 4), "estimate": round(found.estimate, 4),
                         "std_error": round(found.std_error, 4),
                         "seconds": round(time.perf_counter() - start, 2)}
    return results


def main():
    warnings.simplefilter("error")
    tuning, held_out = estimates(TUNING), estimates(HELD_OUT)
    save("information", samples=N, seeds=SEEDS, target=TARGET,
         mean_absolute_error={"tuning": errors(tuning), "held_out": errors(held_out)},
         latent_in_many_columns=latent_in_many_columns(),
         threads=torch.get_num_threads(), tuning=tuning, held_out=held_out)


if __name__ == "__main__":
    main()
