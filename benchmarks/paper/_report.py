"""From the JSON of the papers' experiments to the tables of the docs."""

from benchmarks._report import FOLDER
from benchmarks.evidence._report import list_table
from benchmarks.paper import EXPERIMENTS
from benchmarks.paper._run import jobs, load, module

SCALES = ("small", "full")


def found():
    """Yield what has been run: experiment, scale and results."""
    for name in EXPERIMENTS:
        for scale in SCALES:
            results = load(name, scale) if scale in module(name).SETTINGS else None
            if results is not None:
                yield name, scale, results


def report():
    """Write each experiment's tables, and the sections of the page that shows them."""
    out, sections = FOLDER / "paper", []
    out.mkdir(parents=True, exist_ok=True)
    for name, scale, results in found():
        (out / f"{name}-{scale}.inc").write_text(_tables(name, scale, results))
        sections.append(_section(module(name), name, scale))
    (out / "sections.inc").write_text("\n".join(sections))


def _section(experiment, name, scale):
    title, _, text = experiment.__doc__.partition("\n")
    title = f"{title.rstrip('.')} ({scale} scale)"
    return (f".. _paper-{name}-{scale}:\n\n{title}\n{'-' * len(title)}\n\n``paper/{name}``. "
            f"{text.strip()}\n\n.. include:: results/paper/{name}-{scale}.inc\n")


def _tables(name, scale, results):
    parts = []
    for table in module(name).tables(scale):
        parts.append(f"**{table.item}**: {table.shows}\n\n"
                     + list_table(["", *table.columns], table.entries(results)))
        verdicts = table.verdicts(results) if results.complete() else []
        if verdicts:
            parts.append(list_table(["the paper says", "", "paper", "here", "verdict"], verdicts))
    report = results.report
    left = len(jobs(name, scale)) * len(results.seeds) - len(report["runs"])
    parts.append(
        f"{len(results.seeds)} seeds, {report['seconds'] / 60:.0f} minutes of one thread on "
        f"{report['device']}{f'; {left} runs are missing' if left else ''}. Mean ± standard "
        "deviation; in brackets the paired difference with its 95 % interval.\n")
    return "\n".join(parts)
