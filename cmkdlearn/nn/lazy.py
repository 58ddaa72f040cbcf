"""Samples that stay where they are until a batch of them is wanted.

A memory-mapped array or a ``Dataset`` looks here like the tensor (n, ...) of its samples, as far as
training asks for one: a length, a shape, a dtype, and rows by their numbers.
"""

import copy
import math
import mmap
from numbers import Integral

import numpy as np
import torch

from cmkdlearn._labels import labelled_mask
from cmkdlearn.nn.data import as_tensor
from cmkdlearn.nn.inputs import canonical
from cmkdlearn.nn.samples import (
    MappedRows,
    as_rows,
    check_dataset,
    first_sample,
    in_order,
    is_dataset,
    is_mapped,
    item_of,
    named_item,
    plain,
)

CHUNK = 2**22  # numbers in memory at a time, where all samples are gone through
MAPPED_AT_MOST = 2**30  # bytes of a file, before its pages are given back
PAGE = 2**21  # bytes that may come with one row: a huge page


class Lazy:
    """Looks like a tensor (n, ...), and reads its rows as they are asked for.

    Parameters
    ----------
    source : MappedRows or Dataset
    input_type : str
        As for :func:`~cmkdlearn.nn.inputs.canonical`.
    first, like : ndarray of shape (1, ...)
        The first sample as it comes, and as the network reads it.
    reading : dict
        Parameters of the ``DataLoader`` that reads.
    divisor : number, default=1
        By which ``like`` was divided, as all samples are.
    """

    device = torch.device("cpu")
    rows = None  # which samples of the source; None: all

    def __init__(self, source, input_type, first, like, reading, divisor=1):
        self.source, self.input_type, self.reading = source, input_type, reading
        self.divisor = divisor
        self.first, self.like = first[:0], like[:0]
        self.dtype = as_tensor(self.like).dtype

    def _read(self, index):
        """Return the source's rows as an array."""
        raise NotImplementedError

    def __len__(self):
        return len(self.source if self.rows is None else self.rows)

    def __getitem__(self, index):
        if isinstance(index, Integral):
            return self[[index]][0]
        if not isinstance(index, slice):
            index = np.asarray(index)
        if self.rows is not None:
            index = self.rows[index]
        X, _ = canonical(self._read(index), self.input_type)
        if self.like.dtype == np.uint8 != X.dtype and not ((X >= 0) & (X <= 255)).all():
            raise ValueError(f"X holds images of {X.dtype} from {X.min()} to {X.max()}. Whole "
                             "numbers are bytes, 0 to 255; make others floating-point numbers in "
                             "[0, 1].")
        with np.errstate(over="ignore"):  # it is infinite then, and found to be
            X = X.astype(self.like.dtype, copy=False)
        return as_tensor(X if self.divisor == 1 else X / X.dtype.type(self.divisor))

    @property
    def shape(self):
        """(n, ...)."""
        return (len(self), *self.like.shape[1:])

    @property
    def ndim(self):
        """Number of axes."""
        return self.like.ndim

    def numel(self):
        """Count the numbers."""
        return math.prod(self.shape)

    def numpy(self):
        """Return all samples as an array."""
        return self[:].numpy()

    def split(self, size):
        """Go through the samples in order, ``size`` at a time."""
        return in_order(self, size, **self.reading)

    def chunks(self):
        """Go through the samples in order, some 4 million numbers at a time."""
        return self.split(max(1, CHUNK // math.prod(self.shape[1:])))

    def subset(self, rows):
        """Return fewer samples, unread."""
        fewer, rows = copy.copy(self), np.asarray(rows)
        fewer.rows = rows if self.rows is None else self.rows[rows]
        return fewer


class LazyMap(Lazy):
    """Samples in a memory-mapped array."""

    def __init__(self, source, *args):
        super().__init__(as_rows(source), *args)
        self._map, self._mapped = self.source.array, 0

    @property
    def nbytes(self):
        """Size in bytes, once read."""
        return self.numel() * self.dtype.itemsize

    def to(self, device):
        """Read all samples into a tensor on a device."""
        tensor, start = torch.empty(self.shape, dtype=self.dtype, device=device), 0
        for part in self.chunks():
            tensor[start:start + len(part)] = part
            start += len(part)
        return tensor

    def finite(self):
        """Return self, if all values are."""
        start = 0
        for part in self.chunks() if self.first.dtype.kind == "f" else ():
            bad = _not_finite(part)
            if bad is not None:
                raise ValueError(f"X contains {bad[1]}, first in sample {start + bad[0]} of the "
                                 "memory-mapped array.")
            start += len(part)
        return self

    def _read(self, index):
        if isinstance(index, slice) and self.source.rows is None:
            rows = self.source[index]
            self._touched(rows.nbytes)
            return rows
        index = np.arange(len(self.source))[index] if isinstance(index, slice) else index
        size = max(PAGE, self.first.dtype.itemsize * math.prod(self.first.shape[1:]))
        parts, step = [], max(1, MAPPED_AT_MOST // size)
        for start in range(0, len(index), step):
            parts.append(self.source[index[start:start + step]])
            self._touched(len(parts[-1]) * size)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _touched(self, nbytes):
        """Give back pages of the file, which else count as this process's while there is room."""
        self._mapped += nbytes
        if self._mapped >= MAPPED_AT_MOST < self._map.nbytes:
            self._mapped = 0
            if hasattr(mmap, "MADV_DONTNEED") and self._in_file:
                self._map._mmap.madvise(mmap.MADV_DONTNEED)

    @property
    def _in_file(self):
        """Whether all there is to know is in the file: none of the changes of mode "c"."""
        return self._map._mmap is not None and self._map.mode != "c"

    def __getstate__(self):
        """Let a worker open the file, rather than send it what is in there."""
        if not self._in_file or self._map.filename is None:
            return vars(self)
        array, first = self.source.array, self._map.offset
        first -= first % mmap.ALLOCATIONGRANULARITY  # where in the file the map begins
        offset = first + array.ctypes.data - np.frombuffer(self._map._mmap, np.uint8).ctypes.data
        file = (str(self._map.filename), array.shape, array.dtype, offset, array.strides)
        return {**vars(self), "source": (file, self.source.rows, self.source.columns), "_map": None}

    def __setstate__(self, state):
        vars(self).update(state)
        if isinstance(self.source, tuple):
            (filename, shape, dtype, offset, strides), *part = self.source
            self._map = np.memmap(filename, np.uint8, "r")
            self.source = MappedRows(np.ndarray(shape, dtype, self._map, offset, strides), *part)


class LazyDataset(Lazy):
    """Samples of a ``Dataset``, checked as they come.

    ``labels`` are those that its own must agree with, if it has any.
    """

    nbytes = math.inf  # what it gives may be drawn anew each time, and is not kept
    labels = None

    def __getitem__(self, index):
        if isinstance(index, slice):
            index = np.arange(len(self))[index]
        X = super().__getitem__(index)
        bad = None if isinstance(index, Integral) else _not_finite(X)
        if bad is not None:
            i = int(index[bad[0]] if self.rows is None else self.rows[index[bad[0]]])
            raise ValueError(f"{named_item(self.source, i)} contains {bad[1]}.")
        return X

    def _read(self, index):
        samples = {i: self._sample(i) for i in dict.fromkeys(index.tolist())}
        return np.stack([samples[i] for i in index.tolist()])

    def _sample(self, i):
        x, *label = item_of(self.source, i)
        if label and self.labels is not None and not _agree(label[0], self.labels[i]):
            raise ValueError(f"{named_item(self.source, i)} has the label {plain(label[0])!r}, but "
                             f"y has {plain(self.labels[i])!r} there. Pass y=None, or a Dataset of "
                             "x alone.")
        first = self.first
        if x.shape != first.shape[1:] or (x.dtype == np.uint8) != (first.dtype == np.uint8):
            raise ValueError(f"{named_item(self.source, i)} holds {x.dtype} of shape {x.shape}, "
                             f"the first one {first.dtype} of shape {first.shape[1:]}; all must be "
                             "alike.")
        return x


def lazily(X, input_type, canonical, reading):
    """Return what reads X as its samples are asked for; None where X is in memory.

    ``canonical`` brings an array into the layout and dtype that the network reads, or says why not,
    and says by what it was divided.
    """
    if is_dataset(X):
        check_dataset(X)
    elif not is_mapped(X):
        return None
    first = first_sample(X)
    like, divisor = canonical(first)
    if is_dataset(X):
        return LazyDataset(X, input_type, first, like, reading, divisor)
    return LazyMap(X, input_type, first, like, reading, divisor).finite()


def _not_finite(X):
    """Return the first row with a value that is not finite, and what that is, or None."""
    if not X.is_floating_point():
        return None
    finite = (X.abs() <= torch.finfo(torch.float32).max).flatten(1).all(1)
    if finite.all():
        return None
    row = int(finite.int().argmin())
    return row, "NaN" if X[row].isnan().any() else "infinity, or a value too large for float32"


def _agree(own, given):
    own, given = np.asarray(own), np.asarray(given)
    if given.ndim == 0 and not labelled_mask(given[None]).all():
        return True
    return np.array_equal(own, given) or own.dtype.kind == "f" and np.allclose(own, given, 1e-6)
