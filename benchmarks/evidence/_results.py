"""Runs of an experiment: kept as JSON, never run twice, and read back as arrays over the seeds."""

import importlib
import json
import time
from collections import defaultdict

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
        file = path(name, scale)
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
    """Run what is missing of an experiment, and save after each cell and seed."""
    experiment = module(name)
    settings, file = experiment.SETTINGS[scale], path(name, scale)
    cells = experiment.cells(settings)
    runs = []
    if file.exists():
        report = json.loads(file.read_text())
        if report["settings"] != json.loads(json.dumps(settings)):
            raise SystemExit(f"The settings of {name} are others than those in {file.name}; delete "
                             "that file to start anew.")
        runs = [done for done in report["runs"] if done["cell"] in cells]
    done = {(one["cell"], one["seed"]) for one in runs}
    missing = [(cell, seed) for seed in range(n_seeds) for cell in cells
               if (cell, seed) not in done]
    print(f"{name}, {scale}: {len(missing)} of {n_seeds * len(cells)} runs to do", flush=True)
    started = time.perf_counter()
    one = delayed(_one)
    for result in Parallel(n_jobs, return_as="generator_unordered")(
            one(name, scale, cell, seed) for cell, seed in missing):
        runs.append(result)
        order = {cell: i for i, cell in enumerate(cells)}
        runs.sort(key=lambda run: (order[run["cell"]], run["seed"]))
        _write(file, {"experiment": name, "scale": scale, **measured_with(), "settings": settings,
                      "n_cells": len(cells), "seconds": sum(run["seconds"] for run in runs),
                      "runs": runs})
        print(f"[{time.perf_counter() - started:4.0f} s] {result['cell']}, seed {result['seed']}: "
              f"{result['seconds']:.0f} s", flush=True)


def _one(name, scale, cell, seed):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # cells run side by side, and a number does not hang on how many do
    try:
        experiment = module(name)
        settings = experiment.SETTINGS[scale]
        start = time.perf_counter()
        scores = experiment.run(seed, settings, **experiment.cells(settings)[cell])
    finally:
        torch.set_num_threads(threads)
    return {"cell": cell, "seed": seed, "seconds": round(time.perf_counter() - start, 1),
            "scores": {method: {measure: round(float(value), 5)
                                for measure, value in measures.items()}
                       for method, measures in scores.items()}}


def _write(file, report):
    file.parent.mkdir(parents=True, exist_ok=True)
    runs = report.pop("runs")
    lines = ",\n  ".join(json.dumps(run) for run in runs)
    head = json.dumps(report, indent=1)[:-2]
    draft = file.with_suffix(".part")
    draft.write_text(f'{head},\n "runs": [\n  {lines}\n ]\n}}\n')
    draft.replace(file)  # an interruption leaves the last complete file
