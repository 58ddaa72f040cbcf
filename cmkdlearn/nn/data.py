"""Samples as tensors, sliced a batch at a time."""

import contextlib
import os
import threading
import warnings
from typing import Any

import numpy as np
import torch
from sklearn.utils import Bunch
from torch.utils.data import DataLoader, Dataset, Sampler

SINGLE = ("mps",)  # devices that have no double precision


def as_array(x):
    """Return a tensor as an array, its dtype kept where NumPy has it; what is none stays."""
    if not isinstance(x, torch.Tensor):
        return x
    x = x.detach().cpu()
    return (x.float() if x.dtype in (torch.bfloat16, torch.float16) else x).numpy()


def as_tensor(array):
    """Share an array's memory with a tensor (read-only memory maps included)."""
    array = np.asarray(array)
    if any(stride < 0 for stride in array.strides) or not array.dtype.isnative:
        array = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
    with warnings.catch_warnings():
        # nothing here writes to its input
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)


class TensorData(Dataset):
    """Named tensors, or tuples of them, with one common first axis.

    Indexed by an integer or by a tensor of integers, it gives a ``Bunch`` of the same names.
    """

    def __init__(self, **tensors):
        self.tensors = Bunch(**tensors)

    def __len__(self):
        return len(self.tensors.X)

    def __getitem__(self, index):
        return Bunch(**{name: each(value, lambda t: t[index])
                        for name, value in self.tensors.items()})

    def __getitems__(self, indices):
        """Let a plain ``DataLoader`` slice a whole batch too."""
        return self[torch.as_tensor(indices)]

    def subset(self, rows):
        """Return some of the samples; those that are not in memory stay unread."""
        return TensorData(**{name: each(value, lambda t: t[rows] if isinstance(t, torch.Tensor)
                                         else t.subset(rows))
                             for name, value in self.tensors.items()})

    def in_order(self, size, least=1):
        """Go through the samples in order.

        Yields the number of samples and their batch, of ``size`` samples (-1: of all), the last
        one of fewer, but of ``least`` rows: the last sample is repeated.
        """
        rows = torch.arange(len(self)).split(len(self) if size == -1 else size)
        padded = [torch.cat([part, part[-1:].expand(max(0, least - len(part)))]) for part in rows]
        reading = getattr(self.tensors.X, "reading", None)
        batches = map(self.__getitem__, padded) if reading is None else DataLoader(
            self, batch_size=None, sampler=padded, collate_fn=whole, generator=aside(), **reading)
        return zip(map(len, rows), batches, strict=True)

    def to(self, device):
        """Move all tensors to a device."""
        return TensorData(**{name: each(value, lambda t: t.to(device))
                             for name, value in self.tensors.items()})

    @property
    def device(self):
        """Where the tensors are."""
        return self.tensors.X.device

    @property
    def nbytes(self):
        """Size in bytes."""
        sizes = []
        for value in self.tensors.values():
            each(value, lambda t: sizes.append(t.nbytes))
        return sum(sizes)


def whole(batch):
    """Collate what is a whole batch already."""
    return batch


class BatchLoader(DataLoader):
    """A ``DataLoader`` that asks its dataset for a whole batch at once.

    Takes what ``DataLoader`` takes. A last batch of a single sample joins the one before it,
    since batch normalisation has no statistics of one. The batches are the same with any number of
    workers.
    """

    dataset: TensorData
    sampler: "_Batches"

    def __init__(self, dataset, batch_size=128, shuffle=False, drop_last=False,
                 collate_fn=whole, **kwargs):
        sampler = _Batches(dataset, batch_size, shuffle, drop_last)
        super().__init__(dataset, batch_size=None, sampler=sampler, collate_fn=collate_fn,
                         **{"generator": aside(), **kwargs})

    def __iter__(self):
        """Slice the batches here, unless there is more to do."""
        pins = self.pin_memory and self.dataset.device.type == "cpu"
        if self.num_workers or pins:
            return super().__iter__()
        return (self.collate_fn(self.dataset[index]) for index in self.sampler)


