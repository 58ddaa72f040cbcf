"""
Teaching with pairs that have no label
======================================

Labels are dear; samples of which both modalities were recorded often are not. A teacher of the other
modality says something about these, and so does the student's own modality. Each may be wrong where
the other is right, so :class:`~cmkdlearn.teachers.ProductOfExperts` calibrates both and multiplies
them, and the student learns from what they say together.
"""

# %%
# Two halves of a digit stand for two modalities. A hundred digits have a label, and 900 have none.
# The student will only ever see the left half.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from cmkdlearn.students import MultiTeacherDistiller
from cmkdlearn.teachers import ProductOfExperts, UnimodalTeacher

digits = load_digits()
X = {"left": digits.images[:, :, :4].reshape(-1, 32) / 16, "right": digits.images[:, :, 4:].reshape(-1, 32) / 16}
y = digits.target


def taken(rows):
    return {name: part[rows] for name, part in X.items()}


# %%
# Four ways to train the same student. "itself" is the control: what it gains owes nothing to the right
# half. A teacher by itself is listened to a little (``alpha=0.8``), the product a lot.

left, right = UnimodalTeacher(modality="left"), UnimodalTeacher(modality="right")
methods = {
    "labels only": ([], {}),
    "right half": ([("right", right)], {"alpha": 0.8}),
    "itself": ([("left", ProductOfExperts([("left", left)]))], {"alpha": 0.2}),
    "product": ([("both", ProductOfExperts([("left", left), ("right", right)]))], {"alpha": 0.2}),
}
accuracy = {name: [] for name in methods}
for seed in range(3):
    known, rest = train_test_split(np.arange(len(y)), train_size=100, stratify=y, random_state=seed)
    train, test = np.r_[known, rest[:900]], rest[900:]
    partly = np.where(np.arange(1000) < 100, y[train], -1)
    for name, (teachers, params) in methods.items():
        student = MultiTeacherDistiller(teachers, modality="left", temperature=1, random_state=seed, **params)
        accuracy[name].append(student.fit(taken(train), partly).score(taken(test), y[test]))
for name, values in accuracy.items():
    gain = 100 * (np.mean(values) - np.mean(accuracy["labels only"]))
    print(f"{name:12} {100 * np.mean(values):.1f} %   {gain:+.1f} points")

# %%
# How much an expert is believed is fitted on samples that it had not seen: one that is too sure of itself
# has a temperature above one, one that knows nothing an infinite one.

both = student.named_teachers_.both
for name, temperature in zip(both.named_teachers_, both.temperatures_, strict=True):
    print(f"{name}: temperature {temperature:.2f}")

# %%
# One line a draw of the labelled digits: differences within a draw are what counts.

figure, ax = plt.subplots(layout="constrained")
ax.plot(list(methods), 100 * np.array(list(accuracy.values())), "o-", color="C0", alpha=0.4)
ax.plot(list(methods), [100 * np.mean(values) for values in accuracy.values()], "D", color="C1", markersize=9,
        label="mean of three draws")
ax.set(ylabel="accuracy on test digits (%)", title="A student of left halves, and who taught it")
ax.legend()
plt.show()
