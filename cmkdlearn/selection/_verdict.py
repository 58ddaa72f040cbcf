"""From the evidence of folds to an answer that one can act on."""

from typing import NamedTuple

import numpy as np
from scipy.stats import t as student_t
from sklearn.utils import Bunch

from cmkdlearn.model_selection import corrected_ttest

ADVICE = {
    "yes": "Distil, and compare with a student that has no teacher.",
    "not ruled out": "Try it where a try is cheap; more samples would tell.",
    "leans no": "Go on without this teacher, or collect more samples.",
    "no": "Go on without this teacher.",
}


class Verdict(NamedTuple):
    """Whether a teacher is worth having; true in an ``if`` only where the answer is "yes".

    Attributes
    ----------
    answer : {"yes", "not ruled out", "leans no", "no"}
        The evidence's sign. The first and the last: its 95 % interval is clear of zero.
    confidence : float
        Of that sign, in [0.5, 1]: one minus the one-sided p-value.

    Notes
    -----
    "yes" says that the hypothesis expects a gain, and that the data suffice to say so. Whether
    there is one, a comparison tells. "not ruled out" says no more than that: the gap may be zero or
    less.

    Examples
    --------
    >>> from cmkdlearn.selection import Verdict
    >>> verdict = Verdict("leans no", 0.8)
    >>> str(verdict)
    'leans no, 80 % sure of the sign'
    >>> verdict.advice
    'Go on without this teacher, or collect more samples.'
    """

    answer: str
    confidence: float

    def __bool__(self):
        return self.answer == "yes"

    def __str__(self):
        clear = self.answer in ("yes", "no")
        return self.answer if clear else f"{self.answer}, {100 * self.confidence:.0f} % sure of " \
            "the sign"

    @property
    def advice(self):
        """What to do, in a sentence."""
        return ADVICE[self.answer]


def sum_up(rows, tests, cv):
    """Return the mean over folds of repeats, its 95 % interval, and a p-value of 0.

    A repeat tests every sample once, so that its error is that of the samples' mean influence,
    and repeats take away only what the cuts and the networks' seeds do. Where an estimator does
    not tell samples apart, the folds' spread has to serve, of few degrees of freedom.
    """
    estimates, n_repeats = np.array([row[0] for row in rows]), len(rows) // cv
    mean, n = estimates.mean(), sum(map(len, tests[:cv]))
    influence = np.full((n_repeats, n), np.nan)
    for i, (test, row) in enumerate(zip(tests, rows, strict=True)):
        influence[i // cv, test] = row[1:]
    observed = ~np.isnan(influence).all(axis=0)
    if not observed.any():
        return Bunch(mean=float(mean), **corrected_ttest(estimates, 1 / (cv - 1)))
    of_samples = np.nanmean(influence[:, observed], axis=0).std(ddof=1) / np.sqrt(n)
    of_repeats = estimates.reshape(-1, cv).mean(axis=1).std(ddof=1) / np.sqrt(n_repeats)
    error = np.hypot(of_samples, of_repeats)
    statistic = mean / error if error > 0 else np.sign(mean) * np.inf if mean else 0.0
    half = student_t.ppf(0.975, n - 1) * error
    return Bunch(mean=float(mean), low=float(mean - half), high=float(mean + half),
                 pvalue=float(2 * student_t.sf(abs(statistic), n - 1)))


def judge(test):
    """Return the answer that a :func:`sum_up` gives."""
    if test.low > 0 or test.high < 0:
        answer = "yes" if test.low > 0 else "no"
    else:
        answer = "leans no" if test.mean < 0 else "not ruled out"
    return Verdict(answer, 1 - test.pvalue / 2)
