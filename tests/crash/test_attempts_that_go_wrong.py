"""Faults 10 to 15 and 18: whatever an attempt does, it alone ends, with its cause, and the study goes on."""

from __future__ import annotations

import contextlib
import math
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from flopwise.engine.verify import verify
from flopwise.events import AttemptEnded
from flopwise.trial import Outcome

UNGUARDED = {"crash_rate": False, "crash_loop": False}
KILL_S = 5.0
"""Between SIGTERM and SIGKILL."""


def one_by_one(hows: list[str]) -> dict[str, Any]:
    """A study that tries each of these ways to go wrong once."""
    return {
        "base": {"do": "go_wrong", "how": "fine"},
        "space": {"how": {"type": "categorical", "choices": ["fine", *hows]}},
        "search": {"method": "grid"},
        "tiers": {"only": {"trials": len(hows) + 1}},
        "confirm": {"top": 1, "seeds": 2},
        "policies": UNGUARDED,
    }


def by_how(study: Any) -> dict[str, AttemptEnded]:
    """The end that counts of every trial of the search, by how it went wrong."""
    trials = [trial for trial in study.state.trials.values() if trial.trial.phase == "search"]
    return {str(trial.trial.config["how"]): trial.final(0) for trial in trials}


@pytest.mark.fault("F10", suite=3, long=60)
def test_a_killed_attempt_is_charged_and_comes_again_under_its_number(rounds: Any, valley: Any, calm: Any) -> None:
    base = {"pace_s": 0.02}
    undisturbed = calm(base=base)

    def check(number: int) -> None:
        dice = random.Random(number)
        study = valley(base=base)
        study.start()
        study.until_running(dice.randint(0, 8))
        time.sleep(dice.uniform(0.0, 0.02))
        name, pid = list(study.ran.items())[-1]
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        assert study.wait() == 0, study.output
        study.check_same_as(undisturbed)
        lost = [end for end in study.ends if end.outcome != "ok"]
        assert len(lost) <= 1
        for end in lost:
            assert (end.attempt, end.outcome, end.interrupted) == (name, "killed", False)
            assert end.device_s > 0 and end.price > 0 and "SIGKILL" in end.cause
            assert name.replace(".a1", ".a2") in study.ran

    rounds.each(check)


ENDS = {
    "exit_0": ("error", "exited with status 0 without a result"),
    "exit_1": ("error", "exited with status 1 without a result"),
    "sys_exit": ("error", "sys.exit(0)"),
    "segv": ("killed", "SIGSEGV"),
    "bus": ("killed", "SIGBUS"),
    "long_error": ("error", "ValueError: xxx"),
    "memory": ("oom", "MemoryError"),
}


@pytest.mark.fault("F11", suite=1, long=20)
def test_every_way_to_end_without_a_result_has_its_own_cause(rounds: Any, valley: Any) -> None:
    def check(_: int) -> None:
        study = valley(**one_by_one(list(ENDS)))
        assert study.run() == 0, study.output
        ends = by_how(study)
        assert {how: ends[how].outcome for how in ENDS} == {how: outcome for how, (outcome, _) in ENDS.items()}
        assert all(cause in ends[how].cause for how, (_, cause) in ENDS.items()), ends
        assert len({end.cause for end in ends.values()}) == len(ends)
        assert ends["fine"].outcome == "ok" and study.state.verdict is not None
        assert all(len(end.cause) < 1000 and len(end.tail) <= 4096 for end in study.ends)
        stderr = study.folder.attempt(ends["long_error"].attempt) / "stderr"
        assert stderr.stat().st_size > 64 * 1024
        assert verify(study.folder) == []

    rounds.each(check)


@pytest.mark.fault("F12", suite=0, long=20)
def test_who_is_deaf_to_sigterm_is_killed_and_the_slot_is_free(rounds: Any, valley: Any) -> None:
    def check(_: int) -> None:
        study = valley(
            base={"do": "stay_deaf"},
            search={"method": "random", "seed": 1},
            tiers={"only": {"trials": 2}},
            evaluation={"timeout": "200ms"},
            execution={"slots": 1},
            policies=UNGUARDED,
        )
        assert study.run() == 0, study.output
        first, second = [end for end in study.ends if end.attempt.startswith(("t0001", "t0002"))]
        assert (first.outcome, second.outcome) == ("timeout", "timeout")
        over_s = [end.device_s - 0.2 - KILL_S for end in (first, second)]
        assert all(0 <= over < 2.0 for over in over_s), over_s
        assert 0 <= second.started_at - first.ended_at < 2.0
        assert verify(study.folder) == []

    rounds.each(check)


