"""Batches that the device's memory does not hold, in parts."""

import torch

from cmkdlearn.nn.data import _each


def in_parts(function, batch, size, least=1, undo=lambda: None):
    """Call a function on parts of a batch, which are halved until the device's memory holds one.

    Parameters
    ----------
    function : callable
        Of a part, and of the number of samples before it.
    batch : Bunch of Tensor
    size : int
        Samples in a part, at most.
    least : int, default=1
        Of so many samples or fewer, no halves are made.
    undo : callable, optional
        Called before all parts are tried again, in halves.

    Returns
    -------
    list
        What the function returned.
    int
        The size that did.

    Raises
    ------
    torch.OutOfMemoryError
        If ``least`` samples are too many.
    """
    n = len(batch.X)
    while True:
        try:
            results, count = [], -(-n // size)
            for i in range(count):
                start, stop = n * i // count, n * (i + 1) // count
                part = batch if count == 1 else _rows(batch, slice(start, stop))
                results.append(function(part, start))
            return results, size
        except torch.OutOfMemoryError:
            if size <= least:
                raise
        results, part = [], batch  # only here: the traceback kept the tensors
        torch.cuda.empty_cache()
        undo()
        size = -(-min(size, n) // 2)


def _rows(batch, rows):
    return type(batch)(**{name: _each(value, lambda t: t[rows]) for name, value in batch.items()})
