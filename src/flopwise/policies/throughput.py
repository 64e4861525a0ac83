"""Pause when the search goes much slower than the plan that was paid for, and say what makes it slow."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter

from pydantic import BaseModel, ConfigDict, Field

from flopwise.contention import is_contended
from flopwise.policies.pace import Pace, Timing
from flopwise.policies.policy import Action, Decision, History
from flopwise.trial import Phase
from flopwise.units import format_seconds

LEAST_EVALUATION_S = 1.0
"""Evaluations that take less are not judged: their pace is the machine's start-up times, and scatters."""

LEAST_WINDOW_S = 20.0
"""Nor is a shorter look."""

LEAST_WINDOW = 8
"""Evaluations looked back on: two waves of all slots and whole generations, and never fewer than this."""

WIDER = (1, 2, 4, 8)
"""And so many times that: a small slowdown among evaluations of many lengths shows only in the long run."""

MOST_WINDOW = 10_000
"""But not so far: the error of a mean over so many is small already, and looking takes its time."""

SURE = 2.5
"""Standard errors that the pace must be too slow by: what differs in length scatters."""

SLOWER = 1.15
"""From this many times the calibrated seconds on, evaluations are said to be slower."""

IDLE = 0.2
"""From this share of idle time on, slots are said to be idle."""

MANY_CONTENDED = 0.25
"""From this share of contended evaluations on, other processes are named as the reason."""


class Throughput:
    """Pause when the search finishes fewer evaluations an hour than a share of what the plan promised.

    Judged on the last evaluations of one session, after its first wave; between two ends, so that neither the
    start nor what is still running counts. A pause that was accepted sets a new measure: the pace
    that the user has seen then, and only less than that share of it pauses again.

    Example:
        >>> Throughput(Throughput.Options()).judge(History(())) is None
        True
    """

    class Options(BaseModel):
        """``policies.throughput``.

        Args:
            pause_below: Share of the promised evaluations an hour.
        """

        model_config = ConfigDict(extra="forbid", frozen=True)

        pause_below: float = Field(default=0.7, gt=0.0, lt=1.0)

    def __init__(self, options: Options) -> None:
        self._options = options

    def judge(self, history: History) -> Decision | None:
        """See :class:`flopwise.policies.policy.Policy`."""
        pace = history.pace
        if pace is None or pace.seconds < LEAST_EVALUATION_S or not history.finished:
            return None
        if history.finished[-1].phase is not Phase.SEARCH:
            return None
        least = self._options.pause_below
        promised = _promised(history, pace)
        windows = _windows(history, len(history.finished), history.accepted_after)
        slow = next((window for window in windows if window.at_most_per_hour < least * promised), None)
        if slow is None:
            return None
        return Decision(Action.PAUSE, _cause(slow, pace, promised), slow.evidence(pace, promised, least))


@dataclass(frozen=True)
class _Window:
    """The last evaluations of a session.

    Args:
        timings: In the order of their ends.
        seconds: From the end of the evaluation before them to the last end.
        slots: Of the session.
        calibrated: Evaluations that the calibrated seconds are the mean of; 0 when they are taken as exact.
    """

    timings: Sequence[Timing]
    seconds: float
    slots: int
    calibrated: int = 0

    @property
    def per_hour(self) -> float:
        return 3600.0 * len(self.timings) / self.seconds

    @property
    def at_most_per_hour(self) -> float:
        """What the pace may still be, given how much evaluations differ in length: these, and the few calibrated ones.

        How much those would differ without other processes is taken from these.
        """
        error = _scatter([timing.seconds for timing in self.timings]) ** 2 / len(self.timings)
        if self.calibrated:
            alone = [timing.seconds * (1.0 - (timing.contention or 0.0)) for timing in self.timings]
            error += _scatter(alone) ** 2 / self.calibrated
        return self.per_hour * (1.0 + SURE * math.sqrt(error))

    @property
    def median_s(self) -> float:
        return statistics.median(timing.seconds for timing in self.timings)

    @property
    def idle(self) -> float:
        """Share of the slots' time that no evaluation was charged for."""
        busy = math.fsum(timing.seconds for timing in self.timings)
        return min(1.0, max(0.0, 1.0 - busy / (self.slots * self.seconds)))

    @property
    def contended(self) -> int:
        return sum(is_contended(timing.contention) for timing in self.timings)

    @property
    def contention(self) -> float | None:
        """Mean over the evaluations of which it is known."""
        known = [timing.contention for timing in self.timings if timing.contention is not None]
        return statistics.fmean(known) if known else None

    def evidence(self, pace: Pace, promised: float, least: float) -> dict[str, float | int | None]:
        """Everything behind the decision."""
        return {
            "pause_below": least,
            "promised_per_hour": promised,
            "achieved_per_hour": self.per_hour,
            "at_most_per_hour": self.at_most_per_hour,
            "share": self.per_hour / promised,
            "evaluations": len(self.timings),
            "window_s": self.seconds,
            "calibrated_s": pace.seconds,
            "median_s": self.median_s,
            "contended": self.contended,
            "contention": self.contention,
            "idle": self.idle,
            "planned_slots": pace.planned_slots,
            "slots": pace.slots,
            "quarantined": pace.quarantined,
        }


