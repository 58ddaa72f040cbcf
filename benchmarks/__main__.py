"""Run the papers' experiments: ``python -m benchmarks list | run NAME ... | report``.

An experiment whose name begins with paper/ is that of a paper on its own data set, which ``--data``
has in the layout in which it is distributed; the others judge the papers' claims on data that are
easy to have.
"""

import argparse
from pathlib import Path

from benchmarks import evidence, paper, paper_items
from benchmarks.evidence import _report as evidence_report
from benchmarks.evidence import _results
from benchmarks.paper import _report as paper_report
from benchmarks.paper import _run

PAPER = "paper/"


def overview():
    for name in evidence.EXPERIMENTS:
        experiment = _results.module(name)
        _print(name, experiment)
        for scale, settings in experiment.SETTINGS.items():
            found = _results.Results.load(name, scale)
            _print_scale(scale, len(experiment.cells(settings)), found)
    for name in paper.EXPERIMENTS:
        experiment = _run.module(name)
        _print(PAPER + name, experiment)
        for scale in experiment.SETTINGS:
            _print_scale(scale, len(_run.jobs(name, scale)), _run.load(name, scale))
            print(f"{'':24}   of {experiment.LAYOUT[scale]}")


def _print(name, experiment):
    print(f"{name:24} {experiment.__doc__.splitlines()[0]}\n{'':24} {experiment.PAPER}")


def _print_scale(scale, n_cells, found):
    done = f"{len(found.report['runs'])} runs" if found else "not run"
    print(f"{'':24} {scale}: {n_cells} cells, {done}")


def main(argv=None):
    """Follow the command line, or a list of its words."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks",
                                     description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="the experiments, and what has been run of them")
    running = commands.add_parser("run", help="run what is missing of experiments")
    names = [*evidence.EXPERIMENTS, *(PAPER + name for name in paper.EXPERIMENTS)]
    running.add_argument("names", nargs="+", choices=[*names, "all"], metavar="NAME",
                         help=", ".join(names) + "; or all, those without paper/")
    running.add_argument("--data", type=Path, metavar="DIR",
                         help="for paper/: the folder with the data set; list says what it holds")
    running.add_argument("--scale", choices=["miniature", "small", "full"], default="small",
                         help="miniature: paper/ only, a few samples, to see that it runs; small: "
                         "minutes on two cores; full: for a GPU (default: small)")
    running.add_argument("--seeds", type=int, default=5, metavar="N",
                         help="seeds 0 to N - 1 (default: 5)")
    running.add_argument("--jobs", type=int, default=1, metavar="N",
                         help="processes at once (default: 1)")
    running.add_argument("--max-minutes", type=float, metavar="M",
                         help="stop after so long; the same command goes on from there")
    commands.add_parser("report", help="tables and figures for the docs, from the JSON")
    args = parser.parse_args(argv)
    if args.command == "list":
        overview()
    elif args.command == "report":
        evidence_report.report()
        paper_report.report()
        paper_items.write()
    else:
        _run_all(parser, args)


def _run_all(parser, args):
    if args.seeds < 2:
        parser.error(f"--seeds {args.seeds}: a spread takes 2 at least.")
    if args.max_minutes is not None and not args.max_minutes > 0:
        parser.error(f"--max-minutes {args.max_minutes:g}: it must be above 0.")
    names = evidence.EXPERIMENTS if "all" in args.names else args.names
    for name in names:
        known = (_run.module(name.removeprefix(PAPER)) if name.startswith(PAPER)
                 else _results.module(name)).SETTINGS
        if args.scale not in known:
            parser.error(f"--scale {args.scale}: {name} has {' and '.join(known)}.")
        if name.startswith(PAPER) and args.data is None:
            parser.error(f"{name} needs --data DIR: "
                         f"{_run.module(name.removeprefix(PAPER)).LAYOUT[args.scale]}.")
    with _run.at_most(args.max_minutes):
        for name in names:
            if name.startswith(PAPER):
                _run.run(name.removeprefix(PAPER), args.scale, args.data, args.seeds, args.jobs)
            else:
                _results.run(name, args.scale, args.seeds, args.jobs)


if __name__ == "__main__":
    main()
