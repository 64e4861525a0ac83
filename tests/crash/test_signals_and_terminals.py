"""Faults 4 and 5: signals once and twice, a terminal that closes, a pipe that nobody reads any more."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from flopwise.engine.verify import verify
from flopwise.events import SessionClosed
from flopwise.executors.sweep import marked
from flopwise.journal.log import read_events
from flopwise.journal.replay import RunState
from flopwise.paths import RunFolder

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
GRACE_S = 0.3
"""What the study gives its attempts after a signal."""
KILL_S = 5.0
"""Between SIGTERM and SIGKILL for an attempt that goes on nevertheless."""

SCRIPT = 'sleep 0.05\necho "{\\"loss\\": $(echo "$1" | cut -c1-4)}" > "$2"\n'
STUDY = """\
name: shell
workload: command
base:
  argv: [sh, measure.sh, "{x}", "{result_file}"]
  params: {x: 5.0}
space:
  params.x: {type: float, low: 1.0, high: 9.0}
objective: {metric: loss, direction: minimize}
search: {method: random, seed: 1}
tiers: {only: {trials: 6}}
calibration: {seeds: 2}
confirm: {top: 1, seeds: 2}
execution: {slots: 1}
"""


def ended_in_order(study: Any) -> None:
    """Every attempt ended, the session is closed and says why, and the run can go on."""
    events = study.events
    assert isinstance(events[-1], SessionClosed) and events[-1].reason == "interrupted"
    assert {end.attempt for end in study.ends} == set(study.started)
    assert study.check_after_death(0)
    assert verify(study.folder) == []


@pytest.mark.fault("F4", suite=3, long=60)
def test_one_signal_gives_attempts_their_grace_and_a_way_on(rounds: Any, valley: Any, calm: Any) -> None:
    changes = {"base": {"do": "stop_when_asked"}, "execution": {"grace": f"{GRACE_S}s"}}
    undisturbed = calm(**changes)

    def check(number: int) -> None:
        study = valley(**changes)
        study.start()
        study.until_running(1)
        study.kill(SIGNALS[number % 3])
        assert study.wait() == 130, study.output
        ended_in_order(study)
        assert "nothing new is started" in study.output
        study.settle(undisturbed)

    rounds.each(check)


@pytest.mark.fault("F4", suite=3, long=60)
def test_a_second_signal_ends_everything_at_once(rounds: Any, valley: Any, calm: Any) -> None:
    changes = {"base": {"do": "stay_deaf"}, "execution": {"grace": "10m"}}
    undisturbed = calm(**changes)

    def check(number: int) -> None:
        study = valley(**changes)
        study.start()
        study.until_running(1)
        study.kill(SIGNALS[number % 3])
        study.until(lambda: "nothing new is started" in study.output, "the first signal")
        study.kill(SIGNALS[(number + 1) % 3])
        assert study.wait() == 130, study.output
        ended_in_order(study)
        study.settle(undisturbed)

    rounds.each(check)


@pytest.mark.fault("F4", suite=0, long=20)
def test_the_deaf_are_killed_when_the_grace_is_over(rounds: Any, valley: Any, calm: Any) -> None:
    changes = {"base": {"do": "stay_deaf"}, "execution": {"grace": f"{GRACE_S}s"}}
    undisturbed = calm(**changes)

    def check(number: int) -> None:
        study = valley(**changes)
        study.start()
        study.until_running(1)
        study.kill(SIGNALS[number % 3])
        asked_at = time.monotonic()
        assert study.wait() == 130, study.output
        ended_in_order(study)
        over_s = study.events[-1].t - asked_at - GRACE_S - KILL_S
        assert over_s < 5.0, f"{over_s} s longer than the grace"
        study.settle(undisturbed)

    rounds.each(check)


@pytest.fixture
def shell(tmp_path: Path) -> RunFolder:
    """The run folder of a study for the command line, which is in the test's own folder."""
    (tmp_path / "measure.sh").write_text(SCRIPT)
    (tmp_path / "shell.yaml").write_text(STUDY)
    return RunFolder(tmp_path / "runs" / "shell")


def begin(folder: RunFolder, *more: str) -> tuple[subprocess.Popen[str], Path]:
    """``flopwise run`` with its output in a pipe."""
    work = folder.root.parent.parent
    command = [sys.executable, "-m", "flopwise.cli", "run", "shell.yaml", *more]
    return subprocess.Popen(
        command, cwd=work, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ), work


def finished(folder: RunFolder) -> bool:
    """Whether the run came to its verdict, and holds."""
    state = RunState(read_events(folder.journal)[0])
    return state.verdict is not None and verify(folder) == []


@pytest.mark.fault("F5", suite=1, long=20)
def test_a_reader_that_goes_away_does_not_stop_the_study(rounds: Any, shell: RunFolder) -> None:
    def check(number: int) -> None:
        process, _ = begin(shell, "--yes")
        assert process.stdout is not None
        for _ in range(1 + number % 4):
            process.stdout.readline()
        process.stdout.close()
        assert process.wait(timeout=60) == 0
        newest = RunFolder(shell.root.parent / ("shell" if number == 0 else f"shell-{number + 1}"))
        assert finished(newest)

    rounds.each(check)


def test_without_any_output_at_all_a_study_runs(shell: RunFolder) -> None:
    """Started with stdin, stdout and stderr closed, as some schedulers do."""
    work = shell.root.parent.parent
    command = f"exec {sys.executable} -m flopwise.cli run shell.yaml --yes <&- >&- 2>&-"
    assert subprocess.run(["sh", "-c", command], cwd=work, check=False, timeout=60).returncode == 0
    assert finished(shell)


@pytest.mark.fault("F5", suite=1, long=20)
def test_a_closed_terminal_ends_the_study_as_a_signal_does(
    rounds: Any, shell: RunFolder, terminal: Any, call_flopwise: Any
) -> None:
    """The terminal is gone, and the run is left in order: nothing of it lives, and it can go on."""
    (shell.root.parent.parent / "measure.sh").write_text(SCRIPT.replace("0.05", "0.2"))

    def check(number: int) -> None:
        name = "shell" if number == 0 else f"shell-{number + 1}"
        folder = RunFolder(shell.root.parent / name)
        window = terminal([sys.executable, "-m", "flopwise.cli", "run", "shell.yaml"], shell.root.parent.parent)
        while not folder.journal.exists() or "t0001.s0.a1" not in folder.journal.read_text():
            window._read(0.02)
        os.close(window._fd)
        window._fd = os.open(os.devnull, os.O_RDWR)
        assert window.wait() == 130
        events, _ = read_events(folder.journal)
        assert isinstance(events[-1], SessionClosed) and events[-1].detail == "SIGHUP"
        state = RunState(events)
        assert state.created is not None and marked(state.created.run_id) == []
        resumed = call_flopwise(shell.root.parent.parent, "resume", name, "--quiet")
        assert resumed.returncode == 0, resumed.stderr
        assert finished(folder)

    rounds.each(check)
