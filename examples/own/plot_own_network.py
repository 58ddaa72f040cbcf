"""
A network of your own as the teacher
====================================

A teacher need not be trained here. A network that you have, in PyTorch, from timm or Hugging Face, as a
compiled program or an ONNX file, teaches as it is. And where the network itself is out of reach, its
logits are enough.
"""

# %%
# The network of this page is trained by a plain loop of PyTorch, on 2,200 images that the student never
# sees.

import numpy as np
import torch
from torch import nn

from cmkdlearn.datasets import load_fashion_mini

fashion = load_fashion_mini()
theirs, ours = slice(800, 3000), slice(800)

torch.manual_seed(0)
network = nn.Sequential(nn.Conv2d(1, 16, 3, stride=2, padding=1), nn.ReLU(),
                        nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.ReLU(),
                        nn.Flatten(), nn.Linear(32 * 7 * 7, 64), nn.ReLU(), nn.Linear(64, 10))
classes = np.unique(fashion.y_train)
images = torch.from_numpy(fashion.X_train[theirs, None]).float() / 255
labels = torch.from_numpy(np.searchsorted(classes, fashion.y_train[theirs]))
optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
for _ in range(12):
    for batch in torch.randperm(len(labels)).split(64):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(images[batch]), labels[batch]).backward()
        optimizer.step()

# %%
# The student has a poor camera, 4 x 4 pixels, and 800 images, of which 100 have a label. What belongs to one
# sample goes into one dict, under a name for each modality; a :class:`skorch.helper.SliceDict` can be cut
# into folds.

from skorch.helper import SliceDict

X, y = fashion.X_train[ours], fashion.y_train[ours]
coarse = X.reshape(-1, 4, 7, 4, 7).mean(axis=(2, 4)).reshape(-1, 16)
X = SliceDict(image=X, coarse=coarse, id=np.arange(len(X)))
partly = np.where(np.arange(len(y)) < 100, y.astype(object), None)

# %%
# The network is wrapped, with the classes of its outputs in their order. It is neither trained nor
# changed: ``fit`` looks whether it goes with the data, and keeps their features.

from cmkdlearn.teachers import PrecomputedTeacher, PretrainedTeacher

teacher = PretrainedTeacher(network, classes, modality="image")
teacher.fit(X, y)
print(f"The network's accuracy on the student's images: {teacher.score(X, y):.3f}")
print(f"Its features, of which an unpaired student learns: {teacher.feature_bank_.shape}")

# %%
# Or its logits were written down long ago. A memory-mapped file is read by the rows that are asked for.
# Cross-validation hands out some of the samples, in any order, so each has an id; positions are never
# guessed.

import tempfile

folder = tempfile.TemporaryDirectory()
np.save(f"{folder.name}/logits.npy", teacher.teaching_logits(X))
logits = np.load(f"{folder.name}/logits.npy", mmap_mode="r")
written_down = PrecomputedTeacher(logits, teacher.classes_, modality="id")

# %%
# Images without a label (None among strings) are in every training fold: a student that has a teacher learns
# from what that says of them. Only images with a label are tested.

from cmkdlearn.inspection import ComparisonDisplay
from cmkdlearn.model_selection import compare
from cmkdlearn.students import MultiTeacherDistiller

training = {"modality": "coarse", "max_epochs": 30}
result = compare({
    "no teacher": MultiTeacherDistiller(**training),
    "network": MultiTeacherDistiller([("network", teacher)], alpha=0.2, **training),
    "its logits": MultiTeacherDistiller([("logits", written_down)], alpha=0.2, **training),
}, X, partly, random_state=0)
for name, accuracy in zip(result.names, result.table["mean_accuracy"], strict=True):
    print(f"{name:11} {accuracy:.3f}")

# %%
# The network and its logits teach the same, split by split. Whether the student is the better for it, in
# accuracy and in the log loss, of which less is better, is the verdict's to say: a hundred images with a label
# are few.

np.testing.assert_array_equal(result.scores["accuracy"][1], result.scores["accuracy"][2])
for metric in ("accuracy", "log_loss"):
    row = result.summary(metric).loc["network"]
    print(f"{metric}: {row.difference:+.3f} [{row.low:+.3f}, {row.high:+.3f}], {row.verdict}")
display = ComparisonDisplay(result).plot("log_loss")
folder.cleanup()
