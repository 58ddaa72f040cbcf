"""Checks of parameters: each failure names the parameter, its value and what would do."""

import difflib
import os

import numpy as np
from sklearn.utils.validation import _check_sample_weight
from sklearn.utils.validation import check_memory as _check_memory


def check_option(name, value, options):
    """Return ``value`` if it is one of ``options``; otherwise say which ones come near."""
    options = list(options)
    if isinstance(value, str) and value in options:
        return value
    near = difflib.get_close_matches(str(value), options, n=3) if isinstance(value, str) else []
    hint = f"Did you mean {_either(near)}?" if near else f"Use {_either(options)}."
    raise ValueError(f"{name}={value!r} is unknown. {hint}")


def missing_package(who, extra, error):
    """Return the error to raise where the import of an optional package failed by ``error``."""
    return ImportError(f"{who} needs the package {error.name!r}, which is not installed. Install "
                       f'it from a clone of cmkdlearn: pip install ".[{extra}]"', name=error.name)


def import_pandas(who):
    """Return pandas, of which only tables are made."""
    try:
        import pandas
    except ImportError as error:
        raise missing_package(who, "plot", error) from None
    return pandas


def check_number(name, value, *, low=-np.inf, high=np.inf, open_low=False, integer=False):
    """Return ``value`` if it is a real number in [low, high] (or (low, high])."""
    kinds = (int, np.integer) if integer else (int, float, np.integer, np.floating)
    wanted = "an integer" if integer else "a number"
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, kinds):
        raise TypeError(f"{name}={value!r} is a {type(value).__name__}; it must be {wanted}.")
    inside = low < value <= high if open_low else low <= value <= high
    if not (inside and np.isfinite(value)):
        raise ValueError(f"{name}={value!r} is out of range; it must be {wanted} "
                         f"{_interval(low, high, open_low)}.")
    return value


def check_weights(name, weight, n):
    """Return weights of ``n`` samples as float64 (n,), or say why they cannot be such."""
    try:
        weight = _check_sample_weight(weight, np.empty(n), dtype=np.float64)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    if (weight < 0).any():
        raise ValueError(f"{name} holds {weight.min():g}; a weight must not be negative.")
    if not weight.any():
        raise ValueError(f"{name} must contain at least one non-zero weight; all are zero.")
    return weight


def check_memory(memory):
    """Return the ``joblib.Memory`` that a folder's path stands for; None keeps nothing."""
    return _check_memory(os.fspath(memory) if isinstance(memory, os.PathLike) else memory)


def _interval(low, high, open_low):
    if low == -np.inf and high == np.inf:
        return "that is finite"
    if high == np.inf:
        return f"{'above' if open_low else 'of at least'} {low:g}"
    return f"in {'(' if open_low else '['}{low:g}, {high:g}]"


def _either(words):
    words = [repr(word) for word in words]
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + f" or {words[-1]}"
