"""Files that are there whole, or not at all."""

import contextlib
import os
import platform
import re
import secrets
import stat
import time
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

DRAFT = re.compile(r"\.draft-(?P<host>.*)-[0-9a-f]{8}-.*", re.DOTALL)
LONGEST_WRITE = 24 * 3600  # seconds; a draft that nobody touched for longer is nobody's


@contextlib.contextmanager
def whole_file(path):
    """Give a draft to write to, which becomes the file when the block ends without an error.

    A reader sees the old file or the new one, never a part. As ``open(path, "w")`` does, this
    follows symbolic links, keeps the permissions of a file that is there, and gives a new one
    those of the umask. The draft lies beside the file and has its suffix. Drafts in that folder
    whose writers were killed are removed.

    Parameters
    ----------
    path : str or os.PathLike

    Yields
    ------
    pathlib.Path
        The draft: an empty file, to be written to by its name.

    Raises
    ------
    OSError
        If the file cannot be written, or is a folder or a device.
    """
    path = Path(os.path.realpath(path))
    old = _status(path)
    _sweep(path.parent)
    draft, descriptor = _new_draft(path)
    with contextlib.ExitStack() as opened:
        opened.callback(os.close, descriptor)
        try:
            yield draft
            os.fsync(descriptor)  # the name must not be on the disk before the content
            if old is not None:
                _take_after(draft, old)
            if fcntl is None:
                opened.close()  # Windows renames no open file
            os.replace(draft, path)
        except BaseException:
            opened.close()
            draft.unlink(missing_ok=True)
            raise


def _status(path):
    """Return the status of a file that can be written to; None where there is none."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(status.st_mode):
        raise OSError(f"{path} is no regular file.")
    os.close(os.open(path, os.O_WRONLY))  # as open(path, "w"), refuse what is write-protected
    return status


def _take_after(draft, old):
    """Give a draft the owner, as far as one may, and the permissions of the old file."""
    if hasattr(os, "chown"):
        for owner in ((old.st_uid, -1), (-1, old.st_gid)):
            with contextlib.suppress(PermissionError):
                os.chown(draft, *owner)
    os.chmod(draft, stat.S_IMODE(old.st_mode))


def _new_draft(path):
    """Make an empty draft, locked for as long as this process has it open."""
    while True:
        draft = path.with_name(f".draft-{_host()}-{secrets.token_hex(4)}-{path.name[-32:]}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        lock = _locked(descriptor)
        if lock is None or lock and draft.exists():
            return draft, descriptor
        os.close(descriptor)  # it was swept before it was locked


def _sweep(folder):
    """Remove the drafts of writers that were killed.

    A lock goes with the process that holds it. Where there are no locks, and for the drafts of
    other hosts, age has to do.
    """
    for name in os.listdir(folder):
        if not (match := DRAFT.fullmatch(name)):
            continue
        with contextlib.suppress(OSError):  # swept or finished by another, or not ours to touch
            draft = os.open(folder / name, os.O_WRONLY)
            try:
                lock = _locked(draft) if match["host"] == _host() else None
                age = time.time() - os.fstat(draft).st_mtime
                if lock or lock is None and age > LONGEST_WRITE:
                    os.unlink(folder / name)
            finally:
                os.close(draft)


def _locked(descriptor):
    """Lock a file; False if another one has, None where there are no locks."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _host():
    return re.sub(r"[^A-Za-z0-9.]", "-", platform.node())[:64]
