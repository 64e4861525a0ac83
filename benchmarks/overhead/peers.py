"""Other ways to give every attempt a process of its own. Run as a program: ``peers.py PEER WORK SLOTS COUNT``.

Prints milliseconds per attempt (wall / attempts); loading torch in the parent is not counted, as it is
not for flopwise.
"""

from __future__ import annotations

import gc
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


def fresh_interpreter(work: str, slots: int, count: int) -> float:
    """``python -c "import torch; …"``, ``slots`` at a time."""
    began = time.perf_counter()
    running: list[subprocess.Popen[bytes]] = []
    for _ in range(count):
        running.append(subprocess.Popen([sys.executable, "-c", FRESH, work]))
        if len(running) == slots:
            running.pop(0).wait()
    for process in running:
        process.wait()
    return time.perf_counter() - began


def spawn_pool(work: str, slots: int, count: int) -> float:
    """``concurrent.futures`` with spawned processes, one task each."""
    context = multiprocessing.get_context("spawn")
    began = time.perf_counter()
    with ProcessPoolExecutor(slots, mp_context=context, max_tasks_per_child=1) as pool:
        list(pool.map(_spawned, [work] * count))
    return time.perf_counter() - began


def _spawned(work: str) -> float:
    return _load(work)()


def raw_fork(work: str, slots: int, count: int) -> float:
    """``os.fork`` of this process with torch loaded and warm, and nothing else: no result, no isolation."""
    function = _load(work)
    function()
    gc.collect()
    gc.freeze()
    began = time.perf_counter()
    alive = 0
    for _ in range(count):
        if os.fork() == 0:
            function()
            os._exit(0)
        alive += 1
        if alive == slots:
            os.wait()
            alive -= 1
    for _ in range(alive):
        os.wait()
    return time.perf_counter() - began


def _load(work: str) -> Callable[[], float]:
    import torch._dynamo  # noqa: F401, PLC0415
    from work import WORK  # noqa: PLC0415

    torch.set_num_threads(1)  # noqa: F821
    return WORK[work]


PEERS = {"fresh interpreter": fresh_interpreter, "spawn pool": spawn_pool, "raw fork": raw_fork}

if __name__ == "__main__":
    peer, work, slots, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    print(1000 * PEERS[peer](work, slots, count) / count)
