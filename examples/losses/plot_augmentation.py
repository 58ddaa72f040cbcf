"""
Augmentation, and what the teachers see
=======================================

The unimodal teacher of the paper is an ensemble of two networks, one trained on strongly and one on
weakly augmented images. Every image draws its own operations, in one pass over the batch.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits, load_sample_image
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import train_test_split
from torch import nn

from cmkdlearn.nn.augment import WeakAugmentation, augmentation
from cmkdlearn.nn.data import seeded
from cmkdlearn.students import MultiTeacherDistiller
from cmkdlearn.teachers import UnimodalTeacher

flower = torch.from_numpy(load_sample_image("flower.jpg")[::4, ::4].copy()).permute(2, 0, 1)
batch = flower.expand(6, -1, -1, -1)
rows = {"as it is": batch[:1]}
with seeded(3):
    rows |= {spec: augmentation(spec)(batch) for spec in ("weak", "strong")}

figure, axes = plt.subplots(3, 6, figsize=(10, 4), layout="constrained")
for row, (name, images) in zip(axes, rows.items(), strict=True):
    for ax in row:
        ax.axis("off")
    for ax, image in zip(row, images, strict=False):
        ax.imshow(image.permute(1, 2, 0).numpy())
    row[0].set_title(name, loc="left")
plt.show()

# %%
# In an estimator it is a parameter: ``UnimodalTeacher(augmentation="strong")``.
#
# Where a student's images are augmented, what do its teachers see? By default, the images as they are:
# what they say is worked out once. With ``teacher_view="same"`` they see what the student sees, in every
# batch. Here a small network learns from 200 digits of 8 x 8 pixels, with a larger one as its teacher that
# was trained on the same digits without augmentation.


class ConvNet(nn.Sequential):
    def __init__(self, width):
        super().__init__(nn.Conv2d(1, width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
                         nn.Conv2d(width, 2 * width, 3, padding=1), nn.ReLU(), nn.Flatten(),
                         nn.Linear(32 * width, 10))


images, y = load_digits(return_X_y=True)
X = (images.reshape(-1, 8, 8) * 255 / 16).astype(np.uint8)
training = {"module": ConvNet, "lr": 1e-2, "batch_size": 50, "device": "cpu"}
views = {"no teacher": None, "clean": {}, "same": {"teacher_view": "same"},
         "same, mixup": {"teacher_view": "same", "mixup": 0.2}}
scores = []
for seed in range(5):
    X_train, X_test, y_train, y_test = train_test_split(X, y, train_size=200, stratify=y, random_state=seed)
    teacher = UnimodalTeacher(module__width=24, max_epochs=30, random_state=seed, **training)
    teacher = FrozenEstimator(teacher.fit(X_train, y_train))
    scores.append([teacher.score(X_test, y_test)] + [
        MultiTeacherDistiller([] if view is None else [("teacher", teacher)], module__width=4, max_epochs=40,
                              lambda_kd=1, temperature=4, augmentation=WeakAugmentation(flip=0),
                              random_state=seed, **training, **(view or {}))
        .fit(X_train, y_train).score(X_test, y_test) for view in views.values()])

names = ["teacher", *views]
scores = 100 * np.array(scores)
for name, mean, spread in zip(names, scores.mean(axis=0), scores.std(axis=0, ddof=1), strict=True):
    print(f"{name:12} {mean:.1f} ± {spread:.1f} %")
for one, other in (("same", "clean"), ("same", "no teacher"), ("same, mixup", "same")):
    gain = scores[:, names.index(one)] - scores[:, names.index(other)]
    print(f"{one} less {other}: {gain.mean():+.1f} ± {gain.std(ddof=1):.1f} points, "
          f"above zero with {np.sum(gain > 0)} of {len(gain)} seeds")

# %%
# One line is one seed: a split, a teacher, and the students' first weights.

figure, ax = plt.subplots(figsize=(7, 3.5), layout="constrained")
ax.plot(range(len(names)), scores.T, color="tab:blue", alpha=0.4, marker="o")
ax.plot(range(len(names)), scores.mean(axis=0), color="black", linewidth=0, marker="_", markersize=20)
ax.set_xticks(range(len(names)), names)
ax.set_ylabel("accuracy on 1,597 digits, %")
plt.show()

# %%
# In the clean view the student is told of every shifted digit what the teacher said of the digit in its place;
# in the same view, what it says of the shifted one. Differences within a seed are what counts, and five seeds
# are few: a mean that is smaller than its spread over them is no finding.
