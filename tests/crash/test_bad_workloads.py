"""Workloads that misbehave on a real executor: each ends in an outcome of its own, and the study goes on to its end."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import flopwise
from flopwise.engine.verify import verify
from flopwise.events import AttemptEnded, SlotQuarantined
from flopwise.executors.topology import usable_cores
from flopwise.journal.log import read_events
from flopwise.journal.replay import RunState
from flopwise.paths import RunFolder
from flopwise.trial import Phase

UNGUARDED = dict.fromkeys(("crash_rate", "crash_loop", "patience", "throughput"), False)
FOREVER_S = 300.0


class Ran:
    """A study that has been run, and what its journal says."""

    def __init__(self, root: Path, objective: Callable[..., Any], space: dict[str, Any], **sections: Any) -> None:
        settings = {"confirm": {"top": 1, "seeds": 2}, "calibration": {"seeds": 2}, "policies": UNGUARDED, **sections}
        self.done = flopwise.Study(name="bad", space=space, objective=objective, runs=root / "runs", **settings).run(
            quiet=True
        )
        self.folder = RunFolder(root / "runs" / "bad")
        self.events = read_events(self.folder.journal)[0]
        self.state = RunState(self.events)
        assert verify(self.folder) == []

    def ends(self, trial: int) -> list[AttemptEnded]:
        return [a.ended for a in self.state.trials[trial].attempts if a.ended is not None]


def misbehave(config: dict[str, Any], context: Any) -> dict[str, float]:
    """Do what ``config["how"]`` says; the baseline and confirmation are fine."""
    context.report(1, loss=2.0)
    match config["how"]:
        case "deaf":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            while True:
                context.report(2, loss=2.0)
                time.sleep(0.05)
        case "silent":
            time.sleep(FOREVER_S)
        case "closes its pipe":
            os.closerange(3, 1024)
        case "fills the disk":
            resource.setrlimit(resource.RLIMIT_FSIZE, (65536, resource.RLIM_INFINITY))
            (context.folder / "checkpoint").write_bytes(bytes(10**6))
        case "writes nowhere":
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        case "leaves early":
            os._exit(0)
        case "segfaults":
            ctypes.string_at(0)
        case "is killed":
            os.kill(os.getpid(), signal.SIGKILL)
        case "talks":
            sys.stdout.write("x" * 10**6)
            raise ValueError("y" * 10**6)
    return {"loss": 1.0 if config["how"] == "fine" else 2.0}


ENDS = {
    "fine": ("ok", ""),
    "deaf": ("timeout", "not finished after 2 s"),
    "silent": ("timeout", "no progress: no measurement for 1 s"),
    "closes its pipe": ("error", "without a result"),
    "fills the disk": ("error", "File too large"),
    "writes nowhere": ("ok", ""),
    "leaves early": ("error", "exited with status 0 without a result"),
    "segfaults": ("killed", "SIGSEGV"),
    "is killed": ("killed", "SIGKILL"),
    "talks": ("error", "ValueError: yyy"),
}


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """One study in which every trial misbehaves in another way."""
    return Ran(
        tmp_path_factory.mktemp("bad"),
        misbehave,
        {"how": flopwise.Categorical(tuple(ENDS))},
        search="grid",
        evaluation={"timeout": 2.0, "progress_timeout": 1.0},
        execution={"slots": 2, "retries": 1, "output_limit": "64 KiB"},
    )


@pytest.mark.parametrize("how", ENDS)
def test_it_ends_in_an_outcome_of_its_own(ran: Ran, how: str) -> None:
    trial = next(t for t in ran.state.by_phase(Phase.SEARCH) if t.trial.config["how"] == how)
    end = trial.final(0)
    assert end is not None
    assert (end.outcome, end.interrupted) == (ENDS[how][0], False)
    assert ENDS[how][1] in end.cause
    assert end.device_s > 0
    assert len(end.cause) < 1000 and len(end.tail) <= 4096


def test_a_result_counts_even_if_its_summary_could_not_be_written(ran: Ran) -> None:
    end = next(t for t in ran.state.by_phase(Phase.SEARCH) if t.trial.config["how"] == "writes nowhere").final(0)
    assert end is not None
    assert end.metrics == {"loss": 2.0}
    assert "File too large" in end.info["not_written"]
    assert not ran.folder.summary(end.attempt).exists()


def test_what_was_killed_was_tried_again_and_nothing_else(ran: Ran) -> None:
    tried = {t.trial.config["how"]: len(t.attempts) for t in ran.state.by_phase(Phase.SEARCH)}
    killed = {how for how, (outcome, _) in ENDS.items() if outcome == "killed"}
    assert all(tried[how] == 2 for how in killed)
    assert tried["fine"] == 1


def test_causes_are_distinct_and_the_study_went_on(ran: Ran) -> None:
    finals = [t.final(0) for t in ran.state.by_phase(Phase.SEARCH)]
    causes = [(end.outcome, end.cause) for end in finals if end is not None]
    assert len(causes) == len(ENDS)
    assert len({cause for outcome, cause in causes if outcome != "ok"}) >= len(ENDS) - 2
    assert ran.done.reason == "finished" and ran.done.verdict is not None


def test_of_what_it_wrote_only_the_limit_is_kept(ran: Ran) -> None:
    trial = next(t for t in ran.state.by_phase(Phase.SEARCH) if t.trial.config["how"] == "talks")
    folder = ran.folder.attempt(str(trial.attempts[0].id))
    for name in ("stdout", "stderr"):
        assert 4096 <= (folder / name).stat().st_size <= 2 * 65536


# Slots and keepers


def fail_on(core: int) -> Callable[..., dict[str, float]]:
    """A workload that a broken accelerator, or core, makes fail at once."""

    def objective(config: dict[str, Any], context: Any) -> dict[str, float]:
        if core in os.sched_getaffinity(0) and not context.folder.name.startswith("t0000"):
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        time.sleep(0.05)
        return {"loss": (config["x"] - 3) ** 2}

    return objective


def test_a_slot_that_swallows_trials_is_quarantined_and_its_trials_run_elsewhere(tmp_path: Path) -> None:
    """With the policies as they are by default: what a broken slot does is no reason to pause."""
    core = usable_cores()[1]
    ran = Ran(
        tmp_path,
        fail_on(core),
        {"x": flopwise.Float(-10.0, 10.0)},
        search="random",
        evaluations=24,
        execution={"slots": 2},
        policies={"throughput": False},
    )
    (found,) = [event for event in ran.events if isinstance(event, SlotQuarantined)]
    assert (found.slot, found.session) == (1, 1)
    at = ran.events.index(found)
    assert not any(getattr(event, "slot", 0) == 1 for event in ran.events[at + 1 :])
    failed = [trial for trial in ran.state.by_phase(Phase.SEARCH) if trial.failure() is not None]
    assert len(failed) <= 1
    assert ran.done.reason == "finished" and ran.done.verdict == "GO"


def kill_keeper(config: dict[str, Any], context: Any) -> dict[str, float]:
    """One config ends the process that forked it; the others take their time."""
    if config["n"] == 3:
        time.sleep(0.1)
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(FOREVER_S)
    time.sleep(0.2)
    return {"loss": float(config["n"])}


def test_a_config_that_kills_its_keeper_fails_alone(tmp_path: Path) -> None:
    ran = Ran(
        tmp_path,
        kill_keeper,
        {"n": flopwise.Int(1, 5)},
        base={"n": 1},
        search="grid",
        execution={"slots": 2},
    )
    outcomes = {trial.trial.config["n"]: trial.final(0) for trial in ran.state.by_phase(Phase.SEARCH)}
    assert {n: end.outcome for n, end in outcomes.items() if end} == {n: "killed" if n == 3 else "ok" for n in outcomes}
    culprit = next(trial for trial in ran.state.by_phase(Phase.SEARCH) if trial.trial.config["n"] == 3)
    assert len(culprit.attempts) <= 4
    assert "its keeper died" in ran.ends(culprit.trial.number)[-1].cause
    assert ran.done.reason == "finished"
