"""Is contention seen, and only where it is? ``python -m benchmarks.contention``

50 attempts of 1.5 CPU-seconds on an otherwise idle machine, on all its slots at once (one core each), then 10 on a
slot whose core a process outside the study keeps busy. Both through a real keeper; an attempt is contended when
``flopwise.contention.is_contended`` says so of the share that the keeper measured.

Exit code 1 when a promise is broken: at most 2 of the 50 marked, at least 9 of the 10. How busy the machine was just
before is printed first: on one that is not idle, contention is real and the first promise says nothing.
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

from flopwise.contention import CONTENDED_ABOVE, is_contended
from flopwise.executors.core_time import CoreClock, taken_by_others
from flopwise.executors.local import LocalExecutor
from flopwise.executors.topology import usable_cores
from flopwise.trial import AttemptId, Outcome
from flopwise.wire import Ended, Hello, Job, Reported, Slot

HERE = Path(__file__).parent
MOST_FALSE, LEAST_TRUE = 2, 9
IDLE_BELOW = 0.02


class Bench:
    """Attempts through the local executor.

    Args:
        root: Folder for everything it writes.
        cpu_s: Of every attempt.
    """

    def __init__(self, root: Path, cpu_s: float) -> None:
        self._root = root
        self._cpu_s = cpu_s
        self._number = 0
        self._executor = LocalExecutor([Slot(i, (core,), 1) for i, core in enumerate(usable_cores())])
        self._executor.open(
            Hello(
                run_id=f"contention{os.getpid()}",
                stamps=str(root / "keeper.jsonl"),
                sys_path=(str(HERE), *sys.path),
                preload=("flopwise.workloads.function.run",),
                objective="import:work:compute",
                folder=str(Path.cwd()),
            )
        )

    @property
    def slots(self) -> tuple[Slot, ...]:
        return self._executor.slots

    def shares(self, count: int, slots: tuple[Slot, ...]) -> list[float]:
        """What the keeper says that others took, of ``count`` attempts on these slots."""
        found: list[float] = []
        free, waiting = list(slots), count
        busy: dict[str, Slot] = {}
        while len(found) < count:
            while waiting and free:
                job = self._job(free.pop())
                busy[job.attempt] = job.slot
                self._executor.start(job)
                waiting -= 1
            for message in self._executor.poll(60.0):
                if isinstance(message, Reported) and message.outcome != Outcome.OK:
                    raise SystemExit(f"{message.attempt}: {message.cause}")
                if isinstance(message, Ended):
                    free.append(busy.pop(message.attempt))
                    assert message.contention is not None
                    found.append(message.contention)
        return found

    def close(self) -> None:
        """End the keeper."""
        self._executor.close()

    def _job(self, slot: Slot) -> Job:
        self._number += 1
        attempt = str(AttemptId(self._number, 0, 1))
        folder = self._root / attempt
        folder.mkdir(mode=0o700)
        config = {"cpu_s": self._cpu_s}
        return Job(attempt, "evaluate", "function", config, {}, 0, slot, str(folder), str(self._root), metric="loss")


def main() -> int:
    """Measure, print and judge."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.contention", description=__doc__)
    parser.add_argument("--alone", type=int, default=50, help="attempts with their cores to themselves")
    parser.add_argument("--crowded", type=int, default=10, help="attempts beside a process that never rests")
    parser.add_argument("--cpu-s", type=float, default=1.5, help="CPU seconds of an attempt")
    options = parser.parse_args()
    busy = _busy_share(2.0)
    word = "idle enough" if busy <= IDLE_BELOW else "NOT idle: what is marked of the first row may be marked rightly"
    print(f"before: others keep {busy:.1%} of the cores busy: {word}")
    print(f"marked above {CONTENDED_ABOVE:.0%}")
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), options.cpu_s)
        alone = bench.shares(options.alone, bench.slots)
        crowded = _beside_a_hog(bench, options.crowded)
        bench.close()
    _print("alone", alone)
    _print("beside a hog", crowded)
    kept = (
        sum(map(is_contended, alone)) <= MOST_FALSE * len(alone) / 50
        and sum(map(is_contended, crowded)) >= LEAST_TRUE * len(crowded) / 10
    )
    print("promises kept" if kept else "a promise is broken")
    return 0 if kept else 1


def _busy_share(seconds: float) -> float:
    clock = CoreClock()
    before = clock.look()
    time.sleep(seconds)
    return taken_by_others(before, clock.look(), usable_cores(), 0.0) or 0.0


def _beside_a_hog(bench: Bench, count: int) -> list[float]:
    slot = bench.slots[0]
    hog = subprocess.Popen([sys.executable, str(HERE / "hog.py"), *map(str, slot.cores)])
    time.sleep(0.5)
    try:
        return bench.shares(count, (slot,))
    finally:
        hog.kill()
        hog.wait()


def _print(name: str, shares: list[float]) -> None:
    marked = sum(map(is_contended, shares))
    spread = f"{min(shares):.1%} … {statistics.median(shares):.1%} … {max(shares):.1%}"
    print(f"{name:14} {marked:3} of {len(shares)} marked; taken by others, least … median … most: {spread}")


if __name__ == "__main__":
    sys.exit(main())
