"""An attempt's whole tree is held to its slot's memory, with control groups and without."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from flopwise.executors.memory import Watched
from flopwise.executors.topology import usable_cores
from flopwise.wire import Slot

MEBIBYTE = 1 << 20
NO_GROUPS = Path(__file__).parent / "workloads_under_test" / "without_groups"
TORCH_FILE = Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"


@pytest.fixture(scope="module", params=["as the machine allows", "watched"])
def greedy(request: pytest.FixtureRequest, make_local: Any) -> Iterator[Any]:
    """A keeper that may make control groups where this machine lets it, and one that never may."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "watched":
            patch.setenv("PYTHONPATH", str(NO_GROUPS))
        yield make_local(objective="import:greedy:run")


def limited(mebibytes: int, **job: Any) -> dict[str, Any]:
    return {"slot": Slot(0, usable_cores()[:1], 1, memory_bytes=mebibytes * MEBIBYTE), **job}


def test_more_than_its_share_ends_it(greedy: Any, processes: Any) -> None:
    heard = greedy.run("hold", mebibytes=600, then="stay", job=limited(300))
    assert (heard.ended.reason, heard.ended.signal, heard.reported) == ("memory", signal.SIGKILL, None)
    assert not processes.is_alive(heard.started.pid)


def test_the_tree_counts_not_only_the_worker(greedy: Any) -> None:
    heard = greedy.run("hold", mebibytes=120, children=3, then="stay", job=limited(350))
    assert heard.ended.reason == "memory"


def test_a_child_that_takes_too_much_ends_the_whole_attempt(greedy: Any) -> None:
    heard = greedy.run("hog_in_child", mebibytes=600, job=limited(300, timeout_s=20.0))
    assert (heard.ended.reason, heard.ended.signal) == ("memory", signal.SIGKILL)


def test_less_than_its_share_is_left_alone_and_measured(greedy: Any) -> None:
    heard = greedy.run("hold", mebibytes=100, children=2, job=limited(600))
    assert (heard.outcome, heard.ended.reason) == ("ok", "exit")
    assert heard.ended.peak_rss_bytes > 290 * MEBIBYTE


def test_pages_that_children_share_count_once(greedy: Any) -> None:
    heard = greedy.run("share", mebibytes=150, children=4, job=limited(350))
    assert (heard.outcome, heard.ended.reason) == ("ok", "exit")


def test_pages_of_files_do_not_count(greedy: Any) -> None:
    heard = greedy.run("read_mapped", path=str(TORCH_FILE), job=limited(150))
    assert TORCH_FILE.stat().st_size > 250 * MEBIBYTE
    assert (heard.outcome, heard.ended.reason) == ("ok", "exit")


def test_an_attempt_without_a_limit_is_not_limited(greedy: Any) -> None:
    heard = greedy.run("hold", mebibytes=600)
    assert heard.outcome == "ok" and heard.ended.peak_rss_bytes > 600 * MEBIBYTE


def test_the_next_attempt_starts_from_nothing(greedy: Any) -> None:
    for _ in range(3):
        greedy.run("hold", mebibytes=600, then="stay", job=limited(300))
        assert greedy.run("hold", mebibytes=100, job=limited(300)).outcome == "ok"


def test_no_group_is_left_behind(make_bench: Any, processes: Any) -> None:
    bench = make_bench(objective="import:greedy:run")
    bench.open()
    bench.run("hold", mebibytes=600, then="stay", job=limited(300))
    inside = {
        path.name for run in processes.groups_of(bench.hello.run_id) for path in Path(run).iterdir() if path.is_dir()
    }
    assert inside <= {"keeper"}, "that of the attempt is gone already"
    bench.executor.close()
    assert processes.groups_of(bench.hello.run_id) == []


def test_groups_of_a_killed_keeper_are_gone_before_another_opens(make_bench: Any, processes: Any) -> None:
    bench = make_bench(objective="import:greedy:run")
    keeper = bench.open().pid
    bench.start_and_hear("hold", mebibytes=100, then="stay", job=limited(300))
    os.kill(keeper, signal.SIGKILL)
    bench.listen(lambda: bench.lost)
    assert processes.groups_of(bench.hello.run_id) == []
    bench.open()
    assert bench.run("hold", mebibytes=100, job=limited(300)).outcome == "ok"


def test_one_process_is_weighed_only_when_it_maps_too_much() -> None:
    process = subprocess.Popen([sys.executable, "-c", "import time; block = b'x' * (50 << 20); time.sleep(300)"])
    try:
        light, heavy = Watched(process.pid, 1 << 40), Watched(process.pid, 45 * MEBIBYTE)
        while not heavy.is_exceeded():
            time.sleep(0.01)
        assert heavy.peak_bytes > 45 * MEBIBYTE
        assert not light.is_exceeded() and light.peak_bytes == 0
    finally:
        process.kill()
        process.wait()
