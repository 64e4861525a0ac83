"""Kill -9 of the coordinator, ten times in one run: proposals and losses end up the same to the last bit."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from flopwise.engine.verify import verify
from flopwise.errors import FlopwiseError
from flopwise.events import AttemptEnded, AttemptStarted, Event, SessionLost, TrialProposed
from flopwise.journal.log import read_events
from flopwise.journal.replay import RunState
from flopwise.paths import RunFolder, shipped_studies

KILLS = 10
DURING_ATTEMPT = 7


def events_of(journal: Path) -> list[Event]:
    try:
        return read_events(journal)[0] if journal.exists() else []
    except FlopwiseError:
        return []


def proposals(events: list[Event]) -> list[Any]:
    found = [e for e in events if isinstance(e, TrialProposed)]
    return [(e.number, e.phase, e.config, e.point, e.seeds, e.of, e.stop) for e in found]


def losses(events: list[Event]) -> dict[int, list[Any]]:
    state = RunState(events)
    return {number: [end and end.metrics for end in trial.finals()] for number, trial in state.trials.items()}


def start(study: Path, folder: Path, runs: Path) -> subprocess.Popen[bytes]:
    verb = ["resume", folder.name] if events_of(folder / "journal.log") else ["run", str(study), "--yes"]
    log = (runs.parent / "out.txt").open("ab")
    return subprocess.Popen(
        [sys.executable, "-m", "flopwise.cli", *verb, "--runs", str(runs), "--quiet"],
        stdout=log,
        stderr=log,
        stdin=subprocess.DEVNULL,
    )


def finish(study: Path, folder: Path, runs: Path) -> list[Event]:
    assert start(study, folder, runs).wait(timeout=900) == 0, (runs.parent / "out.txt").read_text()
    return events_of(folder / "journal.log")


def finished(events: list[Event]) -> int:
    return sum(isinstance(e, AttemptEnded) and not e.interrupted for e in events)


def wait_for(journal: Path, process: subprocess.Popen[bytes], ended: int, *, running: bool) -> None:
    """Until so many attempts have finished, and one is running if asked for (or the run is over)."""
    while process.poll() is None:
        events = events_of(journal)
        if finished(events) >= ended and (in_flight(events) or not running):
            return
        time.sleep(0.02)


def in_flight(events: list[Event]) -> int:
    started = {e.attempt for e in events if isinstance(e, AttemptStarted)}
    return len(started - {e.attempt for e in events if isinstance(e, AttemptEnded)})


def kill_ten_times(study: Path, name: str, tmp_path: Path) -> None:
    calm, rough = tmp_path / "calm", tmp_path / "rough"
    undisturbed = finish(study, calm / name, calm)
    attempts = finished(undisturbed)
    evaluation_s = min(e.device_s for e in undisturbed if isinstance(e, AttemptEnded))
    dice = random.Random(1)
    during = 0
    # Uniform over the run: one kill in each tenth of its attempts, two of them while it starts up.
    for kill in range(KILLS):
        process = start(study, rough / name, rough)
        wait_for(rough / name / "journal.log", process, attempts * kill // KILLS, running=kill % 5 > 0)
        time.sleep(dice.uniform(0, 0.9 * evaluation_s))
        process.send_signal(signal.SIGKILL)
        process.wait()
        during += in_flight(events_of(rough / name / "journal.log")) > 0
    disturbed = finish(study, rough / name, rough)
    assert during >= DURING_ATTEMPT
    assert "keeper" in {e.source for e in disturbed if isinstance(e, SessionLost)}
    assert proposals(disturbed) == proposals(undisturbed)
    assert losses(disturbed) == losses(undisturbed)
    assert verify(RunFolder(rough / name)) == []
    assert verify(RunFolder(calm / name)) == []


@pytest.mark.slow
def test_ten_kills_of_a_small_study(toy: Path, tmp_path: Path) -> None:
    toy.write_text(toy.read_text().replace("steps: 20", "steps: 100"))
    kill_ten_times(toy, "toy", tmp_path)


@pytest.mark.slow
def test_ten_kills_of_the_quickstart(tmp_path: Path) -> None:
    kill_ten_times(shipped_studies() / "quickstart.yaml", "quickstart", tmp_path)


def test_nothing_survives_the_coordinator(toy: Path, tmp_path: Path, flopwise: Any) -> None:
    runs = tmp_path / "runs"
    process = start(toy, runs / "toy", runs)
    wait_for(runs / "toy" / "journal.log", process, 1, running=True)
    process.send_signal(signal.SIGKILL)
    process.wait()
    run_id = RunState(events_of(runs / "toy" / "journal.log")).created
    assert run_id is not None
    deadline = time.monotonic() + 10
    while marked(run_id.run_id):
        assert time.monotonic() < deadline, marked(run_id.run_id)
        time.sleep(0.05)
    assert "flopwise resume toy" in flopwise("status", "toy").stdout


def marked(run_id: str) -> list[int]:
    """Live processes that carry the run's marker in their environment."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            other = entry.name.isdigit() and int(entry.name) != os.getpid()
            if other and run_id.encode() in (entry / "environ").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found
