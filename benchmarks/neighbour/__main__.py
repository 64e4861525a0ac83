"""What a workload with 64 threads does to the attempt beside it: ``python -m benchmarks.neighbour``

On the first of two slots, of one core each, an attempt computes in threads of its own, one or 64, and never rests; on
the second one an attempt has a fixed piece of work to do. How long that takes is measured in turns: with the first
slot idle, beside one thread, beside 64 threads. In the same turns without flopwise: two plain processes of one thread,
each pinned to its core, which is what two busy cores cost each other on this machine (caches, siblings, a
hypervisor). At last two plain processes that the system puts where it likes, one of them with 64 threads.

Exit code 1 when the promise is broken: beside 64 threads the attempt is at most 5% slower than beside one, and at most
5% slower than with nothing beside it once what the pinned processes cost each other is taken off. Work much shorter
than the 6 s also feels that spares for the next attempts are forked once a core is busy. Five minutes.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from flopwise.executors.local import LocalExecutor
from flopwise.executors.topology import usable_cores
from flopwise.trial import AttemptId, Outcome
from flopwise.wire import Ended, Hello, Job, Measurement, Reported, Slot

HERE = Path(__file__).parent
THREADS = 64
MOST_SLOWER = 0.05
BLOCKS_TO_TRY = 4_000
ALONE, BESIDE_ONE, BESIDE_MANY = "nothing beside it", "1 thread beside it", f"{THREADS} threads beside it"
BESIDE = {ALONE: 0, BESIDE_ONE: 1, BESIDE_MANY: THREADS}
PINNED_ALONE, PINNED_BESIDE = "pinned process, nothing beside it", "pinned process, 1 thread beside it"
PINNED = {PINNED_ALONE: False, PINNED_BESIDE: True}
PLAIN = f"plain processes, {THREADS} threads"


class Bench:
    """Two slots of one core each, through a real keeper.

    Args:
        root: Folder for everything it writes.
    """

    def __init__(self, root: Path) -> None:
        first, second = usable_cores()[:2]
        self._root = root
        self._number = 0
        self._said: list[Any] = []
        self._executor = LocalExecutor([Slot(0, (first,), 1), Slot(1, (second,), 1)])
        self._executor.open(
            Hello(
                run_id=f"neighbour{os.getpid()}",
                stamps=str(root / "keeper.jsonl"),
                sys_path=(str(HERE), *sys.path),
                preload=("flopwise.workloads.function.run",),
                objective="import:work:run",
                folder=str(Path.cwd()),
            )
        )

    def measure_s(self, blocks: int, threads: int) -> float:
        """Wall seconds of the work beside so many threads, none for an idle slot."""
        crowd = self._start(0, {"do": "crowd", "threads": threads}) if threads else None
        if crowd is not None:
            self._hear(crowd, Measurement)
        worker = self._start(1, {"do": "work", "blocks": blocks})
        reported = self._hear(worker, Reported)
        self._hear(worker, Ended)
        if crowd is not None:
            self._executor.stop(crowd, "measured", 5.0)
            self._hear(crowd, Ended)
        if reported.outcome != Outcome.OK:
            raise SystemExit(reported.cause)
        return float(reported.metrics["loss"])

    def close(self) -> None:
        """End the keeper."""
        self._executor.close()

    def _start(self, slot: int, config: dict[str, Any]) -> str:
        self._number += 1
        attempt = str(AttemptId(self._number, 0, 1))
        folder = self._root / attempt
        folder.mkdir(mode=0o700)
        own, cache = self._executor.slots[slot], str(self._root)
        self._executor.start(
            Job(attempt, "evaluate", "function", config, {}, 0, own, str(folder), cache, metric="loss")
        )
        return attempt

    def _hear(self, attempt: str, kind: type) -> Any:
        """Wait for a message of that kind about an attempt."""
        while True:
            for message in self._said:
                if isinstance(message, kind) and message.attempt == attempt:
                    return message
            self._said = self._executor.poll(60.0)


def plain_s(blocks: int, threads: int, cores: tuple[int, ...] = ()) -> float:
    """The same work in a plain process, beside another one with so many threads, if any.

    Args:
        blocks: Of work.
        threads: Of the process beside it.
        cores: Of the other process and of this one; none: nobody pins either.
    """
    beside, own = [[str(core)] for core in cores] if cores else ([], [])
    program = [sys.executable, str(HERE / "work.py")]
    crowd = subprocess.Popen([*program, "crowd", str(threads), *beside]) if threads else None
    try:
        time.sleep(1.0)
        done = subprocess.run([*program, "work", str(blocks), *own], check=True, stdout=subprocess.PIPE)
    finally:
        if crowd is not None:
            crowd.kill()
            crowd.wait()
    return float(done.stdout)


def main() -> int:
    """Measure, print and judge."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.neighbour", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=6.0, help="that the work takes with nothing beside it")
    options = parser.parse_args()
    if len(usable_cores()) < 2:
        raise SystemExit("two cores are needed")
    print(f"load average of the last minute before: {os.getloadavg()[0]:.2f}")
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        blocks = round(BLOCKS_TO_TRY * options.seconds / bench.measure_s(BLOCKS_TO_TRY, 0))
        found = {name: list[float]() for name in (*BESIDE, *PINNED)}
        for _ in range(options.rounds):
            for name, threads in BESIDE.items():
                found[name].append(bench.measure_s(blocks, threads))
            for name, beside in PINNED.items():
                found[name].append(plain_s(blocks, int(beside), usable_cores()[:2]))
        bench.close()
    found[PLAIN] = [plain_s(blocks, THREADS)]
    return 0 if _judge(found) else 1


def _judge(found: dict[str, list[float]]) -> bool:
    alone = statistics.median(found[ALONE])
    print("\n| | s, median | rounds | times as long |\n|---|---|---|---|")
    for name, figures in found.items():
        listed = ", ".join(f"{figure:.2f}" for figure in figures)
        median = statistics.median(figures)
        print(f"| {name} | {median:.2f} | {listed} | {median / alone:.3f} |")
    machine = _ratios(found[PINNED_BESIDE], found[PINNED_ALONE])
    beyond = [own / other for own, other in zip(_ratios(found[BESIDE_MANY], found[ALONE]), machine, strict=True)]
    against_one = statistics.median(_ratios(found[BESIDE_MANY], found[BESIDE_ONE]))
    print(f"\ntwo pinned processes slow each other by {statistics.median(machine) - 1.0:+.1%}")
    slower = {BESIDE_ONE: against_one - 1.0, f"{ALONE}, beyond that": statistics.median(beyond) - 1.0}
    for name, share in slower.items():
        print(f"\n{BESIDE_MANY}, against {name}: {share:+.1%}, at most {MOST_SLOWER:.0%} slower")
    kept = all(share <= MOST_SLOWER for share in slower.values())
    print("promise kept" if kept else "the promise is BROKEN")
    return kept


def _ratios(figures: list[float], others: list[float]) -> list[float]:
    """Round by round, so that a machine that gets slower does so for both."""
    return [a / b for a, b in zip(figures, others, strict=True)]


if __name__ == "__main__":
    sys.exit(main())
