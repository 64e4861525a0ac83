"""Studies in several terminals share the machine but no core: they take what is free, or wait and say for whom."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flopwise.events import SessionOpened
from flopwise.executors.topology import usable_cores
from flopwise.journal.log import read_events

STUDY = """\
name: NAME
workload: command
base:
  argv:
    - bash
    - -c
    - 'while [ ! -e "$0" ]; do sleep 0.02; done; echo "{{\\"loss\\": $1}}" > "$FLOPWISE_RESULT"'
    - GO
    - "{x}"
  params: {x: 0.5}
space: {params.x: {type: float, low: 0.0, high: 1.0}}
objective: {metric: loss}
tiers: {small: {trials: 1}}
calibration: {seeds: 2, signal: false, knobs: false}
confirm: {top: 1, seeds: 2}
execution: {EXECUTION, grace: 0s}
"""
TWO = usable_cores()[:2]


def study_text(folder: Path, name: str, execution: str) -> str:
    """A study whose evaluations wait for a file in the folder."""
    return STUDY.replace("NAME", name).replace("EXECUTION", execution).replace("GO", str(folder / "go"))


class Study:
    """A study whose evaluations wait for a file, run by the command line on two cores.

    Args:
        folder: Where it runs.
        name: Of study and run.
        execution: Keys of the execution section.
    """

    def __init__(self, folder: Path, name: str, execution: str = "slots: 1") -> None:
        (folder / f"{name}.yaml").write_text(study_text(folder, name, execution))
        self.journal = folder / "runs" / name / "journal.log"
        self.output = folder / f"{name}.txt"
        with self.output.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "flopwise.cli", "run", f"{name}.yaml"],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=lambda: os.sched_setaffinity(0, TWO),
            )

    @property
    def said(self) -> str:
        return self.output.read_text()

    def cores(self) -> list[int]:
        """Those of its first session's slots; none before that."""
        events = read_events(self.journal)[0] if self.journal.exists() else []
        opened = [event for event in events if isinstance(event, SessionOpened)]
        return [core for slot in opened[0].slots for core in slot["cores"]] if opened else []

    def until(self, condition: Callable[[], Any]) -> Any:
        """Wait for what is to come, as long as the study lives."""
        deadline = time.monotonic() + 60
        while not (found := condition()):
            assert time.monotonic() < deadline and self.process.poll() is None, self.said
            time.sleep(0.02)
        return found


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Study]]:
    """``start(name, execution)``: a study that is ended with the test."""
    started: list[Study] = []

    def run(name: str, execution: str = "slots: 1") -> Study:
        started.append(Study(tmp_path, name, execution))
        return started[-1]

    yield run
    for study in started:
        study.process.kill()
        study.process.wait()


def test_two_share_the_machine_and_a_third_waits_until_one_is_killed(
    start: Callable[..., Study], tmp_path: Path
) -> None:
    first = start("first")
    first.until(first.cores)
    second = start("second", "slots: auto, wait: 0")
    second.until(second.cores)
    assert len(first.cores()) == 1 and sorted(first.cores() + second.cores()) == list(TWO)
    third = start("third", "slots: 1")
    third.until(lambda: "waiting for 1 core" in third.said)
    for holder in (first, second):
        who = f"cores {holder.cores()[0]}: process {holder.process.pid}, run {holder.journal.parent.name}, since 20"
        assert who in third.said
    first.process.kill()
    assert third.until(third.cores) == first.cores()
    assert "the machine is free" in third.said
    (tmp_path / "go").touch()
    assert (second.process.wait(60), third.process.wait(60)) == (0, 0), third.said


def test_who_waits_can_be_interrupted_or_give_up(start: Callable[..., Study], tmp_path: Path) -> None:
    holder = start("holder", "slots: 2")
    holder.until(holder.cores)
    waits, impatient = start("waits"), start("impatient", "wait: 0")
    assert impatient.process.wait(60) == 4
    assert "1 core did not become free" in impatient.said and "0 of 2 cores" in impatient.said
    assert f"process {holder.process.pid}, run holder" in impatient.said
    assert not impatient.journal.parent.exists(), "nothing was run, so nothing is left"
    waits.until(lambda: "waiting for" in waits.said)
    waits.process.send_signal(signal.SIGINT)
    assert waits.process.wait(60) == 130
    assert "nothing was started" in waits.said and waits.cores() == []
    (tmp_path / "go").touch()
    assert holder.process.wait(60) == 0


@pytest.mark.parametrize(
    ("execution", "said"),
    [
        ("threads: 5000", "set execution.threads to"),
        ("slots: 5000", "set execution.slots to"),
        ("memory: 900 TiB", "execution.memory of at most"),
        ("memory: 4", "at least 16.0 MiB, with its unit, such as 4 GiB"),
        ("accelerators: 400", "execution.accelerators of at most"),
        ("exclusive: maybe", "exclusive"),
    ],
)
def test_what_no_machine_has_is_refused_before_anything_is_written(
    tmp_path: Path, flopwise: Any, execution: str, said: str
) -> None:
    (tmp_path / "refused.yaml").write_text(study_text(tmp_path, "refused", execution))
    refused = flopwise("run", "refused.yaml")
    assert refused.returncode == 2
    assert said in " ".join(refused.stderr.split()) and not (tmp_path / "runs" / "refused").exists()


def test_what_an_executor_does_not_heed_is_said(start: Callable[..., Study], tmp_path: Path) -> None:
    (tmp_path / "go").touch()
    study = start("inline", "executor: inline, memory: 1 GiB, wait: 3s")
    assert study.process.wait(60) == 0
    assert "executor inline pins and limits nothing; without effect: execution.memory, execution.wait" in study.said
