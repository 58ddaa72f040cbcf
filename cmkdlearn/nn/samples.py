"""What X may be: an array, a memory map, a ``Dataset``, a dict of these; and its samples.

Nothing here reads more than it is asked for: those of a ``Dataset`` or of a memory-mapped array
stay where they are.
"""

from collections.abc import Mapping
from numbers import Integral

import numpy as np
from sklearn.utils import _safe_indexing, indexable
from sklearn.utils.validation import _num_samples, check_consistent_length
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset

from cmkdlearn._validation import check_option
from cmkdlearn.nn.data import as_array, aside, whole

__all__ = ["select_modality", "take"]

# -------------------------------------------------------------------- what there is

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
        x = (x if isinstance(x, Mapping) else np.asarray(as_array(x)))[self.key]
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


# -------------------------------------------------------------------- several modalities

class Modalities(Mapping):
    """Several modalities of the same samples, of which some can be taken by their numbers.

    ``fit`` and ``predict`` take a dict of modalities. What asks for some of the samples takes
    this: ``cross_val_score``, ``GridSearchCV`` and whatever else of scikit-learn's divides them.

    Parameters
    ----------
    modalities : mapping of str to modality, optional
        Arrays, tensors, DataFrames, sparse matrices, lists (of texts, say), memory-mapped arrays or
        Datasets of equal length. Samples belong together by position. Those of a ``Dataset`` or of
        a memory-mapped array stay unread.
    **more : modality
        The same by keywords.

    Attributes
    ----------
    shape : tuple of int
        (n,), the number of samples; so is ``len``.

    Raises
    ------
    ValueError
        If there is none, they differ in length, or have the same pandas index in other orders.

    Examples
    --------
    >>> import numpy as np
    >>> from cmkdlearn import Modalities
    >>> X = Modalities(image=np.zeros((4, 8, 8)), caption=["a cat", "a dog", "an eel", "a fox"])
    >>> X
    Modalities(image=ndarray (4, 8, 8), caption=list (4,))
    >>> X[[0, 2]]["caption"]
    ['a cat', 'an eel']
    >>> list(X), len(X)
    (['image', 'caption'], 4)
    """

    def __init__(self, modalities=(), /, **more):
        self._parts = {**dict(modalities), **more}
        for name, part in self._parts.items():
            if not isinstance(name, str):
                raise TypeError(f"A modality is called by a string; got {name!r}.")
            refuse_annotated(part)
        lengths = {name: _num_samples(part) for name, part in self._parts.items()}
        if len(set(lengths.values())) != 1:
            raise ValueError("Modalities must be of the same samples, and there must be one at "
                             f"least; got these numbers of samples: {lengths}.")
        check_same_order(self)
        self.shape = (next(iter(lengths.values())),)

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, key):
        """Return a modality by its name, or some of the samples by their numbers."""
        if isinstance(key, str):
            return self._parts[key]
        if isinstance(key, tuple) and len(key) == 2 and key[1] is Ellipsis:
            key = key[0]  # as scikit-learn asks for rows
        if isinstance(key, Integral):
            raise TypeError(f"[{key}] would be a single sample, which is no data set; take "
                            f"[{key}:{key + 1}].")
        return take(self, key)

    def __iter__(self):
        return iter(self._parts)

    def __contains__(self, name):
        return name in self._parts

    def keys(self):
        """Return the names."""
        return self._parts.keys()

    def values(self):
        """Return the modalities."""
        return self._parts.values()

    def items(self):
        """Return the modalities with their names."""
        return self._parts.items()

    def __repr__(self):
        parts = (f"{name}={type(part).__name__} {getattr(part, 'shape', self.shape)}"
                 for name, part in self.items())
        return f"Modalities({', '.join(parts)})"


def refuse_annotated(X):
    """Say which arrays to take out of an AnnData or a MuData."""
    if hasattr(X, "columns") or not (hasattr(X, "obs") and (hasattr(X, "X") or hasattr(X, "mod"))):
        return
    arrays = "{name: part.X for name, part in data.mod.items()}" if hasattr(X, "mod") \
        else '{"rna": data.X}'
    raise TypeError(f"X is a {type(X).__name__}, of which networks read the arrays: pass {arrays}, "
                    "made dense by .toarray() where they are sparse, and a column of data.obs as "
                    "y.")


