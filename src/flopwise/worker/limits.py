"""Sizes of the thread pools inside a worker."""

from __future__ import annotations

import functools
import sys

from threadpoolctl import ThreadpoolController


def apply(threads: int) -> None:
    """Give every thread pool that is loaded ``threads`` threads.

    Libraries loaded later read their size from the environment, which the executor sets.

    Args:
        threads: Of the slot.
    """
    _controller().limit(limits=threads)
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(threads)


@functools.cache
def _controller() -> ThreadpoolController:
    """Finding the libraries takes milliseconds, so a fork server finds them for all its workers."""
    return ThreadpoolController()
