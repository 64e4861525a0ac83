"""Attempts, trials and sessions as verify's own fold leaves them, and its own reading of which end is final."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from flopwise.engine.verify.records import Record
from flopwise.events import (
    AttemptEnded,
    AttemptStarted,
    LateResult,
    SessionClosed,
    SessionLost,
    SessionOpened,
    TrialProposed,
)
from flopwise.trial import AttemptId

AGAIN = ("killed", "oom")
"""Outcomes that may be tried again."""

ON_ANOTHER_SLOT = ("error", "timeout")
"""Outcomes that are tried again once, where the slot seems to be at fault."""

SLOTS_FAULT = (*AGAIN, *ON_ANOTHER_SLOT)

MOST_LOST = 10
"""Attempts of an evaluation that may be lost with keepers and coordinators."""

MOST_LOST_ALONE = 2
"""And with keepers that died while nothing else ran."""


@dataclass
class Attempt:
    """One process of one seed; ``beside`` holds the ids of those that ran at some moment of its life."""

    id: AttemptId
    intent: AttemptStarted
    started: Record
    beside: set[AttemptId] = field(default_factory=set)
    end: AttemptEnded | None = None
    ended: Record | None = None
    slots_fault: bool = False
    late: list[LateResult] = field(default_factory=list)

    @property
    def again(self) -> bool:
        """Whether its end is worth another attempt."""
        return self.end is not None and (self.slots_fault or (self.end.outcome in AGAIN and not self.end.lost))

    @property
    def device_s(self) -> float:
        """What it has been charged."""
        return (self.end.device_s if self.end else 0.0) + sum(late.device_s for late in self.late)

    @property
    def train_flops(self) -> list[float]:
        """What it has been charged, where that is known."""
        return [each.train_flops for each in (self.end, *self.late) if each and each.train_flops is not None]


@dataclass
class Trial:
    """A trial, the study it was proposed under, and its attempts in order."""

    proposed: Record
    event: TrialProposed
    study: dict[str, Any]
    attempts: list[Attempt] = field(default_factory=list)

    def of_seed(self, index: int) -> list[Attempt]:
        """Attempts of one seed, in order."""
        return [attempt for attempt in self.attempts if attempt.id.seed_index == index]

    def end(self, index: int) -> AttemptEnded | None:
        """The end that counts for a seed: not interrupted, and either final or out of retries."""
        counted = [a for a in self.of_seed(index) if a.end is not None and not a.end.interrupted]
        for tried, attempt in enumerate(counted):
            if not attempt.again or tried >= self.study["execution"]["retries"]:
                return attempt.end
        return None

    @property
    def ends(self) -> list[AttemptEnded | None]:
        """:meth:`end` of every seed."""
        return [self.end(index) for index in range(len(self.event.seeds))]

    @property
    def finished(self) -> bool:
        return all(end is not None for end in self.ends)

    def values(self) -> list[float | None]:
        """The metric of every seed; None where it failed, is missing, or has not ended."""
        metric = self.study["objective"]["metric"]
        return [end.metrics.get(metric) if end is not None and end.outcome == "ok" else None for end in self.ends]

    def losses(self) -> list[float | None]:
        """:meth:`values` with smaller always better."""
        sign = 1.0 if self.study["objective"]["direction"] == "minimize" else -1.0
        return [None if value is None else sign * float(value) for value in self.values()]

    def loss(self) -> float | None:
        """Mean over all seeds; None while one is missing or failed."""
        known = [loss for loss in self.losses() if loss is not None]
        return sum(known) / len(known) if known and len(known) == len(self.event.seeds) else None


@dataclass
class Session:
    """One coordinator's time; ``closed`` and ``last`` are None while it is open."""

    opened: SessionOpened
    first: Record
    closed: SessionClosed | SessionLost | None = None
    last: Record | None = None
    ends: list[tuple[int, Attempt]] = field(default_factory=list)
    quarantined: dict[int, int] = field(default_factory=dict)
    """Slot to the number of the record that says so."""

    def slots(self) -> list[int]:
        """Those that are still used."""
        return [slot["index"] for slot in self.opened.slots if slot["index"] not in self.quarantined]

    def row_of_failures(self, slot: int) -> tuple[list[Attempt], list[Attempt]]:
        """The last attempts on a slot, all failed; and what ended on others since the first of those."""
        mine: list[Attempt] = []
        others: list[Attempt] = []
        seen: list[Attempt] = []
        for on, attempt in reversed(self.ends):
            assert attempt.end is not None
            if on != slot:
                seen.append(attempt)
            elif attempt.end.outcome in SLOTS_FAULT:
                mine.append(attempt)
                others = list(seen)
            else:
                break
        return mine[::-1], others[::-1]


def failed(attempts: list[Attempt]) -> int:
    """How many of them failed in a way that a slot may be to blame for."""
    return sum(a.end is not None and a.end.outcome in SLOTS_FAULT for a in attempts)
