"""Attempts on real nodes: what they get, and what happens when a node, or a part of it, goes."""

from __future__ import annotations

import hashlib
import os
import secrets
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flopwise.errors import ExecutorError
from flopwise.executors.cluster.executor import RayExecutor
from flopwise.wire import Measurement

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]
SECTION = {"slots": None, "threads": 1}


def section(address: str, **options: Any) -> dict[str, Any]:
    return {**SECTION, "options": {"address": address, "lost_after": 4.0, **options}}


@pytest.fixture(scope="module")
def bench(cluster: Any, tmp_path_factory: pytest.TempPathFactory, bench_class: Any) -> Iterator[Any]:
    os.environ["FLOPWISE_TEST_TOKEN"] = "s3cret"
    executor = RayExecutor.from_study(section(cluster.address))
    hello = {"objective": "import:on_cluster:run", "pass_env": ("FLOPWISE_TEST_TOKEN",)}
    made = bench_class(executor, tmp_path_factory.mktemp("ray"), **hello)
    made.open()
    yield made
    executor.close()
    del os.environ["FLOPWISE_TEST_TOKEN"]


def host_of(processes: Any, attempt: int) -> int:
    """The actor above an attempt: attempt, keeper, guard, host."""
    return int(processes.parent(processes.parent(processes.parent(attempt))))


def both(bench: Any, seconds: float) -> list[str]:
    """An attempt on each of the two nodes, both in the middle of it."""
    names = [bench.start("last", slot=slot, seconds=seconds) for slot in (0, 1)]
    bench.listen(lambda: all(bench.has(name, Measurement) for name in names))
    return names


def lost_alone(bench: Any, lost: str, other: str) -> None:
    """One is lost with its node, the other goes on, and the slot comes back."""
    before = len(bench.lost)
    bench.listen(lambda: len(bench.lost) > before)
    assert bench.lost[-1].attempts == (lost,)
    assert bench.finish(other).outcome == "ok"
    bench.listen(lambda: not bench.executor.traits.down)
    assert bench.finish(bench.start("last", slot=0, seconds=0.0)).outcome == "ok"


def test_an_attempt_may_use_ray_itself(bench: Any, cluster: Any) -> None:
    heard = bench.run("put", address=cluster.address)
    assert (heard.outcome, heard.reported.metrics) == ("ok", {"loss": 3.0})
    assert bench.run("last", seconds=0.0).outcome == "ok"


def test_an_attempt_sees_what_it_is_passed_and_nothing_of_ray(bench: Any) -> None:
    info = bench.run("secret").reported.info
    assert (info["names"], info["token"]) == ("FLOPWISE_TEST_TOKEN", "s3cret")
    assert "s3cret" not in Path(bench.hello.stamps).read_text()


def test_prepared_data_comes_by_its_hash(bench: Any) -> None:
    content = secrets.token_bytes(3_000_000)
    digest = hashlib.sha256(content).hexdigest()
    (bench.root / f"tokens-{digest}.bin").write_bytes(content)
    for _ in range(2):
        assert bench.run("read", job={"data": {"sha256": digest}}).reported.metrics == {"loss": 3_000_000.0}


def test_a_killed_attempt_is_one_attempt(bench: Any) -> None:
    one, other = both(bench, 2.0)
    os.kill(bench.heard[one].started.pid, signal.SIGKILL)
    assert bench.finish(one).ended.signal == signal.SIGKILL
    assert bench.finish(other).outcome == "ok" and not bench.lost


def test_a_killed_keeper_is_the_loss_of_one_node(bench: Any, processes: Any) -> None:
    one, other = both(bench, 6.0)
    os.kill(processes.parent(bench.heard[one].started.pid), signal.SIGKILL)
    lost_alone(bench, one, other)
    processes.wait_for(lambda: not processes.is_alive(bench.heard[one].started.pid), 10.0)


def test_a_killed_actor_is_the_loss_of_one_node(bench: Any, processes: Any) -> None:
    one, other = both(bench, 6.0)
    os.kill(host_of(processes, bench.heard[one].started.pid), signal.SIGKILL)
    lost_alone(bench, one, other)
    processes.wait_for(lambda: not processes.is_alive(bench.heard[one].started.pid), 10.0)


def test_a_node_that_was_cut_off_and_returns_is_heard_but_it_was_lost(bench: Any, processes: Any) -> None:
    one, other = both(bench, 8.0)
    host = host_of(processes, bench.heard[one].started.pid)
    os.kill(host, signal.SIGSTOP)
    before = len(bench.lost)
    bench.listen(lambda: len(bench.lost) > before)
    assert bench.lost[-1].attempts == (one,) and "no word from it" in bench.lost[-1].detail
    bench.finish(other)
    time.sleep(1.0)
    os.kill(host, signal.SIGCONT)
    late = bench.finish(one)
    assert late.outcome == "ok" and late.ended.ended_at - late.ended.started_at > 7.5
    bench.listen(lambda: not bench.executor.traits.down)
    processes.wait_for(lambda: not processes.is_alive(host), 20.0)


def test_a_cluster_that_does_not_answer_is_an_error_in_time() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        began = time.monotonic()
        with pytest.raises(ExecutorError, match=r"no answer from the Ray cluster at 127\.0\.0\.1:") as caught:
            RayExecutor.from_study(section(f"127.0.0.1:{silent.getsockname()[1]}"))
        assert "ray status" in str(caught.value)
        assert time.monotonic() - began < 60


def test_a_node_that_lacks_flopwise_or_has_another_gets_no_work(cluster: Any, tmp_path: Path) -> None:
    for name, content in (("none", "raise ModuleNotFoundError('no flopwise')"), ("old", "__version__ = '0.0.1'")):
        package = tmp_path / name / "flopwise"
        (package / "executors" / "cluster").mkdir(parents=True)
        (package / "__init__.py").write_text(content)
        for folder in (package / "executors", package / "executors" / "cluster"):
            (folder / "__init__.py").write_text("")
        (package / "executors" / "cluster" / "host.py").write_text("")
    size = {"num_cpus": 1, "object_store_memory": 80_000_000}
    added = [cluster.add_node(**size, env_vars={"PYTHONPATH": str(tmp_path / name)}) for name in ("none", "old")]
    try:
        executor = RayExecutor.from_study(section(cluster.address))
        notes = " / ".join(executor._found.notes)
        executor.close()
        assert "flopwise cannot be used there (ModuleNotFoundError: no flopwise)" in notes
        assert "it has flopwise 0.0.1" in notes and "pip install 'flopwise[cluster]" in notes
        assert len(executor.slots) == 2
    finally:
        for node in added:
            cluster.remove_node(node)


def test_what_there_is_no_room_for_is_said(cluster: Any) -> None:
    with pytest.raises(ExecutorError, match="no node of the cluster has room"):
        RayExecutor.from_study({**section(cluster.address), "threads": 64})
    executor = RayExecutor.from_study({**section(cluster.address, resources={"licence": 1}), "slots": 1})
    assert executor.traits.down == {0}
    executor.close()
