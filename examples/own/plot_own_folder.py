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
# any will do. The teacher sees images by an embedder whose weights were trained on others, and nouns that
# resemble them. It is fitted on the labelled images and speaks about all of them. The student is a small
# network of your own, once with that teacher and once without; both are asked about other images.


class SmallConvNet(nn.Sequential):
    def __init__(self, n_classes):
        super().__init__(nn.Conv2d(1, 16, 3, stride=2, padding=1), nn.ReLU(),
                         nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.ReLU(),
                         nn.Flatten(), nn.Linear(32 * 7 * 7, 64), nn.ReLU(), nn.Linear(64, n_classes))


nouns = WordNetNouns().candidates(hypernym=["clothing.n.01", "footwear.n.02", "bag.n.01"],
                                  exclude=grey.classes, max_words=1)
teacher = WordNetRelaxedTeacher(ConSEEmbedder(memory=".cache/cmkdlearn"), class_names=grey.classes,
                                nouns=nouns, max_epochs=20)
X_test = clothes.X_test
y_test = np.searchsorted(grey.classes, clothes.y_test)
accuracy = {"no teacher": [], "taught": []}
for seed in range(3):
    few = np.where(np.random.default_rng(seed).random(len(labels)) < 1 / 5, labels, -1)
    for name, teachers in (("no teacher", []), ("taught", [("reader", teacher)])):
        student = MultiTeacherDistiller(teachers, module=SmallConvNet, max_epochs=20, batch_size=32,
                                        alpha=0.2, random_state=seed)
        accuracy[name].append(student.fit(grey, few).score(X_test, y_test))

figure, ax = plt.subplots(figsize=(5, 3), layout="constrained")
for x, (name, values) in enumerate(accuracy.items()):
    print(f"{name}: {np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}")
    ax.plot(np.full(len(values), x), values, "o", alpha=0.6)
ax.set(xticks=[0, 1], xticklabels=accuracy, xlim=(-0.5, 1.5), ylabel=f"accuracy on {len(y_test)} images",
       title="One labelled image in five, three draws")
plt.show()

# %%
# Predictions are positions among the folders' names.

for said, is_one in zip(student.predict(X_test[:4]), clothes.y_test, strict=False):
    print(f"{grey.classes[said]}, where there was a {is_one}")
temporary.cleanup()
