r"""
When does a teacher help? The Gaussian case
===========================================

For jointly Gaussian modalities all is known: the mutual informations, and what distillation does to
a linear student. So one can see how far the complementarity hypothesis goes. It says that a teacher
helps where :math:`I(T; S) > I(S; Y)`, which is here where :math:`|\rho_{TS}| > |\rho_{SY}|`.
"""

# %%
# The student sees a correlation of 0.5 with the target, the teacher one of 0.9. We vary how much
# teacher and student have in common; other values than these no three Gaussians can have.

import matplotlib.pyplot as plt
import numpy as np

from cmkdlearn.datasets import make_gaussian_modalities
from cmkdlearn.theory import GaussianModalities

D, RHO_TY, RHO_SY, LAMBDA = 8, 0.9, 0.5, 1.0
sweep = np.linspace(0.08, 0.82, 38)
models = [GaussianModalities(d=D, rho_ts=rho, rho_ty=RHO_TY, rho_sy=RHO_SY) for rho in sweep]

# %%
# The closed form, and beside it students that are fitted to samples: least squares on targets mixed
# of the labels and the teacher's predictions is what equation 4 of the paper comes to. (A
# :class:`~cmkdlearn.students.DistilledRegressor` with ``module__hidden=()`` finds the same.)


def gain_by_experiment(rho_ts, n, rounds=200):
    X, y = make_gaussian_modalities(n * rounds, D, rho_ts=rho_ts, rho_ty=RHO_TY, rho_sy=RHO_SY,
                                    random_state=0)
    s, t, y = (part.reshape(rounds, n, D) for part in (X["student"], X["teacher"], y))
    risks = []
    for target in (y, (y + LAMBDA * RHO_TY * t) / (1 + LAMBDA)):
        s_T = s.swapaxes(1, 2)
        W = np.linalg.solve(s_T @ s, s_T @ target)
        risks.append(((W - RHO_SY * np.eye(D)) ** 2).sum(axis=(1, 2)).mean() / D)
    plain, taught = risks
    return plain - taught


figure, (gap, gain) = plt.subplots(2, sharex=True, figsize=(7, 7), layout="constrained")
gap.plot(sweep, [model.mi_gap for model in models], color="black")
gap.set(ylabel="I(T; S) − I(S; Y)   (nats)", title="The hypothesis: the gap …")
for n, colour in ((30, "tab:blue"), (100, "tab:orange"), (400, "tab:green")):
    scale = [model.excess_risk(n) for model in models]
    gain.plot(sweep, [model.gain(n, LAMBDA) for model in models] / np.array(scale), color=colour,
              label=f"n = {n}")
    gain.plot(sweep[1::9], [gain_by_experiment(rho, n) / scale[0] for rho in sweep[1::9]], "o",
              color=colour)
    changes = [f"{sweep[i]:.2f}" for i in np.flatnonzero(np.diff(np.sign(
        [model.gain(n, LAMBDA) for model in models])))]
    print(f"n = {n}: the gain changes sign at rho_ts near {', '.join(changes) or 'no value'}; "
          f"the gap at {RHO_SY}")
gain.set(xlabel="correlation of teacher and student", ylabel="share of the excess risk saved",
         ylim=(-1.2, 1), title=f"… and the truth: the gain at λ = {LAMBDA:g} (dots: experiments)")
gain.legend()
for ax in (gap, gain):
    ax.axhline(0, color="gray", linewidth=1)
    ax.axvline(RHO_SY, color="gray", linestyle=":", linewidth=1)

# %%
# The gain does change sign, though not exactly where the gap does. With few samples a teacher pays
# off well before the gap is positive, since it takes noise out of the targets. The more samples
# there are, the less noise matters, and what is left is the bias: the student is drawn to what the
# teacher can say of the target through what it shares with the student,
# :math:`\rho_{TY} \rho_{TS}` in place of :math:`\rho_{SY}`. That vanishes where
# :math:`\rho_{TS} = \rho_{SY} / \rho_{TY}`, a little above the gap's zero, and grows on either
# side of it.
#
# All this is at one fixed weight. The theorem is about small ones: where the gap is positive, a
# small enough :math:`\lambda` helps; where it is negative, it may help as well. With the best
# :math:`\lambda`, zero among them, the gain is never below zero:

best = [model.optimal_lambda(100) for model in models]
figure, ax = plt.subplots(layout="constrained")
ax.plot(sweep, [model.gain(100, lam) / model.excess_risk(100) for model, lam in zip(models, best, strict=True)],
        label="best λ")
ax.plot(sweep, [model.gain(100, LAMBDA) / model.excess_risk(100) for model in models],
        label=f"λ = {LAMBDA:g}")
ax.axhline(0, color="gray", linewidth=1)
ax.axvline(RHO_SY, color="gray", linestyle=":", linewidth=1)
ax.set(xlabel="correlation of teacher and student", ylabel="share of the excess risk saved",
       title="100 samples: the best weight, and a fixed one")
ax.legend()
plt.show()
