"""
Your own folder of images
=========================

A folder a class, some images in each: that is how most people's images lie about. This page begins
with such a folder, of which few images have been labelled, and ends with a network that was taught by
a teacher which has read a little.
"""

# %%
# Here the folder is made of clothes that come with the package. With yours, leave this out.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image
from torch import nn
from torchvision.datasets import ImageFolder

from cmkdlearn.datasets import load_fashion_mini
from cmkdlearn.embedding import ConSEEmbedder
from cmkdlearn.inspection import ComparisonDisplay
from cmkdlearn.model_selection import compare
from cmkdlearn.students import MultiTeacherDistiller
from cmkdlearn.teachers import WordNetRelaxedTeacher
from cmkdlearn.text import WordNetNouns

temporary = tempfile.TemporaryDirectory()
folder = Path(temporary.name)
clothes = load_fashion_mini()
for i, (image, name) in enumerate(zip(clothes.X_train[:500], clothes.y_train, strict=False)):
    (folder / name).mkdir(exist_ok=True)
    Image.fromarray(image).save(folder / name / f"{i}.png")

# %%
# :class:`torchvision.datasets.ImageFolder` reads it, and knows the classes by the folders' names. It is
# an ``X`` as it stands: images are read when they are needed, a batch at a time.

grey = ImageFolder(folder, transform=lambda image: np.asarray(image.convert("L")))
labels = np.array(grey.targets)
print(f"{len(grey)} images of {', '.join(grey.classes)}")

figure, axes = plt.subplots(2, 5, figsize=(8, 3.4), layout="constrained")
for ax, k in zip(axes.flat, range(len(grey.classes)), strict=True):
    ax.imshow(grey[np.flatnonzero(labels == k)[0]][0], cmap="gray_r")
    ax.set_title(grey.classes[k], fontsize=9)
    ax.axis("off")

# %%
# Suppose that one image in five were labelled. -1 marks the others: they need no folder of their own,
# any will do.

rng = np.random.default_rng(0)
y = np.where(rng.random(len(labels)) < 1 / 5, labels, -1)

# %%
# The teacher sees images by an embedder whose weights were trained on others, and nouns that resemble
# them, and the student is a small network of your own. The teacher is fitted on the labelled images and speaks about all of them. Two students with the same
# network, epochs and seeds are compared: one that hears it, and one that does not. Folds are made of the
# labelled images only.

nouns = WordNetNouns().candidates(hypernym=["clothing.n.01", "footwear.n.02", "bag.n.01"],
                                  exclude=grey.classes, max_words=1)
teacher = WordNetRelaxedTeacher(ConSEEmbedder(memory=".cache/cmkdlearn"), class_names=grey.classes,
                                nouns=nouns, max_epochs=20)


class SmallConvNet(nn.Sequential):
    def __init__(self, n_classes):
        super().__init__(nn.Conv2d(1, 16, 3, stride=2, padding=1), nn.ReLU(),
                         nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.ReLU(),
                         nn.Flatten(), nn.Linear(32 * 7 * 7, 64), nn.ReLU(), nn.Linear(64, n_classes))


training = {"module": SmallConvNet, "max_epochs": 15, "batch_size": 32}
comparison = compare({"no teacher": MultiTeacherDistiller(**training),
                      "taught": MultiTeacherDistiller([("reader", teacher)], **training)},
                     grey, y, cv=3, random_state=0)
for name, accuracy in zip(comparison.table["estimator"], comparison.table["mean_accuracy"], strict=True):
    print(f"{name}: {accuracy:.3f} of the labelled images that it had not seen")
ComparisonDisplay(comparison).plot()
plt.show()

# %%
# The student that is kept learns from the whole folder, and predicts a folder's name for any image.

student = MultiTeacherDistiller([("reader", teacher)], **training, random_state=0).fit(grey, y)
print([grey.classes[k] for k in student.predict(clothes.X_test[:3])], "-", *clothes.y_test[:3])
temporary.cleanup()
