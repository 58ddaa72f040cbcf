"""Where benchmarks leave their figures: JSON in docs/results, with what they were measured on."""

import importlib.metadata
import json
import os
import platform
import statistics
import time
from pathlib import Path

import torch

FOLDER = Path(__file__).parents[1] / "docs" / "results"
PACKAGES = ("torch", "scikit-learn", "skorch", "numpy", "joblib")


def save(name, **results):
    """Write docs/results/NAME.json (NAME-gpu.json where there is a GPU), and print it."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"benchmark": name, **measured_with(), **results}, indent=1)
    (FOLDER / f"{name}{'-gpu' if torch.cuda.is_available() else ''}.json").write_text(text + "\n")
    print(text)


def measured_with():
    """Return the device and the versions, as a report begins."""
    return {
        "device": torch.cuda.get_device_name() if torch.cuda.is_available()
        else f"CPU, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "versions": {package: importlib.metadata.version(package) for package in PACKAGES},
    }


def seconds(function):
    """Time one call."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    start = time.perf_counter()
    function()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def alternate(rounds, **functions):
    """Time functions in turn, so that a drifting machine is fair to all; after one warm-up.

    Returns the seconds of each, a list a function.
    """
    times = {name: [] for name in functions}
    for i in range(rounds + 1):
        for name, function in functions.items():
            elapsed = seconds(function)
            if i:
                times[name].append(elapsed)
    return times


def ratio(times, ours, other):
    """Return the round-by-round ratios of two timings, and the median of each in seconds."""
    ratios = [a / b for a, b in zip(times[ours], times[other], strict=True)]
    return {"median": statistics.median(ratios), "min": min(ratios), "max": max(ratios),
            "seconds": [statistics.median(times[ours]), statistics.median(times[other])]}
