"""Whether somebody watches, and would like to be told how long it takes."""

import sys

PATIENCE = 10  # seconds that pass without a word


def watched():
    """Tell whether what is printed to standard error is read as it comes."""
    return sys.stderr is not None and (
        sys.stderr.isatty() or type(sys.stderr).__module__.startswith("ipykernel"))


def progress(what, total, unit, verbose):
    """Return a bar, a ``tqdm``, that shows nothing where nobody wants it.

    Parameters
    ----------
    what : str
        What stands before it.
    total : int
        Its length, in ``unit``.
    unit : str
    verbose : "auto", bool or int
        "auto" shows it from the tenth second on, where somebody watches.
    """
    from tqdm.auto import tqdm

    auto = isinstance(verbose, str)
    return tqdm(total=total, desc=what, unit=unit, delay=PATIENCE if auto else 0,
                disable=not watched() if auto else not verbose)


def spelled(seconds):
    """Return a duration in its unit: seconds, minutes or hours."""
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 1.5 * size:
            return f"about {seconds / size:.0f} {unit}"
    return f"about {seconds:.0f} s"
