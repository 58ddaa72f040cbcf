"""Algorithm 1 at full size: all of WordNet's nouns, 512 dimensions, 1,000 centres.

Time, and the memory beyond the inputs: the process's greatest resident size after `fit` less that
before it.
"""

import resource
import sys

import numpy as np

from benchmarks._report import save, seconds
from cmkdlearn.text import WordNetRelaxer
from cmkdlearn.text._relaxer import _nearest_centre

NOUNS, IMAGES, D, CENTRES, SEED = 117_798, 20_000, 512, 1000, 0


def directions(n, rng):
    """Draw unit vectors; in place, so that the inputs leave no higher peak than their own size."""
    vectors = rng.standard_normal((n, D), dtype=np.float32)
    for part in np.array_split(vectors, 100):
        part /= np.linalg.norm(part, axis=1, keepdims=True)
    return vectors


def peak():
    """Return the greatest resident size so far, in MiB."""
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def main():
    rng = np.random.default_rng(SEED)
    images, noun_embeddings = directions(IMAGES, rng), directions(NOUNS, rng)
    relaxer = WordNetRelaxer([f"noun {i}" for i in range(NOUNS)], noun_embeddings,
                             n_clusters=CENTRES, random_state=SEED)
    before = peak()
    times = {"fit": seconds(lambda: relaxer.fit(images))}
    beyond = peak() - before
    times["of which nouns to centres"] = seconds(
        lambda: _nearest_centre(noun_embeddings, relaxer.cluster_centers_))
    times["transform"] = seconds(lambda: relaxer.transform(images))
    save("noun_selection", nouns=NOUNS, images=IMAGES, dimensions=D, centres=CENTRES, seed=SEED,
         kept=len(relaxer.nouns_), seconds=times,
         mebibytes={"inputs": (images.nbytes + noun_embeddings.nbytes) / 2**20,
                    "beyond inputs": beyond}, target_mebibytes_beyond_inputs=1024)


if __name__ == "__main__":
    main()
