"""
==============================
Mutual information, estimated
==============================

:func:`~cmkdlearn.information.mutual_information` against the truth: where dependence is linear, where
it is not, and where it hides in many columns. The shaded bands are two standard errors.
"""

import matplotlib.pyplot as plt
import numpy as np

from cmkdlearn.information import mutual_information

N, RHOS = 1000, np.array([0.0, 0.3, 0.6, 0.8, 0.9])
ESTIMATORS = ("ksg", "gaussian", "latent", "mine", "auto")
QUICK = {"latent": {"max_epochs": 60}, "mine": {"max_epochs": 60}}


def normal(d, pairs, rho, rng):
    """Draw two sides of d columns, of which the first pairs correlate."""
    x, noise = rng.standard_normal((2, N, d))
    rho = np.where(np.arange(d) < pairs, rho, 0)
    return x, rho * x + np.sqrt(1 - rho**2) * noise


def bent(d, pairs, rho, rng):
    """Turn both sides' planes by angles that grow with the distance, which keeps the truth."""
    def turn(z):
        angle = np.square(z).sum(axis=1)
        c, s = np.cos(angle), np.sin(angle)
        return np.column_stack([c * z[:, 0] - s * z[:, 1], s * z[:, 0] + c * z[:, 1]])
    return [turn(side) for side in normal(d, pairs, rho, rng)]


PANELS = {"2 + 2 columns, linear": (normal, 2, 2), "2 + 2 columns, spirals": (bent, 2, 2),
          "30 + 30 columns, 2 pairs": (normal, 30, 2)}

# %%
# The truth is :math:`-\log(1 - \rho^2)` nats everywhere: two pairs of columns correlate by ρ, and
# functions that can be undone change nothing.
figure, axes = plt.subplots(1, 3, figsize=(11, 4), sharey=True, layout="constrained")
for ax, (title, (draw, d, pairs)) in zip(axes, PANELS.items(), strict=True):
    ax.plot(RHOS, -np.log(1 - RHOS**2), "k--", label="truth")
    for name in ESTIMATORS:
        found = []
        for rho in RHOS:
            x, y = draw(d, pairs, rho, np.random.default_rng(0))
            found.append(mutual_information(x, y, name, random_state=0, **QUICK.get(name, {})))
        mean = np.array([result.estimate for result in found])
        error = np.array([result.std_error for result in found])
        line, = ax.plot(RHOS, mean, "o-", label=name, markersize=3)
        ax.fill_between(RHOS, mean - 2 * error, mean + 2 * error, color=line.get_color(), alpha=0.15)
        off = np.abs(mean + np.log(1 - RHOS**2))
        seen = mean[-1] / -np.log(1 - RHOS[-1] ** 2)
        print(f"{title:26s} {name:9s} mean error {off.mean():.2f}, greatest {off.max():.2f} nats; "
              f"of what is there at ρ = {RHOS[-1]} it finds {seen:.0%}")
    ax.set(title=title, xlabel="correlation ρ")
axes[0].set_ylabel("nats")
_ = axes[0].legend()

# %%
# No estimator sees everything, and the standard error says nothing about what one does not see. A Gaussian
# copula knows of linear dependence alone, and is as sure of itself where there is another. Nearest neighbours are
# far away in many columns. See :ref:`information` for which to trust when.
#
# Labels
# ======
#
# One side may be discrete. Here are two classes that differ in one of d columns; the rest is noise. Does an
# estimator lose sight of the one column that matters?
columns = (1, 2, 5, 10, 20, 40)
shift = np.random.default_rng(1).standard_normal(10**6) + 2
truth = np.mean(np.log(2) - np.log1p(np.exp(2 - 2 * shift)))

figure, ax = plt.subplots(figsize=(6, 3.6), layout="constrained")
ax.axhline(truth, color="k", linestyle="--", label="truth")
for name in ("ksg", "gaussian", "auto"):
    found = []
    for d in columns:
        rng = np.random.default_rng(0)
        label, x = rng.choice(["here", "there"], size=N), rng.standard_normal((N, d))
        x[:, 0] += 2 * (label == "there")
        found.append(mutual_information(x, label, name, random_state=0))
    ax.errorbar(columns, [float(result) for result in found],
                [2 * result.std_error for result in found], marker="o", label=name, capsize=2)
    print(f"{name:9s} in {columns[0]} column: {float(found[0]):.2f} nats; in {columns[-1]}: {float(found[-1]):.2f} "
          f"(truth {truth:.2f})")
ax.set(xscale="log", xlabel="columns", ylabel="nats", ylim=(-0.05, None))
_ = ax.legend()
plt.show()