def _scatter(seconds: Sequence[float]) -> float:
    """Standard deviation as a share of the mean."""
    return statistics.pstdev(seconds) / (statistics.fmean(seconds) or 1.0)


def _promised(history: History, pace: Pace) -> float:
    """Evaluations an hour: the plan's, or those that the user accepted when they were fewer."""
    batch = _batch(history, pace.planned_slots)
    planned = 3600.0 * batch / (math.ceil(batch / pace.planned_slots) * pace.seconds)
    accepted = [window.per_hour for window in _windows(history, history.accepted_after, 0)]
    return min([planned, *accepted[-1:]])


def _batch(history: History, slots: int) -> int:
    """Evaluations that are waited for together: a generation, or one on every slot."""
    return history.population * history.seeds if history.population else slots


def _windows(history: History, end: int, start: int) -> list[_Window]:
    """The last evaluations of ``finished[start:end]``, over growing windows; none while they are too few."""
    assert history.pace is not None
    slots, batch = max(1, history.pace.slots), _batch(history, history.pace.slots)
    size = batch * math.ceil(max(2 * slots, LEAST_WINDOW) / batch)
    sizes = [size * times for times in WIDER if times == 1 or size * times <= MOST_WINDOW]
    timings = _last_search(history, end, start, sizes[-1] + slots)
    found = []
    for wanted in sizes:
        if len(timings) >= wanted + slots:
            seconds = timings[-1].ended_at - timings[-wanted - 1].ended_at
            found.append(_Window(timings[-wanted:], seconds, slots, len(history.trials.calibrated_s)))
    return [window for window in found if window.seconds >= LEAST_WINDOW_S]


def _last_search(history: History, end: int, start: int, most: int) -> list[Timing]:
    """Timings of one session's search evaluations among the last so many, in order of their ends."""
    looked_at = history.finished[max(start, end - most) : end]
    timings = [each.timing for each in looked_at if each.timing is not None and each.phase is Phase.SEARCH]
    return sorted((each for each in timings if each.session == timings[-1].session), key=attrgetter("ended_at"))


def _cause(window: _Window, pace: Pace, promised: float) -> str:
    reasons = "; ".join(_reasons(window, pace)) or "nothing of it is contention, slower configs or idle slots"
    return f"{window.per_hour:.3g} evaluations an hour where {promised:.3g} were promised: {reasons}"


def _reasons(window: _Window, pace: Pace) -> Iterator[str]:
    """What makes the search slow, as far as it can be told."""
    if window.median_s >= SLOWER * pace.seconds:
        slower = f"an evaluation takes {format_seconds(window.median_s)}, in calibration {format_seconds(pace.seconds)}"
        yield f"{slower}, {_blame(window)}"
    elif window.contended >= MANY_CONTENDED * len(window.timings):
        yield _blame(window)
    if window.idle >= IDLE:
        yield f"slots were idle {window.idle:.0%} of the time"
    if pace.slots < pace.planned_slots:
        yield f"there are {pace.slots} slots, in the plan {pace.planned_slots}"
    if pace.quarantined:
        yield f"{pace.quarantined} of {pace.slots} slots are quarantined"


def _blame(window: _Window) -> str:
    """Other processes, the configs themselves, or nobody knows."""
    if window.contention is None:
        return "whether because of other processes or of these configs is not known"
    if window.contended >= MANY_CONTENDED * len(window.timings):
        count = f"{window.contended} of {len(window.timings)}"
        return f"because other processes took {window.contention:.0%} of their cores' time ({count} were contended)"
    return "and other processes were not in the way: these configs cost more than the baseline"
