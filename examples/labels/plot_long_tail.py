"""
Frequent and rare classes
=========================

Where some classes have thirty times as many samples as others, a network can keep its loss low without
the rare ones, and a teacher may hand that preference on to its student. Two remedies:
``class_weight="balanced"`` weighs the samples in the loss so that all classes count alike, and
``sampler="balanced"`` draws every class equally often. What do they bring, and what do they cost?
"""

# %%
# The teacher sees a whole digit, its student only the lower half. Which digits are rare is drawn anew
# for each of four runs. Teacher and student get the same remedy; the test images are balanced.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import recall_score
from sklearn.model_selection import train_test_split

from cmkdlearn.datasets import make_imbalanced
from cmkdlearn.students import MultiTeacherDistiller
from cmkdlearn.teachers import UnimodalTeacher

X, y = load_digits(return_X_y=True)
remedies = {"nothing": {}, 'class_weight="balanced"': {"class_weight": "balanced"},
            'sampler="balanced"': {"sampler": "balanced"}}
networks = ("teacher", "taught student", "untaught student")
recall = {(name, who): [] for name in remedies for who in networks}
for seed in range(4):
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.5, stratify=y,
                                                        random_state=seed)
    order = np.random.default_rng(seed).permutation(10)  # from the most to the least frequent
    X_long, y_long = make_imbalanced({"image": X_train, "lower half": X_train[:, 32:]}, y_train,
                                     factor=30, classes=order, random_state=seed)
    test = {"image": X_test, "lower half": X_test[:, 32:]}
    for name, remedy in remedies.items():
        training = {"lr": 3e-3, "batch_size": 32, "random_state": seed, **remedy}
        teacher = UnimodalTeacher(modality="image", **training)
        taught = MultiTeacherDistiller([("whole", teacher)], modality="lower half", **training)
        untaught = MultiTeacherDistiller(modality="lower half", **training)
        for student in (taught, untaught):
            student.fit(X_long, y_long)
        for who, estimator in zip(networks, (taught.named_teachers_.whole, taught, untaught),
                                  strict=True):
            recall[name, who].append(recall_score(y_test, estimator.predict(test),
                                                  average=None)[order])

# %%
# The share of a class's test images that is recognised, the mean of the four runs.

print(f"{'':24} {'':17} {'all':>6} {'3 most frequent':>16} {'3 rarest':>9}")
for (name, who), runs in recall.items():
    mean = np.mean(runs, axis=0)
    print(f"{name:24} {who:17} {mean.mean():6.3f} {mean[:3].mean():16.3f} {mean[-3:].mean():9.3f}")

# %%
# A remedy has its price: what the rare classes gain, the frequent ones may lose. Run by run, against doing
# nothing:

for name in list(remedies)[1:]:
    for who in networks:
        change = 100 * (np.array(recall[name, who]) - np.array(recall["nothing", who]))
        rare, frequent = change[:, -3:].mean(axis=1), change[:, :3].mean(axis=1)
        print(f"{name:24} {who:17} rare {rare.mean():+5.1f} points, up in {np.sum(rare > 0)} of {len(rare)} runs; "
              f"frequent {frequent.mean():+5.1f}")

# %%
# The bands reach from the least to the greatest of the four runs: where they overlap, four runs do not tell
# one line from another. Rare classes are also a reason to mind the temperature, since a high one tells the
# student above all which classes are frequent (:ref:`wordnet_kd`).

counts = np.sort(np.unique(y_long, return_counts=True)[1])[::-1]
figure, axes = plt.subplots(1, 2, figsize=(9, 4), sharey=True, layout="constrained")
for ax, who in zip(axes, ("teacher", "taught student"), strict=True):
    for name in remedies:
        runs = np.array(recall[name, who])
        line, = ax.plot(runs.mean(axis=0), "o-", label=name)
        ax.fill_between(range(10), runs.min(axis=0), runs.max(axis=0), alpha=0.15,
                        color=line.get_color())
    ax.set(xticks=range(10), xticklabels=counts, xlabel="training samples of the class", title=who)
axes[0].set_ylabel("recall on balanced test images")
axes[0].legend()
plt.show()
