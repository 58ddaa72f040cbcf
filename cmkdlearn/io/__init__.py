"""Fitted estimators in a file that can be loaded without trust.

The file is one of safetensors, which any reader of that format opens. Its tensors are those of the
estimator; one more, ``estimator``, holds the rest as JSON: a table of objects that refer to rows
before them and to the tensors. Its metadata say what the file is: the format and its version, the
model card, and the SHA-256 of all the rest.

Loading makes objects of listed classes, without their constructors, and fills in attributes that
are listed too, each with the type and the range that it may have. Nothing is imported by a name
that stands in a file, and nothing of the file is called.
"""

from cmkdlearn.io._card import read_card
from cmkdlearn.io._reader import load
from cmkdlearn.io._writer import save

__all__ = ["load", "read_card", "save"]
