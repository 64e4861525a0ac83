"""flopwise, and its peers in processes of their own, behind one method: the wall seconds of so many attempts."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Protocol

from flopwise.executors.local import LocalExecutor
from flopwise.executors.topology import usable_cores
from flopwise.trial import AttemptId, Outcome
from flopwise.wire import Ended, Hello, Job, Reported, Slot

HERE = Path(__file__).parent


class Contender(Protocol):
    """One way to run many attempts; opened, and warm, before anything is measured."""

    def measure_s(self, attempts: int, amount: float) -> float:
        """Wall seconds of so many attempts of so much work: seconds of sleep, or steps."""
        ...

    def close(self) -> None:
        """End it."""
        ...


class Flopwise:
    """Attempts through the local executor.

    Args:
        work: Module of the work: ``work`` or ``training``.
        slots: Attempts at a time; where they are more than the cores, nothing computes.
        root: Folder for everything it writes.
    """

    def __init__(self, work: str, slots: int, root: Path) -> None:
        cores = usable_cores()
        self._root = root
        self._round = 0
        self._executor = LocalExecutor([Slot(i, (cores[i % len(cores)],), 1) for i in range(slots)])
        self._executor.open(hello(work, root))

    def measure_s(self, attempts: int, amount: float) -> float:
        """See :class:`Contender`."""
        self._round += 1
        began = time.perf_counter()
        waiting = [str(AttemptId(self._round, 0, number)) for number in range(attempts, 0, -1)]
        free = list(self._executor.slots)
        busy: dict[str, Slot] = {}
        while waiting or busy:
            while waiting and free:
                busy[waiting[-1]] = free[-1]
                self._executor.start(self._job(waiting.pop(), free.pop(), amount))
            for message in self._executor.poll(60.0):
                if isinstance(message, Reported) and message.outcome != Outcome.OK:
                    raise SystemExit(f"{message.attempt}: {message.cause}")
                if isinstance(message, Ended):
                    free.append(busy.pop(message.attempt))
        return time.perf_counter() - began

    def close(self) -> None:
        """End the keeper."""
        self._executor.close()

    def _job(self, attempt: str, slot: Slot, amount: float) -> Job:
        folder = self._root / attempt
        folder.mkdir(mode=0o700)
        config: dict[str, Any] = {"amount": amount}
        return Job(attempt, "evaluate", "function", config, {}, 0, slot, str(folder), str(self._root), metric="loss")


class Peer:
    """A contender of :mod:`benchmarks.scaling.peers`.

    Args:
        name: Which one.
        work: Module of the work.
        slots: Attempts at a time.
        root: Folder for everything it writes.
    """

    def __init__(self, name: str, work: str, slots: int, root: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.scaling.peers", name, work, str(slots), str(root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join((str(HERE), *sys.path))},
        )
        self._answer()

    def measure_s(self, attempts: int, amount: float) -> float:
        """See :class:`Contender`."""
        assert self._process.stdin is not None
        print(attempts, amount, file=self._process.stdin, flush=True)
        return float(self._answer())

    def close(self) -> None:
        """End it by the end of its input."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("a peer has ended; its error stands above")
        return line


def hello(work: str, root: Path) -> Hello:
    """What a keeper loads: torch, and the work."""
    return Hello(
        run_id=f"scaling{os.getpid()}",
        stamps=str(root / "keeper.jsonl"),
        sys_path=(str(HERE), *sys.path),
        preload=("torch", "flopwise.workloads.function.run"),
        warm=f"{work}:warm",
        objective=f"import:{work}:run",
        folder=str(Path.cwd()),
    )
