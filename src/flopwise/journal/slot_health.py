"""How the slots of a session fare against each other: which one keeps failing while the others do not.

A fold over the ends of a session's attempts. What fails on one slot only is the slot's fault; what fails on
several is the config's or the workload's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from flopwise.trial import Outcome

SLOT_FAILURES = frozenset({Outcome.ERROR, Outcome.KILLED, Outcome.TIMEOUT, Outcome.OOM})
"""Outcomes that a slot may be to blame for. A loss that is no number is the config's."""

MOST_ELSEWHERE = 0.25
"""With a larger share of failures on the other slots, a slot that fails is one among many."""


@dataclass
class Streak:
    """Failures in a row on one slot, and what happened on the other slots since the first of them.

    Args:
        trials: Trial numbers, in order; one may stand there twice.
        attempts: Their attempts.
        elsewhere: Attempts that ended on other slots since.
        failed_elsewhere: How many of those failed.
    """

    trials: list[int] = field(default_factory=list)
    attempts: list[str] = field(default_factory=list)
    elsewhere: int = 0
    failed_elsewhere: int = 0

    @property
    def length(self) -> int:
        """Different trials that failed in a row."""
        return len(set(self.trials))

    @property
    def alone(self) -> bool:
        """Whether the others do well, as far as they have been heard of."""
        return self.failed_elsewhere <= MOST_ELSEWHERE * self.elsewhere


class SlotHealth:
    """The slots of one session.

    Args:
        slots: Their indexes.

    Attributes:
        count: Attempts that have ended.
    """

    def __init__(self, slots: Iterable[int] = ()) -> None:
        self.count = 0
        self._usable = set(slots)
        self._ends: Counter[int] = Counter()
        self._failures: Counter[int] = Counter()
        self._streaks: dict[int, Streak] = {}

    @property
    def usable(self) -> frozenset[int]:
        """Slots that are not quarantined."""
        return frozenset(self._usable)

    @property
    def failing(self) -> list[int]:
        """Slots on which the last attempt failed."""
        return list(self._streaks)

    def ended(self, slot: int, trial: int, attempt: str, outcome: Outcome) -> None:
        """Take in the end of an attempt that the study itself did not end."""
        failed = outcome in SLOT_FAILURES
        self.count += 1
        self._ends[slot] += 1
        self._failures[slot] += failed
        for other, streak in self._streaks.items():
            if other != slot:
                streak.elsewhere += 1
                streak.failed_elsewhere += failed
        if not failed:
            self._streaks.pop(slot, None)
            return
        own = self._streaks.setdefault(slot, Streak())
        own.trials.append(trial)
        own.attempts.append(attempt)

    def elsewhere(self, slot: int) -> tuple[int, int]:
        """Attempts that ended on other slots in the whole session, and how many of them failed."""
        return self.count - self._ends[slot], self._failures.total() - self._failures[slot]

    def quarantine(self, slot: int) -> None:
        """Nothing more is started there."""
        self._usable.discard(slot)

    def streak(self, slot: int) -> Streak:
        """Failures in a row on a slot, up to now."""
        return self._streaks.get(slot, Streak())

    def doubtful(self, slot: int) -> bool:
        """Whether the last failure on a slot may be the slot's own: not the first, and the others do well."""
        streak = self.streak(slot)
        return len(self._usable) > 1 and streak.length > 1 and streak.alone
