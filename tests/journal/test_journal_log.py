"""The journal keeps what it acknowledged, through kills, full disks and torn tails."""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flopwise.errors import JournalDamaged, JournalError, RunError
from flopwise.events import FORMAT, Alive, Event, Measured, RunCreated
from flopwise.journal.log import Journal
from flopwise.journal.read import read_events
from flopwise.paths import RunFolder

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
CREATED = RunCreated(FORMAT, "r", "ab", {"name": "r"}, "h", "k", "python", {"flopwise": "0"}, "2026-01-01")


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "run")


def written(folder: RunFolder, *batches: list[Event]) -> list[Event]:
    with Journal.create(folder) as journal:
        for batch in batches:
            journal.append(batch)
            journal.commit()
    return [event for batch in batches for event in batch]


def offsets(data: bytes) -> list[int]:
    """Where each record begins."""
    starts, at = [], 0
    while at < len(data):
        starts.append(at)
        at = data.index(b"\n", at) + 1
    return starts


@st.composite
def any_event(draw: st.DrawFn) -> Event:
    kind = draw(st.sampled_from(sorted(Event.kinds)))
    made = {field.name: draw(JSON) for field in fields(Event.kinds[kind])}
    return CREATED if kind == "RunCreated" else Event.kinds[kind](**made)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=st.lists(any_event(), min_size=1, max_size=6))
def test_every_event_comes_back_as_it_was(tmp_path_factory: pytest.TempPathFactory, events: list[Event]) -> None:
    folder = RunFolder(tmp_path_factory.mktemp("round") / "run")
    written(folder, events)
    assert read_events(folder.journal) == (events, [])
    with Journal.open(folder) as journal:
        assert journal.replayed == events
        assert journal.notes == []


def test_every_kind_of_event_is_among_those_tested() -> None:
    assert {"RunCreated", "TrialProposed", "AttemptEnded", "VerdictReached"} <= set(Event.kinds)


def test_appending_goes_on_where_an_earlier_session_stopped(folder: RunFolder) -> None:
    first = written(folder, [Alive(1.0)], [Alive(2.0), Alive(3.0)])
    with Journal.open(folder) as journal:
        journal.append([Alive(4.0)])
        journal.append([Alive(5.0)])
        journal.commit()
    assert read_events(folder.journal)[0] == [*first, Alive(4.0), Alive(5.0)]


def test_nothing_is_on_disk_before_commit_and_closing_drops_the_rest(folder: RunFolder) -> None:
    with Journal.create(folder) as journal:
        journal.append([Alive(1.0)])
        assert folder.journal.stat().st_size == 0
        journal.commit()
        journal.append([Alive(2.0)])
    assert read_events(folder.journal)[0] == [Alive(1.0)]


def test_a_commit_is_one_write_and_one_sync(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    write, fsync = os.write, os.fsync
    with Journal.create(folder) as journal:
        monkeypatch.setattr(os, "write", lambda fd, data: (calls.append("write"), write(fd, data))[1])
        monkeypatch.setattr(os, "fsync", lambda fd: (calls.append("fsync"), fsync(fd))[1])
        journal.append([Alive(float(t)) for t in range(20)])
        journal.commit()
        journal.commit()
    assert calls == ["write", "fsync"]


def test_creating_syncs_the_folder_and_its_parent(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (synced.append(Path(f"/proc/self/fd/{fd}").readlink()), fsync(fd))[1])
    Journal.create(folder).close()
    assert synced == [folder.root, folder.root.parent]


def test_files_and_folder_are_private_whatever_the_umask(folder: RunFolder) -> None:
    before = os.umask(0)
    try:
        written(folder, [Alive(1.0)])
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (folder.root, folder.journal, folder.lock)}
    assert modes == {"run": 0o700, "journal.log": 0o600, "journal.lock": 0o600}


def test_a_folder_that_everyone_may_write_to_is_refused(folder: RunFolder) -> None:
    written(folder, [Alive(1.0)])
    folder.root.chmod(0o777)
    with pytest.raises(RunError, match="chmod o-w"):
        Journal.open(folder)


def test_a_journal_behind_a_link_is_refused(folder: RunFolder, tmp_path: Path) -> None:
    written(folder, [Alive(1.0)])
    moved = folder.journal.rename(tmp_path / "elsewhere")
    folder.journal.symlink_to(moved)
    with pytest.raises(JournalError, match="cannot be opened"):
        Journal.open(folder)


def test_a_second_run_in_the_same_folder_is_refused(folder: RunFolder) -> None:
    events = written(folder, [Alive(1.0)])
    with pytest.raises(RunError, match="there is a run already"):
        Journal.create(folder)
    assert read_events(folder.journal)[0] == events


