"""Trials, attempts and sessions as a run's events leave them, and the rules of which end is final.

Documented for users in ``docs/executors.md`` (Retries).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from flopwise.contention import MOST_CONTENDED
from flopwise.events import (
    AttemptEnded,
    AttemptStarted,
    Event,
    LateResult,
    SessionClosed,
    SessionLost,
    SessionOpened,
    SlotExcluded,
    field_values,
)
from flopwise.journal.course import Course
from flopwise.objective import Objective
from flopwise.trial import AttemptId, Outcome, Trial

NOTHING: Mapping[str, Any] = MappingProxyType({})

RETRIED = frozenset({Outcome.KILLED, Outcome.OOM})
"""Outcomes worth another attempt: the same process may live where this one died."""

DOUBTED = frozenset({Outcome.ERROR, Outcome.TIMEOUT})
"""Outcomes that are final, unless the slot may be to blame: then they are tried once more on another one."""

MOST_LOST = 10
"""An evaluation whose attempts were lost so often, with keepers or coordinators, has failed."""

MOST_LOST_ALONE = 2
"""And one whose trial lost so many keepers while it ran with nothing beside it: it is what kills them."""

EXCLUDED = "excluded by the user"
"""Why a slot is out of use whose cores or accelerators were excluded."""

SUSPECT_AFTER = 2
"""Keepers that may die with an evaluation before it runs with nothing beside it."""


@dataclass(slots=True)
class AttemptState:
    """One process: its intent, its curve so far, and how it ended.

    Args:
        id: Also the fencing token of its results.
        intent: As it was started.
        alone: No other attempt ran at any moment of its life so far.
        rows: Its learning curve.
        course: Figures of that, kept in confirmation when the rows are forgotten.
        ended: None while it runs.
        doubted: It failed where its slot may be to blame.
        disturbed: It ended ok, its time is what the study is about, and its slot was used by others meanwhile.
        late: Results that came after its end.
    """

    id: AttemptId
    intent: AttemptStarted
    alone: bool = True
    rows: Sequence[dict[str, Any]] = ()
    course: Course | None = None
    ended: AttemptEnded | None = None
    doubted: bool = False
    disturbed: bool = False
    late: Sequence[LateResult] = ()

    @property
    def outcome(self) -> Outcome | None:
        """None while it runs."""
        return None if self.ended is None else Outcome(self.ended.outcome)

    @property
    def device_s(self) -> float:
        """Device-seconds charged for it so far."""
        return (self.ended.device_s if self.ended else 0.0) + sum(late.device_s for late in self.late)

    @property
    def train_flops(self) -> float | None:
        """Training FLOPs charged for it so far; None when unknown."""
        charged = [each.train_flops for each in (self.ended, *self.late) if each and each.train_flops is not None]
        return sum(charged) if charged else None

    @property
    def again(self) -> bool:
        """Whether its end is worth another attempt."""
        end = self.ended
        return end is not None and (self.doubted or (Outcome(end.outcome) in RETRIED and not end.lost))


class TrialState:
    """A trial and all attempts made for it, in order.

    Args:
        trial: What is evaluated.
        retries: Attempts after the first that fail.
    """

    __slots__ = ("_attempts", "_packed", "_trial", "retries")

    def __init__(self, trial: Trial, retries: int) -> None:
        self.retries = retries
        self._trial = trial
        self._attempts: tuple[AttemptState, ...] = ()
        self._packed = b""

    @property
    def trial(self) -> Trial:
        """What is evaluated."""
        return replace(self._trial, config=json.loads(self._packed)[0]) if self._packed else self._trial

    @property
    def number(self) -> int:
        """Of the trial; reads nothing that is packed."""
        return self._trial.number

    @property
    def attempts(self) -> tuple[AttemptState, ...]:
        """Those of a packed trial are read anew each time: what is done to them counts once it is :meth:`put` back."""
        return unpacked(json.loads(self._packed)[1]) if self._packed else self._attempts

    def add(self, attempt: AttemptState) -> None:
        """One more."""
        self._keep(self.trial, (*self.attempts, attempt))

    def put(self, attempt: AttemptState) -> None:
        """Take an attempt back that something has been done to."""
        self._keep(self.trial, tuple(attempt if known.id == attempt.id else known for known in self.attempts))

    def pack(self) -> None:
        """Keep config and attempts as one text, a third of the memory. The point and learning curves are let go."""
        trial, attempts = self.trial, packed(self.attempts)
        self._keep(replace(trial, config=NOTHING, point=None), ())
        self._packed = json.dumps([trial.config, attempts], separators=(",", ":")).encode()

    def _keep(self, trial: Trial, attempts: tuple[AttemptState, ...]) -> None:
        self._trial, self._attempts, self._packed = trial, attempts, b""

    def of_seed(self, seed_index: int) -> list[AttemptState]:
        """Attempts of one seed, in order."""
        return [a for a in self.attempts if a.id.seed_index == seed_index]

    def final(self, seed_index: int) -> AttemptEnded | None:
        """The attempt that counts for a seed: ok, failed for good, or out of retries; else None."""
        last = self.last_counted(seed_index)
        return None if last is None else last.ended

    def last_counted(self, seed_index: int) -> AttemptState | None:
        """The same as an attempt."""
        counted = [a for a in self.of_seed(seed_index) if a.ended is not None and not a.ended.interrupted]
        if not counted or (counted[-1].again and len(counted) <= self.retries):
            return None
        if counted[-1].disturbed and sum(a.disturbed for a in counted) <= MOST_CONTENDED:
            return None
        return counted[-1]

    def finals(self) -> list[AttemptEnded | None]:
        """:meth:`final` of every seed, in seed order."""
        return [self.final(index) for index in range(len(self._trial.seeds))]

    @property
    def finished(self) -> bool:
        return all(end is not None for end in self.finals())

    def waiting(self) -> list[int]:
        """Seed indexes that need an attempt started."""
        return [
            index
            for index, end in enumerate(self.finals())
            if end is None and all(a.ended is not None for a in self.of_seed(index))
        ]

    def next_attempt(self, seed_index: int) -> AttemptId:
        """Id of the next attempt of a seed: never one that was used before."""
        return AttemptId(self.number, seed_index, len(self.of_seed(seed_index)) + 1)

    def lost(self, to: str, seed_index: int | None = None) -> list[AttemptState]:
        """Attempts that were lost with their ``keeper``, ``node`` or ``coordinator``; of one seed, or of all."""
        own = self.attempts if seed_index is None else self.of_seed(seed_index)
        return [a for a in own if a.ended is not None and a.ended.lost == to]

    def suspect(self, seed_index: int) -> bool:
        """Whether a seed's attempts may be what kills keepers: the next one runs with nothing beside it."""
        return len(self.lost("keeper", seed_index)) >= SUSPECT_AFTER

    def lost_too_often(self, attempt: AttemptState, to: str) -> bool:
        """Whether an attempt that is being lost now is its evaluation's last.

        Args:
            attempt: One of this trial's; it has not ended.
            to: ``keeper``, ``node`` or ``coordinator``.
        """
        seed = attempt.id.seed_index
        before = sum(len(self.lost(kind, seed)) for kind in ("keeper", "node", "coordinator"))
        alone = sum(a.alone for a in (*self.lost("keeper"), attempt)) if to == "keeper" else 0
        return before + 1 >= MOST_LOST or (to == "keeper" and attempt.alone and alone >= MOST_LOST_ALONE)

    def shunned(self, seed_index: int) -> int | None:
        """The slot on which a seed has just failed, or was lost, and where it is not tried again; None for none."""
        last = self.of_seed(seed_index)[-1:]
        failed = [a for a in last if a.ended is not None and (a.ended.lost == "node" or _failed(a))]
        return failed[0].intent.slot if failed else None

    def losses(self, objective: Objective) -> list[float | None]:
        """One loss a seed, smaller is better; None where it failed or has not ended."""
        return [
            objective.loss(end.metrics, end.info) if end is not None and end.outcome == Outcome.OK else None
            for end in self.finals()
        ]

    def loss(self, objective: Objective) -> float | None:
        """One loss over all seeds (:meth:`Objective.together`); None when any seed failed or has not ended."""
        losses = [loss for loss in self.losses(objective) if loss is not None]
        return objective.together(losses) if len(losses) == len(self._trial.seeds) else None

    def failure(self) -> AttemptEnded | None:
        """The first seed's end that made the trial fail; None when none did."""
        return next((end for end in self.finals() if end is not None and end.outcome != Outcome.OK), None)


