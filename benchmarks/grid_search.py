"""A grid search whose candidates share teachers, with and without ``memory``.

The grid of the README on 600 of the shipped images: five relaxed proportions times three weights,
three folds, T_m of two augmented networks and T_x. Images and nouns are embedded beforehand and
found in the embedder's cache in both searches.
"""

import tempfile

from sklearn.model_selection import GridSearchCV

from benchmarks._networks import SmallConvNet
from benchmarks._report import save, seconds
from cmkdlearn.datasets import load_fashion_mini
from cmkdlearn.embedding import ConSEEmbedder
from cmkdlearn.students import MultiTeacherDistiller
from cmkdlearn.teachers import TeacherEnsemble, UnimodalTeacher, WordNetRelaxedTeacher
from cmkdlearn.text import WordNetNouns, encode_prompts

N, SEED = 600, 0


def main():
    fashion = load_fashion_mini()
    X, y = fashion.X_train[:N], fashion.y_train[:N]
    nouns = WordNetNouns().candidates(hypernym="clothing.n.01", exclude=fashion.class_names)
    with tempfile.TemporaryDirectory() as cache:
        embedder = ConSEEmbedder(memory=cache)
        embedder.transform(X), encode_prompts(embedder, nouns, ["{}"])
        augmented = [(kind, UnimodalTeacher(SmallConvNet, augmentation=kind))
                     for kind in ("strong", "weak")]
        teachers = [("image", TeacherEnsemble(augmented)),
                    ("wordnet", WordNetRelaxedTeacher(embedder, nouns=nouns, templates=["{}"]))]
        grid = {"wordnet__relaxed_proportion": [0.0, 0.2, 0.5, 0.8, 1.0],
                "lambda_kd": [0.5, 1.0, 2.0]}

        def search(memory):
            student = MultiTeacherDistiller(teachers, module=SmallConvNet, memory=memory,
                                            random_state=SEED)
            return GridSearchCV(student, grid, cv=3).fit(X, y)

        with tempfile.TemporaryDirectory() as memory:
            kept = seconds(lambda: search(memory))
        refitted = seconds(lambda: search(None))
    save("grid_search", samples=N, candidates=15, folds=3, seed=SEED,
         seconds={"with memory": kept, "without": refitted}, speedup=refitted / kept,
         target_speedup=3)


if __name__ == "__main__":
    main()
