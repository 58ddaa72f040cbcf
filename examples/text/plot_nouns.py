"""
Which nouns stand for which images
==================================

Algorithm 1 clusters the images, lets every candidate noun from WordNet go to its most similar
cluster, and keeps the five that belong there most surely. No label is looked at. Here are some
clusters of clothes, and the nouns that stand for them.
"""

# %%
# Images and nouns come into one space by an embedder. With
# :class:`~cmkdlearn.embedding.ConSEEmbedder` that space is one of words; with CLIP weights at hand,
# use :class:`~cmkdlearn.embedding.CLIPEmbedder`.

import matplotlib.pyplot as plt
import numpy as np

from cmkdlearn.datasets import load_fashion_mini
from cmkdlearn.embedding import ConSEEmbedder
from cmkdlearn.text import WordNetNouns, WordNetRelaxer, encode_prompts

images = load_fashion_mini().X_train[:600]
embedder = ConSEEmbedder(memory=".cache/cmkdlearn")
V = embedder.transform(images)

nouns = WordNetNouns().candidates(hypernym=["clothing.n.01", "footwear.n.02", "bag.n.01"], max_words=1)
relaxer = WordNetRelaxer(nouns, encode_prompts(embedder, nouns, ["{}"]), n_clusters=12, random_state=0)
relaxer.fit(V)
print(f"{len(nouns)} candidates, {len(relaxer.nouns_)} kept: {', '.join(relaxer.nouns_[:8])}, ...")

# %%
# A row is a cluster: five of its images, and the nouns that it kept.

cluster = relaxer.noun_clusters_[relaxer.assign(V)]
shown = np.unique(cluster)[:6]
figure, axes = plt.subplots(len(shown), 6, figsize=(9, 8), layout="constrained",
                            width_ratios=[1, 1, 1, 1, 1, 1.6])
for row, k in zip(axes, shown, strict=True):
    for ax in row:
        ax.axis("off")
    for ax, image in zip(row, images[cluster == k][:5], strict=False):
        ax.imshow(image, cmap="gray_r")
    kept = [noun for noun, c in zip(relaxer.nouns_, relaxer.noun_clusters_, strict=True) if c == k]
    row[-1].text(0, 0.5, "\n".join(kept), va="center")
figure.suptitle("Clusters of images, and the nouns they keep")
plt.show()
