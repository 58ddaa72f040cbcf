"""Samples that stay where they are until a batch of them is wanted.

A memory-mapped array or a ``Dataset`` looks here like the tensor (n, ...) of its samples, as far as
training asks for one: a length, a shape, a dtype, and rows by their numbers.
"""

import copy
import math
import mmap
from collections.abc import Mapping
from numbers import Integral

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset

from cmkdlearn._labels import labelled_mask
from cmkdlearn.nn.data import as_tensor, aside, whole
from cmkdlearn.nn.inputs import canonical

CHUNK = 2**22  # numbers in memory at a time, where all samples are gone through
MAPPED_AT_MOST = 2**30  # bytes of a file, before its pages are given back
PAGE = 2**21  # bytes that may come with one row: a huge page
# The parameters of a DataLoader that say how it reads, not what.
READING = ("num_workers", "prefetch_factor", "pin_memory", "multiprocessing_context", "timeout",
           "worker_init_fn")


# -------------------------------------------------------------------- what there is to read

def is_dataset(X):
    """Tell whether X gives its samples one by one, as torch's and Hugging Face's Datasets do."""
    return isinstance(X, Dataset) or (hasattr(X, "column_names") and hasattr(X, "features")
                                      and not isinstance(X, Mapping))


def is_mapped(X):
    """Tell whether X lies in a file; what is computed of a memory map does not."""
    return isinstance(X, MappedRows) or isinstance(X, np.memmap) and X._mmap is not None  # type: ignore[attr-defined]


class MappedRows:
    """Rows (and columns) of a memory-mapped array, copied only as they are asked for.

    To whoever wants an array it is one, all in memory.
    """

    def __init__(self, array, rows=None, columns=None):
        self.array, self.rows, self.columns = array, rows, columns
        self.dtype = array.dtype
        n = len(array) if rows is None else len(rows)
        self.shape = (n, *self[:1].shape[1:])
        self.ndim = len(self.shape)

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, index):
        rows = np.asarray(self.array[index if self.rows is None else self.rows[index]])
        return rows if self.columns is None else rows[:, self.columns]

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self[:], dtype=dtype)

    def take(self, index):
        """Return fewer rows."""
        rows = np.arange(len(self)) if self.rows is None else self.rows
        return MappedRows(self.array, rows[index], self.columns)

    def select(self, columns):
        """Return some of the columns."""
        return MappedRows(self.array, self.rows, columns)


def as_rows(X):
    """Return a memory-mapped array as :class:`MappedRows`."""
    return X if isinstance(X, MappedRows) else MappedRows(X)


class Column(Dataset):
    """One modality of a ``Dataset`` whose items have several, or some columns of its tables."""

    def __init__(self, dataset, key):
        self.dataset, self.key = dataset, key

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, i):
        x, *label = pair(self.dataset[i])
        x = (x if isinstance(x, Mapping) else np.asarray(x))[self.key]
        return (x, *label)


def check_dataset(dataset):
    """Refuse a ``Dataset`` whose samples have no numbers."""
    name = type(dataset).__name__
    would_do = ("Give a Dataset with __len__ and __getitem__, or write the samples into a "
                "memory-mapped array (numpy.lib.format.open_memmap).")
    if isinstance(dataset, IterableDataset) or not hasattr(dataset, "__getitem__"):
        raise TypeError(f"X is a {name}, an iterable Dataset: its samples have no numbers, by "
                        "which they could be shuffled, and their labels and what a teacher says "
                        f"of them be found again. {would_do}")
    try:
        n = len(dataset)
    except TypeError:
        raise TypeError(f"X is a {name}, a Dataset of unknown length. {would_do}") from None
    if n == 0:
        raise ValueError(f"X is a {name} of length 0; it must hold at least one sample.")


def first_of(dataset):
    """Return the first sample of a ``Dataset``, without its label."""
    return _item(dataset, 0)[0]


def labels_of(X, y, **reading):
    """Return y; where it is None and X a ``Dataset`` of pairs (x, y), the labels in there."""
    if y is not None or not is_dataset(X):
        return y
    check_dataset(X)
    if len(_item(X, 0)) == 1:
        return None
    return np.asarray([_plain(label) for labels in in_order(_Labels(X), 64, **reading)
                       for label in labels])


class _Labels(Dataset):
    def __init__(self, dataset):
        self.dataset = dataset

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, rows):
        return [_item(self.dataset, i)[-1] for i in range(rows.start, rows.stop)]


