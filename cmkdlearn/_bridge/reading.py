"""What a network is fed: one modality of X, checked, in its canonical layout, dtype and unit."""

import functools
import warnings

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils import check_array
from sklearn.utils.validation import validate_data

from cmkdlearn.nn.data import as_tensor
from cmkdlearn.nn.inputs import canonical
from cmkdlearn.nn.lazy import lazily
from cmkdlearn.nn.samples import refuse_items, select_modality

# What an array is read as: integers stay until it is known whether they are bytes of an image.
READ_AS = [np.float32, np.float64, *np.typecodes["AllInteger"], "?"]
BYTE = 255
WITHIN = 1.5  # floating-point images that reach no further are taken for such in [0, 1]


class Reader(BaseEstimator):
    """Reads a modality so that it means what it meant when the reader first saw it.

    Tables and sequences of eight-byte numbers stay in double precision, in which they are centred.
    Images are bytes, whatever their integers' dtype, or floating-point numbers; one that was fitted
    on bytes reads floating-point numbers from 0 to 255 as the same numbers, those from 0 to 1 as
    bytes divided by 255, and the other way round.

    Parameters
    ----------
    modality : str or list, default=None
        The modality of a dict, or the columns of a table; None: all of X.
    input_type : str, default=None
        As for :func:`~cmkdlearn.nn.inputs.canonical`.

    Attributes
    ----------
    kind : {"table", "image", "sequence"}
    shape : tuple of int
        Of a sample, in canonical layout.
    dtype : {"uint8", "float32", "float64"}
        Of what the network is fed.
    reach : tuple of float
        The least and the greatest value of floating-point images (of the first one, where they are
        not in memory); (0, 255) of bytes.
    """

    kind: str
    shape: tuple
    dtype: str
    reach: tuple

    def __init__(self, modality=None, input_type=None):
        self.modality = modality
        self.input_type = input_type

    def read(self, X, *, owner=None, reset=False, **reading):
        """Return a tensor (n, ...), or what reads X a batch at a time where it is not in memory.

        Parameters
        ----------
        X : array-like, Dataset or dict of these
        owner : estimator, default=None
            Whom errors name, and who remembers names and number of features; None: this reader.
        reset : bool, default=False
            Learn from X what later ones are to be like.
        **reading
            Parameters of the ``DataLoader`` that reads.
        """
        refuse_items(X)
        X = select_modality(X, self.modality, fitting=reset, owner=owner)
        owner = self if owner is None else owner
        # a table of more axes is none, though it could be flattened into one
        as_fitted = None if reset or self.kind == "table" else self.kind

        def checked(part):
            return self._checked(part, owner, reset, self.input_type or as_fitted)

        lazy = lazily(X, self.input_type or as_fitted, checked, reading)
        return as_tensor(checked(X)[0]) if lazy is None else lazy

    def follow(self, other, dtype):
        """Return the function from batches that another reader has read to what this one reads.

        Parameters
        ----------
        other : Reader
            Of the same modality.
        dtype : torch.dtype
            Of the batches.

        Raises
        ------
        ValueError
            If they read data of different kinds, shapes or units.
        """
        if (other.kind, other.shape) != (self.kind, self.shape):
            raise ValueError(f"It was fitted on a {self.kind} of shape {self.shape} per sample, "
                             f"but is to read a {other.kind} of shape {other.shape}.")
        if self.kind != "image":  # what reads doubles reads single precision too
            narrow = torch.float32 if self.dtype == "float32" else dtype
            return functools.partial(_converted, dtype=narrow, divisor=1)
        if dtype == torch.uint8:
            extremes = np.array([0, BYTE], dtype=np.uint8)
        else:  # bytes that came as floating-point numbers are in [0, 1]
            extremes = np.array((0, 1) if other.dtype == "uint8" else other.reach, np.float32)
        read, divisor = self._image(extremes, reset=False)
        return functools.partial(_converted, dtype=as_tensor(read).dtype, divisor=divisor)

    def refuse_other_units(self):
        """Refuse images that a pretrained network would misread: neither bytes nor in [0, 1]."""
        low, high = self.reach
        if self.dtype != "uint8" and not 1 - WITHIN <= low <= high <= WITHIN:
            raise ValueError(f"X holds images from {low:g} to {high:g}; a pretrained network reads "
                             "bytes, or floating-point numbers in [0, 1], and standardises them "
                             "itself. Bring X into that range.")

    def _checked(self, X, owner, reset, input_type):
        """Return an array as the network reads it, and by how much it was divided."""
        if reset or getattr(X, "ndim", 2) <= 2:
            X = validate_data(owner, X, reset=reset, allow_nd=True, dtype=READ_AS)
        else:  # the second axis need not be the features': the whole shape is compared below
            X = check_array(X, allow_nd=True, dtype=READ_AS, estimator=owner, input_name="X")
        X, kind = canonical(X, input_type)
        if reset:
            self.kind, self.shape = kind, X.shape[1:]
            if kind == "sequence" and input_type is None and X.min() >= 0 and X.max() <= 1:
                warnings.warn(
                    f"X, floating-point numbers in [0, 1] of shape {X.shape}, is read as sequences "
                    f"of {X.shape[1]} steps. If these are greyscale images, pass "
                    'input_type="image"; if not, input_type="sequence" says so.', stacklevel=2)
        elif (kind, X.shape[1:]) != (self.kind, self.shape):
            raise ValueError(f"X holds a {kind} of shape {X.shape[1:]} per sample, but "
                             f"{type(owner).__name__} was fitted on a {self.kind} of shape "
                             f"{self.shape}.")
        return self._image(X, reset) if kind == "image" else (self._numbers(X, reset), 1)

    def _numbers(self, X, reset):
        if reset:
            exact = X.dtype.kind != "f" and X.dtype.itemsize <= 2
            self.dtype = "float32" if exact or X.dtype == np.float32 else "float64"
        if X.dtype == np.float64 and np.abs(X).max() > np.finfo(np.float32).max:
            raise ValueError("Input X contains infinity or a value too large for "
                             "dtype('float32').")
        return X.astype(self.dtype, copy=False)

    def _image(self, X, reset):
        low, high = (float(X.min()), float(X.max())) if len(X) else (0.0, 0.0)
        whole = X.dtype.kind in "iu"
        if whole and not 0 <= low <= high <= BYTE:
            raise ValueError(f"X holds images of {X.dtype} from {low:g} to {high:g}. Whole numbers "
                             f"are bytes, 0 to {BYTE}; make others floating-point numbers in "
                             "[0, 1].")
        if reset:
            self.dtype = "uint8" if whole else "float32"
            self.reach = (0.0, float(BYTE)) if whole else (low, high)
        if self.dtype == "uint8":
            return self._image_for_bytes(X, whole, low, high)
        if whole and (self.reach[0] < 0 or self.reach[1] > BYTE):
            raise ValueError(f"X holds bytes, but the images of the fit were floating-point "
                             f"numbers from {self.reach[0]:g} to {self.reach[1]:g}. Bring X into "
                             "that range.")
        unit = self.reach[0] >= 0 and self.reach[1] <= WITHIN
        if unit and 0 <= low and (whole or WITHIN < high <= BYTE):
            if not whole:
                _say(f"X holds images up to {high:g}, and those of the fit lay in [0, 1]: X is "
                     f"divided by {BYTE}. Divide it yourself to be rid of this warning.")
            return X.astype(np.float32) / np.float32(BYTE), BYTE
        if not unit and self.reach[0] >= 0 and self.reach[1] > BYTE / 10 and 0 <= low \
                and high <= 1 and not whole:
            _say(f"X holds images up to {high:g}, and those of the fit reached to "
                 f"{self.reach[1]:g}. If they were divided by {BYTE}, multiply them.")
        return X.astype(np.float32, copy=False), 1

    def _image_for_bytes(self, X, whole, low, high):
        if whole:
            return X.astype(np.uint8, copy=False), 1
        if not 0 <= low <= high <= BYTE:
            raise ValueError(f"X holds images from {low:g} to {high:g}, but those of the fit were "
                             f"bytes. Pass bytes, or floating-point numbers in [0, 1].")
        if high <= WITHIN:
            return X.astype(np.float32, copy=False), 1
        return X.astype(np.float32) / np.float32(BYTE), BYTE


def _converted(batch, dtype, divisor):
    batch = batch.to(dtype)
    return batch if divisor == 1 else batch / divisor


def _say(what):
    warnings.warn(what, stacklevel=2)
