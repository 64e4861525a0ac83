"""Whose the time of an attempt's cores was: its own, nobody's, or others'."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flopwise.contention import is_contended
from flopwise.executors.core_time import CoreClock, CoreTimes, idle_seconds, taken_by_others
from flopwise.executors.topology import usable_cores


@pytest.fixture(scope="module")
def greedy(make_local: Any) -> Any:
    return make_local(objective="import:greedy:run")


@pytest.fixture
def hog() -> Iterator[int]:
    """A process that never rests, on the first core."""
    code = f"import os; os.sched_setaffinity(0, {{{usable_cores()[0]}}})\nwhile True: pass"
    process = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)  # a full share of the core
    yield process.pid
    process.kill()
    process.wait()


def test_what_is_neither_idle_nor_its_own_is_others() -> None:
    before, after = CoreTimes(10.0, {0: 100.0, 1: 50.0}), CoreTimes(14.0, {0: 101.0, 1: 50.0})
    assert taken_by_others(before, after, [0], 3.0) == 0.0
    assert taken_by_others(before, after, [0], 1.0) == 0.5
    assert taken_by_others(before, after, [0, 1], 5.0) == 0.25


def test_clocks_that_do_not_quite_agree_give_no_share_outside_zero_and_one() -> None:
    assert taken_by_others(CoreTimes(0.0, {0: 0.0}), CoreTimes(1.0, {0: 0.1}), [0], 1.0) == 0.0
    assert taken_by_others(CoreTimes(0.0, {0: 0.1}), CoreTimes(1.0, {0: 0.0}), [0], 0.0) == 1.0


@pytest.mark.parametrize(
    ("cores", "seconds", "idle"), [([], 2.0, {0: 1.0}), ([0], 0.4, {0: 1.0}), ([0], 2.0, {}), ([0, 7], 2.0, {0: 1.0})]
)
def test_where_it_cannot_be_known_nothing_is_said(cores: list[int], seconds: float, idle: dict[int, float]) -> None:
    assert taken_by_others(CoreTimes(0.0, {0: 0.0}), CoreTimes(seconds, idle), cores, 0.1) is None


def test_idle_time_is_read_by_core(tmp_path: Path) -> None:
    stat = tmp_path / "stat"
    stat.write_text("cpu  9 9 9 900 90 0 0 0 0 0\ncpu0 1 2 3 400 50 6 7 8 0 0\ncpu12 1 2 3 500 40 6 7 8 0 0\nintr 5\n")
    tick_s = 1.0 / os.sysconf("SC_CLK_TCK")
    assert idle_seconds(stat) == pytest.approx({0: 450 * tick_s, 12: 540 * tick_s})
    assert idle_seconds(tmp_path / "missing") == {}


def test_every_core_of_this_machine_can_be_read_and_only_now_and_then() -> None:
    clock = CoreClock()
    first = clock.look()
    assert set(usable_cores()) <= set(first.idle_s)
    assert clock.look() is first
    time.sleep(0.02)
    assert clock.look().at > first.at


def test_a_hog_on_the_same_core_is_seen(greedy: Any, hog: int) -> None:
    heard = greedy.run("spin", seconds=1.2)
    assert heard.ended.contention > 0.3 and is_contended(heard.ended.contention)


def test_an_attempts_own_children_are_not_others(greedy: Any, hog: int) -> None:
    """Two of its processes and the hog share the core; of the two, only one is waited for by the worker."""
    heard = greedy.run("spin_in_child", seconds=1.5)
    own_share = heard.ended.cpu_s / (heard.ended.ended_at - heard.ended.started_at)
    assert 0.2 < heard.ended.contention < 1.0 - 1.5 * own_share


def test_a_short_attempt_says_nothing(greedy: Any) -> None:
    assert greedy.run("spin", seconds=0.05).ended.contention is None


def test_switches_are_counted(greedy: Any) -> None:
    resting, spinning = greedy.run("plod", rows=30, seconds=0.005), greedy.run("spin", seconds=0.3)
    assert resting.ended.switches[0] >= 30 > spinning.ended.switches[0]
    assert all(count >= 0 for count in resting.ended.switches + spinning.ended.switches)
