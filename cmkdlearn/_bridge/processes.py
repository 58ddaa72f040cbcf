"""Training in several processes, each of which sees its share of every batch."""

import contextlib
import os

import torch

from cmkdlearn.nn.data import BatchLoader, each

PRECISIONS = ("no", "bf16")
KINDS = ("NO", "MULTI_CPU", "MULTI_GPU", "MULTI_XPU", "MULTI_HPU", "MULTI_NPU", "MULTI_MLU")


def make_accelerator(make, params, random_state):
    """Make the Accelerator of this process, and refuse what it cannot do here.

    Parameters
    ----------
    make : callable or None
        ``accelerate.Accelerator``.
    params : dict
        For it.
    random_state : int
        All processes begin from it.

    Returns
    -------
    accelerate.Accelerator or None
    """
    if make is None:
        return None
    if not callable(make):
        raise TypeError(f"accelerator={make!r} must be the class accelerate.Accelerator, not an "
                        "object: it is made in every process, with accelerator__... as its "
                        "parameters.")
    accelerator = make(**params)
    if accelerator.mixed_precision not in PRECISIONS:
        raise ValueError(f"mixed_precision={accelerator.mixed_precision!r}: train in \"bf16\", "
                         "which has the range of float32 and needs no scaling of gradients.")
    if accelerator.gradient_accumulation_steps != 1:
        raise ValueError("gradient_accumulation_steps="
                         f"{accelerator.gradient_accumulation_steps}: leave it at 1. batch_size is "
                         "the batch of a step, of all processes together.")
    if accelerator.distributed_type.name not in KINDS:
        raise ValueError(f"accelerate launches {accelerator.distributed_type.name}, which splits "
                         "the network; here every process holds the whole of it. Use one of "
                         f"{', '.join(KINDS)}.")
    started = int(os.environ.get("WORLD_SIZE", 1))  # by torchrun, or accelerate launch
    if started != accelerator.num_processes:
        raise ValueError(f"{started} processes were started, but Accelerate knows of "
                         f"{accelerator.num_processes}, so that each would train alone. Without "
                         "GPUs it needs accelerator__cpu=True.")
    if accelerator.num_processes > 1 and (random_state is None or hasattr(random_state, "rand")):
        raise ValueError(f"random_state={random_state!r} lets each of the "
                         f"{accelerator.num_processes} processes begin from other weights and "
                         "teachers; use an integer.")
    return accelerator


class Processes:
    """What the processes of one training share out, and agree on.

    Their gradients are averaged once the step has left them in the parameters, so that a step may
    be anything: Accelerate's own wrapper (torch's ``DistributedDataParallel``) only knows of what
    goes through the network's ``forward`` and one ``backward``.

    Parameters
    ----------
    accelerator : accelerate.Accelerator
    """

    def __init__(self, accelerator):
        self.accelerator = accelerator
        self.number, self.index = accelerator.num_processes, accelerator.process_index

    def total(self, values):
        """Return the sum over the processes."""
        device = self.accelerator.device
        return self.accelerator.reduce(values.to(device), "sum").to(values.device)

    def of_first(self, values):
        """Return what the first process holds."""
        return self.total(values if self.index == 0 else torch.zeros_like(values))

    def share(self, rows):
        """Return this process's part of a batch."""
        return rows.tensor_split(self.number)[self.index]

    def share_out(self, loader):
        """Let a loader deliver this process's part of each batch."""
        if not isinstance(loader, BatchLoader):
            raise ValueError(f"iterator_train={type(loader).__name__} has batches that cannot be "
                             "shared out between processes; leave iterator_train at its default.")
        loader.sampler.processes = self
        least = min(loader.sampler.sizes, default=0)
        if least < 2 * self.number:
            raise ValueError(f"A batch of {least} leaves less than two samples for each of "
                             f"{self.number} processes. Raise batch_size, or use fewer processes.")

    def average_gradients(self, parameters, n):
        """Replace the gradients of ``n`` samples by those of the whole batch, in one message."""
        parameters = list(parameters)
        parts = [torch.zeros_like(p) if p.grad is None else p.grad * n for p in parameters]
        there = [torch.tensor([float(p.grad is not None) for p in parameters] + [n])]
        flat = torch.cat([part.flatten().float() for part in [*parts, there[0].to(parts[0])]])
        *sums, counts = self.total(flat).split([*(p.numel() for p in parameters), len(there[0])])
        *there, n = counts.cpu()
        for p, gradient, known in zip(parameters, sums, there, strict=True):
            if known:
                p.grad = (gradient / n).view_as(p).to(p)

    def average_buffers(self, *modules):
        """Replace the statistics of batch normalisation by their mean over the processes."""
        for module in modules:
            for buffer in module.buffers():
                if buffer.is_floating_point():
                    buffer.copy_(self.total(buffer) / self.number)


@contextlib.contextmanager
def mixed_precision(module, accelerator):
    """Let a network compute in half precision; the losses of what it says are in float32."""
    forward = module.forward

    def in_half(*args):
        with accelerator.autocast():
            output = forward(*args)
        return each(output, lambda t: t.float() if t.is_floating_point() else t)

    module.forward = in_half
    try:
        yield
    finally:
        del module.forward
