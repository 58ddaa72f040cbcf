"""The one loop in which networks are asked about samples."""

import torch

from cmkdlearn._bridge.memory import halved, in_parts
from cmkdlearn.nn.data import each, move

# Fewer rows than this are padded: matrix products take another path for a handful of rows, and a
# sample's prediction should not depend, to the last bit, on how many came with it.
MIN_ROWS = 32
ROWS_AT_ONCE = 128


def infer(ask, data, *, device, batch_size):
    """Ask about all samples, a batch at a time.

    Parameters
    ----------
    ask : callable
        From a batch on the device to a tensor, or to (named) tuples of tensors and None.
    data : TensorData
    device : torch.device
    batch_size : int or "auto"
        -1: all at once.

    Returns
    -------
    Tensor, or tuples of them
        What was said of all samples, on the CPU.
    """
    answers, size = [], None
    batch_size = ROWS_AT_ONCE if batch_size == "auto" else batch_size

    def ask_part(part, seen):
        return each(ask(move(part, device)), torch.Tensor.cpu)

    with torch.inference_mode():
        for n, batch in data.in_order(batch_size, MIN_ROWS):
            if size is None:
                try:
                    answers.append(each(ask_part(batch, 0), lambda t, n=n: t[:n]))
                    continue
                except torch.OutOfMemoryError:
                    size = halved(len(batch.X))
            parts, size = in_parts(ask_part, batch, size)
            answers.append(each(_joined(parts), lambda t, n=n: t[:n]))
    return _joined(answers)


def _joined(answers):
    first = answers[0]
    if first is None or len(answers) == 1:
        return first
    if isinstance(first, tuple):
        parts = map(_joined, zip(*answers, strict=True))
        return type(first)(*parts) if hasattr(first, "_fields") else tuple(parts)
    return torch.cat(answers)
