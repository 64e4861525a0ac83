"""What one attempt costs beyond its own work: ``python -m benchmarks.overhead``, beside peers in the same run.

Every attempt is a fresh, isolated process. ``matmul`` does one matrix product with torch loaded before the
fork; ``adamw`` takes one real training step. A figure is the median over rounds of wall / attempts, in ms.
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

from flopwise.executors.local import LocalExecutor
from flopwise.executors.slots import make_slots
from flopwise.executors.topology import usable_cores
from flopwise.trial import AttemptId, Outcome
from flopwise.wire import Ended, Hello, Job, Reported

HERE = Path(__file__).parent
PEER_ATTEMPTS = {"raw fork": 60, "fresh interpreter": 4, "spawn pool": 4}
TARGET_MS = {"matmul": 12.0, "adamw": 30.0}


def main() -> None:
    """Measure and print."""
    options = _options()
    print(f"{'':24}" + "".join(f"{work} × {slots}".rjust(14) for work in TARGET_MS for slots in options.slots))
    ours = _row("flopwise", options, lambda work, slots: flopwise_ms(work, slots, options.attempts, options.rounds))
    for peer, count in PEER_ATTEMPTS.items():
        theirs = _row(peer, options, lambda work, slots, p=peer, c=count: peer_ms(p, work, slots, c, options.rounds))
        print(f"{'  × flopwise':24}" + "".join(f"{theirs[key] / ours[key]:14.2f}" for key in ours))
    for work, target in TARGET_MS.items():
        measured = ours[work, options.slots[-1]]
        verdict = "met" if measured <= target else "missed"
        print(f"target {work} at {options.slots[-1]} slots: ≤ {target:g} ms, measured {measured:.1f} ms: {verdict}")


def flopwise_ms(work: str, slots: int, count: int, rounds: int) -> float:
    """Attempts through the local executor: folder, fork, work, summary on disk, result, end of the tree."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        executor = LocalExecutor(make_slots(usable_cores(), slots, 1))
        executor.open(_hello(root, work))
        try:
            return statistics.median(_round(executor, root, number, count) for number in range(rounds))
        finally:
            executor.close()


def peer_ms(peer: str, work: str, slots: int, count: int, rounds: int) -> float:
    """The same work in a peer's processes."""
    command = [sys.executable, str(HERE / "peers.py"), peer, work, str(slots), str(count)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    figures = [
        float(subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout)
        for _ in range(rounds)
    ]
    return statistics.median(figures)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--attempts", type=int, default=60, help="attempts a round")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    options.slots = [slots for slots in (1, 2) if slots <= len(usable_cores())]
    return options


def _row(name, options, measure):  # type: ignore[no-untyped-def]
    figures = {(work, slots): measure(work, slots) for work in TARGET_MS for slots in options.slots}
    print(f"{name:24}" + "".join(f"{figure:14.1f}" for figure in figures.values()), flush=True)
    return figures


def _hello(root: Path, work: str) -> Hello:
    return Hello(
        run_id=f"overhead{os.getpid()}",
        stamps=str(root / "keeper.jsonl"),
        sys_path=(str(HERE), *sys.path),
        preload=("torch", "flopwise.workloads.function.run"),
        warm=f"work:{work}",
        objective=f"import:work:{work}",
        folder=os.getcwd(),
    )


def _round(executor: LocalExecutor, root: Path, number: int, count: int) -> float:
    began = time.perf_counter()
    waiting = [str(AttemptId(number, 0, attempt)) for attempt in range(1, count + 1)]
    free = list(executor.slots)
    busy = {}
    while waiting or busy:
        while waiting and free:
            job = _job(root, waiting.pop(), free.pop())
            busy[job.attempt] = job.slot
            executor.start(job)
        for message in executor.poll(10.0):
            if isinstance(message, Reported) and message.outcome != Outcome.OK:
                raise SystemExit(f"{message.attempt}: {message.cause}")
            if isinstance(message, Ended):
                free.append(busy.pop(message.attempt))
    return 1000 * (time.perf_counter() - began) / count


def _job(root: Path, attempt: str, slot) -> Job:  # type: ignore[no-untyped-def]
    folder = root / attempt
    folder.mkdir(mode=0o700)
    return Job(attempt, "evaluate", "function", {"x": 1}, {}, 0, slot, str(folder), str(root), metric="loss")


if __name__ == "__main__":
    main()
