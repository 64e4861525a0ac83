"""May an attempt start and still end inside the limits? Nothing is started that cannot.

Every running attempt is committed for its whole time-out, since that is when it is ended at the latest.
Device time adds up over attempts, so their commitments are subtracted; wall-clock time and money (the
price of the whole machine by the hour) pass once for all of them, so there only the new attempt's own
time-out counts. FLOPs add up over attempts, each with what its config will train. What confirmation needs
stays reserved until confirmation.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from flopwise.budget.limits import ROUNDING, Limits, Spent
from flopwise.units import format_flops

START_FACTOR = 1.5
"""An evaluation is started only if this many times its estimate is left."""
LIMIT_FACTOR = 4.0
"""Where time or money is limited, an evaluation is ended after this many times its estimate."""
LEAST_LIMIT_S = 30.0
"""But never earlier than this, as long as that much is left: start-up times of tiny evaluations scatter."""

NOTHING = Spent()


@dataclass(frozen=True)
class Commitment:
    """What a running attempt may still use.

    Args:
        limit_s: Its time-out in seconds; None for none.
        retry: Its evaluation has been counted already, by an earlier attempt that ended.
        flops: What it will train.
    """

    limit_s: float | None
    retry: bool = False
    flops: float = 0.0


@dataclass(frozen=True)
class Committed:
    """What running attempts may still use together.

    Args:
        attempts: How many there are.
        evaluations: Those of them whose evaluation is not counted already.
        seconds: Sum of their time-outs; infinite when one has none.
        flops: What they will train.
    """

    attempts: int = 0
    evaluations: int = 0
    seconds: float = 0.0
    flops: float = 0.0

    @classmethod
    def of(cls, running: Iterable[Commitment]) -> Committed:
        """The sum of commitments."""
        committed = cls()
        for attempt in running:
            committed = committed.and_(attempt)
        return committed

    def and_(self, other: Commitment) -> Committed:
        """With one more attempt."""
        seconds = self.seconds + (math.inf if other.limit_s is None else other.limit_s)
        return Committed(self.attempts + 1, self.evaluations + (not other.retry), seconds, self.flops + other.flops)


@dataclass(frozen=True)
class Admission:
    """The answer.

    Args:
        limit_s: Time-out of the attempt in seconds; None for none. Only if not refused.
        refused: One sentence naming the limit; None when the attempt may start.
        wait: Refused only because of what running attempts may still use: ask again when one ends.
    """

    limit_s: float | None = None
    refused: str | None = None
    wait: bool = False


def admit(
    limits: Limits,
    spent: Spent,
    running: Sequence[Commitment] | Committed,
    *,
    estimate_s: float | None,
    timeout_s: float | None,
    reserve: Spent = NOTHING,
    retry: bool = False,
    starting: int = 1,
    flops: float = 0.0,
) -> Admission:
    """Decide about one more attempt, to be started now.

    Args:
        limits: Of the study.
        spent: Up to now: ended attempts' charges, wall time and price of all sessions, this one included.
        running: The attempts that have started and not ended, or what they are committed to.
        estimate_s: Expected seconds of the evaluation; None before calibration, when all that is left
            may be used.
        timeout_s: The study's ``evaluation.timeout`` in seconds; None for none.
        reserve: What must be left for later phases, see :meth:`flopwise.budget.plan.Plan.reserve`.
        retry: The attempt repeats an evaluation that is counted already.
        starting: Attempts that have a free slot now, this one included: they share the device time left,
            so that the first does not commit what the others need.
        flops: What the attempt will train.

    Example:
        >>> admit(Limits(device_hours=1.0), Spent(device_s=3500), [], estimate_s=10, timeout_s=None).limit_s
        40.0
        >>> admit(Limits(device_hours=1.0), Spent(device_s=3590), [], estimate_s=10, timeout_s=None).refused
        'limits.device_hours: 10 s left on one slot, 15 s needed to start an evaluation'
    """
    used = spent + reserve
    wish = _Wish(estimate_s, math.inf if timeout_s is None else timeout_s, retry, max(starting, 1), flops)
    committed = running if isinstance(running, Committed) else Committed.of(running)
    answer = _decide(limits, used, committed, wish)
    if answer.refused and committed.attempts:
        return replace(answer, wait=_decide(limits, used, Committed(), wish).refused is None)
    return answer


@dataclass(frozen=True)
class _Wish:
    """The attempt that asks; see :func:`admit`."""

    estimate_s: float | None
    timeout_s: float
    retry: bool
    starting: int
    flops: float

    @property
    def least_s(self) -> float:
        """What must be left to start at all."""
        return START_FACTOR * (self.estimate_s or 0.0)

    @property
    def usual_s(self) -> float:
        """The time-out where limits are far away."""
        return math.inf if self.estimate_s is None else max(LIMIT_FACTOR * self.estimate_s, LEAST_LIMIT_S)


def _decide(limits: Limits, used: Spent, committed: Committed, wish: _Wish) -> Admission:
    counted = used.evaluations + committed.evaluations
    if limits.evaluations is not None and not wish.retry and counted >= limits.evaluations:
        return Admission(refused=f"limits.evaluations: {counted} of {limits.evaluations} used, running or reserved")
    if limits.flops is not None and used.flops + committed.flops + wish.flops > limits.flops * ROUNDING:
        return Admission(refused=_too_few(limits.flops - used.flops - committed.flops, wish.flops))
    left = limits.time_left(replace(used, device_s=used.device_s + committed.seconds))
    if not left:
        return Admission(limit_s=None if wish.timeout_s == math.inf else wish.timeout_s)
    tightest = min(left, key=lambda name: left[name])
    if left[tightest] <= 0 or left[tightest] * ROUNDING < wish.least_s:
        return Admission(refused=_too_little(tightest, left[tightest], wish.least_s))
    fair_s = max(left.get("device_hours", math.inf) / wish.starting, wish.least_s)
    return Admission(limit_s=min(wish.timeout_s, wish.usual_s, fair_s, left[tightest]))


def _too_few(left: float, needed: float) -> str:
    return f"limits.flops: {format_flops(max(left, 0.0))} left, {format_flops(needed)} needed by an evaluation"


def _too_little(name: str, left_s: float, needed_s: float) -> str:
    where = {"device_hours": " on one slot", "price": " at the machine's price"}.get(name, "")
    if left_s == -math.inf:
        return f"limits.{name}: a running attempt without a time-out may use all of it"
    need = f", {needed_s:.3g} s needed to start an evaluation" if needed_s else ""
    return f"limits.{name}: {max(left_s, 0.0):.3g} s left{where}{need}"
