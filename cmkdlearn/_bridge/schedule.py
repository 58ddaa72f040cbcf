"""The learning rate's way through a training, step by step."""

import math

from skorch.callbacks import Callback, LRScheduler
from torch.optim.lr_scheduler import LambdaLR

from cmkdlearn._validation import check_number, check_option


def check_schedule(method):
    """Refuse parameters of a schedule that cannot be followed."""
    if method.schedule is not None:
        check_option("schedule", method.schedule, ["cosine"])
    check_number("warmup", method.warmup, low=0, high=math.nextafter(1, 0))
    if method.schedule is None and not method.warmup:
        return
    for item in getattr(method, "callbacks", None) or []:
        callback = item[1] if isinstance(item, tuple) else item
        if isinstance(callback, LRScheduler):
            raise ValueError(f"schedule={method.schedule!r} and warmup={method.warmup!r} move the "
                             f"learning rate, and so does {callback!r} in callbacks; leave out the "
                             "one or the other.")


class Schedule(Callback):
    """Rise linearly over the first steps; then stay, or fall along half a cosine.

    All groups of parameters keep their ratios. The rate of each step is in the history's batches,
    as ``event_lr``.

    Parameters
    ----------
    shape : {None, "cosine"}
    warmup : float
        Share of the steps, in [0, 1).
    """

    def __init__(self, shape, warmup):
        self.shape = shape
        self.warmup = warmup

    def on_train_begin(self, net, X=None, **kwargs):
        """Begin anew, with the rates that the groups of parameters have."""
        steps = net.max_epochs * len(net.get_iterator(X[0], training=True))
        share = Share(steps, round(self.warmup * steps), self.shape == "cosine")
        self.lr_scheduler_ = LambdaLR(net.optimizer_, share)
        self.batch_idx_ = 0

    def on_batch_end(self, net, training=False, **kwargs):
        """Note the rate that the step had, and set the next one's."""
        if training:
            net.history.record_batch("event_lr", self.lr_scheduler_.get_last_lr()[0])
            self.lr_scheduler_.step()


class Share:
    """The share of its rate that a step has, by its number from 0 on.

    Parameters
    ----------
    steps, rising : int
        Of all steps, so many rise: 1 / rising, 2 / rising, ..., 1.
    falls : bool
        Along half a cosine, which would be zero one step behind the last.
    """

    def __init__(self, steps, rising, falls):
        self.steps, self.rising, self.falls = steps, rising, falls

    def __call__(self, step):
        if step < self.rising:
            return (step + 1) / self.rising
        if not self.falls:
            return 1.0
        done = (step - self.rising) / max(self.steps - self.rising, 1)
        return (1 + math.cos(math.pi * done)) / 2
