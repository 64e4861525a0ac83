"""``threads: auto`` in real runs: measured once, used by everything after, and survived by a kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from flopwise.budget.packing import Pair, candidates
from flopwise.events import AttemptStarted, PackingChosen, PackingMeasured, PackingStarted, SessionOpened
from flopwise.executors.topology import usable_cores
from flopwise.journal.log import read_events

PAIRS = candidates(len(usable_cores()), None, most=4)


def packed(plain_text: str) -> str:
    return plain_text.replace("slots: 2", "slots: auto, threads: auto")


@pytest.fixture
def study(tmp_path: Path, plain_text: str) -> Path:
    path = tmp_path / "packed.yaml"
    path.write_text(packed(plain_text))
    return path


def events(tmp_path: Path) -> list[Any]:
    return read_events(tmp_path / "runs" / "toy" / "journal.log")[0]


def test_planned_once_and_used_by_the_search(tmp_path: Path, study: Path, flopwise: Any) -> None:
    planned = flopwise("plan", str(study))
    assert planned.returncode == 0, planned.stderr
    assert "slots × threads" in planned.stdout and " is taken: " in planned.stdout
    before = [event for event in events(tmp_path) if isinstance(event, PackingMeasured)]
    again = flopwise("plan", str(study))
    assert "slots × threads" in again.stdout
    done = flopwise("run", str(study), "--yes")
    assert done.returncode == 0, done.stderr
    found = events(tmp_path)
    assert [event for event in found if isinstance(event, PackingMeasured)] == before
    choice = next(event for event in found if isinstance(event, PackingChosen))
    assert Pair(choice.slots, choice.threads) in PAIRS
    sessions = {event.session: event for event in found if isinstance(event, SessionOpened)}
    used = {event.session for event in found if isinstance(event, AttemptStarted)}
    for number in used:
        assert len(sessions[number].slots) == choice.slots
        assert all(len(slot["cores"]) == slot["threads"] == choice.threads for slot in sessions[number].slots)
    verified = flopwise("verify", "toy")
    assert verified.returncode == 0, verified.stdout
    report = json.loads((tmp_path / "runs" / "toy" / "report.json").read_text())
    assert report["packing"]["slots"] == choice.slots
    assert report["spend"]["by_phase"]["packing"]["device_s"] == pytest.approx(sum(m.device_s for m in before))


def test_killed_while_measuring_it_goes_on_with_what_is_missing(tmp_path: Path, plain_text: str, flopwise: Any) -> None:
    """Money is counted once: what the kill cut off, and its second measurement."""
    path = tmp_path / "packed.yaml"
    path.write_text(packed(plain_text).replace("steps: 20}, timeout: 60s", "steps: 300}, timeout: 10m"))
    command = [sys.executable, "-m", "flopwise.cli", "plan", str(path)]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list((tmp_path / "runs").glob("toy/attempts/packing.1.1.*/stdout")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    planned = flopwise("plan", str(path))
    assert planned.returncode == 0, planned.stderr
    found = events(tmp_path)
    started = [event for event in found if isinstance(event, PackingStarted)]
    measured = [event for event in found if isinstance(event, PackingMeasured)]
    assert len(started) == len(measured) == len(PAIRS) + 1
    cut_off, again = measured[:2]
    assert (cut_off.slots, cut_off.threads) == (again.slots, again.threads)
    assert cut_off.cause and not again.cause
    report = json.loads((tmp_path / "runs" / "toy" / "report.json").read_text())
    assert report["spend"]["by_phase"]["packing"]["device_s"] == pytest.approx(sum(m.device_s for m in measured))
    assert cut_off.device_s > 0
    verified = flopwise("verify", "toy")
    assert verified.returncode == 0, verified.stdout


def test_a_study_timed_in_seconds_has_the_machine_for_one_evaluation_at_a_time(
    tmp_path: Path, plain_text: str, flopwise: Any
) -> None:
    path = tmp_path / "timed.yaml"
    path.write_text(packed(plain_text).replace("{steps: 20}", "{seconds: 0.2}"))
    planned = flopwise("plan", str(path))
    assert planned.returncode == 0, planned.stderr
    assert "so that none takes anything from another" in " ".join(planned.stdout.split())
    found = events(tmp_path)
    choice = next(event for event in found if isinstance(event, PackingChosen))
    assert (choice.slots, choice.threads) == (1, len(usable_cores()))
    assert not any(isinstance(event, PackingStarted) for event in found)
    verified = flopwise("verify", "toy")
    assert verified.returncode == 0, verified.stdout


@pytest.mark.parametrize(("given", "said"), [("many", "or auto, got 'many'"), ("0", "at least 1, or auto, got 0")])
def test_other_words_than_auto_are_refused(
    tmp_path: Path, plain_text: str, flopwise: Any, given: str, said: str
) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(plain_text.replace("slots: 2", f"threads: {given}"))
    checked = flopwise("check", str(path))
    assert checked.returncode == 2
    assert said in checked.stdout + checked.stderr


def test_an_executor_that_pins_nothing_cannot_measure(tmp_path: Path, plain_text: str, flopwise: Any) -> None:
    path = tmp_path / "inline.yaml"
    path.write_text(packed(plain_text).replace("threads: auto", "threads: auto, executor: inline"))
    checked = flopwise("check", str(path))
    assert checked.returncode == 2
    assert "the executor inline pins none" in checked.stdout + checked.stderr
