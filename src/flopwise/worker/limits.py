"""Sizes of the thread pools inside a worker."""

from __future__ import annotations

import functools
import sys

from threadpoolctl import ThreadpoolController


def apply(threads: int) -> None:
    """Give every thread pool that is loaded ``threads`` threads; nothing when they have them already.

    Libraries loaded later read their size from the environment, which the executor sets.

    Args:
        threads: Of the slot.
    """
    torch = sys.modules.get("torch")
    if _applied == [threads] and (torch is None or torch.get_num_threads() == threads):
        return
    _controller().limit(limits=threads)
    if torch is not None:
        torch.set_num_threads(threads)
    _applied[:] = [threads]


_applied: list[int] = []
"""The size last given, here or in the server that this process was forked from."""


@functools.cache
def _controller() -> ThreadpoolController:
    """Finding the libraries takes milliseconds, so a fork server finds them for all its workers."""
    return ThreadpoolController()
