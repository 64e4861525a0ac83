"""Ctrl-C once and twice, a second coordinator, a baseline that fails."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from flopwise.engine.verify import verify
from flopwise.events import AttemptEnded, AttemptStarted, SessionClosed
from flopwise.journal.log import read_events
from flopwise.paths import RunFolder

LONG = {"stop: {steps: 20}": "stop: {steps: 1000000}"}


def begin(plain: Path, replace: dict[str, str], until: str = "t0000.s0") -> tuple[subprocess.Popen[str], Path]:
    """The toy study, started, with an attempt of some trial running."""
    text = plain.read_text()
    for before, after in replace.items():
        text = text.replace(before, after)
    plain.write_text(text)
    command = [sys.executable, "-m", "flopwise.cli", "run", str(plain)]
    process = subprocess.Popen(
        command, cwd=plain.parent, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    journal = plain.parent / "runs" / "toy" / "journal.log"
    while process.poll() is None and not (journal.exists() and until in journal.read_text()):
        time.sleep(0.02)
    return process, journal


def test_ctrl_c_once_lets_attempts_finish_and_says_how_to_resume(plain: Path, flopwise: Any) -> None:
    process, journal = begin(plain, {})
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert "flopwise resume runs/toy" in output
    events, _ = read_events(journal)
    assert isinstance(events[-1], SessionClosed) and events[-1].reason == "interrupted"
    ended = [e for e in events if isinstance(e, AttemptEnded)]
    assert {e.outcome for e in ended} == {"ok"}
    assert flopwise("resume", "toy", "--quiet").returncode == 0
    assert verify(RunFolder(journal.parent)) == []


def test_ctrl_c_twice_ends_attempts_now(plain: Path) -> None:
    process, journal = begin(plain, LONG)
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 130, output
    events, _ = read_events(journal)
    started = [e.attempt for e in events if isinstance(e, AttemptStarted)]
    ended = {e.attempt: e for e in events if isinstance(e, AttemptEnded)}
    assert started and set(ended) == set(started)
    assert all(e.outcome == "killed" and e.interrupted for e in ended.values())
    assert verify(RunFolder(journal.parent)) == []


def test_the_grace_after_a_signal_ends(plain: Path) -> None:
    process, journal = begin(plain, {**LONG, "slots: 2": "slots: 2, grace: 1s"})
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 130, output
    ended = [e for e in read_events(journal)[0] if isinstance(e, AttemptEnded)]
    assert ended and all(e.interrupted for e in ended)


def test_a_second_coordinator_is_told_who_holds_the_run(plain: Path, flopwise: Any) -> None:
    process, _ = begin(plain, LONG)
    refused = flopwise("resume", "toy")
    assert refused.returncode == 2
    assert str(process.pid) in refused.stderr
    assert f"coordinator: pid {process.pid}" in flopwise("status", "toy").stdout
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)
    process.communicate(timeout=30)
    assert process.returncode == 130


def test_an_unfinished_run_is_not_silently_replaced(plain: Path, flopwise: Any) -> None:
    process, _ = begin(plain, {}, until="t0001.s0")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    refused = flopwise("run", "toy.yaml")
    assert refused.returncode == 2
    assert "flopwise resume toy" in refused.stderr
    assert flopwise("run", "toy.yaml", "--yes", "--quiet").returncode == 0
    assert [path.name for path in (plain.parent / "runs").iterdir() if path.name != ".cache"] == ["toy"]


def test_a_baseline_that_cannot_finish_fails_the_study(plain: Path, flopwise: Any) -> None:
    plain.write_text(plain.read_text().replace("steps: 20}, timeout: 60s", "steps: 1000000}, timeout: 1s"))
    failed = flopwise("run", "toy.yaml")
    assert failed.returncode == 4
    assert "timeout" in failed.stdout and "baseline" in failed.stdout
