"""What the two attempts of this benchmark do: one has work to do, the other computes until it is stopped."""

from __future__ import annotations

import hashlib
import os
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any

BLOCK = bytes(1 << 16)
"""Fits in a cache of its own core, so that memory bandwidth is not what is measured."""


def run(config: Mapping[str, Any], context: Any) -> float:
    """Do what ``config["do"]`` names."""
    return crowd(config["threads"], context) if config["do"] == "crowd" else work(config["blocks"])


def work(blocks: int) -> float:
    """So many blocks, in one thread; the loss is the wall seconds that they took."""
    began = time.perf_counter()
    for _ in range(blocks):
        hashlib.sha256(BLOCK).digest()
    return time.perf_counter() - began


def crowd(threads: int, context: Any = None) -> float:
    """Compute in so many threads until the study says stop, or for ever; a row says that all of them do."""
    over = threading.Event()

    def compute() -> None:
        while not over.is_set():
            hashlib.sha256(BLOCK).digest()

    for _ in range(threads):
        threading.Thread(target=compute, daemon=True).start()
    if context is not None:
        context.report(threading.active_count(), loss=0.0)
    while context is None or not context.should_stop():
        time.sleep(0.05)
    over.set()
    return 0.0


def main(what: str, amount: int, core: int | None = None) -> None:
    """As a plain process, on one core or wherever the system puts it."""
    if core is not None:
        os.sched_setaffinity(0, {core})
    print(crowd(amount) if what == "crowd" else work(amount))


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
