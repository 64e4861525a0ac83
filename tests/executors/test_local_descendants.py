"""When an attempt has ended, every process that came from it is gone; other processes are not touched."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest

LEAVERS = ["leave_child", "leave_daemon", "leave_anonymous_daemon"]


@pytest.mark.parametrize("do", LEAVERS)
@pytest.mark.parametrize("then", ["return", "die"])
def test_nothing_outlives_an_attempt_that_ends_by_itself(local: Any, processes: Any, do: str, then: str) -> None:
    heard = local.run(do, then=then)
    assert [pid for pid in heard.pids() if processes.is_alive(pid)] == []
    assert heard.outcome == ("ok" if then == "return" else None)


@pytest.mark.parametrize("do", LEAVERS)
def test_nothing_outlives_a_time_out(local: Any, processes: Any, do: str) -> None:
    heard = local.run(do, then="stay", job={"timeout_s": 1.0, "grace_s": 0.1})
    assert heard.ended.reason == "timeout"
    assert [pid for pid in heard.pids() if processes.is_alive(pid)] == []


@pytest.mark.parametrize("do", LEAVERS)
def test_nothing_outlives_a_stop(local: Any, processes: Any, do: str) -> None:
    name = local.start_and_hear(do, then="stay")
    assert [pid for pid in local.heard[name].pids() if processes.is_alive(pid)] != []
    local.executor.stop(name, "enough", 0.1)
    assert [pid for pid in local.finish(name).pids() if processes.is_alive(pid)] == []


def test_a_brood_larger_than_is_watched_at_once_goes_too(local: Any, processes: Any) -> None:
    heard = local.run("leave_brood", count=80)
    assert len(heard.pids()) == 80
    assert [pid for pid in heard.pids() if processes.is_alive(pid)] == []


def test_the_end_of_one_attempt_leaves_the_children_of_another_alone(local: Any, processes: Any) -> None:
    parent = local.start_and_hear("leave_daemon", then="stay")
    (daemon,) = local.heard[parent].pids()
    local.finish(local.start("leave_daemon", slot=1))
    assert processes.is_alive(daemon)
    local.executor.stop(parent, "enough", 0.0)
    local.finish(parent)
    assert not processes.is_alive(daemon)


def test_a_stranger_is_never_killed(local: Any, processes: Any) -> None:
    with subprocess.Popen(["sleep", "300"]) as stranger:
        local.run("leave_daemon")
        assert processes.is_alive(stranger.pid)
        stranger.kill()


def test_the_keeper_holds_no_more_after_many_attempts_than_after_one(make_bench: Any, processes: Any) -> None:
    bench = make_bench()
    keeper = bench.open().pid
    bench.run("leave_daemon")
    before = processes.descriptors(keeper)
    for _ in range(20):
        bench.run("leave_daemon")
    bench.run("write_garbage", hex="ffffffff")
    bench.run("behave", job={"folder": "/nowhere/at/all"})
    # Not equal: the pipes of a spare being forked may have been open at the first count.
    assert processes.descriptors(keeper) <= before
