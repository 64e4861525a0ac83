"""Opening: functions of all sorts, preloads that fail, leftovers of an earlier keeper, missing Linux."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from flopwise.errors import ExecutorError
from flopwise.executors import linux, local
from flopwise.executors.local import LocalExecutor
from flopwise.executors.objective import encode_objective
from flopwise.executors.sweep import marked
from flopwise.wire import Slot


def double(config: Mapping[str, Any]) -> float:
    return 2.0 * float(config["value"])


def times(factor: float) -> Callable[..., float]:
    def scaled(config: Mapping[str, Any], context: Any) -> float:
        context.note(seed=context.seed)
        return factor * double(config)

    return scaled


@pytest.mark.parametrize(
    ("function", "expected"),
    [(double, 3.0), (lambda config: config["value"] - 1, 0.5), (times(10.0), 30.0)],
    ids=["function", "lambda", "closure"],
)
def test_functions_that_nobody_can_import_travel_whole(
    make_bench: Any, function: Callable[..., Any], expected: float
) -> None:
    bench = make_bench(objective=encode_objective(function))
    assert bench.open().problems == ()
    heard = bench.run(value=1.5)
    assert (heard.outcome, heard.reported.metrics) == ("ok", {"loss": expected})


def test_without_a_function_the_attempt_says_what_to_do(make_bench: Any) -> None:
    bench = make_bench(objective=None)
    bench.open()
    heard = bench.run()
    assert heard.outcome == "error" and "run your script again" in heard.reported.cause


def test_modules_that_do_not_import_are_said_and_not_fatal(make_bench: Any) -> None:
    bench = make_bench(preload=("no_such_module", "flopwise.workloads.function.run"), warm="rude:no_such_step")
    problems = bench.open().problems
    assert any("no_such_module" in p for p in problems) and any("no_such_step" in p for p in problems)
    assert bench.run().outcome == "ok"


def test_threads_that_preloading_leaves_are_said(make_bench: Any) -> None:
    assert any("threads" in p for p in make_bench(warm="rude:start_thread").open().problems)


def test_a_keeper_that_dies_while_preloading_is_an_error_with_its_last_words(make_bench: Any) -> None:
    bench = make_bench(warm="rude:hang_in_preload")
    with pytest.raises(ExecutorError, match="status 3: cannot go on"):
        bench.open()
    with pytest.raises(ExecutorError, match="not open"):
        bench.start()


def test_leftovers_of_this_run_go_and_those_of_others_stay(
    make_bench: Any, processes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "LEFTOVER_S", 0.05)
    bench = make_bench()
    mine, other = (
        subprocess.Popen(["sleep", "300"], env={**os.environ, "FLOPWISE_RUN": run}, start_new_session=True)
        for run in (bench.hello.run_id, bench.hello.run_id + "0")
    )
    processes.wait_for(lambda: marked(bench.hello.run_id) == [mine.pid])
    bench.open()
    assert not processes.is_alive(mine.pid) and processes.is_alive(other.pid)
    other.kill()
    mine.wait()
    other.wait()


def test_closing_ends_everything(make_bench: Any, processes: Any) -> None:
    bench = make_bench()
    ready = bench.open()
    name = bench.start_and_hear("leave_daemon", then="stay")
    pids = [ready.pid, processes.parent(ready.pid), bench.heard[name].started.pid, *bench.heard[name].pids()]
    assert all(processes.is_alive(pid) for pid in pids)
    bench.executor.close()
    assert not any(processes.is_alive(pid) for pid in pids)


def test_it_opens_again_after_closing(make_bench: Any) -> None:
    bench = make_bench()
    bench.open()
    bench.executor.close()
    bench.open()
    assert bench.run().outcome == "ok"


def test_where_something_is_missing_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(ExecutorError, match="needs Linux") as caught:
        LocalExecutor((Slot(0, (0,), 1),))
    assert "executor: inline" in str(caught.value)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(linux, "_CHILDREN", linux._CHILDREN / "missing")
    with pytest.raises(ExecutorError, match="children"):
        LocalExecutor((Slot(0, (0,), 1),))