# -------------------------------------------------------------------- some of it

def take(X, index):
    """Return some of the samples, of each modality if there are several.

    Parameters
    ----------
    X : array-like, DataFrame, sparse matrix, Dataset, or dict of these
    index : array-like of int or bool, or slice
        Which ones.

    Returns
    -------
    as X
        Those of a ``Dataset`` or of a memory-mapped array stay unread.

    Examples
    --------
    >>> import numpy as np
    >>> from cmkdlearn.nn.samples import take
    >>> take({"a": np.arange(4), "b": np.eye(4)}, [0, 2])["a"]
    array([0, 2])
    """
    if isinstance(X, Mapping):
        return type(X)(**{name: take(part, index) for name, part in X.items()})
    if not (is_dataset(X) or is_mapped(X)):
        return _safe_indexing(*indexable(X), index)
    index = np.arange(len(X))[index]
    return Subset(X, index.tolist()) if is_dataset(X) else as_rows(X).take(index)


def refuse_items(X):
    """Say what to do with the list that scikit-learn makes of a ``Dataset`` of pairs or dicts."""
    item = X[0] if isinstance(X, list) and X else None
    if isinstance(item, Mapping) or (isinstance(item, tuple) and len(item) == 2
                                     and np.ndim(item[0]) > 0):  # else it is a row of a table
        raise TypeError("X is a list of samples that are pairs or dicts, as scikit-learn makes of "
                        "a Dataset. Put the Dataset into cmkdlearn.Modalities(name=dataset), pass "
                        'modality="name", and its labels as y.')


def drop_weightless(X, y, weight):
    """Return what weighs more than 0 of samples, targets and weights; None for equal weights."""
    kept = np.flatnonzero(weight)
    if len(kept) < len(weight):
        check_consistent_length(*(X.values() if isinstance(X, Mapping) else [X]), y)
        X, y, weight = take(X, kept), y[kept], weight[kept]
    return X, y, None if (weight == weight[0]).all() else weight


def select_modality(X, modality, fitting, owner=None):
    """Return the modality to read of a dict by its name, or of a table by its columns.

    Parameters
    ----------
    X : array-like, DataFrame, Dataset, or dict of these
    modality : str, list, slice or None
        A name, or columns; None: all of X, which must be one modality then.
    fitting : bool
        To predict, the modality alone will do in place of the dict.
    owner : estimator, default=None
        Who reads it; errors name it.

    Returns
    -------
    array-like or Dataset

    Raises
    ------
    ValueError
        On a modality that X does not have, or none where there are several.

    Examples
    --------
    >>> import numpy as np
    >>> from cmkdlearn.nn.samples import select_modality
    >>> select_modality({"a": np.arange(4), "b": np.eye(4)}, "a", fitting=True)
    array([0, 1, 2, 3])
    """
    if isinstance(X, Mapping):
        if modality is None:
            raise ValueError(f"X holds the modalities {list(X)}: {_say_which(X, owner)}")
        check_option("modality", modality, list(X))
        for part in X.values():
            refuse_annotated(part)
            if is_dataset(part):
                check_dataset(part)
        check_consistent_length(*X.values())
        check_same_order(X)
        return select_modality(X[modality], None, fitting, owner)
    refuse_annotated(X)
    if is_dataset(X):
        return _select_of_items(X, modality, fitting, owner)
    if isinstance(modality, str) and fitting:
        raise ValueError(f"modality={modality!r} names a modality, but X is a {type(X).__name__}; "
                         "pass a dict (or cmkdlearn.Modalities) of arrays, or a list of columns "
                         "as modality.")
    elif not (modality is None or isinstance(modality, str)):
        X = X if hasattr(X, "shape") else np.asarray(X)
        try:
            lists = is_mapped(X) and not isinstance(modality, slice)
            X = as_rows(X).select(modality) if lists else _safe_indexing(X, modality, axis=1)
        except IndexError:
            raise ValueError(f"modality={modality!r} reads columns that X of shape {X.shape} does "
                             "not have; pass a table with all the columns.") from None
    return as_array(X)


