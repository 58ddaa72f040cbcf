"""What counts as evidence for a teacher, in nats (Xie et al., 2025)."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import log_softmax, logsumexp

from cmkdlearn.information._gaussian import LARGEST_CLASS, log_posteriors
from cmkdlearn.information._ksg import normal_scores

N_SHUFFLES = 3
TRUST = np.linspace(0, 1, 11)  # exponents of what discriminants say


@dataclass
class Pair:
    """A teacher's and a student's representations of the same samples, and their labels.

    ``mi(x, y)`` is an estimate, or a row of it and the samples' influence (``with_influence``), of
    which criteria make sums and differences.
    """

    mi: Callable
    z_t: np.ndarray
    z_s: np.ndarray
    y: np.ndarray
    student_label: np.ndarray
    rng: np.random.Generator

    @cached_property
    def teacher_student(self):
        """I(h_T; h_S)."""
        return self.mi(self.z_t, self.z_s)

    def order(self):
        """Return a random order of the samples that leaves each its class."""
        order = np.arange(len(self.y))
        for k in np.unique(self.y):
            order[self.y == k] = self.rng.permutation(order[self.y == k])
        return order

    def shuffled(self):
        """Return the teacher's representations, exchanged at random within each class."""
        return self.z_t[self.order()]


def cch(pair):
    """I(h_T; h_S) - I(h_S; Y), the MI gap: the paper's rule.

    If teacher and student had nothing in common but the label (independent given Y), the
    data-processing inequality would give I(h_T; h_S) <= I(h_S; Y). A positive gap says that the
    teacher knows more of what the student sees than the labels tell, so that its outputs are
    targets which the student can follow.
    """
    return pair.teacher_student - pair.student_label


def teacher_label(pair):
    """I(h_T; Y) - I(h_S; Y): the stronger modality teaches, in nats.

    What a teacher can pass on about the labels is bounded by I(h_T; Y). It is the rule that any
    other has to beat.
    """
    return pair.mi(pair.z_t, pair.y) - pair.student_label


def conditional(pair):
    """I(h_T; Y | h_S) = I((h_T, h_S); Y) - I(h_S; Y): what the teacher adds to the student.

    A teacher that knows nothing about the labels beyond what the student can see has nothing new
    to say. This is the gain of a fusion of both, an upper bound to what distillation might bring.
    """
    return pair.mi(np.hstack([pair.z_t, pair.z_s]), pair.y) - pair.student_label


def permutation(pair):
    """I(h_T; h_S) minus its mean where h_T is shuffled within the classes.

    Shuffling makes teacher and student independent given Y and leaves all else. So this is the
    paper's question, whether they share more than the labels, with a null of the same estimator,
    sample size and dimensions: biases that differ between I(h_T; h_S) and I(h_S; Y) cancel.
    """
    null = [pair.mi(pair.shuffled(), pair.z_s) for _ in range(N_SHUFFLES)]
    return pair.teacher_student - np.mean(null, axis=0)


def calibrated(pair):
    """I(h_T; h_S | Y) - I(h_S; Y | h_T), the MI gap again, of terms whose zeros are in place.

    By the chain rule it is I(h_T; h_S) - I(h_S; Y). But those two are large, of other dimensions,
    and fall short by more than they differ. Here the first term is what they share within the
    classes, less the same where h_T is shuffled within these. The second is how much better the
    labels are told with h_S than by h_T alone, from discriminants that are held out, and as if
    both were independent given Y, so that what h_T lacks is no matter of dimensions.
    """
    return within_classes(pair) - told_by_the_student(pair)


def within_classes(pair):
    """I(h_T; h_S | Y), less what the estimator finds where there is nothing."""
    z_t, z_s = pair.z_t.copy(), pair.z_s.copy()
    for k in np.unique(pair.y):
        for z in (z_t, z_s):
            z[pair.y == k] = normal_scores(z[pair.y == k])
    null = [pair.mi(z_t[pair.order()], z_s) for _ in range(N_SHUFFLES)]
    return pair.mi(z_t, z_s) - np.mean(null, axis=0)


def told_by_the_student(pair):
    """I(h_S; Y | h_T) as if h_T and h_S were independent given Y, and the samples' influence."""
    y = np.unique(pair.y, return_inverse=True)[1]
    log_prior = np.log(np.bincount(y) / len(y))
    log_t, log_s = (_log_posteriors(z, y, log_prior, pair.rng) for z in (pair.z_t, pair.z_s))
    joint = [logsumexp(log_t[pair.order()] + log_s - log_prior, axis=1) for _ in range(N_SHUFFLES)]
    values = log_s[np.arange(len(y)), y] - log_prior[y] - np.mean(joint, axis=0)
    return np.r_[values.mean(), values - values.mean()]


def _log_posteriors(z, y, log_prior, rng):
    """Return log p(y | z), no surer than it proves to be.

    A class of one sample cannot be held out, and nothing is known of it.
    """
    own, sizes = (np.arange(len(y)), y), np.bincount(y)
    check_largest(sizes.max())
    known, log_ratio = sizes[y] > 1, np.zeros((len(y), len(sizes)))
    if np.count_nonzero(sizes > 1) > 1:
        codes = np.unique(y[known], return_inverse=True)[1]
        log_ratio[np.ix_(known, sizes > 1)] = log_posteriors(
            normal_scores(z[known]), codes, int(rng.integers(2**31))) - log_prior[sizes > 1]
    tempered = [log_softmax(log_prior + trust * log_ratio, axis=1) for trust in TRUST]
    return max(tempered, key=lambda log_p: log_p[own].mean())


def check_largest(size):
    """Refuse classes that are too small for the discriminants of ``calibrated``."""
    if size < LARGEST_CLASS:
        raise ValueError(f'criterion="calibrated" needs {LARGEST_CLASS} samples of some class in '
                         f'each fold; the largest has {size}. Use criterion="cch".')


CRITERIA = {rule.__name__: rule
            for rule in (calibrated, cch, teacher_label, conditional, permutation)}
