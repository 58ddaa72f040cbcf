"""Steps on a network's parameters that the network itself does not make (Tran et al., line 5)."""

import torch
from torch.func import functional_call

RELATIVE_STEP = 1e-3
OPTIMIZERS = ("sgd", "adamw")


class InnerLoop:
    """A network's parameters on their way, from which they are brought back.

    The gradient at where they have come to is given to the parameters as they were: the first
    order. On leaving the context they are, bit for bit, and so are the network's buffers but for
    the first call, which is at the network's own parameters. So the statistics of batch
    normalisation belong to what is kept, and not to where the steps lead.

    Parameters
    ----------
    module : Classifier
        Its head is p, all else phi. What is frozen of it stays where it is.
    rates : dict of str to float, or "auto"
        By the parameters' names; "auto" makes a step of weight 1 as long as a thousandth of the
        norm of what it moves.
    optimizer : {"sgd", "adamw"}
        The latter begins anew with each loop.
    weight_decay : float
        A step shrinks what it moves by this times the rate.
    """

    def __init__(self, module, rates, optimizer="sgd", weight_decay=0.0):
        self.module, self.rates, self.decay = module, rates, weight_decay
        self.params = {name: p for name, p in module.named_parameters() if p.requires_grad}
        self.names = {"phi": [name for name in self.params if not _is_p(name)],
                      "p": [name for name in self.params if _is_p(name)]}
        self.adamw = _adamw(self.params, rates, weight_decay) if optimizer == "adamw" else None
        self.of_projection = {}

    def __enter__(self):
        self.kept = [p.detach().clone() for p in self.params.values()]
        self.buffers = None
        return self

    @torch.no_grad()
    def __exit__(self, *_):
        for p, kept in zip(self.params.values(), self.kept, strict=True):
            p.copy_(kept)
        for buffer, kept in zip(self.module.buffers(), self.buffers or (), strict=False):
            buffer.copy_(kept)

    def __call__(self, x):
        output = self.module(x)
        if self.buffers is None:
            self.buffers = [buffer.clone() for buffer in self.module.buffers()]
        return output

    def head(self, features):
        return self.module.head(features)

    def descend(self, part, loss, weight):
        """Take one step on "phi" or "p".

        ``weight`` is that of the loss, which has been multiplied by it.
        """
        names = self.names[part]
        if not (names and loss.requires_grad):
            return
        found = self._gradients(loss, names)
        gradients = {name: gradient for name, gradient in zip(names, found, strict=True)
                     if gradient is not None}
        for name, gradient in gradients.items():
            if name.startswith("projection."):
                self.of_projection[name] = self.of_projection.get(name, 0) + gradient
        if self.adamw:
            for name, gradient in gradients.items():
                self.params[name].grad = gradient
            self.adamw.step()
            self.adamw.zero_grad()
            return
        self._move(gradients, self._relative(gradients, weight) if self.rates == "auto"
                   else self.rates)

    def _gradients(self, loss, names):
        return torch.autograd.grad(loss, [self.params[name] for name in names], allow_unused=True)

    @torch.no_grad()
    def _move(self, gradients, rates):
        for name, gradient in gradients.items():
            p, rate = self.params[name], rates[name]
            if self.decay:
                p.mul_(1 - rate * self.decay)
            p.sub_(rate * gradient)

    def _relative(self, gradients, weight):
        both = [*(self.params[name] for name in gradients), *gradients.values()]
        norms = torch.stack(torch._foreach_norm([_entries(tensor.detach()) for tensor in both]))
        length, slope = torch.linalg.vector_norm(norms.view(2, -1), dim=1)
        rate = RELATIVE_STEP * weight * length / slope.clamp_min(1e-12)
        return dict.fromkeys(gradients, rate)

    def backward(self, loss):
        """Leave the gradient in the network's own parameters.

        Cross-entropy does not pass through the projection, which descends along the inner terms.
        """
        gradients = self._gradients(loss, self.params)
        for (name, p), gradient in zip(self.params.items(), gradients, strict=True):
            p.grad = gradient if gradient is not None else self.of_projection.get(name)


class TracedInnerLoop(InnerLoop):
    """The same, with the gradient traced back through the steps: the second order.

    The network keeps its own parameters, and computes with those that the steps have made of them.
    """

    def __enter__(self):
        self.state: dict[str, torch.Tensor] = {}  # the buffers that later calls change
        return self

    def __exit__(self, *_):
        pass

    def __call__(self, x):
        # names of their own: phi has come from p, and is held fixed as p steps on
        self.params = {name: p.view_as(p) for name, p in self.params.items()}
        output = functional_call(self.module, {**self.params, **self.state}, (x,))
        if not self.state:
            self.state = {name: b.clone() for name, b in self.module.named_buffers()}
        return output

    def head(self, features):
        state = {name.removeprefix("head."): self.params[name] for name in self.names["p"]}
        return functional_call(self.module.head, state, (features,))

    def _gradients(self, loss, names):
        return torch.autograd.grad(loss, [self.params[name] for name in names], create_graph=True,
                                   allow_unused=True)

    def _move(self, gradients, rates):
        for name, gradient in gradients.items():
            rate = rates[name]
            self.params[name] = (1 - rate * self.decay) * self.params[name] - rate * gradient

    def backward(self, loss):
        """Leave the gradient in the network's own parameters."""
        loss.backward()


LOOPS = {"first": InnerLoop, "second": TracedInnerLoop}


def _is_p(name):
    return name.startswith("head.")


def _entries(tensor):
    """Return a tensor, or what a sparse one holds: torch 2.5 has no norm of that."""
    return tensor.coalesce().values() if tensor.is_sparse else tensor


def _adamw(params, rates, weight_decay):
    of_rate: dict[float, list[torch.Tensor]] = {}
    for name, p in params.items():
        of_rate.setdefault(rates[name], []).append(p)
    return torch.optim.AdamW([{"params": group, "lr": rate} for rate, group in of_rate.items()],
                             weight_decay=weight_decay)