def test_a_run_that_never_recorded_anything_says_so(folder: RunFolder) -> None:
    Journal.create(folder).close()
    with pytest.raises(RunError, match="before anything was recorded"):
        Journal.open(folder)
    assert read_events(folder.journal) == ([], [])


def test_a_journal_of_another_format_is_refused(folder: RunFolder) -> None:
    newer = RunCreated(**{**vars(CREATED), "format": FORMAT + 1, "versions": {"flopwise": "9.9"}})
    written(folder, [newer])
    with pytest.raises(JournalError, match=r"9\.9"):
        read_events(folder.journal)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), b"bytes", {1, 2}])
def test_what_is_not_json_is_refused_whole(folder: RunFolder, value: object) -> None:
    with Journal.create(folder) as journal:
        journal.append([Alive(1.0)])
        with pytest.raises(JournalError, match="Measured"):
            journal.append([Alive(2.0), Measured("t0001.s0.a1", [{"values": {"loss": value}}])])
        journal.append([Alive(3.0)])
        journal.commit()
    assert read_events(folder.journal)[0] == [Alive(1.0), Alive(3.0)]


# Torn tails


def test_a_cut_at_every_byte_of_the_last_three_records_loses_only_the_torn_one(folder: RunFolder) -> None:
    events = written(folder, [CREATED, *(Alive(float(t)) for t in range(6))])
    data = folder.journal.read_bytes()
    starts = [*offsets(data), len(data)]
    for cut in range(starts[-4], len(data) + 1):
        folder.journal.write_bytes(data[:cut])
        whole = sum(start <= cut for start in starts[1:])
        torn = cut not in starts
        seen, notes = read_events(folder.journal)
        assert seen == events[:whole]
        assert bool(notes) == torn
        with Journal.open(folder) as journal:
            assert journal.replayed == events[:whole]
            assert len(journal.notes) == torn
            assert not torn or str(starts[whole]) in journal.notes[0]
            journal.append([Alive(99.0)])
            journal.commit()
        assert read_events(folder.journal) == ([*events[:whole], Alive(99.0)], [])


def test_random_bytes_behind_the_last_record_are_dropped(folder: RunFolder) -> None:
    events = written(folder, [CREATED, Alive(1.0)])
    data = folder.journal.read_bytes()
    draw = random.Random(0)
    for size in (1, 2, 17, 18, 19, 40, 4096, 100_000):
        folder.journal.write_bytes(data + draw.randbytes(size).replace(b"\n", b"\0"))
        with Journal.open(folder) as journal:
            assert journal.replayed == events
            assert f"{size} bytes" in journal.notes[0]
        assert folder.journal.read_bytes() == data


def test_random_bytes_with_a_line_end_are_damage_and_left_alone(folder: RunFolder) -> None:
    written(folder, [CREATED, Alive(1.0)])
    size = folder.journal.stat().st_size
    with folder.journal.open("ab") as file:
        file.write(b"gar\0bage\nmore")
    data = folder.journal.read_bytes()
    with pytest.raises(JournalDamaged, match=f"byte {size}"):
        Journal.open(folder)
    assert folder.journal.read_bytes() == data


