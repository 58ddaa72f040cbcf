"""Folders as others distribute them: what must be there is named where it is not."""

from pathlib import Path

IMAGES = (".jpeg", ".jpg", ".png")


def required(path, expected):
    """Return ``path`` if it is there; otherwise say what was expected."""
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: expected {expected}.")
    return path


def inside(folder, name, source):
    """Return ``folder / name``, which a list must not let lead out of the folder."""
    if Path(name).anchor or ".." in Path(name).parts:
        raise ValueError(f"{source} names {name!r}, which leads out of {folder}; it may name only "
                         "what lies in there.")
    return folder / name


def lines_of(path, expected):
    """Yield the lines of a text file that are not empty, each with its place for errors."""
    with required(path, expected).open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield f"{path}, line {number},", line.rstrip("\r\n")


def images_in(folder):
    """Return the images directly in a folder, by name."""
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in IMAGES)
