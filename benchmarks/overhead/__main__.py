"""What one attempt costs beyond its own work: ``python -m benchmarks.overhead``, beside peers in the same run.

Every attempt is a fresh process. ``matmul`` does one matrix product with torch loaded before the fork;
``adamw`` takes one real training step. All contenders take turns in every round, so that a busy machine
is busy for all of them. A figure is wall / attempts in ms, the median over rounds, the best in brackets.

Ray and Syne Tune are measured where they are installed (``pip install "ray[tune]" syne-tune``), and named
where they are not.

A flopwise attempt includes what the others leave out: its own folder, session, pinning, environment and
output files, the summary synced to disk, the result over the wire, stamps, and the end of its whole
process tree confirmed.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from flopwise.executors.local import LocalExecutor
from flopwise.executors.slots import Share, make_slots
from flopwise.executors.topology import topology, usable_cores
from flopwise.trial import AttemptId, Outcome
from flopwise.wire import Ended, Hello, Job, Reported

HERE = Path(__file__).parent
OURS = "flopwise"
ATTEMPTS = {
    OURS: 60,
    "raw fork": 60,
    "fresh interpreter": 4,
    "spawn pool": 4,
    "Ray task": 4,
    "Ray Tune": 4,
    "Syne Tune": 4,
}
NEEDS = {"Ray task": "ray", "Ray Tune": "ray", "Syne Tune": "syne_tune"}
TARGET_MS = {"matmul": 12.0, "adamw": 30.0}


class Peer:
    """A contender in a process of its own."""

    def __init__(self, name: str, work: str, slots: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "peers.py"), name, work, str(slots)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        self._answer()

    def measure_s(self, count: int) -> float:
        """Wall seconds of ``count`` attempts."""
        assert self._process.stdin is not None
        print(count, file=self._process.stdin, flush=True)
        return float(self._answer())

    def close(self) -> None:
        """End it by the end of its input."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


class Flopwise:
    """Attempts through the local executor."""

    def __init__(self, work: str, slots: int, root: Path) -> None:
        self._root = root
        self._round = 0
        self._executor = LocalExecutor(make_slots(topology(), Share(slots=slots)))
        self._executor.open(
            Hello(
                run_id=f"overhead{os.getpid()}{work}{slots}",
                stamps=str(root / "keeper.jsonl"),
                sys_path=(str(HERE), *sys.path),
                preload=("torch", "flopwise.workloads.function.run"),
                warm=f"work:{work}",
                objective=f"import:work:{work}",
                folder=str(Path.cwd()),
            )
        )

    def measure_s(self, count: int) -> float:
        """Wall seconds of ``count`` attempts."""
        self._round += 1
        began = time.perf_counter()
        waiting = [str(AttemptId(self._round, 0, attempt)) for attempt in range(1, count + 1)]
        free = list(self._executor.slots)
        busy: dict[str, Any] = {}
        while waiting or busy:
            while waiting and free:
                busy[waiting[-1]] = free[-1]
                self._executor.start(self._job(waiting.pop(), free.pop()))
            for message in self._executor.poll(10.0):
                if isinstance(message, Reported) and message.outcome != Outcome.OK:
                    raise SystemExit(f"{message.attempt}: {message.cause}")
                if isinstance(message, Ended):
                    free.append(busy.pop(message.attempt))
        return time.perf_counter() - began

    def close(self) -> None:
        """End the keeper."""
        self._executor.close()

    def _job(self, attempt: str, slot: Any) -> Job:
        folder = self._root / attempt
        folder.mkdir(mode=0o700)
        return Job(attempt, "evaluate", "function", {"x": 1}, {}, 0, slot, str(folder), str(self._root), metric="loss")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overhead", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    slots = [count for count in (1, 2) if count <= len(usable_cores())]
    cases = [(work, count) for work in TARGET_MS for count in slots]
    for name in sorted(set(ATTEMPTS) - set(_present())):
        print(f"{name} is not installed and not measured")
    figures = {case: _measure(*case, rounds) for case in cases}
    _print_table(cases, figures)
    for work, target in TARGET_MS.items():
        measured = statistics.median(figures[work, slots[-1]][OURS])
        word = "met" if measured <= target else "missed"
        print(f"target {work}, {slots[-1]} slots: at most {target:g} ms; measured {measured:.1f} ms: {word}")


def _measure(work: str, slots: int, rounds: int) -> dict[str, list[float]]:
    """Milliseconds per attempt of every contender, one figure a round."""
    with _contenders(work, slots) as contenders:
        found: dict[str, list[float]] = {name: [] for name in contenders}
        for _ in range(rounds):
            for name, contender in contenders.items():
                found[name].append(1000 * contender.measure_s(ATTEMPTS[name]) / ATTEMPTS[name])
    return found


def _present() -> list[str]:
    """Contenders whose packages are installed."""
    return [name for name in ATTEMPTS if name not in NEEDS or find_spec(NEEDS[name]) is not None]


@contextmanager
def _contenders(work: str, slots: int) -> Iterator[dict[str, Any]]:
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        contenders: dict[str, Any] = {OURS: Flopwise(work, slots, root)}
        stack.callback(contenders[OURS].close)
        for name in _present():
            if name != OURS:
                contenders[name] = Peer(name, work, slots)
                stack.callback(contenders[name].close)
        yield contenders


def _print_table(cases: list[tuple[str, int]], figures: dict[tuple[str, int], dict[str, list[float]]]) -> None:
    print(f"{'ms per attempt':20}" + "".join(f"{f'{work}, {slots} slots':>22}" for work, slots in cases))
    for name in _present():
        found = [figures[case][name] for case in cases]
        print(f"{name:20}" + "".join(f"{f'{statistics.median(f):.1f} ({min(f):.1f})':>22}" for f in found))
    for name in _present():
        ratios = [statistics.median(figures[case][name]) / statistics.median(figures[case][OURS]) for case in cases]
        print(f"{f'{name} / {OURS}':20}" + "".join(f"{ratio:22.2f}" for ratio in ratios))


if __name__ == "__main__":
    main()
