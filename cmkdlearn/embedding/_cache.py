"""Embeddings on disk, found by the content of what was embedded."""

import functools
import hashlib
import io
import json
import os
import warnings
from pathlib import Path

import joblib
import numpy as np

from cmkdlearn._files import whole_file

FORMAT = 1
CHUNK = 1024
DIGEST_BYTES = hashlib.sha256().digest_size


class EmbeddingCache:
    """A folder of arrays, each in one file with its own checksum.

    An entry that cannot be read, or whose checksum does not match, counts as absent. One that
    cannot be written is given up. Both are told by a warning.

    Parameters
    ----------
    memory : str, os.PathLike or joblib.Memory, optional
        The folder. None keeps nothing.
    """

    def __init__(self, memory):
        if isinstance(memory, joblib.Memory):
            memory = memory.location
        if not (memory is None or isinstance(memory, (str, os.PathLike))):
            raise TypeError(f"memory={memory!r} is a {type(memory).__name__}; it must be the path "
                            "of a folder, a joblib.Memory or None.")
        self.folder = None if memory is None else Path(memory) / "cmkdlearn-embeddings"

    def __call__(self, key, compute):
        """Return the array kept under ``key``; at first, what ``compute()`` returns."""
        if self.folder is None:
            return compute()
        path = self.folder / f"{digest({'format': FORMAT, **key()})}.npy"
        array = _read(path)
        if array is None:
            array = compute()
            _write(path, array)
        return array


def digest(key):
    """Hash a dict of what JSON can hold."""
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()


def array_digest(X):
    """Hash the shape, dtype and values of an array, also one that does not fit in memory."""
    hashed = hashlib.sha256(f"{X.dtype.str}{X.shape}".encode())
    for start in range(0, len(X), CHUNK):
        hashed.update(np.ascontiguousarray(X[start:start + CHUNK]).data)
    return hashed.hexdigest()


def file_digest(path):
    """Hash a file; once per process, as long as it does not change."""
    status = os.stat(path)
    return _file_digest(os.path.abspath(path), status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=64)
def _file_digest(path, size, modified):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read(path):
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        warnings.warn(f"The cached embedding {path} cannot be read ({error}); it is computed "
                      "anew.", stacklevel=2)
        return None
    checksum, data = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
    if checksum != _checksum(path, data):
        warnings.warn(f"The cached embedding {path} is corrupt or truncated; it is computed "
                      "anew.", stacklevel=2)
        return None
    return np.load(io.BytesIO(data), allow_pickle=False)


def _write(path, array):
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    data = buffer.getvalue()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as draft:
            draft.write_bytes(_checksum(path, data) + data)
    except OSError as error:
        warnings.warn(f"The embedding could not be kept in {path.parent} ({error}); it will be "
                      "computed again when it is next needed. Free some space there, or choose "
                      "another folder with memory=.", stacklevel=2)


def _checksum(path, data):
    # The name takes part, so that an entry which was renamed is no other's embedding.
    return hashlib.sha256(path.stem.encode() + data).digest()
