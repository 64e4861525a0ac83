"""Ways to run many attempts at once; each makes ``measure_s(attempts, seconds)`` of attempts that sleep."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Protocol

from flopwise.executors.local import LocalExecutor
from flopwise.executors.preload import preload
from flopwise.executors.topology import usable_cores
from flopwise.trial import AttemptId, Outcome
from flopwise.wire import Ended, Hello, Job, Reported, Slot

HERE = Path(__file__).parent


class Contender(Protocol):
    """One way; opened before anything is measured.

    Args:
        slots: Attempts at a time.
        root: Folder for everything it writes.
    """

    def __init__(self, slots: int, root: Path) -> None: ...

    def measure_s(self, attempts: int, seconds: float) -> float:
        """Wall seconds of so many attempts that sleep so long each."""
        ...

    def close(self) -> None:
        """End it."""
        ...


class Flopwise:
    """Attempts through the local executor, more slots than cores: nothing here computes."""

    def __init__(self, slots: int, root: Path) -> None:
        cores = usable_cores()
        self._root = root
        self._round = 0
        self._executor = LocalExecutor([Slot(i, (cores[i % len(cores)],), 1) for i in range(slots)])
        self._executor.open(hello(root))

    def measure_s(self, attempts: int, seconds: float) -> float:
        """See :class:`Contender`."""
        self._round += 1
        began = time.perf_counter()
        waiting = [str(AttemptId(self._round, 0, number)) for number in range(attempts, 0, -1)]
        free = list(self._executor.slots)
        busy: dict[str, Slot] = {}
        while waiting or busy:
            while waiting and free:
                busy[waiting[-1]] = free[-1]
                self._executor.start(self._job(waiting.pop(), free.pop(), seconds))
            for message in self._executor.poll(60.0):
                if isinstance(message, Reported) and message.outcome != Outcome.OK:
                    raise SystemExit(f"{message.attempt}: {message.cause}")
                if isinstance(message, Ended):
                    free.append(busy.pop(message.attempt))
        return time.perf_counter() - began

    def close(self) -> None:
        """End the keeper."""
        self._executor.close()

    def _job(self, attempt: str, slot: Slot, seconds: float) -> Job:
        folder = self._root / attempt
        folder.mkdir(mode=0o700)
        config: dict[str, Any] = {"seconds": seconds}
        return Job(attempt, "evaluate", "function", config, {}, 0, slot, str(folder), str(self._root), metric="loss")


class RawFork:
    """Bare forks of a process that is loaded as a keeper is, and nothing else: no result, no isolation."""

    def __init__(self, slots: int, root: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.scaling.contenders", str(slots), str(root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        self._answer()

    def measure_s(self, attempts: int, seconds: float) -> float:
        """See :class:`Contender`."""
        assert self._process.stdin is not None
        print(attempts, seconds, file=self._process.stdin, flush=True)
        return float(self._answer())

    def close(self) -> None:
        """End it by the end of its input."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


def hello(root: Path) -> Hello:
    """What a keeper loads: torch, and the function."""
    return Hello(
        run_id=f"scaling{os.getpid()}",
        stamps=str(root / "keeper.jsonl"),
        sys_path=(str(HERE), *sys.path),
        preload=("torch", "flopwise.workloads.function.run"),
        objective="import:work:sleep",
        folder=str(Path.cwd()),
    )


def _fork(attempts: int, seconds: float, slots: int) -> float:
    """Wall seconds; ``slots`` at a time."""
    began = time.perf_counter()
    running = 0
    for _ in range(attempts):
        if running == slots:
            os.wait()
            running -= 1
        if os.fork() == 0:
            time.sleep(seconds)
            os._exit(0)
        running += 1
    for _ in range(running):
        os.wait()
    return time.perf_counter() - began


def _serve(slots: int, root: Path) -> None:
    preload(hello(root))
    print("ready", flush=True)
    for line in sys.stdin:
        attempts, seconds = line.split()
        print(_fork(int(attempts), float(seconds), slots), flush=True)


if __name__ == "__main__":
    _serve(int(sys.argv[1]), Path(sys.argv[2]))
