"""Steps on a network's parameters that the network itself does not make (Tran et al., line 5)."""

import torch
from torch.func import functional_call

RELATIVE_STEP = 1e-3
OPTIMIZERS = ("sgd", "adamw")


class InnerLoop:
    """A network's parameters on their way, while the network keeps its own.

    With ``order="first"`` the gradient at the adapted parameters is given to the original ones;
    with "second" it is traced back through the steps.

    The network's buffers see the first call alone, which is at its own parameters. So the
    statistics of batch normalisation belong to what is kept, and not to where the steps lead.

    Parameters
    ----------
    module : Classifier
        Its head is p, all else phi. What is frozen of it stays where it is.
    rates : dict of str to float, or "auto"
        By the parameters' names; "auto" makes a step of weight 1 as long as a thousandth of the
        norm of what it moves.
    order : {"first", "second"}
    optimizer : {"sgd", "adamw"}
        The latter begins anew with each loop.
    weight_decay : float
        A step shrinks what it moves by this times the rate.
    """

    def __init__(self, module, rates, order="first", optimizer="sgd", weight_decay=0.0):
        self.module, self.rates, self.second = module, rates, order == "second"
        self.decay = weight_decay
        self.own = {name: p for name, p in module.named_parameters() if p.requires_grad}
        self.params = dict(self.own)
        if not self.second:  # copies, since AdamW steps in place
            self.params = {name: p.detach().clone().requires_grad_()
                           for name, p in self.own.items()}
        self.adamw = _adamw(self.params, rates, weight_decay) if optimizer == "adamw" else None
        self.buffers = {}
        self.of_projection = {}

    def __call__(self, x):
        if self.second:  # names of their own: phi has come from p, and is held fixed as p steps on
            self.params = {name: p.view_as(p) for name, p in self.params.items()}
        output = functional_call(self.module, {**self.params, **self.buffers}, (x,))
        if not self.buffers:
            self.buffers = {name: b.clone() for name, b in self.module.named_buffers()}
        return output

    def head(self, features):
        state = {name.removeprefix("head."): p for name, p in self.params.items() if _is_p(name)}
        return functional_call(self.module.head, state, (features,))

    def descend(self, part, loss, weight):
        """Take one step on "phi" or "p".

        ``weight`` is that of the loss, which has been multiplied by it.
        """
        names = [name for name in self.params if _is_p(name) == (part == "p")]
        if not (names and loss.requires_grad):
            return
        found = torch.autograd.grad(loss, [self.params[name] for name in names],
                                    create_graph=self.second, allow_unused=True)
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
        rates = self._relative(gradients, weight) if self.rates == "auto" else self.rates
        for name, gradient in gradients.items():
            rate = rates[name]
            adapted = (1 - rate * self.decay) * self.params[name] - rate * gradient
            self.params[name] = adapted if self.second else adapted.detach().requires_grad_()

    def _relative(self, gradients, weight):
        length, slope = (torch.stack([part.detach().norm() for part in parts]).norm() for parts in
                         ([self.params[name] for name in gradients], gradients.values()))
        rate = RELATIVE_STEP * weight * length / slope.clamp_min(1e-12)
        return dict.fromkeys(gradients, rate)

    def backward(self, loss):
        """Leave the gradient in the network's own parameters.

        Cross-entropy does not pass through the projection, which descends along the inner terms.
        """
        if self.second:
            loss.backward()
            return
        gradients = torch.autograd.grad(loss, list(self.params.values()), allow_unused=True)
        for (name, p), gradient in zip(self.own.items(), gradients, strict=True):
            p.grad = gradient if gradient is not None else self.of_projection.get(name)


def _is_p(name):
    return name.startswith("head.")


def _adamw(params, rates, weight_decay):
    of_rate: dict[float, list[torch.Tensor]] = {}
    for name, p in params.items():
        of_rate.setdefault(rates[name], []).append(p)
    return torch.optim.AdamW([{"params": group, "lr": rate} for rate, group in of_rate.items()],
                             weight_decay=weight_decay)
