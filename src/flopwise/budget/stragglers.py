"""What waiting for the last of a generation costs: slots that idle, measured and foretold.

Where a generation is told as a whole, the slots that are done wait for the one that is not. With as many trials as
slots every slot waits for the slowest; with more, the quick ones make up for the slow ones. The measured durations,
in the order in which they ended and cut into generations of another size, tell how much that would have helped.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heapreplace

MOST_IDLE = 0.1
"""More of the search's slot time than this is worth a word."""

FACTORS = (1, 2, 3, 4)
"""Populations worth a thought, in multiples of what fills the slots once; the rule of thumb is twice."""


@dataclass(frozen=True)
class Waves:
    """Slot time of generations run one after the other.

    Args:
        slot_s: Slots times seconds from beginning to end of each.
        idle_s: What of it no evaluation used.
    """

    slot_s: float
    idle_s: float

    @property
    def share(self) -> float:
        """Idle share of the slot time."""
        return self.idle_s / self.slot_s if self.slot_s else 0.0


def simulate(seconds: Sequence[float], slots: int, size: int) -> Waves | None:
    """Generations of some size, each evaluation on the slot that is free first; None with less than one of them.

    Args:
        seconds: How long evaluations take, in the order in which they are started.
        slots: Evaluations at the same time.
        size: Evaluations a generation.

    Example:
        >>> simulate([1.0, 3.0, 1.0, 3.0], 2, 2)
        Waves(slot_s=12.0, idle_s=4.0)
        >>> simulate([1.0, 3.0, 1.0, 3.0], 2, 4)
        Waves(slot_s=10.0, idle_s=2.0)
    """
    whole = [seconds[at : at + size] for at in range(0, len(seconds) - size + 1, size)]
    if not whole:
        return None
    slot_s = math.fsum(slots * _wall_s(generation, slots) for generation in whole)
    return Waves(slot_s, slot_s - math.fsum(second for generation in whole for second in generation))


def _wall_s(seconds: Sequence[float], slots: int) -> float:
    free_at = [0.0] * slots
    for each in seconds:
        heapreplace(free_at, free_at[0] + each)
    return max(free_at)


def populations(slots: int, seeds: int) -> list[int]:
    """Populations to compare: those that fill the slots once, twice, …, at least two trials.

    Args:
        slots: Evaluations at the same time.
        seeds: Evaluations of a trial.
    """
    return sorted({max(2, math.ceil(factor * slots / seeds)) for factor in FACTORS})


def recommend(shares: Sequence[tuple[int, float]]) -> int | None:
    """The smallest population that keeps the slots busy; None when none of them does.

    Args:
        shares: Population and the share of slot time that it would leave idle.
    """
    return next((population for population, share in shares if share <= MOST_IDLE), None)


def equal_share(population: int, seeds: int, slots: int) -> float:
    """Idle share of a generation whose evaluations all take equally long.

    Example:
        >>> equal_share(6, 1, 4)
        0.25
    """
    size = population * seeds
    return 1.0 - size / (slots * math.ceil(size / slots))
