"""Distributed files: found in a folder or downloaded once, and never read unchecked."""

import gzip
import hashlib
import io
import urllib.request
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.datasets import get_data_home
from sklearn.utils import Bunch

from cmkdlearn._files import whole_file

BLOCK = 2**20

class DistributedFile(NamedTuple):
    """A file as its authors distribute it.

    ``digest`` is "algorithm:hexadecimal" of its content: of what a ``.gz`` file holds, since the
    compressed bytes differ from one distributor to the next, and of any other file itself.
    ``size`` is the most bytes that this content has: no more is read, unpacked or downloaded.
    """

    name: str
    url: str
    digest: str
    size: int

    def read(self, folder=None, data_home=None, download_if_missing=True):
        """Return the content as bytes, once its digest is the published one."""
        if folder is None:
            folder = Path(get_data_home(data_home)) / "cmkdlearn"
            path = folder / self.name
            if not path.exists():
                if not download_if_missing:
                    raise FileNotFoundError(
                        f"{path} is missing and download_if_missing=False. Put a copy of "
                        f"{self.url} there, or name the folder that holds one with folder=.")
                self._download(path)
        else:
            path = Path(folder) / self.name
            if not path.exists():
                raise FileNotFoundError(f"{path} is missing: folder={str(folder)!r} must hold "
                                        f"{self.name} as distributed at {self.url}.")
        return self._checked(path)

    def _download(self, path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            # the addresses are constants of this package, and what comes is checked
            source = urllib.request.urlopen(self.url, timeout=30)  # nosec B310
            with source, whole_file(path) as draft:
                draft.write_bytes(self._at_most(source, self.url))
                self._checked(draft)
        except OSError as error:
            raise OSError(f"{self.url} could not be downloaded ({error}). Without a network, put a "
                          f"copy at {path}, or name the folder that holds one with "
                          "folder=.") from error

    def _checked(self, path):
        packed = self.name.endswith(".gz") and not self.name.endswith(".tar.gz")
        try:
            with gzip.open(path) if packed else path.open("rb") as file:
                content = self._at_most(file, path)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise OSError(f"{path} is truncated or damaged ({error}). Replace it by "
                          f"{self.url}.") from error
        check_digest(path, content, self.digest, f"Replace it by {self.url}.")
        return content

    def _at_most(self, file, where):
        """Return all that is in a file, if that is no more than there should be."""
        content = at_most(file, self.size)
        if content is None:
            raise OSError(f"{where} is not the published file, which holds no more than "
                          f"{self.size:,} bytes. Replace it by {self.url}.")
        return content


def at_most(file, size):
    """Return all that is in an open file; None if that is more than so many bytes."""
    blocks = []
    while size >= 0 and (block := file.read(min(BLOCK, size + 1))):
        blocks.append(block)
        size -= len(block)
    return b"".join(blocks) if size >= 0 else None


class Budget(io.RawIOBase):
    """What is unpacked of a file, as long as that is no more than so many bytes."""

    def __init__(self, file, size, name):
        self.file, self.size, self.name, self.left = file, size, name, size

    def readable(self):
        return True

    def readinto(self, buffer):
        n = self.file.readinto(buffer)
        self.left -= n
        if self.left < 0:
            raise too_much(self.name, self.size)
        return n


def too_much(name, size):
    """Return the error that says so."""
    return OSError(f"{name} holds more than {size:,} bytes, far more than it should.")


def check_digest(path, content, digest, remedy):
    """Refuse content that is not what the digest was made of."""
    algorithm, expected = digest.split(":")
    found = hashlib.new(algorithm, content, usedforsecurity=False).hexdigest()
    if found != expected:
        raise OSError(f"{path} is not the published file, or damaged: its {algorithm} is {found} "
                      f"and not {expected}. {remedy}")


def image_data(train, test, class_names, description, return_X_y):
    """Build what every loader returns, with class names for labels.

    ``train`` and ``test`` are (images, integer labels).
    """
    class_names = np.array(class_names)
    (X_train, y_train), (X_test, y_test) = train, test
    data = Bunch(X_train=X_train, y_train=class_names[y_train],
                 X_test=X_test, y_test=class_names[y_test],
                 class_names=class_names, DESCR=description)
    if return_X_y:
        return data.X_train, data.X_test, data.y_train, data.y_test
    return data