class _Batches(Sampler):
    processes: Any = None  # that share each batch out
    balances = False  # whether classes come equally often

    def __init__(self, data, batch_size, shuffle, drop_last):
        self.data, self.shuffle, self.drop_last = data, shuffle, drop_last
        self.batch_size = len(data) if batch_size == -1 else batch_size

    @property
    def sizes(self):
        """Samples of each batch."""
        n, size = len(self.data), self.batch_size
        sizes, last = [size] * (n // size), n % size
        least = min(2 * (self.processes.number if self.processes else 1), size)
        if last and not self.drop_last:
            sizes = [*sizes[:-1], size + last] if sizes and last < least else [*sizes, last]
        return sizes

    def __len__(self):
        return len(self.sizes)

    def __iter__(self):
        n = len(self.data)
        if self.balances:
            order = draw_balanced(self.data.tensors.y.cpu(), n)
        else:
            order = torch.randperm(n) if self.shuffle else torch.arange(n)
        if (self.shuffle or self.balances) and self.processes:
            order = self.processes.of_first(order)
        order = order[: sum(self.sizes)].to(getattr(self.data, "device", "cpu"))
        batches = order.split(self.sizes)
        yield from map(self.processes.share, batches) if self.processes else batches


def draw_balanced(codes, n):
    """Draw ``n`` samples with replacement: a class, each alike, and then one of its samples."""
    by_class, sizes = codes.argsort(stable=True), codes.bincount()
    starts, sizes = (sizes.cumsum(0) - sizes)[sizes > 0], sizes[sizes > 0]
    drawn = torch.randint(len(sizes), (n,))
    return by_class[starts[drawn] + (torch.rand(n, dtype=torch.double) * sizes[drawn]).long()]


def move(batch, device):
    """Bring a batch to a device; free of charge where it already is."""
    single = torch.device(device).type in SINGLE

    def moved(t):
        return (t.float() if single and t.dtype == torch.float64 else t).to(device,
                                                                            non_blocking=True)

    return Bunch(**{name: each(value, moved) for name, value in batch.items()})


def weighted_mean(values, batch):
    """Return the mean of one value a sample, by the samples' weights, where a batch has them."""
    weight = batch.get("weight")
    return (values if weight is None else weight * values).mean()


def of_mean_one(weight):
    """Return weights as float32, scaled so that they are 1 on average."""
    return (weight / weight.mean()).float()


def aside():
    """Return a generator that follows the global one's seed, and does not disturb it."""
    return torch.Generator().manual_seed(torch.initial_seed())


class _OneThread:
    """A lock that a forked process finds open, though another thread held it at that moment."""

    def __init__(self):
        self.renew()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self.renew)

    def renew(self):
        self.lock = threading.RLock()

    def __enter__(self):
        self.lock.acquire()

    def __exit__(self, *error):
        self.lock.release()


_ONE_THREAD = _OneThread()


@contextlib.contextmanager
def seeded(seed, device="cpu"):
    """Draw torch's random numbers from ``seed``, and leave its global state untouched.

    That is its generator, and the default dtype, which is float32 here whatever it is elsewhere.
    Of cuDNN's convolutions those are taken that repeat themselves to the last bit. All threads of a
    process share all this, so one is here at a time: joblib's threads, and those in which a worker
    of a cluster takes up another task while one waits.
    """
    devices = [torch.device(device)] if torch.device(device).type == "cuda" else []
    with _ONE_THREAD, torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        before = torch.get_default_dtype(), torch.backends.cudnn.deterministic
        torch.set_default_dtype(torch.float32)
        torch.backends.cudnn.deterministic = True
        try:
            yield
        finally:
            torch.set_default_dtype(before[0])
            torch.backends.cudnn.deterministic = before[1]


def resolve_device(device):
    """Return ``device``; for "auto" the GPU, where there is one.

    Raises
    ------
    ValueError
        If there is no such device.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=torch.device(device)).device
    except (RuntimeError, TypeError, AssertionError) as error:
        raise ValueError(f'device={device!r}: there is no such device here; use "auto", "cpu" or '
                         f"the name of one that torch knows. {error}") from error


def fits_on(device, nbytes):
    """Tell whether data of this size may live on the device beside the training itself."""
    if torch.device(device).type != "cuda":
        return False
    return nbytes < torch.cuda.mem_get_info(device)[0] / 2


def each(value, function):
    """Apply a function to a tensor, or to each of (named) tuples of them; None stays None."""
    if value is None:
        return None
    if isinstance(value, tuple):
        items = [each(item, function) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
    return function(value)
