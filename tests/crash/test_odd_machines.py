"""Faults 29 and 33: a wall clock that jumps; machines without descriptors, processes, or places to write."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

import flopwise
from flopwise.engine.verify import verify
from flopwise.events import SessionOpened

SOURCE = Path(flopwise.__file__).parent
COORDINATORS = Path(__file__).parent / "coordinators"
DAY_S = 86_400.0
JUMPS_S = (DAY_S, -DAY_S, 3600.0, -3600.0, 300.0, -1.0)
ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC")


@pytest.mark.fault("F29", suite=2, long=20)
def test_a_wall_clock_that_jumps_changes_nothing(rounds: Any, valley: Any, calm: Any) -> None:
    """A day forward, a day back, an hour as daylight saving time has it, between two sessions and within one."""
    base = {"pace_s": 0.005}
    undisturbed = calm(base=base)

    def check(number: int) -> None:
        study = valley(base=base, evaluation={"timeout": "30s"})
        order = {"clock": JUMPS_S[number % 6], "environment": {"TZ": ZONES[number % 4]}}
        study.start(**order)
        study.until_running(3)
        study.kill()
        study.wait()
        assert study.run(clock=JUMPS_S[(number + 1) % 6]) == 0, study.output
        study.check_same_as(undisturbed)
        walls = [event.wall for event in study.events if isinstance(event, SessionOpened)]
        assert len(set(walls)) == 2 or walls[0][:4] == "2023", "the clock of the test was used"

    rounds.each(check)


WALL = {("time", "time"), ("time", "time_ns"), ("datetime", "now"), ("datetime", "utcnow"), ("datetime", "today")}


def wall_readings(path: Path) -> list[int]:
    """Lines that ask what time it is on the wall."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name | ast.Attribute):
            owner = node.value.id if isinstance(node.value, ast.Name) else node.value.attr
            if (owner, node.attr) in WALL:
                found.append(node.lineno)
    return found


TOLD_TO_PEOPLE = {"clock.py", "journal/lock.py", "executors/leases.py"}
"""Where a date is written down for people; nothing is computed from it."""


def test_nothing_else_reads_the_wall_clock() -> None:
    readers = {str(path.relative_to(SOURCE)) for path in SOURCE.rglob("*.py") if wall_readings(path)}
    assert readers <= TOLD_TO_PEOPLE
    assert "clock.py" in readers


@pytest.mark.fault("F33", suite=3, long=60)
def test_too_few_descriptors(rounds: Any, valley: Any, calm: Any) -> None:
    """From hardly any to nearly enough: it says so and goes on later, or it does not matter."""
    undisturbed = calm()

    def check(number: int) -> None:
        study = valley()
        status = study.run(limits={"RLIMIT_NOFILE": 4 + number * 11 % 24})
        if status:
            assert "Too many open files" in study.output or "descriptor" in study.output, study.output
            assert study.told <= len(study.events)
            study.settle(undisturbed)
        study.check_same_as(undisturbed)

    rounds.each(check)


@pytest.mark.fault("F33", suite=1, long=20)
def test_no_process_to_be_had_is_an_attempt_that_comes_again(rounds: Any, valley: Any, calm: Any) -> None:
    undisturbed = calm()

    def check(_: int) -> None:
        study = valley(execution={"retries": 5})
        assert study.run(environment={"PYTHONPATH": str(COORDINATORS / "no_fork")}) == 0, study.output
        study.check_same_as(undisturbed)
        lost = [end for end in study.ends if end.outcome == "killed"]
        assert len(lost) >= 2
        assert all("could not be started" in end.cause and "temporarily unavailable" in end.cause for end in lost)

    rounds.each(check)


NOWHERE = {
    "no home and no place for temporary files": dict.fromkeys(
        ("HOME", "TMPDIR", "TEMP", "TMP", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"), "/dev/null/nowhere"
    ),
    "a home that is not a folder": {"HOME": "/dev/null"},
    "no user": {"HOME": "", "USER": "", "LOGNAME": "", "SHELL": "", "LANG": "C", "LC_ALL": "POSIX"},
}


@pytest.mark.fault("F33", suite=3, long=20)
def test_no_place_to_write_but_the_run_folder(rounds: Any, valley: Any, calm: Any) -> None:
    undisturbed = calm()

    def check(number: int) -> None:
        study = valley()
        assert study.run(environment=list(NOWHERE.values())[number % len(NOWHERE)]) == 0, study.output
        study.check_same_as(undisturbed)
        assert verify(study.folder) == []

    rounds.each(check)


SHARED_MEMORY = {"multiprocessing", "concurrent", "mmap"}


def test_no_shared_memory_is_needed() -> None:
    """Coordinator, keeper and worker use none of the modules that need /dev/shm; workloads may."""
    free = ("workloads", "training")
    rooms = [path for path in SOURCE.rglob("*.py") if path.relative_to(SOURCE).parts[0] not in free]
    users = {
        str(path.relative_to(SOURCE))
        for path in rooms
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""])
        if name.split(".")[0] in SHARED_MEMORY
    }
    assert len(rooms) > 50
    assert users == set()
