"""When evaluations ran, and how fast the plan said they would."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timing:
    """Where and when an evaluation's last attempt ran.

    Args:
        session: Times compare within one session only.
        slot: Its index.
        started_at: Monotonic seconds.
        ended_at: Monotonic seconds.
        contention: Share of its slot's time that others took; None when unknown.
    """

    session: int
    slot: int
    started_at: float
    ended_at: float
    contention: float | None = None

    @property
    def seconds(self) -> float:
        return self.ended_at - self.started_at


@dataclass(frozen=True)
class Pace:
    """What the plan promised, and what there is to keep it with.

    Args:
        seconds: Of one evaluation, from the calibration.
        planned_slots: Evaluations at a time in the plan.
        slots: Evaluations at a time in this session.
        quarantined: Slots of this session that are not used any more.
    """

    seconds: float
    planned_slots: int
    slots: int
    quarantined: int = 0
