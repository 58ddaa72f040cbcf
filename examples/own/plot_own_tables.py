"""
Tables and texts of your own
============================

Samples with several sides, some of them incomplete, some of them text: a dict holds them, and a pipeline
of scikit-learn on any one of them is a teacher. At prediction time, the student has its own modality only.
"""

# %%
# Machines that fail in one of three ways. Their ``sensors`` are always there. A ``laboratory`` has looked
# at oil and metal, with every fifth value missing, and a mechanic has written ``notes`` after the repair.
# Neither will be there when the next machine has to be judged. The data are made up.

import numpy as np
from skorch.helper import SliceDict

rng = np.random.default_rng(0)
n, faults = 480, np.array(["bearing", "leak", "wear"])
y = faults[rng.integers(3, size=n)]
cause = (y[:, None] == faults).astype(float)
hidden = 1.2 * cause + rng.normal(size=(n, 3))  # what sensors and laboratory both see
sensors = np.hstack([hidden @ rng.normal(size=(3, 6)), np.zeros((n, 6))]) + rng.normal(size=(n, 12))
laboratory = 2 * cause @ rng.normal(size=(3, 5)) + hidden @ rng.normal(size=(3, 5))
laboratory[rng.random(laboratory.shape) < 0.2] = np.nan
words = {"bearing": "noise heat grinding vibration", "leak": "oil puddle pressure seal",
         "wear": "dust slack vibration seal"}
notes = [" ".join([*rng.choice(words[fault].split(), 2), *rng.choice("checked cleaned replaced ok".split(), 3)])
         for fault in y]
known = np.arange(n) < n // 6
partly = np.where(known, y.astype(object), None)
print(notes[0])

# %%
# Texts go into an array, so that a :class:`~skorch.helper.SliceDict` can be cut into folds. (In a plain dict,
# which :func:`~cmkdlearn.model_selection.compare` cuts itself, lists and DataFrames will do.)

X = SliceDict(sensors=sensors, laboratory=laboratory, notes=np.array(notes, dtype=object))

# %%
# A pipeline that begins with a :class:`~cmkdlearn.preprocessing.ModalitySelector` reads one modality. From
# there on it is scikit-learn as usual: missing values are imputed, texts become sparse vectors. The steps are
# fitted on the training folds only, with all that is in them.

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from cmkdlearn.preprocessing import ModalitySelector

of_laboratory = make_pipeline(ModalitySelector("laboratory"), SimpleImputer(), StandardScaler(), SVC())
of_notes = make_pipeline(ModalitySelector("notes"), TfidfVectorizer(), LogisticRegression())

# %%
# How well they tell the faults themselves, where these are known:

from sklearn.model_selection import cross_val_score

for name, pipeline in {"laboratory": of_laboratory, "notes": of_notes}.items():
    print(f"{name:10} {cross_val_score(pipeline, X[known], y[known]).mean():.2f}")

# %%
# With ``cv=3`` they speak about labelled samples that they were not fitted on. What they say of the unlabelled
# ones is all that a student learns from these.

from cmkdlearn.students import MultiTeacherDistiller


def student(*teachers):
    return MultiTeacherDistiller(teachers, modality="sensors", cv=3, lr=3e-3)


# %%
# What is in a pipeline can be searched over by its name in there. The student needs its own modality only.

from sklearn.model_selection import GridSearchCV

search = GridSearchCV(student(("notes", of_notes)).set_params(random_state=0), {
    "notes__logisticregression__C": [1, 10], "temperature": [1, 4]}, cv=3)
search.fit(X[known], y[known])
print(search.best_params_)
print(search.predict({"sensors": sensors[-5:]}))

# %%
# The comparison: the same folds and seeds for all, and unlabelled machines in every training fold.

from cmkdlearn.inspection import ComparisonDisplay
from cmkdlearn.model_selection import compare

methods = {"sensors": student(),
           "taught by laboratory": student(("laboratory", of_laboratory)),
           "taught by notes": student(("notes", of_notes)),
           "taught by both": student(("laboratory", of_laboratory), ("notes", of_notes))}
result = compare(methods, X, partly, random_state=0)
print(result)

# %%
# Eighty machines with a known fault are few, and intervals of the accuracy are wide. How far the student's
# probabilities can be trusted is another question, which the log loss asks: less is better.

for name, row in result.summary("log_loss").iloc[1:].iterrows():
    print(f"{name:20} log loss {row.difference:+.3f} [{row.low:+.3f}, {row.high:+.3f}], {row.verdict}")
display = ComparisonDisplay(result).plot("log_loss")
