"""
Do pairs hold more than the label?
==================================

Two modalities of one thing share more than its class: a picture and a recording of one person, the
halves of one handwritten digit. Modalities that were put together by class do not: an image of a
seven and somebody saying "seven" have nothing else in common. Then a teacher's answer tells the
student no more about its sample than the class's mean answer would, and pairs are of no use.
:func:`~cmkdlearn.inspection.conditional_independence_test` tells, before anything is distilled.
"""

# %%
# The teacher reads the lower half of a digit. The student sees the upper half: of the same digit, or
# of another one of the same class.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cmkdlearn.inspection import ConditionalIndependenceDisplay, conditional_independence_test
from cmkdlearn.preprocessing import ModalitySelector

digits, y = load_digits(return_X_y=True)
digits, y = digits[:800], y[:800]
upper, lower = digits[:, :32], digits[:, 32:]
rng, partner = np.random.default_rng(0), np.arange(len(y))
for label in range(10):
    partner[y == label] = rng.permutation(partner[y == label])
X = {"lower": lower, "of the same digit": upper, "of another of the class": upper[partner]}

# %%
# The teacher is fitted out of fold, and the student's half has to predict how its answers differ
# within the classes.

teacher = make_pipeline(ModalitySelector("lower"), StandardScaler(), LogisticRegression(C=0.1))
results = {name: conditional_independence_test(teacher, X, y, modality=name, n_permutations=200,
                                               random_state=0) for name in list(X)[1:]}
for name, result in results.items():
    print(f"upper half {name}: of what the teacher says, the class explains "
          f"{result.class_share:.0%},\n  the student's half {result.statistic:z.1%} of the rest, "
          f"p = {result.pvalue:.3f}")

display = ConditionalIndependenceDisplay(results).plot()
plt.show()

# %%
# Where nothing is explained, a teacher can still pass on which classes resemble each other, but that
# stands in its mean answers.
