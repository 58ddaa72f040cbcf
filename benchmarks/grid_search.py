"""A grid search whose candidates share teachers, with and without ``memory``.

The grid of the README on 600 of the shipped images: five relaxed proportions times three weights,
three folds, T_m of two augmented networks and T_x. Images and nouns are embedded beforehand and
found in the embedder's cache in both searches. ``memory`` saves no student's fit: what it can save
depends on what teachers cost beside their student, so T_m's networks are as wide as the student's,
twice and four times as wide. The widest search has four temperatures, too, and three epochs; its
time without memory is that of the three weights alone, times twenty, as every candidate costs the
same there.
"""

import tempfile
from functools import partial

import torch
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
    torch.set_num_threads(1)
    fashion = load_fashion_mini()
    X, y = fashion.X_train[:N], fashion.y_train[:N]
    nouns = WordNetNouns().candidates(hypernym="clothing.n.01", exclude=fashion.class_names)
    with tempfile.TemporaryDirectory() as cache:
        embedder = ConSEEmbedder(memory=cache)
        embedder.transform(X), encode_prompts(embedder, nouns, ["{}"])
        wordnet = WordNetRelaxedTeacher(embedder, nouns=nouns, templates=["{}"], max_epochs=20,
                                        batch_size=128)
        proportions, weights = [0.0, 0.2, 0.5, 0.8, 1.0], [0.5, 1.0, 2.0]

        def search(memory, proportions, temperatures, width, epochs):
            augmented = [(kind, UnimodalTeacher(SmallConvNet, augmentation=kind,
                                                module__width=width, max_epochs=epochs,
                                                batch_size=128))
                         for kind in ("strong", "weak")]
            student = MultiTeacherDistiller(
                [("image", TeacherEnsemble(augmented)), ("wordnet", wordnet)], memory=memory,
                module=SmallConvNet, max_epochs=epochs, batch_size=128, random_state=SEED)
            grid = {"wordnet__relaxed_proportion": proportions, "lambda_kd": weights,
                    "temperature": temperatures}
            return GridSearchCV(student, grid, cv=3).fit(X, y)

        results = {}
        for name, width, epochs, target in (("teachers as wide as the student", 16, 10, 3),
                                            ("teachers twice as wide", 32, 10, 3)):
            with tempfile.TemporaryDirectory() as memory:
                kept = seconds(partial(search, memory, proportions, [4.0], width, epochs))
            refitted = seconds(partial(search, None, proportions, [4.0], width, epochs))
            results[name] = figures(15, kept, refitted, target)
        with tempfile.TemporaryDirectory() as memory:
            kept = seconds(partial(search, memory, proportions, [1.0, 2.0, 4.0, 8.0], 64, 3))
        refitted = 20 * seconds(partial(search, None, [1.0], [4.0], 64, 3))
        results["teachers four times as wide"] = figures(60, kept, refitted, 5)
    save("grid_search", samples=N, folds=3, seed=SEED, results=results)


def figures(candidates, kept, refitted, target):
    return {"candidates": candidates, "seconds with memory": kept, "seconds without": refitted,
            "speedup": refitted / kept, "target": target}


if __name__ == "__main__":
    main()
