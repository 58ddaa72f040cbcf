"""What a training says of its progress."""

import sys
import time

from skorch.callbacks import PrintLog

from cmkdlearn._progress import PATIENCE, spelled, watched

FIRST_LOOK = 1  # second, after which the first steps tell what the others will take


def verbosity(method):
    """Return what ``verbose`` is to skorch: "auto" is this module's affair."""
    return 0 if method.verbose == "auto" else method.verbose


class Progress(PrintLog):
    """A line per epoch, on request; under ``verbose="auto"`` where someone waits and looks.

    The former goes to stdout, as skorch's; the latter to stderr, with an estimate of the time.
    """

    def on_train_begin(self, net, X=None, **kwargs):
        """Find out whether someone looks."""
        self.watched_ = net.method.verbose == "auto" and net.writes and watched()
        self.told_ = False
        self.begun_, self.done_ = time.monotonic(), 0
        if self.watched_:
            self.batches_ = len(net.get_iterator(X[0], training=True))

    def on_batch_end(self, net, training=False, **kwargs):
        """Tell of a training that takes long, as soon as it shows."""
        if not self.watched_ or self.told_ or not training:
            return
        self.done_ += 1
        elapsed = time.monotonic() - self.begun_
        if elapsed < FIRST_LOOK:
            return
        left = elapsed / self.done_ * (net.max_epochs * self.batches_ - self.done_)
        if elapsed + left > PATIENCE:
            self.told_ = True
            _say(f"{type(net.method).__name__}: {net.max_epochs} epochs on {net.device}, "
                 f"{spelled(left)} left. verbose=0 is silent.")

    def on_epoch_end(self, net, **kwargs):
        """Print the epoch's line."""
        if net.verbose or self.told_ or self.sink is not print:
            super().on_epoch_end(net, **kwargs)

    def _sink(self, text, verbose):
        _say(text) if self.told_ else super()._sink(text, verbose)


def _say(text):
    print(text, file=sys.stderr, flush=True)
