"""Kill -9 of an attempt or of the keeper in the middle of a run: the run goes on and ends as if nothing was."""

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

from flopwise.engine.verify import verify
from flopwise.events import AttemptEnded, TrialProposed
from flopwise.journal.log import read_events
from flopwise.journal.replay import RunState
from flopwise.paths import RunFolder


def start(plain: Path) -> tuple[subprocess.Popen[str], RunFolder]:
    plain.write_text(plain.read_text().replace("steps: 20", "steps: 60"))
    process = subprocess.Popen(
        [sys.executable, "-m", "flopwise.cli", "run", str(plain), "--quiet"],
        cwd=plain.parent,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return process, RunFolder(plain.parent / "runs" / "toy")


def wait_for_stamp(folder: RunFolder, event: str, beginning: str) -> int:
    """Process id in the newest stamp of an event whose attempt begins so."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        lines = folder.stamps.read_text().splitlines() if folder.stamps.exists() else []
        stamps: list[dict[str, Any]] = [json.loads(line) for line in lines if line.endswith("}")]
        found = [s["pid"] for s in stamps if s["event"] == event and s.get("attempt", "").startswith(beginning)]
        if found and any(s.get("attempt", "").startswith(beginning) for s in stamps):
            return int(found[-1])
        time.sleep(0.01)
    raise AssertionError(f"no {event} of {beginning} in {folder.stamps}")


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory, plain_text: str) -> RunState:
    """The undisturbed run."""
    plain = tmp_path_factory.mktemp("calm") / "toy.yaml"
    plain.write_text(plain_text)
    process, folder = start(plain)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    return RunState(read_events(folder.journal)[0])


def same_as(calm: RunState, folder: RunFolder) -> list[AttemptEnded]:
    """Check that a disturbed run proposed and measured the same; return its extra attempts."""
    events, _ = read_events(folder.journal)
    state = RunState(events)
    assert [t.trial for t in state.trials.values()] == [t.trial for t in calm.trials.values()]
    assert [t.losses(state.objective) for t in state.trials.values()] == [
        t.losses(calm.objective) for t in calm.trials.values()
    ]
    assert sum(isinstance(e, TrialProposed) for e in events) == len(calm.trials)
    assert verify(folder) == []
    return [e for e in events if isinstance(e, AttemptEnded) and e.outcome != "ok"]


def test_a_killed_attempt_is_charged_and_tried_again(plain: Path, calm: RunState) -> None:
    process, folder = start(plain)
    os.kill(wait_for_stamp(folder, "start", "t0002.s0.a1"), signal.SIGKILL)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    (lost,) = same_as(calm, folder)
    assert (lost.attempt, lost.outcome, lost.interrupted) == ("t0002.s0.a1", "killed", False)
    assert "SIGKILL" in lost.cause and lost.device_s > 0


def test_a_killed_keeper_is_replaced(plain: Path, calm: RunState) -> None:
    process, folder = start(plain)
    wait_for_stamp(folder, "start", "t0002.s0.a1")
    keeper = next(json.loads(line)["pid"] for line in folder.stamps.read_text().splitlines())
    os.kill(keeper, signal.SIGKILL)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    lost = same_as(calm, folder)
    assert lost and all(e.interrupted and "keeper" in e.cause for e in lost)
