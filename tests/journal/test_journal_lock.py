"""One writer per run: a second one is told who the first is; a dead one's lock is free at once."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from flopwise.errors import RunError
from flopwise.events import Alive
from flopwise.journal import lock as lock_module
from flopwise.journal.lock import WriterLock, holder, start_ticks
from flopwise.journal.log import Journal
from flopwise.journal.read import read_events
from flopwise.paths import RunFolder

HOLD = """
import sys
from pathlib import Path
from flopwise.events import Alive
from flopwise.journal.log import Journal
from flopwise.paths import RunFolder
journal = Journal.create(RunFolder(Path(sys.argv[1])))
journal.append([Alive(1.0)])
journal.commit()
print("held", flush=True)
sys.stdin.read()
"""


def hold(root: Path) -> subprocess.Popen[str]:
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    return child


def never(_: float) -> None:
    raise AssertionError("waited though the holder is known to live")


def test_a_second_writer_is_told_at_once_who_holds_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = RunFolder(tmp_path / "run")
    with hold(folder.root) as child:
        monkeypatch.setattr(lock_module.time, "sleep", never)
        with pytest.raises(RunError) as caught:
            Journal.open(folder)
        with pytest.raises(RunError, match="another process"):
            Journal.create(folder)
        found = holder(folder.lock)
        events = read_events(folder.journal)[0]
        monkeypatch.undo()
        child.kill()
    message = str(caught.value)
    assert f"process {child.pid} on {socket.gethostname()}" in message
    assert re.search(r"since \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", message)
    assert found is not None
    assert found.pid == child.pid
    assert events == [Alive(1.0)]


def test_a_killed_holder_leaves_nothing_to_wait_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = RunFolder(tmp_path / "run")
    with hold(folder.root) as child:
        child.kill()
    assert json.loads(folder.lock.read_text())["pid"] == child.pid
    monkeypatch.setattr(lock_module, "PATIENCE_S", 0.0)
    assert holder(folder.lock) is None
    with Journal.open(folder) as journal:
        assert journal.replayed == [Alive(1.0)]
        found = holder(folder.lock)
    assert found is not None
    assert found.pid == os.getpid()


@pytest.mark.parametrize("note", ["", "{", '{"pid": 1}', "null"])
def test_a_lock_file_with_any_content_can_be_taken(tmp_path: Path, note: str) -> None:
    path = tmp_path / "journal.lock"
    path.write_text(note)
    lock = WriterLock(path)
    assert json.loads(path.read_text())["pid"] == os.getpid()
    lock.release()


def test_two_writers_in_one_process_are_kept_apart(tmp_path: Path) -> None:
    lock = WriterLock(tmp_path / "journal.lock")
    with pytest.raises(RunError, match=str(os.getpid())):
        WriterLock(tmp_path / "journal.lock")
    lock.release()
    lock.release()
    WriterLock(tmp_path / "journal.lock").release()
    assert holder(tmp_path / "journal.lock") is None


def test_a_note_of_a_dead_process_does_not_name_the_wrong_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Someone holds the lock and has not signed yet; the note is an earlier owner's with a reused pid."""
    path = tmp_path / "journal.lock"
    lock = WriterLock(path)
    note = {**json.loads(path.read_text()), "start_ticks": 1}
    path.write_text(json.dumps(note))
    waits: list[float] = []
    monkeypatch.setattr(lock_module, "ASK_AGAIN_S", 0.0)
    monkeypatch.setattr(lock_module.time, "monotonic", lambda: float(len(waits) // 4))
    monkeypatch.setattr(lock_module.time, "sleep", waits.append)
    with pytest.raises(RunError):
        WriterLock(path)
    assert len(waits) > 1
    lock.release()


def test_a_child_that_outlives_its_coordinator_does_not_hold_the_run(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    journal = Journal.create(folder)
    with subprocess.Popen(
        [sys.executable, "-c", "import sys; print('up', flush=True); sys.stdin.read()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        close_fds=False,
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        journal.append([Alive(1.0)])
        journal.commit()
        os.close(journal._lock._fd)
        journal._lock._fd = -1
        Journal.open(folder).close()
        child.kill()


def test_a_lock_behind_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "journal.lock").symlink_to(tmp_path / "victim")
    with pytest.raises(RunError, match="cannot be opened"):
        WriterLock(tmp_path / "journal.lock")
    assert (tmp_path / "victim").read_text() == "precious"


def test_a_file_system_without_locks_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_here(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(lock_module.fcntl, "flock", none_here)
    with pytest.raises(RunError, match="has no locks"):
        WriterLock(tmp_path / "journal.lock")


def test_a_process_is_told_from_a_later_one_of_its_number() -> None:
    assert start_ticks(os.getpid()) == start_ticks(os.getpid())
    assert start_ticks(1) != start_ticks(os.getpid())
    assert start_ticks(2**22 + 1) is None
