"""When a claim of a paper counts as confirmed: a rule written down before the experiments ran."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats

RULE = """\
A claim is turned into one number a seed, the *effect*: a paired difference, positive where the
claim is right; a claim about pairs of modalities, into one number a pair. With the 95 % interval
of the mean of these numbers (Student's t), the claim

- **holds** if the whole interval is above zero;
- **does not hold here** if the whole interval is below the margin, so that no effect worth having
  (one point of accuracy, where nothing else is said) is left possible, or the effect goes the other
  way;
- is **undecided at this size** otherwise.

The claims are judged one by one, with no correction for their number: of many claims that are
wrong, one in forty would seem to hold."""


@dataclass(frozen=True)
class Claim:
    """What a paper says, and the numbers that would show it.

    Parameters
    ----------
    says : str
    where : str
        Table, figure or section.
    effect : callable
        From ``Results`` to one number a seed (or pair), positive where the claim is right.
    measured : str
        What the number is, in words.
    margin : float
        The least effect worth having.
    scale, unit : float, str
        How the number is printed: 100 and "points" for accuracies.
    headline : bool
        Whether the README says it, too.
    quote : str
        The paper's words, few of them. Without them the claim is this library's own.
    printed : str
        The number that the paper prints.
    """

    says: str
    where: str
    effect: Callable
    measured: str
    margin: float = 0.01
    scale: float = 100.0
    unit: str = "points"
    headline: bool = False
    quote: str = ""
    printed: str = ""


def judge(effect, margin):
    """Return the verdict, the mean effect and the 95 % interval of its mean."""
    effect = np.asarray(effect, dtype=float)
    mean = effect.mean()
    half = stats.t.ppf(0.975, len(effect) - 1) * stats.sem(effect)
    low, high = mean - half, mean + half
    if low > 0:
        return "holds", mean, (low, high)
    if high < margin:
        return "does not hold here", mean, (low, high)
    return "undecided at this size", mean, (low, high)
