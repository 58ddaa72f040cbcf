"""
Fusion, with and without one modality teaching the other
========================================================

Where both modalities will be there at prediction time, one network can read both. Does it help, too,
if the better modality's head teaches the other's on the way?
"""

# %%
# The upper and the lower halves of digits; the lower halves are noisy.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from cmkdlearn.preprocessing import AddNoise
from cmkdlearn.selection import CCHSelector
from cmkdlearn.students import FusionClassifier
from cmkdlearn.teachers import UnimodalTeacher

pixels, y = load_digits(return_X_y=True)
X = {"upper": pixels[:, :32],
     "lower": AddNoise(scale=1.0, random_state=0).fit_transform(pixels[:, 32:])}
rows = np.random.default_rng(0).permutation(len(y))
train, test = rows[:300], rows[300:]
X_train, X_test = ({name: part[half] for name, part in X.items()} for half in (train, test))

# %%
# A fusion head reads the features of both branches; each branch has a head of its own besides, which
# can be asked alone. "auto" leaves it to the complementarity hypothesis who teaches, if anyone.

asked = CCHSelector(student="upper", n_repeats=2, random_state=0, memory=".cache/cmkdlearn",
                    network=UnimodalTeacher(max_epochs=30, device="cpu"))
settings = {"nobody": None, "upper": "upper", "lower": "lower", "auto": "auto"}
heads = ("fusion", "upper", "lower")
accuracy = {name: [] for name in settings}
for name, teacher in settings.items():
    for seed in range(3):
        model = FusionClassifier(modalities=("upper", "lower"), teacher_modality=teacher,
                                 selector=asked, max_epochs=30, random_state=seed, device="cpu")
        model.fit(X_train, y[train])
        accuracy[name].append([model.score(X_test, y[test])]
                              + [np.mean(model.predict_from(X_test, head) == y[test])
                                 for head in heads[1:]])
    if teacher == "auto":
        print("auto:", f"{model.teacher_modality_} teaches" if model.teacher_modality_ else "nobody teaches")
        for student, selector in model.selectors_.items():
            for other, gap in selector.mi_gap_.items():
                print(f"  {other} as a teacher of {student}: gap {gap:+.2f} nats, {selector.worthwhile_[other]}")
    print(f"{name:6}", ", ".join(f"{head} {mean:.3f}" for head, mean in
                                 zip(heads, np.mean(accuracy[name], axis=0), strict=True)))

# %%
# Mean and range of three seeds on about 1,500 test digits.

figure, ax = plt.subplots(layout="constrained")
for i, (name, runs) in enumerate(accuracy.items()):
    runs = np.array(runs)
    mean = runs.mean(axis=0)
    spread = [mean - runs.min(axis=0), runs.max(axis=0) - mean]
    ax.bar(np.arange(3) + 0.2 * i - 0.3, mean, 0.18, yerr=spread, capsize=3, label=name)
ax.set(xticks=range(3), xticklabels=["both, fused", "upper alone", "lower alone"],
       ylabel="test accuracy", ylim=(0.4, 1), title="Three heads, by who teaches")
ax.legend(title="teacher", loc="upper right")

# %%
# Against nobody teaching, seed by seed. Three seeds on one split tell a difference only where it is large
# beside its spread.

plain = 100 * np.array(accuracy["nobody"])
for name in list(settings)[1:]:
    difference = 100 * np.array(accuracy[name]) - plain
    print(f"{name:6}" + "; ".join(f"{head} head {mean:+.1f} ± {spread:.1f} points" for head, mean, spread in
                                  zip(heads, difference.mean(axis=0), difference.std(axis=0, ddof=1), strict=True)))
plt.show()
