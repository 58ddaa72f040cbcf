"""A student's error beside the bound on it."""

from collections.abc import Mapping

import numpy as np

from cmkdlearn.theory import ucmkd_bound

TERMS = {"teacher_error": "teacher's error", "feature_alignment": "FA", "label_alignment": "LA",
         "concentration": "concentration", "student_rate": "student's rate",
         "teacher_rate": "teacher's rate", "complexity": "complexity", "deviation": "deviation"}


class BoundDisplay:
    """Stacked terms of the bound of UCMKD, and the error that they bound, one stack a student.

    Parameters
    ----------
    bounds : dict of str to Bunch
        What :func:`~cmkdlearn.theory.ucmkd_bound` returned, or
        :func:`~cmkdlearn.theory.ucmkd_finite_bound`, by the student's name.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    """

    def __init__(self, bounds):
        self.bounds = bounds

    @classmethod
    def from_estimator(cls, student, teacher, X, y, X_teacher, y_teacher, *, ax=None, **params):
        """Compute and draw.

        Parameters
        ----------
        student : fitted student, or dict of str to fitted student
        teacher : fitted teacher
        X, y, X_teacher, y_teacher : array-like
            As for :func:`~cmkdlearn.theory.ucmkd_bound`.
        ax : matplotlib Axes, default=None
        **params
            ``max_samples``, ``random_state``.

        Returns
        -------
        BoundDisplay
        """
        students = student if isinstance(student, Mapping) else {type(student).__name__: student}
        return cls({name: ucmkd_bound(s, teacher, X, y, X_teacher, y_teacher, **params)
                    for name, s in students.items()}).plot(ax=ax)

    def plot(self, ax=None):
        """Draw into ``ax``, or into a new figure.

        Returns
        -------
        self
        """
        import matplotlib.pyplot as plt

        if ax is None:
            _, ax = plt.subplots(layout="constrained")
        names, bounds = list(self.bounds), self.bounds.values()
        at, height = np.arange(len(names)), np.zeros(len(names))
        for key, label in TERMS.items():
            if any(key in bound for bound in bounds):
                parts = np.array([bound.get(key, 0.0) for bound in bounds])
                ax.bar(at, parts, 0.6, bottom=height, label=label)
                height += parts
        ax.plot(at, [bound.student_error for bound in bounds], "D", color="black",
                label="student's error")
        ax.plot(at, height, "_", color="black", markersize=30, label="bound")
        ax.set(xticks=at, xticklabels=names, ylabel="cross-entropy (nats)",
               title="The student's error and the bound on it")
        ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
        self.ax_, self.figure_ = ax, ax.figure
        return self
