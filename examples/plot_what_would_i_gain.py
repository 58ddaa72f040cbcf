"""
What would I gain?
==================

Samples of your own with several modalities, one of which will be there at prediction time: one call says what
each of the others would be worth as a teacher, all of them together, and the one that a selector picks.
"""

# %%
# Handwritten digits of scikit-learn. When it matters, a cheap ``camera`` reads them, and its pictures are
# noisy. A ``scanner`` has seen the same digits clearly, for training only; a ``clock`` has written down four
# numbers that have nothing to do with them. Of 1,000 digits, 300 have a label.

import numpy as np
from sklearn.datasets import load_digits

rng = np.random.default_rng(0)
pictures, y = load_digits(return_X_y=True)
chosen = rng.permutation(len(y))[:1000]
pictures, y = pictures[chosen], y[chosen]
X = {"camera": pictures + 8 * rng.normal(size=pictures.shape), "scanner": pictures,
     "clock": rng.normal(size=(len(y), 4))}
y[300:] = -1

# %%
# The student reads the camera and has no teacher yet. :func:`~cmkdlearn.model_selection.compare_teachers` gives
# it each in turn: for every other modality a network that is trained as the student is, with as many epochs, on
# the same folds and from the same seeds. With a selector it also asks, on each training fold by itself, which
# of them to take.

from cmkdlearn.model_selection import compare_teachers
from cmkdlearn.selection import CCHSelector
from cmkdlearn.students import MultiTeacherDistiller
from cmkdlearn.teachers import UnimodalTeacher

training = {"max_epochs": 12, "batch_size": 100, "lr": 3e-3, "device": "cpu"}
student = MultiTeacherDistiller(modality="camera", **training)
selector = CCHSelector(student="camera", network=UnimodalTeacher(**training), criterion="permutation",
                       n_repeats=2)
gains = compare_teachers(student, X, y, selector=selector, cv=5, random_state=0)
gains

# %%
# Read it from the top. "no teacher" is the student alone. "itself" is taught by a network that reads the
# camera as well: whatever that brings is owed to being taught, and to the unlabelled samples, and not to another
# modality. A teacher is worth having if its interval is clear of zero and its gain above that of "itself".
# "selected" is what you would have got by trusting the selector, which did not look at the test folds.

itself = gains.table["diff_accuracy"][gains.names.index("itself")]
for name, row in gains.summary().drop(["no teacher", "itself"]).iterrows():
    print(f"{name}: {row.verdict}; {100 * (row.difference - itself):+.1f} points against 'itself'")

# %%
# The last comparison has an interval, too.

from cmkdlearn.model_selection import corrected_ttest

scores = dict(zip(gains.names, gains.scores["accuracy"], strict=True))
test = corrected_ttest(scores["scanner"] - scores["itself"], gains.test_over_train)
print(f"scanner against itself: {100 * test.low:+.1f} to {100 * test.high:+.1f} points, p = {test.pvalue:.3f}")

# %%
# Every split is a pale dot. With 60 labelled digits in a test fold, one of them is more than a point: few data
# have wide intervals, and "within noise" means that they do not tell, and not that there is nothing to be had.
# (``ComparisonDisplay.from_student(student, X, y)`` does all of this page in one line.)

from cmkdlearn.inspection import ComparisonDisplay

display = ComparisonDisplay(gains).plot()
