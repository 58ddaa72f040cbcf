"""Runs of an experiment: kept as JSON, never run twice, and read back as arrays over the seeds."""

import importlib
import json
import time
from collections import defaultdict
from functools import partial

import numpy as np
import torch
from joblib import Parallel, delayed

from benchmarks._report import FOLDER, measured_with


def module(name):
    """Return the module of an experiment, by its name on the command line."""
    return importlib.import_module(f"benchmarks.evidence.{name.replace('-', '_')}")


def path(name, scale):
    return FOLDER / "evidence" / f"{name}-{scale}.json"


class Results:
    """What an experiment measured.

    ``table[cell, method, measure]`` is a dict of seed to number.
    """

    def __init__(self, report):
        self.report = report
        self.table = defaultdict(dict)
        for run in report["runs"]:
            for method, measures in run["scores"].items():
                for measure, value in measures.items():
                    self.table[run["cell"], method, measure][run["seed"]] = value
        self.seeds = sorted({run["seed"] for run in report["runs"]})

    @classmethod
    def load(cls, name, scale):
        return cls.read(path(name, scale))

    @classmethod
    def read(cls, file):
        """Return what a file holds, or None where there is none."""
        return cls(json.loads(file.read_text())) if file.exists() else None

    def names(self, position):
        """Return the cells (0), methods (1) or measures (2), in the order in which they came."""
        return list(dict.fromkeys(key[position] for key in self.table))

    def over_seeds(self, cell, method, measure="accuracy"):
        """Return one number a seed; with several cells, a tuple or list, their mean."""
        if isinstance(cell, tuple | list):
            return np.mean([self.over_seeds(one, method, measure) for one in cell], axis=0)
        values = self.table[cell, method, measure]
        return np.array([values[seed] for seed in self.seeds])

    def gain(self, cell, method, over, measure="accuracy"):
        """Return one paired difference a seed."""
        return self.over_seeds(cell, method, measure) - self.over_seeds(cell, over, measure)

    def complete(self):
        """Tell whether every cell was run with every seed."""
        return len(self.report["runs"]) == len(self.seeds) * self.report["n_cells"]


def run(name, scale, n_seeds, n_jobs=1):
    """Run what is missing of an experiment."""
    settings = module(name).SETTINGS[scale]
    fill(path(name, scale), {"experiment": name, "scale": scale}, settings,
         [{"cell": cell} for cell in module(name).cells(settings)], n_seeds,
         delayed(partial(_one, name, scale)), n_jobs)


def fill(file, head, settings, jobs, n_seeds, one, n_jobs=1):
    """Do those jobs that a file lacks, once a seed, and save after each.

    A job is a dict; ``one(job, seed)``, delayed, returns its scores. The file begins with ``head``.
    """
    runs = []
    if file.exists():
        report = json.loads(file.read_text())
        if report["settings"] != json.loads(json.dumps(settings)):
            raise SystemExit(f"The settings of {head['experiment']} are others than those in "
                             f"{file.name}; delete that file to start anew.")
        runs = [done for done in report["runs"] if _job(done) in jobs]
    missing = [(job, seed) for seed in range(n_seeds) for job in jobs
               if not any(done["seed"] == seed and _job(done) == job for done in runs)]
    print(f"{head['experiment']}, {head['scale']}: {len(missing)} of {n_seeds * len(jobs)} runs to "
          "do", flush=True)
    started = time.perf_counter()
    for (job, seed), (scores, seconds) in Parallel(n_jobs, return_as="generator_unordered")(
            one(job, seed) for job, seed in missing):
        runs.append({**job, "seed": seed, "seconds": seconds, "scores": scores})
        runs.sort(key=lambda run: (jobs.index(_job(run)), run["seed"]))
        _write(file, {**head, **measured_with(), "settings": settings, "n_cells": len(jobs),
                      "seconds": sum(run["seconds"] for run in runs), "runs": runs})
        print(f"[{time.perf_counter() - started:4.0f} s] {', '.join(job.values())}, seed {seed}: "
              f"{seconds:.0f} s", flush=True)


def _job(run):
    return {key: run[key] for key in ("cell", "method") if key in run}


def _one(name, scale, job, seed):
    experiment = module(name)
    settings = experiment.SETTINGS[scale]
    return (job, seed), timed(experiment.run, seed, settings,
                              **experiment.cells(settings)[job["cell"]])


def timed(run, *args, **params):
    """Return the scores, rounded, and the seconds that they took on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # cells run side by side, and a number does not hang on how many do
    start = time.perf_counter()
    try:
        scores = run(*args, **params)
    finally:
        torch.set_num_threads(threads)
    return ({method: {measure: round(float(value), 5) for measure, value in measures.items()}
             for method, measures in scores.items()}, round(time.perf_counter() - start, 1))


def _write(file, report):
    file.parent.mkdir(parents=True, exist_ok=True)
    runs = report.pop("runs")
    lines = ",\n  ".join(json.dumps(run) for run in runs)
    head = json.dumps(report, indent=1)[:-2]
    draft = file.with_suffix(".part")
    draft.write_text(f'{head},\n "runs": [\n  {lines}\n ]\n}}\n')
    draft.replace(file)  # an interruption leaves the last complete file
