"""Build cmkdlearn/datasets/data/fashion_mini.npz.

    python tools/build_fashion_mini.py FOLDER

FOLDER holds the four files of Fashion-MNIST (Debian's package dataset-fashion-mnist has them).
Run it twice and the bytes are the same; the SHA-256 that it prints belongs into _fashion.py.
"""

import argparse
import hashlib
import io
import zipfile

import numpy as np

from cmkdlearn.datasets._fashion import FILES, MINI, read_idx

SEED = 0
PER_CLASS = {"train": 300, "test": 100}
PREFIX = {"train": "train", "test": "t10k"}


def sample(X, y, per_class, rng):
    """Draw as many images of each class, and shuffle them."""
    drawn = [rng.choice(np.flatnonzero(y == k), per_class, replace=False) for k in np.unique(y)]
    drawn = rng.permutation(np.concatenate(drawn))
    return X[drawn], y[drawn]


def write_npz(path, arrays):
    """Write as numpy.savez_compressed does, but without the time of day."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, array in arrays.items():
            content = io.BytesIO()
            np.lib.format.write_array(content, array, allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            archive.writestr(entry, content.getvalue(), zipfile.ZIP_DEFLATED, compresslevel=9)


def main():
    """Read, draw, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="folder with Fashion-MNIST's four .gz files")
    folder = parser.parse_args().folder
    rng = np.random.default_rng(SEED)
    arrays = {}
    for part, per_class in PER_CLASS.items():
        X, y = (read_idx(FILES[f"{PREFIX[part]}-{kind}-ubyte"].read(folder))
                for kind in ("images-idx3", "labels-idx1"))
        arrays[f"X_{part}"], arrays[f"y_{part}"] = sample(X, y, per_class, rng)
    write_npz(MINI, arrays)
    content = MINI.read_bytes()
    print(f"{MINI}: {len(content):,} bytes, sha256:{hashlib.sha256(content).hexdigest()}")


if __name__ == "__main__":
    main()
