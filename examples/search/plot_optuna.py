"""
Searching by Optuna
===================

Where a grid would be wasteful, because several weights are continuous, Optuna proposes the next
candidate from the results of those before. Estimators here are scikit-learn's, so all that it takes
is a function of the parameters that calls ``cross_val_score``. The student sees the upper half of a
digit, the teacher all of it; with ``memory`` the teacher is fitted once a fold, and not once a
candidate.
"""

# %%
import tempfile

import matplotlib.pyplot as plt
import optuna
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import cross_val_score, train_test_split
from sklearn.svm import SVC

from cmkdlearn.students import MultiTeacherDistiller

optuna.logging.set_verbosity(optuna.logging.WARNING)
X, y = load_digits(return_X_y=True)
X, X_test, y, y_test = train_test_split(X, y, train_size=600, stratify=y, random_state=0)
student = MultiTeacherDistiller([("whole", SVC())], modality=slice(0, 32), max_epochs=10, random_state=0)


def accuracy(trial):
    params = {"lambda_kd": trial.suggest_float("lambda_kd", 0.01, 10, log=True),
              "temperature": trial.suggest_float("temperature", 1, 10),
              "lr": trial.suggest_float("lr", 1e-4, 3e-2, log=True)}
    return cross_val_score(clone(student).set_params(**params), X, y, cv=3).mean()


study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0))
with tempfile.TemporaryDirectory() as memory:
    student.set_params(memory=memory)
    study.optimize(accuracy, n_trials=20)

best = clone(student).set_params(memory=None, **study.best_params).fit(X, y)
plain = clone(best).set_params(teachers=[]).fit(X, y)
print({name: round(value, 4) for name, value in study.best_params.items()})
print(f"test accuracy {best.score(X_test, y_test):.3f}; "
      f"cross-entropy alone, at the same rate: {plain.score(X_test, y_test):.3f}")

# %%
# Each point is a candidate, and its colour when it was tried: the sampler draws the later ones where earlier
# ones were good. The best of many scores on the same folds is too high an estimate of what it would be
# elsewhere; the test samples above were in none of them. One split says nothing of whether a teacher
# is worth having: for that see :func:`~cmkdlearn.model_selection.compare`.

table = study.trials_dataframe()
figure, axes = plt.subplots(1, 3, sharey=True, figsize=(9, 3.2), layout="constrained")
for ax, name in zip(axes, ["lr", "lambda_kd", "temperature"], strict=True):
    points = ax.scatter(table[f"params_{name}"], table["value"], c=table["number"], cmap="viridis")
    ax.set(xlabel=name, xscale="linear" if name == "temperature" else "log")
axes[0].set_ylabel("accuracy, three folds")
figure.colorbar(points, ax=axes, label="candidate")
plt.show()
