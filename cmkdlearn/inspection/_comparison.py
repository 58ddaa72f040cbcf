"""What a comparison of methods shows, with its uncertainty."""

import numpy as np

from cmkdlearn._validation import check_option
from cmkdlearn.model_selection import compare, compare_teachers
from cmkdlearn.model_selection._comparison import LESS_IS_BETTER, METRICS


class ComparisonDisplay:
    """Differences to the first method: every split, their mean, and its 95 % interval.

    Methods whose interval is clear of zero are drawn in colour, the others in grey.

    Parameters
    ----------
    comparison : Comparison
        What :func:`~cmkdlearn.model_selection.compare` or
        :func:`~cmkdlearn.model_selection.compare_teachers` returned.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    """

    def __init__(self, comparison):
        self.comparison = comparison

    @classmethod
    def from_estimators(cls, estimators, X, y, *, cv=None, random_state=None, n_jobs=None,
                        verbose="auto", metric="accuracy", ax=None):
        """Compare and draw.

        Parameters
        ----------
        estimators, X, y, cv, random_state, n_jobs, verbose
            As for :func:`~cmkdlearn.model_selection.compare`.
        metric, ax
            As for :meth:`plot`.

        Returns
        -------
        ComparisonDisplay
        """
        check_option("metric", metric, METRICS)
        return cls(compare(estimators, X, y, cv=cv, random_state=random_state, n_jobs=n_jobs,
                           verbose=verbose)).plot(metric, ax=ax)

    @classmethod
    def from_student(cls, student, X, y, *, teachers=None, selector=None, cv=None,
                     random_state=None, n_jobs=None, verbose="auto", metric="accuracy", ax=None):
        """Compare a student's possible teachers and draw: what would each of them bring?

        Parameters
        ----------
        student, X, y, teachers, selector, cv, random_state, n_jobs, verbose
            As for :func:`~cmkdlearn.model_selection.compare_teachers`.
        metric, ax
            As for :meth:`plot`.

        Returns
        -------
        ComparisonDisplay
        """
        check_option("metric", metric, METRICS)
        return cls(compare_teachers(student, X, y, teachers=teachers, selector=selector, cv=cv,
                                    random_state=random_state, n_jobs=n_jobs,
                                    verbose=verbose)).plot(metric, ax=ax)

    def plot(self, metric="accuracy", *, ax=None):
        """Draw into ``ax``, or into a new figure.

        Parameters
        ----------
        metric : {"accuracy", "macro_f1", "log_loss", "calibration_error"}, default="accuracy"
        ax : matplotlib Axes, default=None

        Returns
        -------
        self
        """
        import matplotlib.pyplot as plt

        check_option("metric", metric, METRICS)
        names, values = self.comparison.names, self.comparison.scores[metric]
        table = self.comparison.table
        if ax is None:
            _, ax = plt.subplots(figsize=(6.4, 1.2 + 0.45 * len(names)), layout="constrained")
        ax.axvline(0, color="0.6", linewidth=1)
        for row in range(1, len(names)):
            differences = values[row] - values[0]
            low, high = table[f"low_{metric}"][row], table[f"high_{metric}"][row]
            color = "0.45" if low <= 0 <= high else "C0"
            ax.plot(differences, np.full(len(differences), row), "o", color=color, alpha=0.25,
                    markersize=4)
            ax.plot([low, high], [row, row], color=color, linewidth=2)
            ax.plot(differences.mean(), row, "o", color=color)
            ax.annotate(f"p = {table[f'pvalue_{metric}'][row]:.2g}", (1.01, row), va="center",
                        xycoords=("axes fraction", "data"), fontsize="small")
        ax.plot(0, 0, "o", color="0.4")
        if metric == "log_loss":
            unit = "nats"
        else:
            unit = "points"
            ax.xaxis.set_major_formatter(lambda x, _: f"{100 * x:g}")
        less = "; less is better" if metric in LESS_IS_BETTER else ""
        ax.set(yticks=range(len(names)),
               yticklabels=[f"{name}  {mean:.3f}" for name, mean in
                            zip(names, table[f"mean_{metric}"], strict=True)],
               ylim=(len(names) - 0.5, -0.5),
               xlabel=f"{metric.replace('_', ' ')}, difference to {names[0]} ({unit}{less})",
               title=f"{values.shape[1]} splits, 95 % intervals")
        self.ax_, self.figure_ = ax, ax.figure
        return self
