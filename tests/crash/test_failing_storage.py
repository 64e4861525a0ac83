"""Faults 23 and 24: full and failing disks, and folders that go away: a loud stop, and a run that can go on."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from flopwise.engine.verify import verify
from flopwise.events import Event, RunCreated
from flopwise.journal.log import read_events
from flopwise.paths import RunFolder

INLINE: dict[str, Any] = {
    "execution": {"executor": "inline", "slots": 1},
    "tiers": {"only": {"population": 2, "generations": 1}},
    "confirm": {"top": 1, "seeds": 2},
}


def points(study: Any, *operations: str) -> list[int]:
    """Points of an undisturbed run, of some operations only."""
    file = study.root / "points.txt"
    assert study.run(points=str(file)) == 0, study.output
    names = file.read_text().splitlines()
    return [at for at, name in enumerate(names, start=1) if name.startswith(operations)]


def told_is_written(study: Any) -> None:
    """What the user was told of is on disk, whatever failed afterwards."""
    assert study.told <= len(study.events)


@pytest.mark.fault("F23", suite=8, long=10_000)
def test_a_disk_that_is_full_from_some_write_on(rounds: Any, valley: Any, calm: Any) -> None:
    """With room again the run goes on without repair, to the same end."""
    undisturbed = calm(**INLINE)
    chosen = points(valley(**INLINE), "write", "mkdir", "open")

    def check(at: int) -> None:
        study = valley(**INLINE)
        met = study.root / "met.txt"
        status = study.run(point=["full", at], points=str(met))
        if len(met.read_text().splitlines()) < at:
            # On a slow machine a run waits more often, or less: this one was over before its disk was full.
            return study.check_same_as(undisturbed)
        assert status not in (0, 130), study.output
        assert "No space left on device" in study.output or "No usable temporary directory" in study.output
        told_is_written(study)
        return study.settle(undisturbed)

    rounds.each(check, chosen)


@pytest.mark.fault("F24", suite=8, long=10_000)
def test_one_operation_that_fails(rounds: Any, valley: Any, calm: Any) -> None:
    """It is a loud stop, a summary less, or a failed attempt that says so; nothing is shown that was not synced."""
    undisturbed = calm(**INLINE)
    chosen = points(valley(**INLINE), "write", "fsync", "rename", "replace", "mkdir", "open", "flock")

    def check(at: int) -> None:
        study = valley(**INLINE)
        status = study.run(point=["eio", at])
        told_is_written(study)
        if status:
            assert "Input/output error" in study.output
        failed = [end for end in study.ends if end.outcome != "ok"]
        if status and not failed:
            return study.settle(undisturbed)
        assert all("Input/output error" in end.cause for end in failed), failed
        assert verify(study.folder) == []
        return None if failed else study.check_same_as(undisturbed)

    rounds.each(check, chosen)


def events_in(root: Path) -> list[Event]:
    return read_events(RunFolder(root).journal)[0]


@pytest.mark.fault("F24", suite=2, long=20)
def test_a_run_folder_that_is_renamed_or_deleted_while_it_works(rounds: Any, valley: Any, calm: Any) -> None:
    """The study stops and says so. What was moved away is whole, and goes on where it is put back."""
    changes = {"base": {"pace_s": 0.02}, "execution": {"slots": 1}}
    undisturbed = calm(**changes)

    def check(number: int) -> None:
        study = valley(**changes)
        study.start()
        study.until_running(1)
        home, away = study.folder.root, study.root / "away"
        run_id = next(event.run_id for event in study.events if isinstance(event, RunCreated))
        if number % 2:
            shutil.rmtree(home, ignore_errors=True)
        else:
            home.rename(away)
        assert study.wait() == 4, study.output
        assert "No such file or directory" in study.output or "deleted" in study.output
        assert "Traceback" not in study.output, study.output
        study.until_gone(run_id)
        if number % 2 == 0:
            assert study.told <= len(events_in(away))
            shutil.rmtree(home, ignore_errors=True)
            away.rename(home)
            study.settle(undisturbed)
            assert verify(study.folder) == []

    rounds.each(check)
