"""Children forked ahead of need take over attempts, are as isolated as others, and outlive nobody."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def bench(make_bench: Any) -> Any:
    made = make_bench()
    made.keeper = made.open().pid
    return made


def children(pid: int) -> set[int]:
    return {int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


def spare_beside(bench: Any, processes: Any, worker: int) -> int:
    """The spare that comes to be while a worker runs; it has closed what it must not hold."""
    (spare,) = processes.wait_for(lambda: {p for p in children(bench.keeper) if processes.is_alive(p)} - {worker})
    processes.wait_for(lambda: processes.descriptors(spare) == 5 and processes.state(spare) == "S")
    return int(spare)


def test_the_next_attempt_runs_in_the_spare(bench: Any, processes: Any) -> None:
    name = bench.start_and_hear("stop_when_asked")
    spare = spare_beside(bench, processes, bench.heard[name].started.pid)
    heard = bench.finish(bench.start("look_around", slot=1))
    assert (heard.outcome, heard.started.pid, heard.ended.exit_code) == ("ok", spare, 0)
    assert bench.has(name, type(heard.started)) and processes.is_alive(bench.heard[name].started.pid)


def test_a_spare_is_as_isolated_as_a_fresh_fork(bench: Any, processes: Any) -> None:
    fresh = bench.run("look_around").reported.info
    name = bench.start_and_hear("stop_when_asked")
    spare = spare_beside(bench, processes, bench.heard[name].started.pid)
    heard = bench.finish(bench.start("look_around"))
    assert heard.started.pid == spare
    differ = {key for key, value in heard.reported.info.items() if value != fresh[key]}
    assert differ == {"folder"}
    assert heard.reported.info["descriptors"] == ["pipe"]


def test_a_spare_that_is_killed_is_replaced(bench: Any, processes: Any) -> None:
    name = bench.start_and_hear("stop_when_asked")
    spare = spare_beside(bench, processes, bench.heard[name].started.pid)
    os.kill(spare, signal.SIGKILL)
    processes.wait_for(lambda: not processes.is_alive(spare))
    assert spare_beside(bench, processes, bench.heard[name].started.pid) != spare
    assert bench.finish(bench.start("behave", slot=1)).outcome == "ok"


@pytest.mark.parametrize("how", ["kill", "close"])
def test_no_spare_outlives_its_keeper(bench: Any, processes: Any, how: str) -> None:
    name = bench.start_and_hear("stop_when_asked")
    spare = spare_beside(bench, processes, bench.heard[name].started.pid)
    if how == "kill":
        os.kill(bench.keeper, signal.SIGKILL)
        bench.listen(lambda: bench.lost)
    else:
        bench.executor.close()
    assert not processes.is_alive(spare)


def test_the_end_of_an_attempt_is_not_that_of_the_spare(bench: Any, processes: Any) -> None:
    name = bench.start_and_hear("leave_daemon", then="stay")
    spare = spare_beside(bench, processes, bench.heard[name].started.pid)
    bench.executor.stop(name, "enough", 0.0)
    bench.finish(name)
    assert processes.is_alive(spare)


def test_a_workload_that_spares_do_not_know_gets_new_ones(bench: Any, processes: Any) -> None:
    name = bench.start_and_hear("stop_when_asked")
    spare = spare_beside(bench, processes, bench.heard[name].started.pid)
    heard = bench.finish(bench.start("behave", slot=1, job={"workload": "no_such_workload"}))
    assert heard.outcome == "error" and heard.started.pid != spare
    assert not processes.is_alive(spare)


@pytest.mark.parametrize("size", [10, 100_000, 3_000_000])
def test_a_job_of_any_size_reaches_a_spare_whole(bench: Any, processes: Any, size: int) -> None:
    name = bench.start_and_hear("stop_when_asked")
    spare = spare_beside(bench, processes, bench.heard[name].started.pid)
    heard = bench.finish(bench.start("measure_text", slot=1, text="x" * size))
    assert (heard.started.pid, heard.reported.metrics) == (spare, {"loss": float(size)})


def test_without_attempts_no_spares_are_made(bench: Any, processes: Any) -> None:
    assert children(bench.keeper) == set()
    name = bench.start_and_hear("stop_when_asked")
    spare_beside(bench, processes, bench.heard[name].started.pid)
    bench.executor.stop(name, "enough", 20.0)
    bench.finish(name)
    assert len(children(bench.keeper)) == 1


def test_where_spares_are_killed_one_after_the_other_no_more_are_made(bench: Any, processes: Any) -> None:
    name = bench.start_and_hear("stop_when_asked")
    worker = bench.heard[name].started.pid
    log = bench.root / "keeper.log"
    while "no more spare processes" not in log.read_text():
        for pid in children(bench.keeper) - {worker}:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    processes.wait_for(lambda: children(bench.keeper) == {worker})
    assert bench.finish(bench.start("behave", slot=1)).outcome == "ok"
