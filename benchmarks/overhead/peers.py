"""Other ways to give every attempt a process of its own: ``peers.py PEER WORK SLOTS``.

Reads a number of attempts a line, makes them, and answers with wall seconds. What a peer loads before its
first attempt is not counted, as it is not for flopwise.
"""

from __future__ import annotations

import gc
import importlib
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

HERE = Path(__file__).parent
FRESH = f"import sys; sys.path.insert(0, {str(HERE)!r}); import work; work.WORK[sys.argv[1]]()"

Measure = Callable[[int], float]


def fresh_interpreter(work: str, slots: int) -> Measure:
    """``python -c "import torch; …"``, ``slots`` at a time."""

    def measure(count: int) -> float:
        began = time.perf_counter()
        running: list[subprocess.Popen[bytes]] = []
        for _ in range(count):
            running.append(subprocess.Popen([sys.executable, "-c", FRESH, work]))
            if len(running) == slots:
                running.pop(0).wait()
        for process in running:
            process.wait()
        return time.perf_counter() - began

    return measure


def spawn_pool(work: str, slots: int) -> Measure:
    """``concurrent.futures`` with spawned processes, one task each."""

    def measure(count: int) -> float:
        context = multiprocessing.get_context("spawn")
        began = time.perf_counter()
        with ProcessPoolExecutor(slots, mp_context=context, max_tasks_per_child=1) as pool:
            list(pool.map(_do, [work] * count))
        return time.perf_counter() - began

    return measure


def raw_fork(work: str, slots: int) -> Measure:
    """``os.fork`` of a process with torch loaded and warm, and nothing else: no result, no isolation."""
    importlib.import_module("torch._dynamo")
    importlib.import_module("torch").set_num_threads(1)
    _do(work)
    gc.collect()
    gc.freeze()

    def measure(count: int) -> float:
        began = time.perf_counter()
        for number in range(count + slots):
            if number >= slots:
                os.wait()
            if number < count and os.fork() == 0:
                _do(work)
                os._exit(0)
        return time.perf_counter() - began

    return measure


def _do(work: str) -> float:
    return float(importlib.import_module("work").WORK[work]())


PEERS = {"raw fork": raw_fork, "fresh interpreter": fresh_interpreter, "spawn pool": spawn_pool}

if __name__ == "__main__":
    measure = PEERS[sys.argv[1]](sys.argv[2], int(sys.argv[3]))
    print("ready", flush=True)
    for line in sys.stdin:
        print(measure(int(line)), flush=True)
