"""Tables of a paper: what is to be run for them, what is printed in them, and both side by side."""

from dataclasses import dataclass, field

import numpy as np

from benchmarks.evidence._claims import judge

MARGIN = 0.01  # the least effect worth having, as in RULE
TEACHER = "Teacher"  # a row of another modality, which no student is compared with


@dataclass(frozen=True)
class Table:
    """A table or figure of a paper.

    Parameters
    ----------
    item : str
        As in "Table 1".
    shows : str
    columns : dict of str to str
        The cell of each column.
    rows : dict of str to str or None
        The method of each row; None where it cannot be run on these data.
    printed : dict of str to sequence
        By row, and in the columns' order: a number, a pair (mean, standard deviation), or None
        where there is none.
    measure : str
    scale : float
        100 where percent are printed.
    against : str, optional
        The row that the others are compared with, seed by seed.
    claims : sequence of (str, str, str)
        What the paper says of the table, as "one row is above another": the words, the one, the
        other.
    """

    item: str
    shows: str
    columns: dict
    rows: dict
    printed: dict = field(default_factory=dict)
    measure: str = "accuracy"
    scale: float = 100.0
    against: str | None = None
    claims: tuple = ()

    def jobs(self):
        """Return what is to be run: cells with methods."""
        return [{"cell": cell, "method": method}
                for cell in self.columns.values() for method in self.rows.values() if method]

    def entries(self, results):
        """Return the text of each row: printed and ours, a column each."""
        return [[row, *(self._entry(results, row, i) for i in range(len(self.columns)))]
                for row in self.rows]

    def lines(self, results):
        """Return the table as lines of text."""
        return [f"\n{self.item}: {self.shows}",
                *("  " + " | ".join(row) for row in [["", *self.columns], *self.entries(results)]),
                *("  " + " | ".join(row) for row in self.verdicts(results))]

    def verdicts(self, results):
        """Return what the paper says, its effect and ours (over the columns), and the verdict."""
        found = []
        for says, row, over in self.claims:
            printed = [a[0] - b[0] for a, b in zip(map(_pairs, self.printed.get(row, ())),
                                                   map(_pairs, self.printed.get(over, ())),
                                                   strict=True) if a and b]
            gains = [self._gain(results, cell, row, over) for cell in self.columns.values()]
            seeds = set.intersection(*map(set, gains))
            if len(seeds) < 2:
                continue
            verdict, mean, (low, high) = judge(
                [np.mean([gain[seed] for gain in gains]) for seed in sorted(seeds)],
                MARGIN * self.scale)
            found.append([says, f"{row} less {over}",
                          f"{np.mean(printed):+.1f}" if printed else "–",
                          f"{mean:+.1f} [{low:+.1f}, {high:+.1f}]", verdict])
        return found

    def _gain(self, results, cell, row, over):
        """Return the difference of two rows in a cell, by the seeds that both have."""
        a, b = (self._by_seed(results, cell, self.rows[name]) for name in (row, over))
        return {seed: a[seed] - b[seed] for seed in a if seed in b}

    def _entry(self, results, row, i):
        cell, method = list(self.columns.values())[i], self.rows[row]
        said = self.printed.get(row, ())
        said = said[i] if i < len(said) else None
        parts = [f"paper {_number(said)}"] if said is not None else []
        ours = self._by_seed(results, cell, method)
        if ours:
            here = f"here {_number(_over_seeds(ours.values()))}"
            compared = self.against and row not in (self.against, TEACHER)
            gain = self._gain(results, cell, row, self.against) if compared else {}
            if len(gain) > 1:
                _, mean, (low, high) = judge(list(gain.values()), 0)
                here += f" ({mean:+.1f} [{low:+.1f}, {high:+.1f}])"
            parts.append(here)
        return "; ".join(parts) or "–"

    def _by_seed(self, results, cell, method):
        """Return the numbers measured, so far, in the table's unit."""
        found = results.table.get((cell, method, self.measure), {}) if results else {}
        return {seed: self.scale * value for seed, value in found.items()}


def jobs_of(tables):
    """Return what several tables need, each once, in their order."""
    found = {tuple(job.items()): job for table in tables for job in table.jobs()}
    return list(found.values())


def _over_seeds(values):
    values = np.array(list(values))
    return (values.mean(), values.std(ddof=1) if len(values) > 1 else None)


def _pairs(value):
    return value if isinstance(value, tuple) else None if value is None else (value, None)


def _number(value):
    mean, spread = _pairs(value)
    return f"{mean:.2f}" if spread is None else f"{mean:.2f} ± {spread:.2f}"
