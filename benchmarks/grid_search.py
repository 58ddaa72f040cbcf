"""A grid search whose candidates share teachers, with and without ``memory``.

The grid of the README: five relaxed proportions times three weights, three folds, on the shipped
images of clothes as embeddings, with T_m an ensemble of two networks.
"""

import tempfile

import numpy as np
from sklearn.model_selection import GridSearchCV

from benchmarks._report import save, seconds
from cmkdlearn.students import MultiTeacherDistiller
from cmkdlearn.teachers import TeacherEnsemble, UnimodalTeacher, WordNetRelaxedTeacher

N, D, C, SEED = 1500, 384, 10, 0


def main():
    rng = np.random.default_rng(SEED)
    y = rng.integers(C, size=N)
    centres = rng.normal(size=(C, D))
    X = (centres[y] + 2 * rng.normal(size=(N, D))).astype(np.float32)
    nouns = {f"noun {i}": rng.normal(size=D) for i in range(2000)}
    teachers = [
        ("image", TeacherEnsemble([("a", UnimodalTeacher(max_epochs=20)),
                                   ("b", UnimodalTeacher(max_epochs=20))])),
        ("wordnet", WordNetRelaxedTeacher(class_names=dict(enumerate(centres)), nouns=nouns,
                                          max_epochs=20)),
    ]
    grid = {"wordnet__relaxed_proportion": [0.0, 0.2, 0.5, 0.8, 1.0], "lambda_kd": [0.5, 1.0, 2.0]}

    def search(memory):
        student = MultiTeacherDistiller(teachers, memory=memory, max_epochs=5, random_state=SEED)
        return GridSearchCV(student, grid, cv=3).fit(X, y)

    with tempfile.TemporaryDirectory() as memory:
        kept = seconds(lambda: search(memory))
    refitted = seconds(lambda: search(None))
    save("grid_search", samples=N, candidates=15, folds=3, seed=SEED,
         seconds={"with memory": kept, "without": refitted}, speedup=refitted / kept,
         target_speedup=3)


if __name__ == "__main__":
    main()
