"""
Weak and strong augmentation
============================

The unimodal teacher of the paper is an ensemble of two networks, one trained on strongly and one on
weakly augmented images. Every image draws its own operations, in one pass over the batch.
"""

# %%
import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_sample_image

from cmkdlearn.nn.augment import augmentation
from cmkdlearn.nn.data import seeded

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
        ax.imshow(image.permute(1, 2, 0))
    row[0].set_title(name, loc="left")
plt.show()

# %%
# In an estimator it is a parameter: ``UnimodalTeacher(augmentation="strong")``.
