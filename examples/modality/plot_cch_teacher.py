"""
Choosing a teacher before training with it
==========================================

Of several modalities only one will be there in the future. Would one of the others make a good teacher for
it? :class:`~cmkdlearn.selection.CCHSelector` says what it expects, before any student is trained. This page
asks it, trains the students all the same, and prints both side by side.
"""

# %%
# Modalities out of the digits that scikit-learn has: the upper half, which the student will see, the lower
# half, and noise, which can teach nothing. 300 digits are to learn from.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from cmkdlearn.inspection import CCHDisplay
from cmkdlearn.selection import CCHSelector
from cmkdlearn.students import MultiTeacherDistiller
from cmkdlearn.teachers import UnimodalTeacher

digits, labels = load_digits(return_X_y=True)
views = {"upper": digits[:, :32], "lower": digits[:, 32:],
         "noise": np.random.default_rng(0).normal(size=(len(labels), 32))}
X, X_test = ({name: part[rows] for name, part in views.items()} for rows in (slice(300), slice(300, None)))
y, y_test = labels[:300], labels[300:]

# %%
# The selector trains a network on each modality, represents samples that the network has not seen, and
# estimates the mutual informations. The hypothesis wants the teacher's representation to share more with the
# student's than the student's does with the labels.

training = {"max_epochs": 30, "batch_size": 128, "device": "cpu"}
network = UnimodalTeacher(**training)
selector = CCHSelector(student="upper", network=network, random_state=0).fit(X, y)
CCHDisplay.from_estimator(selector)
selector.summary()

# %%
# The zero of that gap is calibrated: each of its two terms is zero where there is nothing to find.
# The paper's rule as it is printed subtracts two plain estimates, whose errors do not cancel.

printed = CCHSelector(student="upper", network=network, criterion="cch", random_state=0)
CCHDisplay.from_estimator(printed.fit(X, y))

# %%
# Now the test of both: the student with each teacher, from six seeds. The bars are two standard errors over
# the seeds. All of them share one training and one test set, so they do not cover the chance in either.

gains = {name: [] for name in selector.ranking_}
for seed in range(6):
    plain = MultiTeacherDistiller(modality="upper", random_state=seed, **training).fit(X, y).score(X_test, y_test)
    for name in gains:
        taught = MultiTeacherDistiller([("teacher", UnimodalTeacher(modality=name, **training))], modality="upper",
                                       lambda_kd=1, temperature=4, random_state=seed, **training)
        gains[name].append(taught.fit(X, y).score(X_test, y_test) - plain)

figure, ax = plt.subplots(layout="constrained")
for i, gain in enumerate(gains.values()):
    ax.bar(i, np.mean(gain), yerr=2 * np.std(gain, ddof=1) / np.sqrt(len(gain)), capsize=6)
ax.axhline(0, color="black", linewidth=1)
ax.set(xticks=range(len(gains)), xticklabels=list(gains), ylabel="gain in test accuracy",
       title="What each teacher did for “upper”")
plt.show()

# %%
# What was said before, and what came. A verdict is about whether a teacher *can* help: how a student is
# taught (weight, temperature, number of samples) decides with it, and the gain may be too small to see.

for name, gain in gains.items():
    error = np.std(gain, ddof=1) / np.sqrt(len(gain))
    print(f"{name}: calibrated {selector.worthwhile_[name]}; as printed {printed.worthwhile_[name]}; "
          f"gain {100 * np.mean(gain):+.1f} ± {200 * error:.1f} points")
