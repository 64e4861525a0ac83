"""Attempts, trials and sessions as verify's own fold leaves them, and its own reading of which end is final."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


DISTURBED_MOST = 2
CONTENDED = 0.1
"""Larger shares of its slot's time that others took disturb an attempt."""

NEVER = 1e9
"""From here on a loss stands for a training that did not reach its target."""


@dataclass
class Aim:
    """The target that trainings are compared by; None for the one that the study begins with."""

    level: float | None = None

    def seconds(self, end: AttemptEnded, target: Mapping[str, Any]) -> float | None:
        """When an attempt reached it, by its own account; None where it did not."""
        level = target["value"] if self.level is None else self.level
        found: list[float | None] = [seconds for at, seconds in end.info.get("targets", []) if at == level]
        return found[0] if found else None


def never(end: AttemptEnded | None, target: Mapping[str, Any]) -> float | None:
    """The place of an attempt that did not reach its target among those that did not; None where it failed."""
    if end is None or end.outcome != "ok" or not end.info.get("last_validation"):
        return None
    value = min(max(float(end.info["last_validation"][2]), -0.9 * NEVER), 0.9 * NEVER)
    return 2 * NEVER + (value if target["direction"] == "minimize" else -value)


def middle(losses: Sequence[float]) -> float:
    """The median; of two in the middle their mean, unless the later one never reached the target."""
    ordered = sorted(losses)
    upper = ordered[len(ordered) // 2]
    return upper if len(ordered) % 2 or upper >= NEVER else (ordered[len(ordered) // 2 - 1] + upper) / 2


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
    aim: Aim = field(default_factory=lambda: Aim())

    def of_seed(self, index: int) -> list[Attempt]:
        """Attempts of one seed, in order."""
        return [attempt for attempt in self.attempts if attempt.id.seed_index == index]

    def end(self, index: int) -> AttemptEnded | None:
        """The end that counts for a seed: not interrupted, and either final or out of retries."""
        counted = [a for a in self.of_seed(index) if a.end is not None and not a.end.interrupted]
        disturbed = 0
        for tried, attempt in enumerate(counted):
            disturbed += self.disturbed(attempt)
            repeated = self.disturbed(attempt) and disturbed <= DISTURBED_MOST
            if not repeated and (not attempt.again or tried >= self.study["execution"]["retries"]):
                return attempt.end
        return None

    def disturbed(self, attempt: Attempt) -> bool:
        """Its time is what the study is about, and its slot was used by others: it is run again, twice at most."""
        end, timed = attempt.end, "target" in self.study["objective"]
        known = end is not None and end.outcome == "ok" and end.contention is not None
        return timed and known and end is not None and (end.contention or 0.0) > CONTENDED

    @property
    def ends(self) -> list[AttemptEnded | None]:
        """:meth:`end` of every seed."""
        return [self.end(index) for index in range(len(self.event.seeds))]

    @property
    def finished(self) -> bool:
        return all(end is not None for end in self.ends)

    def failure(self) -> AttemptEnded | None:
        """The first seed's end that is not ok; None while there is none."""
        return next((end for end in self.ends if end is not None and end.outcome != "ok"), None)

    def values(self) -> list[float | None]:
        """The metric of every seed; None where it failed, is missing, or has not ended, or never reached a target."""
        metric, target = self.study["objective"]["metric"], self.study["objective"].get("target")
        good = [end if end is not None and end.outcome == "ok" else None for end in self.ends]
        if target:
            return [None if end is None else self.aim.seconds(end, target) for end in good]
        return [None if end is None else end.metrics.get(metric) for end in good]

    def losses(self) -> list[float | None]:
        """:meth:`values` with smaller always better; what never reached a target comes behind, by how far it came."""
        objective = self.study["objective"]
        sign, target = 1.0 if objective["direction"] == "minimize" else -1.0, objective.get("target")
        pairs = zip(self.values(), self.ends, strict=True)
        if target:
            return [value if value is not None else never(end, target) for value, end in pairs]
        return [None if value is None else sign * float(value) for value, _ in pairs]

    def reached(self) -> list[float]:
        """:meth:`losses` that are values: of seeds that neither failed nor missed a target."""
        timed = "target" in self.study["objective"]
        return [loss for loss in self.losses() if loss is not None and not (timed and loss >= NEVER)]

    def loss(self) -> float | None:
        """Mean over all seeds, with a target their median; None while one is missing or failed."""
        known = [loss for loss in self.losses() if loss is not None]
        if not known or len(known) < len(self.event.seeds):
            return None
        return middle(known) if "target" in self.study["objective"] else sum(known) / len(known)

    def value(self) -> float | None:
        """:meth:`loss` in the user's metric; None too where the target was not reached."""
        loss = self.loss()
        if loss is None or ("target" in self.study["objective"] and loss >= NEVER):
            return None
        return -loss if self.study["objective"]["direction"] == "maximize" else loss


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
    excluded: set[int] = field(default_factory=set)
    """Those of them that the user took out."""

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
