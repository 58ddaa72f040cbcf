"""From the JSON of the experiments to the tables and figures of the docs."""

import numpy as np

from benchmarks._report import FOLDER
from benchmarks.evidence import EXPERIMENTS
from benchmarks.evidence._claims import RULE, judge
from benchmarks.evidence._results import Results, module

OUT, README = FOLDER / "evidence", FOLDER.parents[1] / "README.md"
PAPERS = {"wordnet": "Guo et al.", "cch": "Xie et al.", "ucmkd": "Tran et al."}


def report():
    """Write a table an experiment, the table of claims and the figures."""
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "rule.inc").write_text(RULE + "\n")
    claims, headlines, sections, missing = [], [], [], []
    for name in EXPERIMENTS:
        experiment = module(name)
        for scale in experiment.SETTINGS:
            results = Results.load(name, scale)
            if results is None or not results.complete():
                missing.append(f"{name} ({scale})")
                continue
            (OUT / f"{name}-{scale}.inc").write_text(_tables(experiment, results))
            for claim in experiment.CLAIMS:
                claims.append(claim_row(claim, name, results))
                if claim.headline:
                    headlines.append(claims[-1])
            sections.append(_section(experiment, name, scale))
            if hasattr(experiment, "words"):
                (OUT / f"{name}-{scale}-words.inc").write_text(experiment.words(results))
            if hasattr(experiment, "draw"):
                _figure(experiment, results, OUT / f"{name}-{scale}.png")
    (OUT / "claims.inc").write_text(list_table(
        ["claim", "who says so", "printed", "here", "effect", "measured as"], claims,
        widths=[22, 18, 12, 12, 14, 22]))
    (OUT / "sections.inc").write_text("\n".join(sections))
    (OUT / "missing.inc").write_text(f"Not run so far, or not to the end: {', '.join(missing)}.\n"
                                     if missing else "All of them were run.\n")
    _into_readme(headlines)


def _section(experiment, name, scale):
    """Return the part of the page about one experiment: what it is, its figure and its tables."""
    title, _, text = experiment.__doc__.partition("\n")
    title = title.rstrip(".")
    figure = f".. image:: results/evidence/{name}-{scale}.png\n\n" if hasattr(experiment, "draw") \
        else ""
    return (f".. _evidence-{name}:\n\n{title}\n{'-' * len(title)}\n\n*{experiment.PAPER}* "
            f"(``{name}``, {scale} scale). {text.strip()}\n\n{figure}"
            f".. include:: results/evidence/{name}-{scale}.inc\n\n")


def _into_readme(claims):
    """Put the headlines between the README's marks."""
    start, end = "<!-- evidence -->\n", "<!-- end of evidence -->"
    before, rest = README.read_text().split(start)
    lines = ["| claim | printed | here | effect (95 % interval) | measured as |",
             "|---|---|---|---|---|"]
    lines += [f"| {says} | {printed} | {verdict} | {effect} | {measured.split(' (:ref:')[0]} |"
              for says, _, printed, verdict, effect, measured in claims]
    README.write_text(before + start + "\n".join(lines) + "\n" + end + rest.split(end)[1])


def claim_row(claim, name, results):
    """Return what a claim says, who says so, printed, the verdict, the effect, and its measure."""
    verdict, mean, (low, high) = judge(claim.effect(results), claim.margin)
    mean, low, high = (claim.scale * value for value in (mean, low, high))
    digits = 1 if claim.scale > 1 else 2
    if claim.quote:
        says, source = claim.says, f"{PAPERS[name.split('-')[0]]}, {claim.where}: \"{claim.quote}\""
    else:
        says, source = f"*(Ours.)* {claim.says}", claim.where
    return [says, source, claim.printed, f"**{verdict}**",
            f"{mean:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}] {claim.unit}".rstrip(),
            f"{claim.measured} (:ref:`{name} <evidence-{name}>`, {results.report['scale']})"]


def _tables(experiment, results):
    parts = [_table(experiment, results, measure, title)
             for measure, title in experiment.MEASURES.items() if measure in results.names(2)]
    report = results.report
    parts.append(
        f"{len(results.seeds)} seeds, {report['scale']} scale, "
        f"{report['seconds'] / 60:.0f} minutes "
        f"of one thread on {report['device']}; settings: "
        + ", ".join(f"{name} {value}" for name, value in report["settings"].items()) + ".\n")
    return "\n".join(parts)


def _table(experiment, results, measure, title):
    """Mean and spread over the seeds of each method (row) in each cell (column).

    Under the first measure others than the baseline are given as paired gains over it.
    """
    cells = [cell for cell in results.names(0)
             if any(key[0] == cell and key[2] == measure for key in results.table)]
    methods = [name for name in results.names(1)
               if any(key[1] == name and key[2] == measure for key in results.table)]
    gains = measure == next(iter(experiment.MEASURES)) and experiment.BASELINE in methods
    rows = []
    for method in methods:
        row = [method]
        for cell in cells:
            if (cell, method, measure) not in results.table:
                row.append("")
            elif gains and method != experiment.BASELINE:
                _, mean, (low, high) = judge(
                    results.gain(cell, method, experiment.BASELINE, measure), 0)
                row.append(f"{100 * mean:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]")
            else:
                values = results.over_seeds(cell, method, measure)
                row.append(f"{_number(values.mean())} ± {_number(values.std(ddof=1))}")
        rows.append(row)
    if len(cells) > len(methods):  # a page is longer than wide
        head, *columns = zip(*([["", *cells], *rows]), strict=True)
    else:
        head, columns = ["", *cells], rows
    note = f" ({experiment.BASELINE}: mean ± standard deviation; the others: paired gain over it " \
           "in points, with its 95 % interval)" if gains else " (mean ± standard deviation)"
    return f"**{title[0].upper()}{title[1:]}**{note}\n\n{list_table(head, columns)}"


def _number(value):
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.0f}"


def list_table(head, rows, widths=None):
    """Return the table of reStructuredText."""
    lines = [".. list-table::", "   :header-rows: 1"]
    if widths:
        lines.append(f"   :widths: {' '.join(map(str, widths))}")
    lines.append("")
    for row in [head, *rows]:
        lines += [f"   {'*' if not i else ' '} - {cell}" for i, cell in enumerate(row)]
    return "\n".join(lines) + "\n\n"


def _figure(experiment, results, file):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=(9, 3.8), layout="constrained")
    experiment.draw(results, figure)
    figure.savefig(file, dpi=110, metadata={"Software": None})
    plt.close(figure)


def interval(values):
    """Return the mean, and half the 95 % interval, for error bars."""
    _, mean, (low, high) = judge(np.asarray(values), 0)
    return mean, (high - low) / 2
