"""A worker that talks too much has to wait; nothing is lost and the keeper does not grow."""

from __future__ import annotations

from typing import Any

MEBIBYTE = 1 << 20


def test_a_flood_waits_for_a_coordinator_that_does_not_read(make_bench: Any, processes: Any) -> None:
    bench = make_bench()
    keeper = bench.open().pid
    bench.run("behave")
    before = processes.memory_bytes(keeper)
    name = bench.start("flood", frames=600, bytes=50_000)
    pid = _worker(bench, name)
    processes.wait_until_calm(pid, keeper)
    assert processes.memory_bytes(keeper) - before < 12 * MEBIBYTE, "of 30 MiB that want to come"
    heard = bench.finish(name)
    assert [round(p.done) for p in heard.progress] == list(range(600))
    assert heard.outcome == "ok"


def test_others_are_served_while_one_floods(make_bench: Any) -> None:
    bench = make_bench()
    bench.open()
    flooding = bench.start("flood", frames=40_000, bytes=10)
    assert bench.finish(bench.start("behave", slot=1)).outcome == "ok"
    assert len(bench.finish(flooding).progress) == 40_000


def _worker(bench: Any, name: str) -> int:
    """Read only as far as the start."""
    while not bench.heard[name].messages:
        for message in bench.executor.poll(1.0):
            bench.heard[message.attempt].messages.append(message)
    return int(bench.heard[name].messages[0].pid)
