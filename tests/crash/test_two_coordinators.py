"""Fault 7: one coordinator a run. A second is told whom to ask; what a dead one left behind holds nobody up."""

from __future__ import annotations

import json
import os
import signal
import socket
from pathlib import Path
from typing import Any

import pytest

from flopwise.journal import lock
from flopwise.journal.lock import WriterLock, holder

STALE: dict[str, dict[str, Any]] = {
    "a dead process": {"pid": 2**22 - 1},
    "a process whose number is used again": {"pid": 1, "start_ticks": 0},
    "ourselves in an earlier life": {"pid": os.getpid(), "start_ticks": 1},
    "another host": {"host": "elsewhere", "pid": 1},
    "before a reboot": {"started": "1999-12-31T23:59:59+00:00", "start_ticks": 10**15},
}


@pytest.mark.fault("F7", suite=1, long=20)
def test_a_second_coordinator_starts_nothing_and_names_the_first(rounds: Any, valley: Any, call_flopwise: Any) -> None:
    def check(_: int) -> None:
        study = valley(base={"do": "stop_when_asked"}, execution={"grace": "0s"})
        study.start()
        study.until_running(1)
        study.until(lambda: set(study.started) == set(study.ran), "all that was started")
        before = (study.ran, study.started)
        found = holder(study.folder.lock)
        refused = call_flopwise(study.root, "resume", "valley")
        assert refused.returncode == 2
        assert found is not None and found.pid == study.pid
        assert f"process {study.pid} on {socket.gethostname()} since {found.started}" in refused.stderr
        assert (study.ran, study.started) == before
        assert [path.name for path in (study.root / "runs").iterdir() if path.name != ".cache"] == ["valley"]
        study.kill(signal.SIGTERM)
        assert study.wait() == 130

    rounds.each(check)


@pytest.mark.fault("F7", suite=2, long=20)
def test_a_stale_lock_is_taken_at_once(rounds: Any, valley: Any, calm: Any) -> None:
    """The kernel dropped the dead owner's lock; whatever its note says, nobody waits for it."""
    base = {"pace_s": 0.01}
    undisturbed = calm(base=base)

    def check(number: int) -> None:
        study = valley(base=base)
        study.start()
        study.until_running(1)
        study.kill()
        study.wait()
        note = json.loads(study.folder.lock.read_text())
        study.folder.lock.write_text(json.dumps({**note, **list(STALE.values())[number % len(STALE)]}))
        assert holder(study.folder.lock) is None
        study.settle(undisturbed)

    rounds.each(check)


@pytest.mark.parametrize("note", STALE.values(), ids=STALE)
def test_no_note_of_a_dead_one_holds_anybody_up(
    note: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal.lock"
    WriterLock(path).release()
    path.write_text(json.dumps({"pid": 1, "host": socket.gethostname(), "started": "", "start_ticks": None, **note}))
    monkeypatch.setattr(lock, "PATIENCE_S", -1.0)
    WriterLock(path).release()
    assert path.read_text() == ""
