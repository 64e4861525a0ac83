"""Kill -9 of keeper, guard or coordinator: nothing is left, and the next one can go on and charge exactly."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flopwise.executors.stamps import read_stamps
from flopwise.executors.sweep import marked, sweep

COORDINATOR = Path(__file__).parent / "workloads_under_test" / "coordinator.py"


JOIN_AND_SLEEP = """
import os, sys
from flopwise.executors import cgroup
print(cgroup.join(sys.argv[1]) is not None, flush=True)
os.execvp("sleep", ["sleep", "300"])
"""
"""In the group of a run, where there can be one, and without its mark."""


class Coordinator:
    """The program ``coordinator.py``, and who belongs to it."""

    def __init__(self, root: Path, groups_of: Callable[[str], list[str]]) -> None:
        self.run_id = secrets.token_hex(8)
        self._process = subprocess.Popen(
            [sys.executable, str(COORDINATOR), str(root), self.run_id], stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.pids = [int(word) for word in self._process.stdout.readline().split()]
        self.keeper, self.guard, *self.workers = self.pids[:4]
        self.daemons = self.pids[4:]
        self.had_group = groups_of(self.run_id) != []

    def kill_together(self, *others: str) -> None:
        """Kill it and some of its servants; none has time to notice what becomes of the others."""
        pids = [self._process.pid, *(getattr(self, name) for name in others)]
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in pids:
                os.kill(pid, number)
        self._process.wait()

    def end(self) -> None:
        """Make sure that nothing is left of it."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        sweep(self.run_id, 10.0)


@pytest.mark.parametrize("victim", ["keeper", "guard"])
@pytest.mark.parametrize("do", ["leave_daemon", "leave_anonymous_daemon"])
def test_a_killed_keeper_leaves_nothing_and_another_opens(
    make_bench: Any, processes: Any, victim: str, do: str
) -> None:
    bench = make_bench()
    ready = bench.open()
    guard = processes.parent(ready.pid)
    name = bench.start_and_hear(do, then="stay")
    pids = [bench.heard[name].started.pid, *bench.heard[name].pids()]
    os.kill(ready.pid if victim == "keeper" else guard, signal.SIGKILL)
    bench.listen(lambda: bench.lost)
    assert [pid for pid in pids if processes.is_alive(pid)] == []
    processes.wait_for(lambda: not processes.is_alive(ready.pid) and not processes.is_alive(guard))
    assert marked(bench.hello.run_id) == []
    assert "SIGKILL" in bench.lost[0].detail
    assert bench.open().pid != ready.pid
    assert bench.run("behave").outcome == "ok"


def test_keeper_and_guard_killed_together_leave_nothing_that_bears_the_mark(make_bench: Any, processes: Any) -> None:
    bench = make_bench()
    ready = bench.open()
    guard = processes.parent(ready.pid)
    name = bench.start_and_hear("leave_daemon", then="stay")
    for pid in (guard, ready.pid):
        os.kill(pid, signal.SIGSTOP)
    for pid in (guard, ready.pid):
        os.kill(pid, signal.SIGKILL)
    bench.listen(lambda: bench.lost)
    assert [pid for pid in bench.heard[name].pids() if processes.is_alive(pid)] == []


def test_jobs_for_a_dead_keeper_are_answered_by_its_loss(make_bench: Any) -> None:
    bench = make_bench()
    os.kill(bench.open().pid, signal.SIGKILL)
    bench.start()
    bench.listen(lambda: bench.lost)
    assert len(bench.lost) == 1


def test_a_killed_worker_is_one_failed_attempt(make_bench: Any) -> None:
    bench = make_bench()
    bench.open()
    name = bench.start_and_hear("stop_when_asked")
    os.kill(bench.heard[name].started.pid, signal.SIGKILL)
    heard = bench.finish(name)
    assert (heard.ended.signal, heard.ended.reason, heard.reported) == (signal.SIGKILL, "exit", None)
    assert bench.run().outcome == "ok"