def packed(attempts: Sequence[AttemptState]) -> list[list[Any]]:
    """Ended attempts as JSON, without their learning curves: the values of their events, in order."""
    return [
        [a.alone, a.doubted, a.disturbed, _values(a.intent), _values(a.ended), [_values(late) for late in a.late]]
        for a in attempts
        if a.ended is not None
    ]


def unpacked(attempts: list[list[Any]]) -> tuple[AttemptState, ...]:
    """Inverse of :func:`packed`."""
    return tuple(
        AttemptState(
            id=AttemptId.parse(intent[0]),
            intent=AttemptStarted(*intent),
            alone=alone,
            ended=AttemptEnded(*ended),
            doubted=doubted,
            disturbed=disturbed,
            late=tuple(LateResult(*values) for values in late),
        )
        for alone, doubted, disturbed, intent, ended, late in attempts
    )


def _values(event: Event) -> list[Any]:
    return list(field_values(event).values())


def _failed(attempt: AttemptState) -> bool:
    return attempt.ended is not None and not attempt.ended.interrupted and attempt.again


@dataclass
class SessionState:
    """One coordinator's time with the run; ``closed`` is None while it lasts."""

    opened: SessionOpened
    closed: SessionClosed | SessionLost | None = None


def excludes(event: SlotExcluded, slot: Mapping[str, Any], host: str) -> bool:
    """Whether a session's slot has a core or an accelerator that was excluded; where slots have none, its index.

    Args:
        event: What the user excluded.
        slot: As a session holds it.
        host: Of that session.
    """
    if not event.cores and not event.accelerators:
        return bool(slot["index"] == event.slot)
    cores, accelerators = set(slot["cores"]), set(slot.get("accelerators", ()))
    return host == event.host and bool(cores & set(event.cores) or accelerators & set(event.accelerators))
