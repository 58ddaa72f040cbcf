"""
Tables with missing values and rare classes, to a decision
==========================================================

Several tables of the same patients, as omics come: more columns than one would like, gaps, and subtypes of which
one is rare. Only one of the tables will be there in future. Should another one teach its student?
"""

# %%
# The data are made up: 480 patients of three subtypes, of which the rarest has one in twelve, and 160 whose subtype
# is known. What is measured of proteins will always be there, and is complete. RNA and methylation have gaps;
# RNA knows the subtypes best, and methylation hardly knows them.

import numpy as np
import pandas as pd

rng = np.random.default_rng(0)
subtypes = np.array(["basal", "luminal", "normal"])
y = rng.permutation(np.repeat(subtypes, [160, 280, 40]))
cause = (y[:, None] == subtypes).astype(float)
hidden = 1.5 * cause + rng.normal(size=(480, 3))  # what proteins and RNA both see
parts = {"protein": hidden @ rng.normal(size=(3, 20)) + 2 * rng.normal(size=(480, 20)),
         "rna": (hidden + 2 * cause) @ rng.normal(size=(3, 60)) + rng.normal(size=(480, 60)),
         "methylation": 0.2 * cause @ rng.normal(size=(3, 40)) + rng.normal(size=(480, 40))}
for name in ("rna", "methylation"):
    parts[name][rng.random(parts[name].shape) < 0.1] = np.nan
patients = [f"patient {i}" for i in range(480)]
X = {name: pd.DataFrame(part, index=patients).add_prefix(name) for name, part in parts.items()}
for name, table in X.items():
    print(f"{name}: {table.shape[1]} columns, {table.isna().mean().mean():.0%} missing")
partly = np.where(np.arange(480) < 160, y.astype(object), None)

# %%
# Networks take no gaps. A teacher is a pipeline that fills them, picks columns, and ends in a network: in each
# training fold anew, so that no test patient has a part in it. The tables' rows are matched by position; where
# they have names in another order, that is refused.
#
# For the rare subtype, student and teachers weigh the classes alike, by ``class_weight="balanced"``, and the
# comparison is by the macro-averaged F1 score, in which all subtypes count the same.

from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline

from cmkdlearn.preprocessing import MRMR, ModalitySelector
from cmkdlearn.students import MultiTeacherDistiller
from cmkdlearn.teachers import UnimodalTeacher

training = {"class_weight": "balanced", "max_epochs": 15, "batch_size": 32, "device": "cpu"}


def teacher(name):
    return make_pipeline(ModalitySelector(name), SimpleImputer(), MRMR(20), UnimodalTeacher(**training))


student = MultiTeacherDistiller(modality="protein", alpha=0.2, **training)  # most patients have no label

# %%
# First the question that costs no student. The selector reads the tables itself, so gaps are filled beforehand;
# that looks at no label.

from cmkdlearn.selection import CCHSelector

filled = {name: SimpleImputer().set_output(transform="pandas").fit_transform(table) for name, table in X.items()}
selector = CCHSelector(student="protein", network=UnimodalTeacher(**training), n_repeats=2, random_state=0)
selector.fit({name: table[:160] for name, table in filled.items()}, y[:160])
for name in selector.ranking_:
    print(f"{name}: {selector.worthwhile_[name]}. {selector.worthwhile_[name].advice}")

# %%
# Then the students, with each teacher and without one.

from cmkdlearn.model_selection import compare_teachers

gains = compare_teachers(student, X, partly, teachers={name: teacher(name) for name in ("rna", "methylation")}, cv=5,
                         random_state=0)
table = gains.summary("macro_f1")
print(table[["macro_f1", "difference", "low", "high", "verdict"]].round(3).to_string())

# %%
# The decision: teachers whose interval is clear of zero, and whose difference is above that of "itself", a teacher
# that reads proteins as the student does. The selector's "yes" is a reason to try, and this is the try: where the two
# differ, go by the comparison.

worth = [name for name in ("rna", "methylation")
         if table.verdict[name] == "better" and table.difference[name] > table.difference["itself"]]
print("Distil from:", ", ".join(worth) or "none of them on this evidence. Go on without, or collect more patients.")

# %%
# Five splits of few patients have wide intervals. "Within noise" says that they do not tell.

from cmkdlearn.inspection import ComparisonDisplay

display = ComparisonDisplay(gains).plot("macro_f1")
