"""Writing that is whole or not at all."""

import multiprocessing
import os
import signal
import stat
import time

import pytest

from cmkdlearn import _files
from cmkdlearn._files import LONGEST_WRITE, whole_file

posix = pytest.mark.skipif(os.name != "posix", reason="permissions and locks of POSIX")


def write(path, content="new"):
    with whole_file(path) as draft:
        draft.write_text(content)


def permissions(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def umask():
    yield os.umask
    os.umask(0o022)


def test_a_reader_sees_the_old_file_or_the_new_one(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with whole_file(path) as draft:
        assert draft.parent == tmp_path and draft.suffix == ".txt"
        draft.write_text("ne")
        assert path.read_text() == "old"
        with draft.open("a") as file:
            file.write("w")
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_an_error_leaves_the_old_file_and_no_draft(tmp_path):
    for there in (True, False):
        if there:
            (tmp_path / "a").write_text("old")
        with pytest.raises(KeyboardInterrupt), whole_file(tmp_path / "a") as draft:
            draft.write_text("half")
            raise KeyboardInterrupt
        assert os.listdir(tmp_path) == ["a"]
        assert (tmp_path / "a").read_text() == "old"


@posix
@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_a_new_file_has_the_permissions_that_open_would_give_it(tmp_path, umask, mask):
    umask(mask)
    (tmp_path / "opened").write_text("")
    write(tmp_path / "written")
    assert permissions(tmp_path / "written") == permissions(tmp_path / "opened") == 0o666 & ~mask


@posix
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o755])
def test_an_old_file_keeps_its_permissions(tmp_path, mode):
    (tmp_path / "a").write_text("old")
    (tmp_path / "a").chmod(mode)
    write(tmp_path / "a")
    assert (tmp_path / "a").read_text() == "new"
    assert permissions(tmp_path / "a") == mode


@posix
@pytest.mark.parametrize("there", [True, False])
def test_links_are_followed(tmp_path, there):
    (tmp_path / "folder").mkdir()
    target = tmp_path / "folder" / "a"
    if there:
        target.write_text("old")
    (tmp_path / "link").symlink_to("middle")
    (tmp_path / "middle").symlink_to(target)
    write(tmp_path / "link")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "middle").is_symlink()
    assert target.read_text() == "new" and not target.is_symlink()
    assert os.listdir(target.parent) == ["a"]


@posix
def test_what_cannot_be_written_as_a_file_is_refused(tmp_path):
    (tmp_path / "circle").symlink_to("circle")
    os.mkfifo(tmp_path / "pipe")
    for name in ("circle", "pipe", "missing/a", "."):
        before = sorted(os.listdir(tmp_path))
        with pytest.raises(OSError):
            write(tmp_path / name)
        assert sorted(os.listdir(tmp_path)) == before
    assert (tmp_path / "circle").is_symlink()


@posix
@pytest.mark.skipif(os.name == "posix" and os.geteuid() == 0, reason="root may write anything")
def test_a_protected_file_is_refused(tmp_path):
    (tmp_path / "a").write_text("old")
    (tmp_path / "a").chmod(0o444)
    with pytest.raises(PermissionError):
        write(tmp_path / "a")
    assert (tmp_path / "a").read_text() == "old"


def _write_slowly(path, begun):
    with whole_file(path) as draft:
        draft.write_text("half")
        begun.set()
        time.sleep(60)


@posix
def test_drafts_of_the_killed_are_swept_and_of_the_living_are_not(tmp_path):
    context = multiprocessing.get_context("spawn")
    begun = [context.Event(), context.Event()]
    writers = [context.Process(target=_write_slowly, args=(tmp_path / "a", event)) for event in begun]
    for writer, event in zip(writers, begun, strict=True):
        writer.start()
        assert event.wait(60)
    try:
        killed, living = writers
        assert len(os.listdir(tmp_path)) == 2
        write(tmp_path / "a")
        assert len(os.listdir(tmp_path)) == 3  # both are still writing
        os.kill(killed.pid, signal.SIGKILL)
        killed.join()
        write(tmp_path / "a")
        assert len(os.listdir(tmp_path)) == 2
    finally:
        for writer in writers:
            writer.kill()
            writer.join()
    write(tmp_path / "a")
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("locks", [True, False])
def test_drafts_of_other_hosts_are_swept_when_they_are_old(tmp_path, monkeypatch, locks):
    if not locks:
        monkeypatch.setattr(_files, "_locked", lambda descriptor: None)
    ours = {f".draft-{_files._host()}-00000000-a", ".draft-another.host-00000001-a"}
    others = {"a.draft", ".draft", ".draft-host-xyz-a", ".draft-b"}
    for name in ours | others:
        (tmp_path / name).write_text("")
        os.utime(tmp_path / name, (0, time.time() - LONGEST_WRITE + 60))
    if not locks:
        write(tmp_path / "a")
        assert {*os.listdir(tmp_path)} == {*ours, *others, "a"}
    for name in ours | others:
        os.utime(tmp_path / name, (0, time.time() - LONGEST_WRITE - 60))
    write(tmp_path / "a")
    assert {*os.listdir(tmp_path)} == {*others, "a"}


def test_a_draft_that_is_swept_before_it_is_locked_is_made_again(tmp_path, monkeypatch):
    locked, drafts = _files._locked, []

    def swept_once(descriptor):
        (draft,) = tmp_path.glob(".draft-*")
        drafts.append(draft.name)
        if len(drafts) == 1:
            draft.unlink()
        return locked(descriptor)

    monkeypatch.setattr(_files, "_locked", swept_once)
    write(tmp_path / "a")
    assert len(set(drafts)) == (1 if _files.fcntl is None else 2)
    assert (tmp_path / "a").read_text() == "new"


def test_long_names_can_be_written(tmp_path):
    write(tmp_path / ("ä" * 120 + ".onnx"))
    write(tmp_path / ("n" * 250))
    assert len(os.listdir(tmp_path)) == 2


def test_writers_of_one_file_leave_one_of_their_files(tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    contents = [str(i) * 10_000 for i in range(10)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda content: write(tmp_path / "a", content), contents * 5))
    assert (tmp_path / "a").read_text() in contents
    assert os.listdir(tmp_path) == ["a"]
