"""The file around an estimator: safetensors, metadata and checksum."""

import contextlib
import functools
import hashlib
import json
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import safetensors.torch

from cmkdlearn._files import whole_file
from cmkdlearn._version import __version__

FORMAT, FORMAT_VERSION = "cmkdlearn", 2
UNSIGNED = "0" * 64
# Results can change with these, and so can what a saved network's attributes mean.
PACKAGES = ["cmkdlearn", "numpy", "scikit-learn", "skorch", "timm", "torch"]


class Refused(ValueError):
    """Says what is wrong with a file; the file's name is put before it."""


@contextlib.contextmanager
def naming(path):
    """Let every failure be one that names the file."""
    try:
        yield
    except OSError:
        raise
    except Refused as error:
        raise ValueError(f"{path}: {error}") from None
    except Exception as error:
        raise ValueError(f"{path}: what it holds is no estimator as save writes it "
                         f"({type(error).__name__}: {shortened(str(error), 200)}).") from error


def write(path, tensors, card):
    """Write tensors and what they are to a file."""
    metadata = {"format": FORMAT, "format_version": str(FORMAT_VERSION),
                "versions": json.dumps(versions()), "sha256": UNSIGNED, "card": card}
    content = safetensors.torch.save(tensors, metadata=metadata)
    content = _signed(content, UNSIGNED, hashlib.sha256(content).hexdigest())
    with whole_file(path) as draft:
        draft.write_bytes(content)


def read(path):
    """Return the metadata and the tensors of a file that is whole."""
    path = Path(path)
    if path.exists() and not path.is_file():
        raise Refused("it is no regular file.")
    content = path.read_bytes()
    metadata = _metadata(content)
    if metadata.keys() != {"format", "format_version", "versions", "sha256", "card"}:
        raise Refused(f"its metadata are {', '.join(metadata)}, not those that save writes.")
    if any(text != printable(text) for text in metadata.values()):
        raise Refused("its metadata hold control characters.")
    return metadata, safetensors.torch.load(content)


def _metadata(content):
    """Check, before anything is made of a file, that it is one of ours, and whole."""
    end = 8 + int.from_bytes(content[:8], "little")
    try:
        metadata = json.loads(content[8:end])["__metadata__"]
        foreign = end > len(content) or metadata["format"] != FORMAT
    except (ValueError, KeyError, TypeError, RecursionError):
        foreign = True
    if foreign:
        what = "a pickle, which is never read here, or a zip archive such as torch.save's" \
            if content[:2] in (b"PK", *(bytes([0x80, p]) for p in range(2, 6))) else \
            "another format's, or cut off"
        raise Refused(f"this is no file of cmkdlearn.io.save: it is {what}.")
    written = metadata["format_version"]
    if not re.fullmatch("[0-9]{1,6}", written) or int(written) > FORMAT_VERSION:
        raise Refused(f"it is of format version {shortened(written)!r}, and cmkdlearn "
                      f"{__version__} reads up to {FORMAT_VERSION}. Upgrade cmkdlearn.")
    if int(written) < FORMAT_VERSION:
        raise Refused(f"it is of format version {written}, from before cmkdlearn 0.1; this one "
                      f"reads {FORMAT_VERSION}. Fit and save it again.")
    unsigned = _signed(content, metadata["sha256"], UNSIGNED)
    if hashlib.sha256(unsigned).hexdigest() != metadata["sha256"]:
        raise Refused("it is damaged, cut off or changed: its SHA-256 is not the one that it was "
                      "saved with.")
    return metadata


def _signed(content, old, new):
    """Exchange the digest in the header."""
    end = 8 + int.from_bytes(content[:8], "little")
    places = [f'"sha256":"{digest}"'.encode() for digest in (old, new)]
    return content[:end].replace(*places, 1) + content[end:]


@functools.cache
def versions():
    """Return the versions of the libraries on which a file depends."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # run from a checkout
            found[name] = __version__
    return found


def other_versions(written):
    """Return the libraries whose versions are not those of the file, patches apart."""
    written = json.loads(written)
    return [f"{name} {written[name]} (here {here})" for name, here in versions().items()
            if written[name].split(".")[:2] != here.split(".")[:2]]


def printable(text):
    """Return a text without what would command a terminal."""
    return "".join(c if c.isprintable() or c == "\n" else " " for c in text)


def shortened(text, length=80):
    """Return the beginning of a text."""
    return text if len(text) <= length else f"{text[:length]}..."
