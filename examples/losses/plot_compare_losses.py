"""
Twelve ways to listen to a teacher
==================================

A loss says what a student takes from its teacher: probabilities, relations between samples, features,
or feature maps. Which one helps on given data is an empirical question, and
:func:`~cmkdlearn.model_selection.compare` asks it fairly: one backbone, one budget, the same folds and
seeds for all.
"""

# %%
# The teacher is a wider convolutional network than the student, trained beforehand on other images.
# The student has 300 images, of which each split trains on 200.

import pandas as pd
from sklearn.frozen import FrozenEstimator
from torch import nn

from cmkdlearn.datasets import load_fashion_mini
from cmkdlearn.inspection import ComparisonDisplay
from cmkdlearn.losses import LOSSES, get_loss
from cmkdlearn.model_selection import compare
from cmkdlearn.students import MultiTeacherDistiller
from cmkdlearn.teachers import UnimodalTeacher


class ConvNet(nn.Module):
    def __init__(self, width):
        super().__init__()
        layers, n_in = [], 1
        for n_out in (width, 2 * width, 4 * width):
            layers += [nn.Conv2d(n_in, n_out, 3, stride=2, padding=1), nn.BatchNorm2d(n_out), nn.ReLU()]
            n_in = n_out
        self.body = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(n_out, 10)

    def forward(self, x):
        return self.head(self.body(x))


fashion = load_fashion_mini()
X, y = fashion.X_train[:300], fashion.y_train[:300]
teacher = UnimodalTeacher(ConvNet, module__width=16, lr=3e-3, max_epochs=12, random_state=0)
teacher.fit(fashion.X_train[300:1500], fashion.y_train[300:1500])
print(f"The teacher's accuracy on the student's images: {teacher.score(X, y):.2f}")

# %%
# The first method is the one that the others are tested against: no teacher. Losses have their own
# scales, so ``lambda_kd`` was set by hand where a term would be far from the size of the cross-entropy.
# It was not tuned; with real data, search over it for each loss.

scale = {"rkd": 0.1, "dkd": 0.25, "rld": 0.25, "crd": 0.5, "zscore": 9.0}


def student(loss, teachers):
    return MultiTeacherDistiller(teachers, module=ConvNet, module__width=8, loss=loss, lr=1e-2,
                                 batch_size=32, max_epochs=16, lambda_kd=scale.get(loss, 1.0), temperature=4.0)


losses = {name: name for name in LOSSES}
losses["review"] = get_loss("review", width=16)  # narrower than by default: this page is to build quickly
methods = {"no teacher": student("kd", [])}
for name, loss in losses.items():
    methods[name] = student(loss, [("wide", FrozenEstimator(teacher))])
result = compare(methods, X, y, cv=3, random_state=0)

# %%
# Three splits are few, and the intervals are as wide as so few deserve: this page shows how to ask, and
# does not rank the losses. One column to look at besides accuracy is calibration. Standardised logits and
# correlations ("zscore", "dist") leave the student the scale of its logits, by their formulas, and so say
# nothing about how sure it should be.

table = pd.DataFrame(result.table).set_index("estimator")
scaleless = table.index.isin(["zscore", "dist"])
print("Calibration error of " + ", ".join(f"{name} {error:.2f}" for name, error in
                                          table["mean_calibration_error"][scaleless].items())
      + f"; median of the others {table['mean_calibration_error'][~scaleless].median():.2f}")
table[["mean_accuracy", "std_accuracy", "diff_accuracy", "pvalue_accuracy", "mean_log_loss",
       "mean_calibration_error", "mean_fit_seconds"]].round(3)

# %%

display = ComparisonDisplay(result).plot()

# %%
# A sum of losses is a loss.

both = 0.25 * get_loss("dkd") + get_loss("fitnet")
print(both)
both_taught = student(both, [("wide", FrozenEstimator(teacher))]).fit(X, y)
print(f"trained for {len(both_taught.history_)} epochs")