def running(words: str) -> list[int]:
    """Live processes with these words in their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and words.encode() in (entry / "cmdline").read_bytes().replace(b"\0", b" "):
                found.append(int(entry.name))
    return found


@pytest.mark.fault("F13", suite=3, long=200)
def test_no_descendant_survives_whatever_ends_its_attempt(rounds: Any, valley: Any, tmp_path: Path) -> None:
    """A child, a daemon and a process without our mark: after kill -9 of the coordinator, two signals, a time-out."""

    def check(number: int) -> None:
        forever_s = f"300.{os.getpid()}{number:04d}"
        end = number % 3
        study = valley(
            base={"do": "leave_family", "forever_s": forever_s},
            evaluation={"timeout": "500ms" if end == 2 else None},
            execution={"grace": "0s"},
            policies={"crash_loop": False},
        )
        study.start()
        study.until_running(1)
        study.until(lambda: len(running(f"sleep {forever_s}")) >= 3, "the family")
        if end == 0:
            study.kill()
        else:
            for _ in range(2):
                study.kill(signal.SIGINT)
                time.sleep(0.05)
        study.wait()
        deadline = time.monotonic() + 10
        while left := running(f"sleep {forever_s}"):
            assert time.monotonic() < deadline, left
            time.sleep(0.01)

    rounds.each(check)


@pytest.mark.fault("F14", suite=1, long=20)
def test_a_grandchild_that_keeps_stdout_holds_nobody_up(rounds: Any, valley: Any, calm: Any) -> None:
    undisturbed = calm()

    def check(_: int) -> None:
        study = valley(base={"do": "leave_stdout_open"})
        assert study.run() == 0, study.output
        study.check_same_as(undisturbed)
        assert max(end.device_s for end in study.ends) < 2.0

    rounds.each(check)


@pytest.mark.fault("F15", suite=1, long=20)
def test_an_attempt_that_hangs_ends_though_its_process_lives(rounds: Any, valley: Any) -> None:
    """Asleep, spinning, or deadlocked in a C call: no measurement comes, and that is what ends it."""

    def check(number: int) -> None:
        hangs = ["deadlock", "spin", "sleep"][number % 3]
        study = valley(**one_by_one([hangs]), evaluation={"progress_timeout": "300ms", "timeout": "10m"})
        assert study.run() == 0, study.output
        ends = by_how(study)
        assert (ends[hangs].outcome, ends["fine"].outcome) == ("timeout", "ok")
        assert "no progress" in ends[hangs].cause
        assert 0.3 <= ends[hangs].device_s < 0.3 + KILL_S + 5.0
        assert ends[hangs].price > 0
        assert verify(study.folder) == []

    rounds.each(check)


VALUES = {
    "nan": ("nan", "loss is nan"),
    "inf": ("nan", "loss is inf"),
    "minus_inf": ("nan", "loss is -inf"),
    "1e400": ("nan", "loss is inf"),
    "huge_int": ("nan", "loss is inf"),
    "text": ("error", "not a number"),
    "none": ("error", "not a number"),
    "bool": ("error", "not a number"),
    "complex": ("error", "not a number"),
    "scalar": ("ok", ""),
}


@pytest.mark.fault("F18", suite=1, long=20)
@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_no_odd_value_is_ever_the_best(rounds: Any, valley: Any, direction: str) -> None:
    def check(_: int) -> None:
        changes = one_by_one(list(VALUES))
        study = valley(**changes, objective={"metric": "loss", "direction": direction})
        assert study.run() == 0, study.output
        ends, state = by_how(study), study.state
        assert {how: ends[how].outcome for how in VALUES} == {how: outcome for how, (outcome, _) in VALUES.items()}
        assert all(cause in ends[how].cause for how, (_, cause) in VALUES.items()), ends
        assert all(math.isfinite(value) for end in study.ends for value in end.metrics.values())
        assert all(told.loss is None or math.isfinite(told.loss) for told in state.told())
        assert state.open == {}
        winner = state.verdict.winner
        assert winner is None or state.trials[winner].trial.config["how"] in ("fine", "scalar")
        assert all(Outcome(end.outcome) for end in study.ends)
        assert verify(study.folder) == []

    rounds.each(check)
