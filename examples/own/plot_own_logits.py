"""
Logits of your own as the teacher
=================================

A teacher may be out of reach: a program that nobody can run any more, a service, a colleague's model. What it
once said of the samples is enough. :class:`~cmkdlearn.teachers.PrecomputedTeacher` looks it up.
"""

# %%
# The model of this page is a forest that has read whole digits, and the student reads their lower halves. Its
# probabilities were written down twice: as it says them of the digits that it was fitted on, and by
# cross-validation, each digit by a forest that had not seen it.

import tempfile
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.model_selection import cross_val_predict

temporary = tempfile.TemporaryDirectory()
folder = Path(temporary.name)
digits, y = (part[:600] for part in load_digits(return_X_y=True))
names = np.array([f"scan-{i:04}" for i in range(600)])
forest = ExtraTreesClassifier(200, random_state=0)
np.save(folder / "seen.npy", forest.fit(digits, y).predict_proba(digits))
np.save(folder / "unseen.npy", cross_val_predict(forest, digits, y, cv=5, method="predict_proba"))

# %%
# A student learns from logits. Those of probabilities are their logarithm, with something to hold on to where a
# probability is zero. The columns are in the order of ``classes``, and ``ids`` says whose each row is.

from cmkdlearn.teachers import PrecomputedTeacher

teachers = {}
for kind in ("seen", "unseen"):
    logits = np.log(np.load(folder / f"{kind}.npy").clip(0.005))
    teachers[kind] = PrecomputedTeacher(logits, classes=range(10), ids=names, modality="name")
temporary.cleanup()

# %%
# Cross-validation hands out rows of X in any order, and so each row has its name beside it. Nothing is guessed: a
# name without logits is refused.

from cmkdlearn.preprocessing import Modalities

X = Modalities(lower=digits[:, 32:], name=names)
try:
    teachers["seen"].fit({"name": np.array(["scan-0007", "scan-7000"])}, [7, 7])
except ValueError as refusal:
    print(refusal)

# %%
# Then they teach as any other. Said of digits that the forest had by heart, they repeat the label; said of others,
# they tell which digits resemble each other.

from cmkdlearn.model_selection import compare
from cmkdlearn.students import MultiTeacherDistiller

for kind, teacher in teachers.items():
    sure = np.exp(teacher.fit(X, y).teaching_logits(X)).max(axis=1).mean()
    print(f"{kind}: right in {teacher.score(X, y):.0%}, sure of it by {sure:.2f} on average")

training = {"modality": "lower", "max_epochs": 15, "lr": 3e-3}
result = compare({"no teacher": MultiTeacherDistiller(**training),
                  **{f"logits, {kind}": MultiTeacherDistiller([("forest", teacher)], alpha=0.5, **training)
                     for kind, teacher in teachers.items()}}, X, y, cv=5, random_state=0)
print(result)
for name, row in result.summary("log_loss").iloc[1:].iterrows():
    print(f"{name:16} log loss {row.difference:+.3f} [{row.low:+.3f}, {row.high:+.3f}], {row.verdict}")

# %%
# Where the logits lie beside the samples already, they are a modality themselves, and need no names:
# ``PrecomputedTeacher(None, classes, modality="logits")``.

from cmkdlearn.inspection import ComparisonDisplay

display = ComparisonDisplay(result).plot("log_loss")
