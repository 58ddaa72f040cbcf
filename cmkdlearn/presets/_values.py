"""Values with their origin, and the schedules and costs that some of them are."""

import math
from functools import partial

import torch.nn.functional as F
from skorch.callbacks import LRScheduler

UNKNOWN = "unknown"


def of(origin, **values):
    """Give each value its origin."""
    return {name: (value, origin) for name, value in values.items()}


def unknown(*names):
    """Say of which values nothing is known."""
    return {name: (None, UNKNOWN) for name in names}


def cosine_distance(x, y):
    """1 - cos; "angular" is the angle itself."""
    return 1 - F.normalize(x, dim=-1) @ F.normalize(y, dim=-1).transpose(-1, -2)


def warm_up_and_cosine(epoch, warm_up, epochs, floor):
    """Factor of the learning rate: linearly from ``floor`` to 1, and back by half a cosine."""
    if epoch < warm_up:
        return floor + (1 - floor) * epoch / warm_up
    turn = math.pi * (epoch - warm_up) / (epochs - warm_up)
    return floor + (1 - floor) * (1 + math.cos(turn)) / 2


def warm_up_and_steps(epoch, steps, warm_up=8):
    """Factor of the learning rate: linearly up to 1 in 8 epochs, and a tenth at each step."""
    return 0.1 ** sum(epoch >= step for step in steps) * min(1, (1 + epoch) / warm_up)


def factor(function, **params):
    """Return a callback that multiplies the learning rate by a function of the epoch."""
    return ("schedule", LRScheduler(policy="LambdaLR", lr_lambda=partial(function, **params)))


def falling(*steps):
    """Return a callback: a warm-up, and a tenth of the learning rate at each step."""
    return factor(warm_up_and_steps, steps=steps)


def annealed(epochs):
    """Return a callback: half a cosine of so many epochs."""
    return ("schedule", LRScheduler(policy="CosineAnnealingLR", T_max=epochs))
