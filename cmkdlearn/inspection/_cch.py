"""Which modality had better teach, at a glance."""

import numpy as np
from sklearn.utils.validation import check_is_fitted

LABELS = {"calibrated": "MI gap, I(T; S | Y) − I(S; Y | T)", "cch": "MI gap, I(T; S) − I(S; Y)",
          "teacher_label": "I(T; Y) − I(S; Y)", "conditional": "I(T; Y | S)",
          "permutation": "I(T; S) beyond the labels"}
COLOURS = {"yes": "tab:green", "not ruled out": "tab:gray", "leans no": "tab:gray",
           "no": "tab:red"}


class CCHDisplay:
    """The evidence for each teacher with its 95 % interval, and what follows from it.

    Parameters
    ----------
    ranking : list of str
        Teachers, the best one first.
    evidence : dict of str to float
        In nats.
    interval : dict of str to (float, float)
    worthwhile : dict of str to Verdict
    student : str
    criterion : str, default="cch"

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    """

    def __init__(self, ranking, evidence, interval, worthwhile, *, student, criterion="cch"):
        self.ranking = ranking
        self.evidence = evidence
        self.interval = interval
        self.worthwhile = worthwhile
        self.student = student
        self.criterion = criterion

    @classmethod
    def from_estimator(cls, selector, *, ax=None):
        """Draw what a selector found.

        Parameters
        ----------
        selector : fitted CCHSelector
        ax : matplotlib Axes, default=None

        Returns
        -------
        CCHDisplay
        """
        check_is_fitted(selector)
        return cls(selector.ranking_, selector.evidence_, selector.evidence_interval_,
                   selector.worthwhile_, student=selector.student,
                   criterion=selector.criterion_).plot(ax=ax)

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
            _, ax = plt.subplots(layout="constrained")
        at = np.arange(len(self.ranking))[::-1]  # the best on top
        ax.axvline(0, color="black", linewidth=1)
        for y, name in zip(at, self.ranking, strict=True):
            verdict, (low, high) = self.worthwhile[name], self.interval[name]
            ax.plot([low, high], [y, y], color=COLOURS[verdict.answer], linewidth=2)
            ax.plot(self.evidence[name], y, "o", color=COLOURS[verdict.answer], markersize=8)
            ax.annotate(str(verdict), (self.evidence[name], y),
                        (0, 9), textcoords="offset points", ha="center", fontsize="small")
        ax.set(yticks=at, yticklabels=self.ranking, ylim=(-0.5, len(at) - 0.3), ylabel="teacher",
               xlabel=f"{LABELS[self.criterion]} (nats)",
               title=f"Is a teacher worth having for “{self.student}”?")
        ax.margins(x=0.12)
        self.ax_, self.figure_ = ax, ax.figure
        return self
