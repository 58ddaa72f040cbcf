"""Whether the parts of a network go together, found out before it computes anything."""

from typing import Any

import torch
from torch import nn
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from cmkdlearn.io._format import Refused, shortened
from cmkdlearn.nn.data import move
from cmkdlearn.teachers import WordNetRelaxedTeacher

SAMPLES = 2
LARGEST = 2**31  # numbers, of all that a network works out for so many samples


def try_out(estimator, module):
    """Run an estimator's network on tensors without content, which have nothing but a shape.

    Raises
    ------
    Refused
        If it cannot read what the estimator feeds it, says something of another shape than the
        estimator expects, or works out more numbers for a sample than any known network.
    """
    batch = _batch(estimator)
    if batch is None:
        return
    parts = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    empty = {name: torch.empty_like(part, device="meta") for name, part in parts.items()}
    training = module.training
    try:
        with torch.no_grad(), torch.device("meta"), _Budget():
            output = estimator._output(_Called(module.eval(), empty), batch)
    except Refused:
        raise
    except NotImplementedError:
        return  # there is an operation in it that asks for content
    except Exception as error:  # each network fails in its own way
        if "meta" in str(error):
            return
        raise Refused(f"the parts of its network do not go together: "
                      f"{shortened(str(error), 200)}") from error
    finally:
        module.train(training)
    shape = tuple(output.logits.shape)
    classes = getattr(estimator, "classes_", None)
    if len(shape) != 2 or shape[0] != SAMPLES or classes is not None and shape[1] != len(classes):
        raise Refused(f"its network says something of shape {shape} about {SAMPLES} samples"
                      + (f" of {len(classes)} classes." if classes is not None else "."))


class _Called(nn.Module):
    """A network with other parameters than its own."""

    def __init__(self, module, parts):
        super().__init__()
        self.__dict__.update(module=module, parts=parts)

    def forward(self, *args):
        return functional_call(self.module, self.parts, args)


class _Budget(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.left = LARGEST

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        self.left -= sum(part.numel() for part in tree_leaves(result)
                         if isinstance(part, torch.Tensor))
        if self.left < 0:
            raise Refused("its network works out more numbers for a sample than any known one.")
        return result


def _batch(estimator):
    """Return what the estimator feeds its network, without content; None if no file says what."""
    readers = getattr(estimator, "_readers", None)
    shapes: list[Any] = [reader._shape for reader in readers.values()] if readers else \
        [getattr(estimator, "_shape", None)]
    parts = {}
    if isinstance(estimator, WordNetRelaxedTeacher):
        if estimator.use_text:
            shapes = [estimator.class_embeddings_.shape[1:]]
            parts = {name: torch.empty(SAMPLES, dtype=torch.int64) for name in ("relaxed", "shown")}
        elif estimator.embedder is not None:
            return None
    for name, shape in zip(("X", "X_second"), shapes, strict=False):
        parts[name] = torch.empty((SAMPLES, *shape))
    return move(parts, "meta")