def check_same_order(X, y=None):
    """Refuse pandas objects whose rows have the same names in different orders.

    Which sample of one modality belongs to which of another is told by position.
    """
    parts = {f"modality {name!r}": part for name, part in X.items()} if isinstance(X, Mapping) \
        else {"X": X}
    named = {name: part.index for name, part in {**parts, "y": y}.items()
             if hasattr(part, "index") and hasattr(part.index, "equals")}
    (first, known), *others = [*named.items()] or [("", None)]
    for name, index in others:
        if not index.equals(known) and len(index) == len(known) \
                and index.sort_values().equals(known.sort_values()):
            raise ValueError(f"The rows of {name} have the names of those of {first}, but in "
                             "another order; samples are matched by position. Bring them into one "
                             "order, as in part.loc[other.index].")


def _say_which(names, owner):
    """Return the end of an error: what to do where no modality was named."""
    example = f"modality={next(iter(names), 'name')!r}"
    if owner is None:
        return f"say which one to read, as in {example}."
    name = type(owner).__name__
    return f"say which one {name} is to read, as in {name}({example})."


def _select_of_items(dataset, modality, fitting, owner):
    """Return the ``Dataset`` of one modality, where the items of this one are dicts of several."""
    check_dataset(dataset)
    item = first_of(dataset)
    if isinstance(item, Mapping):
        if modality is None:
            raise ValueError(f"The items of X, a {type(dataset).__name__}, hold {list(item)}: "
                             f"{_say_which(item, owner)}")
        check_option("modality", modality, list(item))
    elif isinstance(modality, str) and fitting:
        raise ValueError(f"modality={modality!r} names a modality, but the items of X, a "
                         f"{type(dataset).__name__}, are no dicts of several.")
    elif modality is None or isinstance(modality, str):
        return dataset
    return Column(dataset, modality)


# -------------------------------------------------------------------- a sample, and its label

def first_of(dataset):
    """Return the first sample of a ``Dataset``, without its label."""
    return item_of(dataset, 0)[0]


def first_sample(X):
    """Return the first sample of what is not in memory, as an array (1, ...)."""
    return np.asarray(X[:1]) if is_mapped(X) else np.asarray(item_of(X, 0)[0])[None]


def labels_of(X, y, **reading):
    """Return y; where it is None and X a ``Dataset`` of pairs (x, y), the labels in there."""
    if y is not None or not is_dataset(X):
        return y
    check_dataset(X)
    if len(item_of(X, 0)) == 1:
        return None
    return np.asarray([plain(label) for labels in in_order(_Labels(X), 64, **reading)
                       for label in labels])


class _Labels(Dataset):
    def __init__(self, dataset):
        self.dataset = dataset

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, rows):
        return [item_of(self.dataset, i)[-1] for i in range(rows.start, rows.stop)]


def in_order(data, size, **reading):
    """Go through what a slice can index, ``size`` samples at a time."""
    rows = [slice(i, min(i + size, len(data))) for i in range(0, len(data), size)]
    return DataLoader(data, batch_size=None, sampler=rows, collate_fn=whole, generator=aside(),
                      **reading)


def item_of(dataset, i):
    """Return [x] or [x, label] with an array x, or say which item cannot be read."""
    try:
        x, *label = pair(dataset[i])
        return [x if isinstance(x, Mapping) else np.asarray(as_array(x)), *label]
    except Exception as error:
        raise RuntimeError(f"{named_item(dataset, i)} cannot be read: {type(error).__name__}: "
                           f"{error}") from error


def pair(item):
    """Return (x,) or (x, label)."""
    if not isinstance(item, tuple):
        return (item,)
    if len(item) > 2:
        raise ValueError(f"it is a tuple of {len(item)}, and must be x or (x, y). Where there are "
                         "several modalities, let x be a dict of them.")
    return item


def named_item(dataset, i):
    """Name an item of the user's ``Dataset``, of which ``dataset`` may be a part."""
    while isinstance(dataset, (Subset, Column)):
        i = dataset.indices[i] if isinstance(dataset, Subset) else i
        dataset = dataset.dataset
    return f"Item {i} of X, a {type(dataset).__name__},"


def plain(label):
    """Return a label as a plain number, where it is an array of one."""
    return label.item() if getattr(label, "ndim", None) == 0 else label
