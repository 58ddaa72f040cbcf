"""
Searching over teachers and weights together
============================================

The teachers of a student are parameters like any other. With ``memory``, candidates that share a
teacher's setting share the teacher: here 12 candidates in 3 folds need 12 fits of the teacher, not
36.
"""

# %%
import tempfile

import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import GridSearchCV

from cmkdlearn.datasets import load_fashion_mini
from cmkdlearn.embedding import ConSEEmbedder
from cmkdlearn.students import MultiTeacherDistiller
from cmkdlearn.teachers import WordNetRelaxedTeacher
from cmkdlearn.text import WordNetNouns

fashion = load_fashion_mini()
X, y = fashion.X_train[:600], fashion.y_train[:600]
nouns = WordNetNouns().candidates(hypernym="clothing.n.01", exclude=fashion.class_names)
teacher = WordNetRelaxedTeacher(ConSEEmbedder(memory=".cache/cmkdlearn"), nouns=nouns, templates=["{}"])

grid = {"wordnet__relaxed_proportion": [0.0, 0.5, 0.8, 1.0], "lambda_kd": [0.3, 1.0, 3.0]}
with tempfile.TemporaryDirectory() as memory:
    student = MultiTeacherDistiller([("wordnet", teacher)], input_type="table", memory=memory, random_state=0)
    search = GridSearchCV(student, grid, cv=3).fit(X, y)
print(search.best_params_)

# %%
# Scores are of the student, which sees pixels only, on images that neither it nor its teacher was
# fitted on. Mind the spread over the folds before reading much into the best cell.

mean, spread = (search.cv_results_[f"{what}_test_score"].reshape(3, 4) for what in ("mean", "std"))
figure, ax = plt.subplots(layout="constrained")
picture = ax.imshow(mean, cmap="viridis", aspect="auto")
for i, j in np.ndindex(mean.shape):
    ax.text(j, i, f"{mean[i, j]:.3f}\n± {spread[i, j]:.3f}", ha="center", va="center",
            color="white" if mean[i, j] < mean.mean() else "black")
ax.set(xticks=range(4), xticklabels=grid["wordnet__relaxed_proportion"], xlabel="share of relaxed text",
       yticks=range(3), yticklabels=grid["lambda_kd"], ylabel="λ, the weight of the teacher",
       title="Accuracy of the student, three folds")
figure.colorbar(picture)
plt.show()
