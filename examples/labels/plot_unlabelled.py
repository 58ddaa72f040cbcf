"""
Learning from images without labels
===================================

A teacher that needs no label can speak about any image. So a student may learn from images that
nobody has labelled: they carry the distillation term only. What is that worth where labels are few, and
where they are many?
"""

# %%
# The teacher is a logistic regression on a frozen network's view of the image, fitted on the
# labelled images alone. An unlabelled image has ``None`` in place of its label (-1 among integer
# labels). Both students pass over all images equally often; the one without a teacher simply gets
# nothing from the unlabelled ones.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cmkdlearn.datasets import load_fashion_mini
from cmkdlearn.embedding import ConSEEmbedder
from cmkdlearn.students import MultiTeacherDistiller

fashion = load_fashion_mini()
X, y, X_test, y_test = fashion.X_train[:1000], fashion.y_train[:1000], fashion.X_test, fashion.y_test
teacher = make_pipeline(ConSEEmbedder(memory=".cache/cmkdlearn"), StandardScaler(),
                        LogisticRegression(max_iter=1000))

counts, seeds = (50, 200, 1000), range(3)
scores = {"no teacher": [], "taught": []}
for n_labelled in counts:
    for name, teachers in (("no teacher", []), ("taught", [("embedding", teacher)])):
        runs = []
        for seed in seeds:
            known = np.random.default_rng(seed).permutation(len(y))[:n_labelled]
            partly = np.full(len(y), None, dtype=object)
            partly[known] = y[known]
            student = MultiTeacherDistiller(teachers, input_type="table", alpha=0.2, max_epochs=10,
                                            random_state=seed)
            runs.append(student.fit(X, partly).score(X_test, y_test))
        scores[name].append(runs)
    plain, taught = (np.array(runs[-1]) for runs in scores.values())
    print(f"{n_labelled:5} labels: no teacher {plain.mean():.3f}, taught {taught.mean():.3f}; "
          f"taught is ahead in {np.sum(taught > plain)} of {len(seeds)} draws")

# %%
# The mean and the range of three draws of the labelled images. The student is a multilayer
# perceptron on pixels.

figure, ax = plt.subplots(layout="constrained")
for name, runs in scores.items():
    runs = np.array(runs)
    ax.plot(counts, runs.mean(axis=1), "o-", label=name)
    ax.fill_between(counts, runs.min(axis=1), runs.max(axis=1), alpha=0.2)
ax.set(xscale="log", xticks=counts, xticklabels=counts, xlabel="labelled images out of 1,000",
       ylabel="accuracy on 1,000 test images", title="A student, with and without a teacher")
ax.legend()
plt.show()
