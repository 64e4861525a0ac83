"""Commands in whole studies: interrupted, killed, moved, and tried again."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flopwise.events import AttemptEnded
from flopwise.journal.log import read_events

STUDY = """\
name: waits
workload: command
base:
  argv: [bash, train.sh, "{x}"]
  params: {x: 0.5}
  depends_on: [train.sh]
space: {params.x: {type: float, low: 0.0, high: 1.0}}
objective: {metric: loss}
tiers: {small: {trials: 2}}
calibration: {seeds: 2}
confirm: {top: 1, seeds: 2}
execution: {slots: 2, grace: 3s}
"""
TRAIN = """\
echo '{"step": 1, "loss": 9}' >&"$FLOPWISE_FD"
if [ -e hold ]; then
  trap 'echo term > "$FLOPWISE_FOLDER/told"; exit 1' TERM
  setsid sleep 1000 &
  echo $! $$ > "$FLOPWISE_FOLDER/pids.part"; mv "$FLOPWISE_FOLDER/pids.part" "$FLOPWISE_FOLDER/pids"
  wait
fi
echo "{\\"loss\\": $1}" > "$FLOPWISE_RESULT"
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "study.yaml").write_text(STUDY)
    (tmp_path / "train.sh").write_text(TRAIN)
    return tmp_path


def start(folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "flopwise.cli", "run", "study.yaml", "--quiet"],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def soon(condition: Callable[[], Any]) -> Any:
    """What becomes true in a while that is long for a busy machine."""
    until = time.monotonic() + 40
    while not condition() and time.monotonic() < until:
        time.sleep(0.02)
    return condition()


def waiting(folder: Path) -> list[int]:
    """Processes of attempts that wait, theirs and their detached children's; empty until two attempts do."""
    found = [path.read_text().split() for path in folder.glob("runs/waits/attempts/*/pids")]
    return [int(pid) for pids in found for pid in pids] if len(found) == 2 else []


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def ended(folder: Path) -> list[AttemptEnded]:
    events, _ = read_events(folder / "runs" / "waits" / "journal.log")
    return [event for event in events if isinstance(event, AttemptEnded)]


def test_a_killed_study_leaves_no_process_and_goes_on_from_any_folder(place: Path, call_flopwise: Any) -> None:
    (place / "hold").touch()
    coordinator = start(place)
    pids = soon(lambda: waiting(place))
    assert len(pids) == 4 and all(alive(pid) for pid in pids)
    coordinator.kill()
    coordinator.wait()
    assert soon(lambda: not any(alive(pid) for pid in pids))
    (place / "hold").unlink()
    elsewhere = place / "elsewhere"
    elsewhere.mkdir()
    (place / "train.sh").write_text(TRAIN + "# changed\n")
    refused = call_flopwise(elsewhere, "resume", str(place / "runs" / "waits"))
    assert refused.returncode == 2 and "train.sh sha256" in refused.stderr
    (place / "train.sh").write_text(TRAIN)
    done = call_flopwise(elsewhere, "resume", str(place / "runs" / "waits"))
    assert done.returncode == 0, done.stderr
    checked = call_flopwise(place, "verify", "waits")
    assert (checked.returncode, checked.stderr) == (0, "")
    report = json.loads((place / "runs" / "waits" / "report.json").read_text())
    assert all(t["values"] == [t["config"]["params.x"]] for t in report["trials"] if t["phase"] == "search")


def test_an_interrupted_study_asks_its_programs_to_end(place: Path) -> None:
    (place / "hold").touch()
    coordinator = start(place)
    pids = soon(lambda: waiting(place))
    assert len(pids) == 4
    coordinator.send_signal(signal.SIGTERM)
    assert coordinator.wait(60) != 0
    assert not any(alive(pid) for pid in pids)
    told = list(place.glob("runs/waits/attempts/*/told"))
    assert len(told) == 2
    assert [(event.outcome, event.interrupted) for event in ended(place)] == [("killed", True)] * 2


def test_a_program_that_was_killed_is_tried_again_and_one_that_fails_is_not(place: Path, call_flopwise: Any) -> None:
    (place / "train.sh").write_text("""\
mkdir "tried-$FLOPWISE_SEED" 2>/dev/null && kill -KILL $$
case $1 in 0.5) ;; *) echo 'ValueError: only the baseline works' >&2; exit 3;; esac
echo "{\\"loss\\": $1}" > "$FLOPWISE_RESULT"
""")
    call_flopwise(place, "run", "study.yaml", "--quiet")
    attempts = {event.attempt: event for event in ended(place)}
    first, second = attempts["t0000.s0.a1"], attempts["t0000.s0.a2"]
    assert first.outcome == "killed" and "SIGKILL" in first.cause and not first.interrupted
    assert (second.outcome, second.metrics) == ("ok", {"loss": 0.5})
    failed = [event for name, event in attempts.items() if name.startswith("t0001.") and event.outcome == "error"]
    assert len(failed) == 1
    assert failed[0].cause == "the program exited with status 3: ValueError: only the baseline works"
    assert failed[0].tail == "ValueError: only the baseline works\n"


def test_a_command_runs_in_the_coordinators_own_process_too(place: Path, call_flopwise: Any) -> None:
    (place / "study.yaml").write_text(STUDY.replace("slots: 2", "executor: inline"))
    done = call_flopwise(place, "run", "study.yaml", "--quiet")
    assert done.returncode == 0, done.stderr
    summary = json.loads((place / "runs/waits/attempts/t0001.s0.a1/summary.json").read_text())
    assert summary["metrics"]["loss"] == summary["config"]["params"]["x"]
    assert [row["values"] for row in summary["curve"]] == [{"loss": 9}]


def test_a_program_that_is_not_there_is_missed_before_anything_is_spent(place: Path, call_flopwise: Any) -> None:
    (place / "study.yaml").write_text(STUDY.replace("bash, train.sh", "no-such-program"))
    done = call_flopwise(place, "run", "study.yaml", "--quiet")
    assert done.returncode == 2
    assert "no program 'no-such-program'" in done.stderr and "study.yaml: base.argv.0" in done.stderr
    assert not (place / "runs" / "waits").exists()