@pytest.mark.parametrize("round_number", range(3))
def test_a_killed_coordinator_leaves_nothing_but_stamps(tmp_path: Path, processes: Any, round_number: int) -> None:
    run_id = secrets.token_hex(8)
    with subprocess.Popen(
        [sys.executable, str(COORDINATOR), str(tmp_path), run_id], stdout=subprocess.PIPE, text=True
    ) as coordinator:
        assert coordinator.stdout is not None
        pids = [int(word) for word in coordinator.stdout.readline().split()]
        assert len(pids) == 6 and all(processes.is_alive(pid) for pid in pids)
        coordinator.kill()
    processes.wait_for(lambda: not any(processes.is_alive(pid) for pid in pids), limit_s=10.0)
    stamps = read_stamps(tmp_path / "keeper.jsonl")
    starts, ends = ({s["attempt"]: s for s in stamps if s["event"] == event} for event in ("start", "end"))
    assert set(starts) == set(ends) == {"t0001.s0.a1", "t0002.s0.a1"}
    (gone,) = [s["at"] for s in stamps if s["event"] == "coordinator_gone"]
    assert all(starts[name]["at"] <= gone <= ends[name]["at"] for name in ends)
    assert all(end["signal"] == signal.SIGKILL and end["cpu_s"] >= 0 for end in ends.values())


def test_a_keeper_that_hangs_while_the_coordinator_dies_is_ended_by_its_guard(tmp_path: Path, processes: Any) -> None:
    run_id = secrets.token_hex(8)
    with subprocess.Popen(
        [sys.executable, str(COORDINATOR), str(tmp_path), run_id], stdout=subprocess.PIPE, text=True
    ) as coordinator:
        assert coordinator.stdout is not None
        keeper, *others = [int(word) for word in coordinator.stdout.readline().split()]
        os.kill(keeper, signal.SIGSTOP)
        coordinator.kill()
    processes.wait_for(lambda: not any(processes.is_alive(pid) for pid in [keeper, *others]), limit_s=20.0)


@pytest.fixture
def coordinator(tmp_path: Path, processes: Any) -> Iterator[Coordinator]:
    """A coordinator in the middle of two attempts, each with a daemon."""
    started = Coordinator(tmp_path, processes.groups_of)
    yield started
    started.end()


@pytest.mark.parametrize("victims", [("keeper",), ("guard",), ("keeper", "guard")])
def test_a_coordinator_killed_in_the_same_instant_leaves_nothing(
    coordinator: Coordinator, processes: Any, victims: tuple[str, ...]
) -> None:
    """With keeper and guard gone too there is nobody left to end a daemon: the next one does it before it starts."""
    coordinator.kill_together(*victims)
    if len(victims) < 2:
        processes.wait_for(lambda: not any(map(processes.is_alive, coordinator.pids)), limit_s=10.0)
        return
    processes.wait_for(lambda: not any(map(processes.is_alive, coordinator.workers)), limit_s=10.0)
    assert all(map(processes.is_alive, coordinator.daemons))
    anonymous = coordinator.daemons[1]
    unseen = [] if coordinator.had_group else [anonymous]
    sweep(coordinator.run_id)
    assert [pid for pid in coordinator.daemons if processes.is_alive(pid)] == unseen


def test_no_group_outlives_a_killed_coordinator(coordinator: Coordinator, processes: Any) -> None:
    coordinator.kill_together()
    processes.wait_for(lambda: not any(map(processes.is_alive, coordinator.pids)), limit_s=10.0)
    processes.wait_for(lambda: processes.groups_of(coordinator.run_id) == [])


def test_sweeping_ends_what_is_in_a_runs_group_and_nobody_else(processes: Any) -> None:
    run_id = secrets.token_hex(8)
    outside = subprocess.Popen(["sleep", "300"])
    inside = subprocess.Popen([sys.executable, "-c", JOIN_AND_SLEEP, run_id], stdout=subprocess.PIPE, text=True)
    assert inside.stdout is not None
    allowed = inside.stdout.readline() == "True\n"
    assert sweep(run_id) == (1 if allowed else 0)
    assert processes.is_alive(outside.pid)
    assert processes.groups_of(run_id) == []
    for process in (inside, outside):
        process.kill()
    assert inside.wait() == outside.wait() == -signal.SIGKILL
    inside.stdout.close()


def test_sweeping_touches_only_what_bears_the_mark(processes: Any) -> None:
    run_id = secrets.token_hex(8)
    environment = {**os.environ, "FLOPWISE_RUN": run_id}
    marked_process = subprocess.Popen(["sleep", "300"], env=environment)
    processes.wait_for(lambda: marked(run_id) == [marked_process.pid])
    unmarked = subprocess.Popen(["sleep", "300"], env={**os.environ, "FLOPWISE_RUN": run_id + "1", "X": run_id})
    assert sweep(run_id) == 1
    assert marked_process.wait() == -signal.SIGKILL
    assert processes.is_alive(unmarked.pid)
    unmarked.kill()
    unmarked.wait()
