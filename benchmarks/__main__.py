"""Run the papers' experiments: ``python -m benchmarks list | run NAME ... | report``."""

import argparse

from benchmarks import paper_items
from benchmarks.evidence import EXPERIMENTS
from benchmarks.evidence._report import report
from benchmarks.evidence._results import Results, module, run


def overview():
    for name in EXPERIMENTS:
        experiment = module(name)
        print(f"{name:20} {experiment.__doc__.splitlines()[0]}\n{'':20} {experiment.PAPER}")
        for scale, settings in experiment.SETTINGS.items():
            found = Results.load(name, scale)
            done = f"{len(found.report['runs'])} runs" if found else "not run"
            print(f"{'':20} {scale}: {len(experiment.cells(settings))} cells, {done}")


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="the experiments, and what has been run of them")
    running = commands.add_parser("run", help="run what is missing of experiments")
    running.add_argument("names", nargs="+", choices=[*EXPERIMENTS, "all"], metavar="NAME",
                         help=", ".join(EXPERIMENTS) + ", or all")
    running.add_argument("--scale", choices=["small", "full"], default="small",
                         help="small: minutes on two cores; full: for a GPU (default: small)")
    running.add_argument("--seeds", type=int, default=5, metavar="N",
                         help="seeds 0 to N - 1 (default: 5)")
    running.add_argument("--jobs", type=int, default=1, metavar="N",
                         help="processes at once (default: 1)")
    commands.add_parser("report", help="tables and figures for the docs, from the JSON")
    args = parser.parse_args()
    if args.command == "list":
        overview()
    elif args.command == "report":
        report()
        paper_items.write()
    else:
        if args.seeds < 2:
            parser.error(f"--seeds {args.seeds}: a spread takes 2 at least.")
        for name in EXPERIMENTS if "all" in args.names else args.names:
            run(name, args.scale, args.seeds, args.jobs)


if __name__ == "__main__":
    main()
