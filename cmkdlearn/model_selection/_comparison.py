"""What a comparison comes to: its table, in numbers and in words."""

import html

import numpy as np
from sklearn.utils import Bunch

from cmkdlearn._validation import check_option, import_pandas
from cmkdlearn.model_selection._statistics import corrected_ttest

METRICS = ("accuracy", "macro_f1", "log_loss", "calibration_error")
LESS_IS_BETTER = ("log_loss", "calibration_error")


class Comparison(Bunch):
    """What :func:`compare` and :func:`compare_teachers` return: a Bunch that shows as a table.

    Printed, and in a notebook, it says how many points of accuracy each row is above or below the
    first one, with the 95 % interval, and whether that is clear of zero.

    Attributes
    ----------
    names : list of str
        Of the rows, in their order.
    scores : dict of str to ndarray of shape (n_rows, n_splits)
        ``accuracy``, ``macro_f1``, ``log_loss`` (nats) and ``calibration_error`` on the test
        folds, ``fit_seconds``, ``ms_per_sample`` (milliseconds that ``predict`` takes for the test
        fold, divided by its samples), and ``n_parameters`` and ``n_bytes`` (with buffers) of the
        network that predicts; NaN where there is none.
    table : dict of str to list
        A row each, for ``pandas.DataFrame(result.table)``: ``mean_...`` and ``std_...`` of all
        scores, and for the first four the mean difference ``diff_...`` to the first row, its 95 %
        interval ``low_...`` to ``high_...`` and ``pvalue_...``, by :func:`corrected_ttest`.
    test_over_train : float
        Mean ratio of the labelled samples' numbers in the folds.
    selected : list of str
        Only where :func:`compare_teachers` was given a selector: the row that it chose in each
        split.

    See Also
    --------
    cmkdlearn.inspection.ComparisonDisplay : The same as a picture.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.dummy import DummyClassifier
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from cmkdlearn.model_selection import compare
    >>> X, y = load_iris(return_X_y=True)
    >>> compare({"chance": DummyClassifier(), "bayes": GaussianNB()}, X, y, cv=3, random_state=0)
    Mean accuracy of 3 splits, and its difference to that of 'chance' with a 95 % interval
    chance  32.0 %
    bayes   95.3 %  +63.3 points [54.3, 72.4]  better, clear of noise
    """

    def summary(self, metric="accuracy"):
        """Return what one metric says of each row.

        Parameters
        ----------
        metric : {"accuracy", "macro_f1", "log_loss", "calibration_error"}, default="accuracy"

        Returns
        -------
        pandas.DataFrame
            A row each: the mean of the metric, its ``difference`` to the first row's, the 95 %
            interval ``low`` to ``high`` and the ``pvalue``, in the metric's own unit (a point is
            0.01), and a ``verdict``: "better" or "worse" where the interval is clear of zero, else
            "within noise". Of the log loss and the calibration error, less is better. The first
            row has no interval, and its verdict is "reference".
        """
        pd = import_pandas("Comparison.summary")
        check_option("metric", metric, METRICS)
        columns = {metric: f"mean_{metric}", "difference": f"diff_{metric}", "low": f"low_{metric}",
                   "high": f"high_{metric}", "pvalue": f"pvalue_{metric}"}
        return pd.DataFrame({**{name: self.table[column] for name, column in columns.items()},
                             "verdict": self._verdicts(metric)},
                            index=pd.Index(self.names, name="estimator"))

    def _verdicts(self, metric):
        better, worse = ("worse", "better") if metric in LESS_IS_BETTER else ("better", "worse")
        return ["reference"] + [
            "not measured" if np.isnan(low) else
            better if low > 0 else worse if high < 0 else "within noise"
            for low, high in zip(self.table[f"low_{metric}"][1:], self.table[f"high_{metric}"][1:],
                                 strict=True)]

    # ---------------------------------------------------------------- in words

    def __repr__(self):
        cells = self._cells()
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in cells]
        return "\n".join([self._head(), *lines, *self._choices()])

    def _repr_html_(self):
        rows = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
                       for row in self._cells())
        below = "".join(f"<p>{html.escape(line)}</p>" for line in self._choices())
        return f"<table><caption>{html.escape(self._head())}</caption>{rows}</table>{below}"

    def __dir__(self):
        return [*object.__dir__(self), *self]

    def _head(self):
        head = f"Mean accuracy of {self.scores['accuracy'].shape[1]} splits"
        if len(self.names) > 1:
            head += f", and its difference to that of {self.names[0]!r} with a 95 % interval"
        return head

    def _cells(self):
        """Return of each row its name, accuracy, difference with interval, and verdict."""
        means, differences, lows, highs = (
            [100 * value for value in self.table[f"{part}_accuracy"]]
            for part in ("mean", "diff", "low", "high"))
        compared = [("", "")] + [
            (f"{difference:+.1f} points [{low:.1f}, {high:.1f}]",
             verdict if verdict == "within noise" else f"{verdict}, clear of noise")
            for difference, low, high, verdict in zip(
                differences[1:], lows[1:], highs[1:], self._verdicts("accuracy")[1:], strict=True)]
        return [(name, f"{mean:.1f} %", *words)
                for name, mean, words in zip(self.names, means, compared, strict=True)]

    def _choices(self):
        """Return a line on what was selected, if anything was."""
        chosen = self.get("selected", [])
        counts = {name: chosen.count(name) for name in self.names if name in chosen}
        words = ", ".join(f"{name!r} in {count}" for name, count in counts.items())
        return [f"Of {len(chosen)} splits the selector chose {words}"] if chosen else []


def comparison_of(names, scores, test_over_train, **more):
    """Test each row against the first one.

    Parameters
    ----------
    names : list of str
    scores : list of list of dict of str to float
        Of each row, of each split.
    test_over_train : float
    **more
        What else to keep.
    """
    scores = {metric: np.array([[split[metric] for split in row] for row in scores], dtype=float)
              for metric in scores[0][0]}
    return Comparison(names=names, scores=scores, table=_table(names, scores, test_over_train),
                      test_over_train=test_over_train, **more)


def _table(names, scores, ratio):
    table = {"estimator": names}
    for metric, values in scores.items():
        table[f"mean_{metric}"] = values.mean(axis=1).tolist()
        table[f"std_{metric}"] = values.std(axis=1, ddof=1).tolist()
        if metric in METRICS:
            first, nan = values[0], Bunch(low=np.nan, high=np.nan, pvalue=np.nan)
            tests = [nan] + [corrected_ttest(row - first, ratio) for row in values[1:]]
            table[f"diff_{metric}"] = (values - first).mean(axis=1).tolist()
            for part in ("low", "high", "pvalue"):
                table[f"{part}_{metric}"] = [test[part] for test in tests]
    return table
