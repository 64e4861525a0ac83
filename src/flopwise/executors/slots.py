"""Cuts the cores of a machine into slots."""

from __future__ import annotations

from collections.abc import Sequence

from flopwise.errors import InputError
from flopwise.wire import Slot


def make_slots(cores: Sequence[int], slots: int | None, threads: int) -> tuple[Slot, ...]:
    """Slots of ``threads`` cores each; no core is in two of them.

    Args:
        cores: Core numbers this process may use.
        slots: How many; None for as many as fit.
        threads: Cores, and threads of every pool, per slot.

    Raises:
        InputError: If slots × threads is more than the cores there are.

    Example:
        >>> make_slots([0, 1, 2, 3, 4], None, 2)
        (Slot(index=0, cores=(0, 1), threads=2), Slot(index=1, cores=(2, 3), threads=2))
    """
    _at_least_one("execution.threads", threads)
    fits = len(cores) // threads
    if fits == 0:
        raise InputError(
            f"a slot of {threads} threads does not fit this machine",
            expected=f"execution.threads of at most {len(cores)}, the cores this process may use",
            got=f"execution.threads: {threads}",
            fix=f"set execution.threads to {len(cores)} or less",
        )
    if slots is not None:
        _at_least_one("execution.slots", slots)
        if slots > fits:
            raise InputError(
                f"{slots} slots × {threads} threads do not fit the {len(cores)} cores this process may use",
                expected=f"at most {fits} slots of {threads} threads",
                got=f"execution.slots: {slots}",
                fix=f"set execution.slots to {fits}, or leave it out",
            )
    count = fits if slots is None else slots
    return tuple(Slot(i, tuple(cores[i * threads : (i + 1) * threads]), threads) for i in range(count))


def _at_least_one(key: str, value: int) -> None:
    if value < 1:
        raise InputError(f"{key} must be at least 1", got=f"{key}: {value}", fix="leave it out for the default")
