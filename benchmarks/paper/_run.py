"""Run a paper's experiment, for some minutes if need be, and go on from there the next time."""

import _thread
import threading
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path

from joblib import delayed

from benchmarks._report import FOLDER
from benchmarks.evidence._results import Results, fill, timed
from benchmarks.paper._tables import jobs_of


def module(name):
    """Return the module of an experiment, by its name on the command line."""
    return import_module(f"benchmarks.paper.{name.replace('-', '_')}")


def path(name, scale):
    return FOLDER / "paper" / f"{name}-{scale}.json"


def run(name, scale, data, n_seeds, n_jobs=1, max_minutes=None):
    """Run what is missing of an experiment; return its results.

    A fit that is stopped goes on from its last epoch: its checkpoint, and the teachers, are kept in
    a folder beside the results.
    """
    experiment, file = module(name), path(name, scale)
    data = Path(data)
    if not data.is_dir():
        raise SystemExit(f"--data {data}: there is no such folder. It has to hold "
                         f"{experiment.LAYOUT[scale]}.")
    settings = experiment.SETTINGS[scale]
    work = file.parent / "work" / file.stem
    with at_most(max_minutes) as stopped:
        fill(file, {"experiment": name, "scale": scale}, settings,
             jobs_of(experiment.tables(settings)), n_seeds,
             delayed(partial(_one, name, scale, data, work)), n_jobs)
    if stopped.is_set():
        print(f"Stopped after {max_minutes:g} minutes. The same command goes on from here.")
    results = load(name, scale)
    for table in experiment.tables(settings) if results else ():
        print(f"\n{table.item}: {table.shows}")
        for row in [["", *table.columns], *table.entries(results)]:
            print("  " + " | ".join(row))
    return results


def load(name, scale):
    """Return an experiment's results so far, or None."""
    return Results.read(path(name, scale))


def _one(name, scale, data, work, job, seed):
    experiment = module(name)
    scores, seconds = timed(lambda: {job["method"]: experiment.run(
        job["method"], job["cell"], seed, experiment.SETTINGS[scale], data, work)})
    return (job, seed), (scores, seconds)


@contextmanager
def at_most(minutes):
    """Stop what happens within after some minutes, as Ctrl-C would; None lets it go on."""
    stopped = threading.Event()

    def stop():
        stopped.set()
        _thread.interrupt_main()

    timer = threading.Timer(60 * minutes, stop) if minutes is not None else None
    if timer:
        timer.daemon = True
        timer.start()
    try:
        yield stopped
    except KeyboardInterrupt:
        if not stopped.is_set():
            raise
    finally:
        if timer:
            timer.cancel()
