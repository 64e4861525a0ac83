"""An attempt without progress is ended, whatever it is doing meanwhile; one that is only slow is not."""

from __future__ import annotations

import signal
import time
from typing import Any

import pytest

from flopwise.wire import Started


@pytest.fixture(scope="module")
def greedy(make_local: Any) -> Any:
    return make_local(objective="import:greedy:run")


@pytest.mark.parametrize("do", ["sleep", "spin", "deadlock", "chat"])
def test_no_measurement_for_too_long_ends_it(greedy: Any, processes: Any, do: str) -> None:
    heard = greedy.run(do, job={"progress_s": 0.4, "grace_s": 0.2})
    assert (heard.ended.reason, heard.ended.signal) == ("silent", signal.SIGKILL)
    assert heard.ended.ended_at - heard.ended.started_at >= 0.6
    assert not processes.is_alive(heard.started.pid)


def test_the_last_measurement_counts_not_the_start(greedy: Any) -> None:
    heard = greedy.run("plod", rows=8, seconds=0.15, job={"progress_s": 1.0})
    assert (heard.outcome, heard.ended.reason) == ("ok", "exit")
    assert heard.ended.ended_at - heard.ended.started_at > 1.0


def test_the_time_out_comes_first_when_it_is_shorter(greedy: Any) -> None:
    assert greedy.run("sleep", job={"progress_s": 300.0, "timeout_s": 0.2}).ended.reason == "timeout"
    assert greedy.run("sleep", job={"progress_s": 0.2, "timeout_s": 300.0}).ended.reason == "silent"


def test_silence_while_nobody_listens_is_not_the_attempts(greedy: Any) -> None:
    name = greedy.start("flood_rows", rows=400, job={"progress_s": 0.5})
    while not greedy.has(name, Started):
        greedy.heard[name].messages += greedy.executor.poll(1.0)
    time.sleep(1.2)
    heard = greedy.finish(name)
    assert (heard.outcome, heard.ended.reason, len(heard.rows)) == ("ok", "exit", 400)


def test_one_that_closes_its_pipe_is_silent_from_then_on(greedy: Any) -> None:
    heard = greedy.run("hang_up", then="stay", job={"progress_s": 0.4, "grace_s": 0.1})
    assert (heard.ended.reason, heard.reported) == ("silent", None)


def test_one_that_closes_its_pipe_and_returns_has_no_result(greedy: Any) -> None:
    heard = greedy.run("hang_up")
    assert heard.reported is None
    assert heard.ended.exit_code not in (0, None)
    assert "Bad file descriptor" in heard.ended.tail
