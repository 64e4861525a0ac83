"""Attempts beyond one a core begin one after the other, in their order, and none is lost while it waits."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from flopwise.executors import pace
from flopwise.executors.local import LocalExecutor
from flopwise.executors.topology import usable_cores
from flopwise.wire import Job, Slot, Started

CROWD = 24


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    made = SimpleNamespace(now=100.0)
    monkeypatch.setattr(pace.time, "monotonic", lambda: made.now)
    return made


def job(number: int) -> Job:
    return Job(f"t{number:04d}.s0.a1", "evaluate", "function", {}, {}, 0, Slot(0, (), 1), "/", "/", metric="loss")


def test_one_a_core_begins_at_once_and_the_others_a_share_of_their_cost_apart(clock: SimpleNamespace) -> None:
    waiting = pace.Pace(cores=4)
    assert waiting.due_in_s(0) is None
    for number in range(6):
        waiting.add(job(number))
    for running in range(4):
        assert waiting.due_in_s(running) == 0.0
        assert waiting.take() == job(running)
    assert waiting.due_in_s(4) == pytest.approx(pace.CPU_S / 4)
    clock.now += pace.CPU_S / 8
    assert waiting.due_in_s(4) == pytest.approx(pace.CPU_S / 8)
    assert waiting.due_in_s(3) == 0.0
    clock.now += pace.CPU_S
    assert waiting.due_in_s(4) == 0.0
    assert waiting.holds(job(4).attempt)
    assert waiting.take() == job(4)
    assert len(waiting) == 1 and not waiting.holds(job(4).attempt)
    waiting.clear()
    assert not waiting and waiting.due_in_s(0) is None


def test_a_crowd_begins_in_order(make_bench: Any) -> None:
    cores = usable_cores()
    bench = make_bench(LocalExecutor([Slot(index, cores[:1], 1) for index in range(CROWD)]))
    bench.open()
    names = [bench.start("stop_when_asked", slot=index) for index in range(CROWD)]
    bench.listen(lambda: all(bench.has(name, Started) for name in names))
    began = [bench.heard[name].started.at for name in names]
    assert began == sorted(began)


def test_what_waits_is_stopped_as_what_runs(make_bench: Any) -> None:
    bench = make_bench(LocalExecutor([Slot(index, usable_cores()[:1], 1) for index in range(CROWD)]))
    bench.open()
    names = [bench.start("stop_when_asked", slot=index) for index in range(CROWD)]
    for name in reversed(names):
        bench.executor.stop(name, "stopped", 5.0)
    bench.finish(*names)
    assert {bench.heard[name].ended.reason for name in names} == {"stopped"}
