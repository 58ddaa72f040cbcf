"""
Your own arrays
===============

Some files of arrays, one row a sample, and labels for some of them: from there to a student that was compared
with what each possible teacher makes of it.
"""

# %%
# Here the files are made of scikit-learn's measurements of tumour cells: of each, ten quantities as the mean
# over an image, as their spread, and as the worst cells have them. With yours, leave this out.

import tempfile
from pathlib import Path

import numpy as np
from sklearn.datasets import load_breast_cancer

temporary = tempfile.TemporaryDirectory()
folder = Path(temporary.name)
cells = load_breast_cancer()
for name, part in zip(("mean", "spread", "worst"), np.split(cells.data, 3, axis=1), strict=True):
    np.save(folder / f"{name}.npy", part)
np.save(folder / "labels.npy", cells.target_names[cells.target])
np.save(folder / "labelled.npy", np.random.default_rng(0).permutation(len(cells.data)) < 150)

# %%
# A dict holds the modalities, by names of your choice; the same row of each belongs to the same sample. A table
# is (n, columns), images are (n, height, width) or (n, channels, height, width), sequences (n, steps, features).
# Labels are numbers or strings, -1 (None among strings) where there is none: here 150 samples have one.

X = {name: np.load(folder / f"{name}.npy") for name in ("mean", "spread", "worst")}
labels, labelled = np.load(folder / "labels.npy"), np.load(folder / "labelled.npy")
y = np.where(labelled, labels.astype(object), None)
print(f"{len(y)} samples, {labelled.sum()} with a label: {', '.join(np.unique(labels))}")

# %%
# Suppose that only the spread will be measured in future. One call compares a student of it without a teacher
# with the same student taught by each of the others, on the same folds and from the same seeds. ``alpha=0.2``
# listens to the teachers more than to the labels, which suits pairs of which most have none. (``cv=5`` and few
# epochs let this page build quickly; leave both out for the default of ten splits.)

from cmkdlearn.model_selection import compare_teachers
from cmkdlearn.students import MultiTeacherDistiller

student = MultiTeacherDistiller(modality="spread", alpha=0.2, max_epochs=10, random_state=0)
gains = compare_teachers(student, X, y, cv=5, random_state=0)
print(gains)

# %%
# A teacher is worth having if its interval is clear of zero, and if it beats "itself", a teacher that reads what
# the student reads. :ref:`sphx_glr_auto_examples_plot_what_would_i_gain.py` says more about the rows. What follows
# from it here:

table = gains.summary()
worth = [name for name in ("mean", "worst")
         if table.verdict[name] == "better" and table.difference[name] > table.difference["itself"]]
print("worth having:", ", ".join(worth) or "none of them, on this evidence")

# %%
# The student for use is fitted on all samples, with those teachers, and written to a file. From then on it needs
# its own modality alone, and none of its teachers. What does it say of samples that nobody had labelled?

from cmkdlearn.io import load, save
from cmkdlearn.teachers import UnimodalTeacher

student.set_params(teachers=[(name, UnimodalTeacher(modality=name, max_epochs=10)) for name in worth])
save(student.fit(X, y), folder / "student.safetensors")
deployed = load(folder / "student.safetensors")
right = deployed.predict({"spread": X["spread"][~labelled]}) == labels[~labelled]
print(f"of {len(right)} samples without a label, {right.mean():.1%} are told rightly by their spread")
temporary.cleanup()

# %%
# Every split is a pale dot, the mean and its interval are dark.

from cmkdlearn.inspection import ComparisonDisplay

display = ComparisonDisplay(gains).plot()
