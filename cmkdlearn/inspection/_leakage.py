"""How much of a teacher's accuracy it reads from the label."""

from collections.abc import Mapping

import numpy as np
from sklearn.metrics import accuracy_score
from sklearn.utils import Bunch, check_consistent_length


def label_leakage(teacher, X, y):
    """Compare a teacher's accuracy with and without the labels' text.

    Parameters
    ----------
    teacher : fitted teacher with ``score_with_labels``
        Such as :class:`~cmkdlearn.teachers.WordNetRelaxedTeacher`.
    X : array-like
        Samples that the teacher was not fitted on.
    y : array-like of shape (n,)

    Returns
    -------
    Bunch
        ``with_labels``, the accuracy where the text is given as in training (the teacher rows of
        the paper's Table 2); ``label_free``, that of ``predict``, which never sees a label; and
        ``leakage``, the difference, in [-1, 1].

    Raises
    ------
    TypeError
        If the teacher reads no labels, so that there is nothing to leak.

    References
    ----------
    .. [1] Guo et al. "Crossmodal Knowledge Distillation with WordNet-Relaxed Text Embeddings
       for Robust Image Classification".

    Examples
    --------
    >>> import numpy as np
    >>> from cmkdlearn.inspection import label_leakage
    >>> from cmkdlearn.teachers import WordNetRelaxedTeacher
    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.normal(size=(200, 8)), rng.integers(2, size=200)     # nothing to see in X
    >>> teacher = WordNetRelaxedTeacher(relaxed_proportion=0, n_clusters=2, random_state=0,
    ...     class_names={0: np.eye(8)[0], 1: np.eye(8)[1]},
    ...     nouns={f"noun {i}": rng.normal(size=8) for i in range(20)})
    >>> leak = label_leakage(teacher.fit(X[:100], y[:100]), X[100:], y[100:])
    >>> leak.with_labels > 0.95, leak.label_free < 0.7
    (True, True)
    """
    if not hasattr(teacher, "score_with_labels"):
        raise TypeError(f"{type(teacher).__name__} has no score_with_labels: it reads no label, so "
                        "none can leak.")
    return _compare(teacher.score_with_labels(X, y), teacher.score(X, y))


def _compare(with_labels, label_free):
    return Bunch(with_labels=float(with_labels), label_free=float(label_free),
                 leakage=float(with_labels - label_free))


class LabelLeakageDisplay:
    """Bars of a teacher's accuracy with and without the labels' text, one pair a teacher.

    Parameters
    ----------
    leakages : dict of str to Bunch
        What :func:`label_leakage` returned, by the teacher's name.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    """

    def __init__(self, leakages):
        self.leakages = leakages

    @classmethod
    def from_estimator(cls, teacher, X, y, *, ax=None):
        """Measure and draw.

        Parameters
        ----------
        teacher : fitted teacher, or dict of str to fitted teacher
        X : array-like
        y : array-like of shape (n,)
        ax : matplotlib Axes, default=None

        Returns
        -------
        LabelLeakageDisplay
        """
        teachers = teacher if isinstance(teacher, Mapping) else {type(teacher).__name__: teacher}
        return cls({name: label_leakage(t, X, y) for name, t in teachers.items()}).plot(ax=ax)

    @classmethod
    def from_predictions(cls, y_true, y_with_labels, y_label_free, *, name="teacher", ax=None):
        """Draw from predictions.

        Parameters
        ----------
        y_true, y_with_labels, y_label_free : array-like of shape (n,)
            The labels, and the predictions with and without the labels' text.
        name : str, default="teacher"
        ax : matplotlib Axes, default=None

        Returns
        -------
        LabelLeakageDisplay
        """
        check_consistent_length(y_true, y_with_labels, y_label_free)
        return cls({name: _compare(accuracy_score(y_true, y_with_labels),
                                   accuracy_score(y_true, y_label_free))}).plot(ax=ax)

    def plot(self, ax=None):
        """Draw into ``ax``, or into a new figure.

        Returns
        -------
        self
        """
        import matplotlib.pyplot as plt

        if ax is None:
            _, ax = plt.subplots(layout="constrained")
        names = list(self.leakages)
        at = np.arange(len(names))
        series = {"shown the labels' text": "with_labels", "label-free": "label_free"}
        for shift, (label, key) in zip((-0.2, 0.2), series.items(), strict=True):
            accuracies = [self.leakages[name][key] for name in names]
            bars = ax.bar(at + shift, accuracies, 0.38, label=label)
            ax.bar_label(bars, fmt="%.2f", padding=2, fontsize="small")
        ax.set(xticks=at, xticklabels=names, ylabel="accuracy", ylim=(0, 1.12),
               title="Label leakage: the gap between the bars")
        ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
        self.ax_, self.figure_ = ax, ax.figure
        return self
