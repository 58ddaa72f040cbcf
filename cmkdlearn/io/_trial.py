"""Whether the parts of a network go together, found out before anybody relies on it."""

import math
from typing import Any

import numpy as np
import torch
from sklearn.utils import Bunch
from torch import nn
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from cmkdlearn.io._format import Refused, shortened
from cmkdlearn.teachers import WordNetRelaxedTeacher

SAMPLES = 2
LARGEST = 2**31  # numbers that a network works out for so many samples: more than any known one
# What takes a second or so. More is not computed only to see whether it can be.
MANY_NUMBERS, MANY_OPERATIONS = 2**27, 10**11


def try_out(estimator, module):
    """Let a network speak about two samples of zeros.

    At first on tensors without content, which have a shape and take neither time nor memory; then,
    if that says that it is soon done, in earnest.

    Raises
    ------
    Refused
        If it cannot read what the estimator feeds it, says something of another shape than the
        estimator expects, or works out more numbers for a sample than any known network.
    """
    if (batch := _batch(estimator)) is None:
        return
    training = module.training
    module.eval()
    try:
        if _is_soon_done(estimator, module, batch):
            with torch.no_grad(), torch.random.fork_rng(devices=[]):
                _check(estimator, estimator._output(module, batch))
    except Refused:
        raise
    except Exception as error:  # each network fails in its own way
        raise Refused(f"the parts of its network do not go together: "
                      f"{shortened(str(error), 200)}") from error
    finally:
        module.train(training)


def _is_soon_done(estimator, module, batch):
    """Run a network without content, and tell whether it can be run in earnest."""
    parts = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    parts = {name: torch.empty_like(part, device="meta") for name, part in parts.items()}
    batch = Bunch(**{name: part.to("meta") for name, part in batch.items()})
    numbers, operations = _Numbers(), FlopCounterMode(display=False)
    try:
        with torch.no_grad(), torch.device("meta"), operations, numbers:
            output = estimator._output(_With(module, parts), batch)
    except Exception as error:
        if "meta" in str(error).lower():
            return False  # there is something in it that asks for content
        raise
    _check(estimator, output)
    return numbers.total < MANY_NUMBERS and operations.get_total_flops() < MANY_OPERATIONS


def _check(estimator, output):
    shape = tuple(output.logits.shape)
    expected = (len(estimator.classes_),) if hasattr(estimator, "classes_") \
        else (int(np.prod(estimator.target_shape_)),)
    if shape != (SAMPLES, *expected):
        raise Refused(f"its network says something of shape {shape} about {SAMPLES} samples, and "
                      f"not {(SAMPLES, *expected)}.")


class _With(nn.Module):
    """A network with other parameters than its own."""

    def __init__(self, module, parts):
        super().__init__()
        self.__dict__.update(module=module, parts=parts)

    def forward(self, *args):
        return functional_call(self.module, self.parts, args)


class _Numbers(TorchDispatchMode):
    """Counts the numbers that are worked out."""

    total = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        self.total += sum(part.numel() for part in tree_leaves(result)
                          if isinstance(part, torch.Tensor))
        if self.total > LARGEST:
            raise Refused("its network works out more numbers for a sample than any known one.")
        return result


def _batch(estimator):
    """Return zeros as the estimator feeds them to its network; None if no file says their shape."""
    readers = getattr(estimator, "readers_", None) or {"X": getattr(estimator, "reader_", None)}
    for reader in filter(None, readers.values()):
        known = vars(reader)
        needed = {"kind", "shape", "dtype"} | ({"reach"} if known.get("kind") == "image" else set())
        if lacking := needed - known.keys():
            raise Refused(f"it lacks the {min(lacking)} of what it was fitted on.")
    fed: list[Any] = [(reader.shape, getattr(torch, reader.dtype)) for reader in readers.values()
                      if reader is not None]
    batch = Bunch()
    if isinstance(estimator, WordNetRelaxedTeacher):
        if estimator.use_text:
            fed = [(estimator.class_embeddings_.shape[1:], torch.float32)]
            batch.relaxed, batch.shown = torch.zeros((2, SAMPLES), dtype=torch.int64)
        elif estimator.embedder is not None:
            return None
    for name, (shape, dtype) in zip(("X", "X_second"), fed, strict=False):
        if SAMPLES * math.prod(shape) > MANY_NUMBERS:
            raise Refused(f"it reads samples of shape {shape}, larger than any known ones.")
        batch[name] = torch.zeros((SAMPLES, *shape), dtype=dtype)
    return batch
