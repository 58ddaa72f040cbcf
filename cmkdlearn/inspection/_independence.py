"""Whether pairs of samples hold more than their label: a permutation test within the classes."""

from collections.abc import Mapping

import numpy as np
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.preprocessing import StandardScaler
from sklearn.utils import Bunch, check_array, check_random_state, column_or_1d
from sklearn.utils.validation import check_consistent_length

from cmkdlearn._labels import encode_labels, labelled_mask, one_label_each
from cmkdlearn._protocol import (
    as_teacher,
    is_fitted,
    out_of_fold_logits,
    refuse_bare_network,
    teaching_logits,
)
from cmkdlearn._seeding import seeded_copy
from cmkdlearn._validation import check_number
from cmkdlearn.nn.samples import (
    Modalities,
    check_same_order,
    is_dataset,
    select_modality,
    take,
)

PENALTIES = np.logspace(-5, 1, 7)  # in units of the kernel's trace: from next to none to nearly all
CHUNK = 2**22  # numbers that are permuted together


def conditional_independence_test(teacher, X, y, *, modality=None, groups=None, cv=5,
                                  n_permutations=1000, random_state=None):
    r"""Test whether what a teacher says and the student's modality are independent given the class.

    If they are, a sample and its pair have nothing in common but the label. What a student can
    learn of such a teacher is its mean answer for each class, for which any other sample of the
    class would do: pairs, and paired distillation, are then of no use beyond that.

    The teacher's logits are predicted from the student's modality, by a kernel ridge regression in
    which each class has a mean of its own. The statistic is the share of their variance within the
    classes that is predicted, of samples that are left out one at a time,

    .. math:: 1 - \min_\alpha \frac{\sum_i \lVert z_i - \hat z_\alpha^{(-i)} \rVert^2}
                                   {\sum_i \lVert z_i - \bar z_{y_i}^{(-i)} \rVert^2} ,

    and it is compared with that of pairs exchanged at random within the classes [1]_.

    Parameters
    ----------
    teacher : teacher or classifier
        One that is fitted is used as it is. It says more of samples that it was fitted on than of
        others, so X should be others. One that is not is fitted, as often as ``cv`` says, and each
        sample is shown to the copy that has not seen it. A classifier of scikit-learn reads
        ``modality``, unless it is a pipeline that begins with a
        :class:`~cmkdlearn.preprocessing.ModalitySelector`. A teacher that reads labels is shown
        them, as it is where it teaches.
    X : array-like, or dict of array-like
    y : array-like of shape (n,)
        A label of -1 (None among strings) marks an unlabelled sample, which is left out.
    modality : str, list or slice, default=None
        What the student sees: a modality of X, or columns of a table; None: all of X. Numbers in
        any shape, (n, ...); each is standardised, and so counts alike. An embedding is often more
        telling than what is embedded.
    groups : array-like of shape (n,), default=None
        What else is given beside the class, such as the speaker: means are those of a class in a
        group, and pairs are exchanged within these.
    cv : int, cross-validation splitter or iterable, default=5
        For a teacher that is not fitted. It has to test every labelled sample once. An iterable, as
        of folds by groups, yields the rows of training and test samples among those with a label.
    n_permutations : int, default=1000
        The p-value is ``1 / (n_permutations + 1)`` at least.
    random_state : int, RandomState or None, default=None
        Of the permutations, and of a teacher that is not fitted and has none.

    Returns
    -------
    Bunch
        statistic : float
            The share of the teacher's variance within the classes that the student's modality
            predicts, at most 1. About 0, or a little below, if it predicts nothing.
        pvalue : float
            How often pairs that were exchanged do as well, in (0, 1]; the pairs as they are count
            as one of these.
        null_distribution : ndarray of shape (n_permutations,)
            The statistic of the pairs that were exchanged.
        class_share : float
            The share of all of the teacher's variance that the class (and group) predicts, also
            of left-out samples, at most 1.

    Raises
    ------
    ValueError
        On a class (in a group) of one sample, which can be exchanged with none, or if the teacher
        or the modality is the same for all samples of a class.
    TypeError
        If the teacher is a network or no classifier, or the modality a ``Dataset``.

    Notes
    -----
    Logits count up to a constant a sample, which a softmax does not see.

    The kernel is :math:`\exp(-d^2/s)`, where s is the mean of the squared distance d within a class
    (and group). Samples of two classes count as half as near, so that what the student sees may
    mean something else in each class: a clear picture raises the logit of its own class.

    Where samples of a class (and group) are exchangeable, the p-value is exact for any number of
    samples, whatever the regression sees. A large one is no proof of independence: the samples may
    be too few, or the regression may miss what there is. The penalty :math:`\alpha` is chosen anew
    for every permutation, of seven; as the kernel stays, none takes a new fit, and each costs some
    matrix products.

    Time grows with the third power of the samples and memory with the second. A few thousand are
    enough.

    References
    ----------
    .. [1] Kim, Neykov, Balakrishnan, Wasserman. "Local permutation tests for conditional
       independence", Annals of Statistics 2022.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from cmkdlearn.inspection import conditional_independence_test
    >>> from cmkdlearn.preprocessing import ModalitySelector
    >>> rng = np.random.default_rng(0)
    >>> y, mood = np.arange(200) % 2, rng.normal(size=200)
    >>> face, voice = (y + mood + rng.normal(size=200) for _ in range(2))
    >>> X = {"face": face[:, None], "voice": voice[:, None],
    ...      "another's voice": np.roll(voice, 2)[:, None]}             # of the same class
    >>> teacher = make_pipeline(ModalitySelector("face"), LogisticRegression())
    >>> found = conditional_independence_test(teacher, X, y, modality="voice", random_state=0)
    >>> round(found.statistic, 2), found.pvalue < 0.01
    (0.24, True)
    >>> found = conditional_independence_test(teacher, X, y, modality="another's voice",
    ...                                       random_state=0)
    >>> round(found.statistic, 2), found.pvalue < 0.01
    (0.0, False)
    """
    refuse_bare_network("teacher", teacher)
    check_number("n_permutations", n_permutations, low=1, integer=True)
    y = one_label_each(y, "conditional_independence_test")
    check_consistent_length(Modalities(X) if isinstance(X, Mapping) else X, y, groups)
    check_same_order(X, y)
    codes, classes = encode_labels(y, "conditional_independence_test", takes_unlabelled=True)
    known = np.flatnonzero(labelled_mask(y))
    X, y, codes = take(X, known), y[known], codes[known]
    strata = codes if groups is None else _strata(codes, column_or_1d(groups)[known])
    _check_sizes(strata, y)
    kernel = _kernel(_table(X, modality), codes, strata)

    rng = check_random_state(random_state)
    orders = [np.arange(len(y)), *(_exchanged(strata, rng) for _ in range(n_permutations))]
    z = _said(teacher, X, y, classes, cv, modality, rng)
    z -= z.mean(axis=1, keepdims=True)
    regression = _LeftOut(kernel, strata)
    within = regression.centred(z)
    if np.abs(within).max() <= 8 * np.finfo(np.float32).eps * np.abs(z).max():
        raise ValueError("The teacher says the same of all samples of a class, so that it holds "
                         "nothing beyond the label, and there is nothing to test.")
    of_classes = regression.error_of_means(within)
    of_all = ((z - z.mean(axis=0)) ** 2).sum() * (len(z) / (len(z) - 1)) ** 2
    size = max(1, CHUNK // z.size)
    errors = np.concatenate([regression.error(within[np.array(orders[i:i + size])])
                             for i in range(0, len(orders), size)])
    statistic, *null = 1 - errors / of_classes
    null = np.array(null)
    as_good = (null >= statistic - 1e-12).sum()  # pairs that stayed are, but for rounding
    return Bunch(statistic=float(statistic), pvalue=float((1 + as_good) / (1 + n_permutations)),
                 null_distribution=null, class_share=float(1 - of_classes / of_all))


def _strata(codes, groups):
    """Number the classes in the groups."""
    of_group = np.unique(groups, return_inverse=True)[1]
    return np.unique(np.column_stack([codes, of_group]), axis=0, return_inverse=True)[1].ravel()


def _check_sizes(strata, y):
    alone = y[np.bincount(strata)[strata] == 1].tolist()
    if alone:
        raise ValueError(f"{len(alone)} of the samples, first one of class {alone[0]!r}, have no "
                         "other of their class (in their group) to be exchanged with. Leave them "
                         "out (a label of -1, or None among strings), or take wider groups.")


def _table(X, modality):
    """Return what the student sees as (n, d) float64, each number standardised."""
    part = select_modality(X, modality, fitting=True)
    if is_dataset(part):
        raise TypeError(f"modality={modality!r} is a {type(part).__name__}, and the test compares "
                        "all samples with each other: pass them, or an embedding of them, as an "
                        "array.")
    part = check_array(part, allow_nd=True, dtype=np.float64, input_name=f"modality {modality!r}")
    return StandardScaler().fit_transform(part.reshape(len(part), -1))


def _kernel(seen, codes, strata):
    """Return how near samples are to each other: those of two classes half as near."""
    n = np.bincount(strata)
    squares = ((seen - _means(seen, strata)[strata]) ** 2).sum(axis=1)
    # the mean over pairs: the squared distances of n samples add up to 2 n times those to the mean
    scale = 2 * n @ np.bincount(strata, weights=squares) / (n @ (n - 1))
    if scale <= 1e-12 * seen.shape[1]:
        raise ValueError("The student's modality is the same for all samples of a class (in a "
                         "group), so that it holds nothing beyond the label.")
    return rbf_kernel(seen, gamma=1 / scale) * (1 + (codes[:, None] == codes)) / 2


def _means(values, strata):
    member = np.eye(strata.max() + 1)[strata]
    return member.T @ values / member.sum(axis=0)[:, None]


class _LeftOut:
    """Errors of kernel ridge regressions for samples that are left out one at a time.

    Means of classes are free. Such a regression is linear in its targets, so that the residual of a
    sample that is left out is its own one divided by one minus its leverage (Allen's PRESS, 1974).
    """

    def __init__(self, kernel, strata):
        self.strata, share = strata, 1 / np.bincount(strata)[strata]
        values, self.vectors = np.linalg.eigh(self.centred(self.centred(kernel).T))
        values = values.clip(0)
        alpha = PENALTIES[:, None] * values.sum()
        self.shrink = alpha / (values + alpha)
        self.free = self.shrink @ self.vectors.T ** 2 - share  # 1 - leverage, (n_penalties, n)
        self.free_of_means = 1 - share

    def centred(self, values):
        """Subtract the means of classes."""
        return values - _means(values, self.strata)[self.strata]

    def error_of_means(self, within):
        """Return the sum of squares for centred targets (n, k), predicted by the others' means."""
        return ((within / self.free_of_means[:, None]) ** 2).sum()

    def error(self, within):
        """Return a sum of squares for each of m centred targets (m, n, k), by its best penalty."""
        m, n, _ = within.shape
        coordinates = self.vectors.T @ within.transpose(1, 0, 2).reshape(n, -1)
        errors = [((self.vectors @ (shrink[:, None] * coordinates) / free[:, None]) ** 2)
                  .reshape(n, m, -1).sum(axis=(0, 2))
                  for shrink, free in zip(self.shrink, self.free, strict=True)]
        return np.min(errors, axis=0)


def _said(teacher, X, y, classes, cv, modality, rng):
    """Return the logits of samples that the teacher has not seen, (n, n_classes) float64."""
    if is_fitted(teacher) or not hasattr(teacher, "fit"):
        logits = teaching_logits("teacher", as_teacher(teacher, modality=modality), X, y, classes)
    else:
        logits = out_of_fold_logits("teacher", seeded_copy(teacher, rng), X, y, classes, cv,
                                    modality)
    return logits.astype(np.float64)


def _exchanged(strata, rng):
    """Return an order in which samples have changed places within their class (and group)."""
    order = np.empty(len(strata), dtype=np.intp)
    order[np.argsort(strata, kind="stable")] = np.lexsort((rng.random_sample(len(strata)), strata))
    return order


class ConditionalIndependenceDisplay:
    """The share that the student's modality predicts beside what exchanged pairs give.

    A row a teacher: the histogram of the statistic of exchanged pairs, and a line at that of the
    pairs as they are.

    Parameters
    ----------
    results : dict of str to Bunch
        What :func:`conditional_independence_test` returned, by the teacher's name.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    """

    def __init__(self, results):
        self.results = results

    @classmethod
    def from_estimator(cls, teacher, X, y, *, ax=None, **params):
        """Test and draw.

        Parameters
        ----------
        teacher : teacher or classifier, or dict of str to these
        X, y : array-like
            As for :func:`conditional_independence_test`.
        ax : matplotlib Axes, default=None
        **params
            ``modality``, ``groups``, ``cv``, ``n_permutations``, ``random_state``.

        Returns
        -------
        ConditionalIndependenceDisplay
        """
        teachers = teacher if isinstance(teacher, Mapping) else {type(teacher).__name__: teacher}
        return cls({name: conditional_independence_test(t, X, y, **params)
                    for name, t in teachers.items()}).plot(ax=ax)

    def plot(self, ax=None):
        """Draw into ``ax``, or into a new figure.

        Parameters
        ----------
        ax : matplotlib Axes, default=None

        Returns
        -------
        self
        """
        import matplotlib.pyplot as plt

        if ax is None:
            _, ax = plt.subplots(figsize=(6.4, 1.4 + 0.8 * len(self.results)), layout="constrained")
        for row, result in enumerate(self.results.values()):
            counts, edges = np.histogram(result.null_distribution, 20)
            ax.bar(edges[:-1], -0.8 * counts / counts.max(), np.diff(edges), bottom=row + 0.4,
                   align="edge", color="0.7")
            ax.plot([result.statistic] * 2, [row - 0.4, row + 0.4], color="C0", linewidth=2)
            ax.annotate(f"p = {result.pvalue:.2g}", (1.01, row), va="center",
                        xycoords=("axes fraction", "data"), fontsize="small")
        nulls = np.concatenate([result.null_distribution for result in self.results.values()])
        tenth = 10 ** np.ceil(np.log10(np.quantile(np.abs(nulls), 0.95)))
        ax.set_xscale("symlog", linthresh=tenth)  # linear where exchanged pairs are
        ax.xaxis.set_major_formatter("{x:g}")
        ax.set(yticks=range(len(self.results)), yticklabels=list(self.results),
               ylim=(len(self.results) - 0.5, -0.5),
               xlabel="predicted share of the teacher's variance within the classes",
               title="Pairs as they are, and exchanged within the classes (grey)")
        self.ax_, self.figure_ = ax, ax.figure
        return self
