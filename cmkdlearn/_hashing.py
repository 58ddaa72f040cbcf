"""Names for values by what they hold, networks included."""

import torch
from joblib.hashing import NumpyHasher

from cmkdlearn._version import __version__


class _Hasher(NumpyHasher):
    """joblib's, for which two equal tensors are two: it sees where they lie in memory."""

    def save(self, obj):
        if isinstance(obj, torch.Tensor):
            plain = obj.detach().cpu().contiguous()
            obj = str(obj.dtype), tuple(obj.shape), plain.reshape(-1).view(torch.uint8).numpy()
        super().save(obj)


def content_hash(value):
    """Return a hexadecimal digest; that of equal networks, or estimators of them, is equal.

    Another version of the library has another, so that it does not read what this one kept.
    """
    return _Hasher("md5").hash((__version__, value))


class ByContent:
    """An argument that ``joblib.Memory`` knows by its content."""

    def __init__(self, value):
        self.value = value

    def __reduce__(self):
        return str, (content_hash(self.value),)