# A full disk, a failing disk


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EFBIG, errno.EDQUOT])
@pytest.mark.parametrize("call", ["write", "fsync"])
def test_a_failing_disk_ends_the_journal_for_good(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch, code: int, call: str
) -> None:
    journal = Journal.create(folder)
    journal.append([CREATED])
    journal.commit()
    whole = folder.journal.read_bytes()
    real = getattr(os, call)

    def failing(fd: int, *data: bytes) -> int:
        monkeypatch.setattr(os, call, real)
        if data:
            real(fd, data[0][: len(data[0]) // 2])
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, call, failing)
    journal.append([Alive(1.0), Alive(2.0)])
    with pytest.raises(JournalError, match=os.strerror(code)):
        journal.commit()
    for again in (journal.commit, lambda: journal.append([Alive(3.0)])):
        with pytest.raises(JournalError, match=os.strerror(code)):
            again()
    journal.close()
    assert folder.journal.read_bytes() == whole
    with Journal.open(folder) as reopened:
        assert reopened.replayed == [CREATED]
        assert reopened.notes == []


def test_a_failing_disk_that_cannot_be_cut_back_still_loses_nothing(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal.create(folder)
    journal.append([CREATED])
    journal.commit()
    real = os.write

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "full")

    def half(fd: int, data: bytes) -> int:
        if len(data) > 30:
            return real(fd, data[:30])
        return full()

    monkeypatch.setattr(os, "write", half)
    monkeypatch.setattr(os, "ftruncate", full)
    journal.append([Alive(1.0)])
    with pytest.raises(JournalError, match="could not be cut back"):
        journal.commit()
    journal.close()
    monkeypatch.undo()
    with Journal.open(folder) as reopened:
        assert reopened.replayed == [CREATED]
        assert len(reopened.notes) == 1


def test_a_signal_handler_that_raises_inside_a_commit_ends_the_journal(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal.create(folder)
    journal.append([CREATED])
    real = os.fsync

    def interrupted(fd: int) -> None:
        monkeypatch.setattr(os, "fsync", real)
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        journal.commit()
    with pytest.raises(JournalError, match="KeyboardInterrupt"):
        journal.commit()
    assert folder.journal.stat().st_size == 0


def test_a_deleted_journal_is_noticed_at_the_next_commit(folder: RunFolder) -> None:
    journal = Journal.create(folder)
    journal.append([CREATED])
    folder.journal.unlink()
    with pytest.raises(JournalError, match="deleted"):
        journal.commit()


def test_foreign_bytes_are_noticed_at_the_next_commit(folder: RunFolder) -> None:
    journal = Journal.create(folder)
    journal.append([CREATED])
    journal.commit()
    with folder.journal.open("ab") as file:
        file.write(b"x")
    journal.append([Alive(1.0)])
    with pytest.raises(JournalError, match="something else wrote"):
        journal.commit()


def test_a_closed_journal_takes_nothing(folder: RunFolder) -> None:
    journal = Journal.create(folder)
    journal.close()
    journal.close()
    with pytest.raises(JournalError, match="closed"):
        journal.append([Alive(1.0)])


LIMITED = """
import resource, sys
from pathlib import Path
from flopwise.errors import JournalError
from flopwise.events import Alive
from flopwise.journal.log import Journal
from flopwise.paths import RunFolder

class Limit:  # the file may grow to exactly where the k-th commit runs out of room
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    def set(self, size):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, self.hard))

limit = Limit()
for k in range(1, 51):
    folder = RunFolder(Path(sys.argv[1]) / f"run{k}")
    journal = Journal.create(folder)
    acknowledged = []
    failed_at = None
    for number in range(60):
        if number == k:
            limit.set(folder.journal.stat().st_size + k % 45)
        try:
            journal.append([Alive(float(number))])
            journal.commit()
            acknowledged.append(float(number))
        except JournalError as error:
            failed_at = number
            assert "File too large" in str(error), error
            break
    limit.set(resource.RLIM_INFINITY)
    journal.close()
    assert failed_at == k, (failed_at, k)
    with Journal.open(folder) as again:
        assert [event.t for event in again.replayed] == acknowledged, (k, again.replayed)
        again.append([Alive(1000.0)])
        again.commit()
    with Journal.open(folder) as again:
        assert again.replayed[-1].t == 1000.0
        assert again.notes == []
print("50 limits")
"""


def test_a_file_size_limit_at_every_write_loses_nothing_acknowledged(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout == "50 limits\n", done.stderr


WRITER = """
import sys
from pathlib import Path
from flopwise.events import Alive
from flopwise.journal.log import Journal
from flopwise.paths import RunFolder

folder = RunFolder(Path(sys.argv[1]))
journal = Journal.open(folder) if folder.journal.exists() else Journal.create(folder)
first = len(journal.replayed)
for number in range(first, first + 10**6, 3):
    journal.append([Alive(float(n)) for n in range(number, number + 3)])
    journal.commit()
    print(number + 3, flush=True)
"""


def test_kill_9_in_the_middle_of_commits_loses_nothing_acknowledged(folder: RunFolder) -> None:
    draw = random.Random(1)
    acknowledged = 0
    for _ in range(8):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(folder.root)], stdout=subprocess.PIPE, text=True
        ) as writer:
            assert writer.stdout is not None
            for _ in range(draw.randint(1, 60)):
                acknowledged = int(writer.stdout.readline())
            writer.send_signal(signal.SIGKILL)
            acknowledged = max([acknowledged, *(int(line) for line in writer.stdout if line.endswith("\n"))])
        events, _ = read_events(folder.journal)
        assert len(events) >= acknowledged
        assert events == [Alive(float(number)) for number in range(len(events))]


def test_readers_see_a_growing_prefix_while_a_writer_writes(folder: RunFolder) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder.root)], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        counts = []
        for _ in range(30):
            events, _ = read_events(folder.journal)
            assert events == [Alive(float(number)) for number in range(len(events))]
            counts.append(len(events))
            writer.stdout.readline()
        writer.kill()
    assert counts == sorted(counts)
    assert counts[-1] > counts[0]