def take_lazily(X, index):
    """Return the samples at ``index`` of a ``Dataset`` or a memory-mapped array, unread."""
    index = np.arange(len(X))[index]
    if is_dataset(X):
        return Subset(X, index.tolist())
    return as_rows(X).take(index)


# -------------------------------------------------------------------- what it looks like

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
    """

    device = torch.device("cpu")
    rows = None  # which samples of the source; None: all

    def __init__(self, source, input_type, first, like, reading):
        self.source, self.input_type, self.reading = source, input_type, reading
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
        with np.errstate(over="ignore"):  # it is infinite then, and found to be
            return as_tensor(X.astype(self.like.dtype, copy=False))

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
            raise ValueError(f"{_named(self.source, i)} contains {bad[1]}.")
        return X

    def _read(self, index):
        samples = {i: self._sample(i) for i in dict.fromkeys(index.tolist())}
        return np.stack([samples[i] for i in index.tolist()])

    def _sample(self, i):
        x, *label = _item(self.source, i)
        if label and self.labels is not None and not _agree(label[0], self.labels[i]):
            raise ValueError(f"{_named(self.source, i)} has the label {_plain(label[0])!r}, but y "
                             f"has {_plain(self.labels[i])!r} there. Pass y=None, or a Dataset of "
                             "x alone.")
        first = self.first
        if x.shape != first.shape[1:] or (x.dtype == np.uint8) != (first.dtype == np.uint8):
            raise ValueError(f"{_named(self.source, i)} holds {x.dtype} of shape {x.shape}, the "
                             f"first one {first.dtype} of shape {first.shape[1:]}; all must be "
                             "alike.")
        return x


def lazily(X, input_type, canonical, reading):
    """Return what reads X as its samples are asked for; None where X is in memory.

    ``canonical`` brings an array into the layout and dtype that the network reads, or says why not.
    """
    if is_dataset(X):
        check_dataset(X)
    elif not is_mapped(X):
        return None
    first = first_sample(X)
    like = canonical(first)
    if is_dataset(X):
        return LazyDataset(X, input_type, first, like, reading)
    return LazyMap(X, input_type, first, like, reading).finite()


def first_sample(X):
    """Return the first sample of what is not in memory, as an array (1, ...)."""
    return np.asarray(X[:1]) if is_mapped(X) else np.asarray(_item(X, 0)[0])[None]


# -------------------------------------------------------------------- reading

def in_order(data, size, **reading):
    """Go through what a slice can index, ``size`` samples at a time."""
    rows = [slice(i, min(i + size, len(data))) for i in range(0, len(data), size)]
    return DataLoader(data, batch_size=None, sampler=rows, collate_fn=whole, generator=aside(),
                      **reading)


def _item(dataset, i):
    """Return [x] or [x, label] with an array x, or say which item cannot be read."""
    try:
        x, *label = pair(dataset[i])
        return [x if isinstance(x, Mapping) else np.asarray(x), *label]
    except Exception as error:
        raise RuntimeError(f"{_named(dataset, i)} cannot be read: {type(error).__name__}: "
                           f"{error}") from error


def pair(item):
    """Return (x,) or (x, label)."""
    if not isinstance(item, tuple):
        return (item,)
    if len(item) > 2:
        raise ValueError(f"it is a tuple of {len(item)}, and must be x or (x, y). Where there are "
                         "several modalities, let x be a dict of them.")
    return item


def _named(dataset, i):
    """Name an item of the user's ``Dataset``, of which ``dataset`` may be a part."""
    while isinstance(dataset, (Subset, Column)):
        i = dataset.indices[i] if isinstance(dataset, Subset) else i
        dataset = dataset.dataset
    return f"Item {i} of X, a {type(dataset).__name__},"


def _not_finite(X):
    """Return the first row with a value that is not finite, and what that is, or None."""
    if not X.is_floating_point() or (finite := X.isfinite().flatten(1).all(1)).all():
        return None
    row = int(finite.int().argmin())
    return row, "NaN" if X[row].isnan().any() else "infinity, or a value too large for float32"


def _agree(own, given):
    own, given = np.asarray(own), np.asarray(given)
    if given.ndim == 0 and not labelled_mask(given[None]).all():
        return True
    return np.array_equal(own, given) or own.dtype.kind == "f" and np.allclose(own, given, 1e-6)


def _plain(label):
    return label.item() if getattr(label, "ndim", None) == 0 else label
