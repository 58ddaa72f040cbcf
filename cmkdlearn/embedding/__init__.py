"""Embedders: images and texts in one space.

An embedder is a transformer whose ``transform`` embeds images and whose ``encode_text`` embeds
texts, both as L2-normalised rows of one space, so that an inner product is a cosine similarity.
"""

from cmkdlearn.embedding._base import Embedder
from cmkdlearn.embedding._clip import CLIPEmbedder
from cmkdlearn.embedding._conse import ConSEEmbedder

__all__ = ["CLIPEmbedder", "ConSEEmbedder", "Embedder"]
