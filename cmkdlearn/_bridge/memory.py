"""Batches that the device's memory does not hold, in parts.

Nothing here is entered before a batch was too large.
"""

import warnings

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from cmkdlearn.nn.data import each


def halved(size):
    """Return half of a size, rounded up."""
    return -(-size // 2)


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
        size = halved(min(size, n))


def _rows(batch, rows):
    return type(batch)(**{name: each(value, lambda t: t[rows]) for name, value in batch.items()})


class StepsInParts:
    """Steps of batches that were found too large: parts, whose gradients add up to the same step.

    Parameters
    ----------
    net : Net
    batch : Bunch of Tensor
        That did not fit.
    error : torch.OutOfMemoryError
        Which said so.

    Raises
    ------
    torch.OutOfMemoryError
        If parts do not add up to the loss of the batch, or not even a single sample fits.
    """

    def __init__(self, net, batch, error):
        self.net, self.size = net, None
        if not net.method._adds_up:
            raise self._refusal("Its loss compares the samples of a batch with each other, so that "
                                "halves do not add up to it. Lower batch_size="
                                f"{net.batch_size}.", error) from error
        torch.cuda.empty_cache()

    def train(self, batch):
        """Leave the gradient of a batch in the parameters."""
        return self._made(self._accumulate, batch)

    def validate(self, batch):
        """Look at a batch of the validation split."""
        return self._made(lambda part, seen: self.net.look_at(part), batch)

    def _made(self, step, batch):
        net, n, known = self.net, len(batch.X), self.size
        net.optimizer_.zero_grad()
        try:
            steps, self.size = in_parts(step, batch, known or halved(n),
                                        undo=net.optimizer_.zero_grad)
        except torch.OutOfMemoryError as error:
            raise self._refusal("Not even a single sample fits.", error) from error
        if self.size != known:
            normalises = any(isinstance(layer, _BatchNorm) for layer in net.module_.modules())
            warnings.warn(
                f"The memory of {net.device} is too small for a batch of {n}: it is read in parts "
                f"of {self.size}, whose gradients add up to the same step. "
                + "Batch normalisation has the statistics of the parts." * normalises, stacklevel=2)
        shares = [len(part["y_pred"]) / n for part in steps]

        def mean(values):
            return sum(share * value.detach() for share, value in zip(shares, values, strict=True))

        return {"loss": mean(part["loss"] for part in steps),
                "y_pred": torch.cat([part["y_pred"] for part in steps]),
                "terms": {name: mean(part["terms"][name] for part in steps)
                          for name in steps[0]["terms"]}}

    def _accumulate(self, part, seen):
        """Leave the mean gradient of a part, and of the samples of the batch before it."""
        n = len(part.X)
        self._scale_gradients(seen / n if seen else 1)
        step = self.net.method._step(self.net, part)
        self._scale_gradients(n / (seen + n))
        return step

    def _scale_gradients(self, factor):
        if factor != 1:
            for _, p in self.net.get_all_learnable_params():
                if p.grad is not None:
                    p.grad *= factor

    def _refusal(self, cannot, error):
        return torch.OutOfMemoryError(
            f"The memory of {self.net.device} is too small for {type(self.net.method).__name__}. "
            f"{cannot} {error}")
