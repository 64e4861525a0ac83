"""Pause when evaluations take much longer than the calibration said, though they do no more work."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from flopwise.contention import is_contended
from flopwise.policies.evaluations import Finished
from flopwise.policies.policy import Action, Decision, History
from flopwise.policies.region import find_region
from flopwise.trial import Outcome, Phase
from flopwise.units import format_seconds

WINDOW = 8
"""Evaluations looked back on; where that is more, a generation, or one a slot: the last to end are the longest."""

LEAST_EXTRA_S = 1.0
"""Start-up times of toys scatter by less than this."""

MOST_EVALUATIONS = 120
"""Looked back on for a region that is slow."""


class TimeDrift:
    """Pause when the median evaluation takes more than twice its expected seconds.

    Expected is what the calibrated baseline took, times how much more work the config is: the larger ratio of
    training FLOPs and of optimizer steps, where the workload can tell them, so that a search that moves on to larger
    models does not drift. Where it cannot, slow evaluations that lie in one region of the space are
    that region's. An accepted pause makes what was seen then the new measure.

    Example:
        >>> TimeDrift(TimeDrift.Options()).judge(History(())) is None
        True
    """

    class Options(BaseModel):
        """``policies.time_drift``.

        Args:
            pause_above: Median of the evaluations' seconds, in expected seconds.
        """

        model_config = ConfigDict(extra="forbid", frozen=True)

        pause_above: float = Field(default=2.0, gt=1.0)

    def __init__(self, options: Options) -> None:
        self._options = options

    def judge(self, history: History) -> Decision | None:
        """See :class:`flopwise.policies.policy.Policy`."""
        calibrated = _calibrated_s(history)
        if calibrated is None or history.finished[-1].phase is not Phase.SEARCH:
            return None
        width = _width(history)
        window = [_Paced.of(each, calibrated) for each in history.recent(width, (Phase.SEARCH,)) if _is_timed(each)]
        if len(window) < WINDOW:
            return None
        measure = max(1.0, _accepted(history, calibrated, width))
        ratio = statistics.median(each.ratio for each in window)
        extra_s = statistics.median(each.seconds - measure * each.expected_s for each in window)
        if ratio <= self._options.pause_above * measure or extra_s < LEAST_EXTRA_S or _is_a_region(history, calibrated):
            return None
        return self._pause(window, ratio, calibrated, measure)

    def _pause(self, window: Sequence[_Paced], ratio: float, calibrated: float, measure: float) -> Decision:
        median = statistics.median(each.seconds for each in window)
        alone = statistics.median(each.ratio * (1.0 - (each.contention or 0.0)) for each in window)
        evidence = {
            "median_s": median,
            "calibrated_s": calibrated,
            "ratio": ratio,
            "accepted_ratio": measure,
            "pause_above": self._options.pause_above,
            "evaluations": len(window),
            "work": statistics.median(each.work for each in window),
            "contended": sum(is_contended(each.contention) for each in window),
            "contention": _mean([each.contention for each in window if each.contention is not None]),
            "ratio_without_contention": alone,
        }
        cause = (
            f"the last {len(window)} evaluations took {format_seconds(median)} in the median, {ratio:.3g} times what "
            f"calibration ({format_seconds(calibrated)}) and their work let expect: {_blame(window, alone, measure)}"
        )
        return Decision(Action.PAUSE, cause, evidence)


@dataclass(frozen=True)
class _Paced:
    """An evaluation's seconds beside what was expected of it; ``work`` in baselines."""

    seconds: float
    expected_s: float
    work: float
    contention: float | None

    @classmethod
    def of(cls, evaluation: Finished, calibrated: float) -> _Paced:
        assert evaluation.timing is not None
        work = evaluation.work if evaluation.work is not None else 1.0
        return cls(evaluation.timing.seconds, calibrated * work, work, evaluation.timing.contention)

    @property
    def ratio(self) -> float:
        return self.seconds / self.expected_s if self.expected_s else 1.0


def _width(history: History) -> int:
    """Evaluations looked back on."""
    slots = history.pace.slots if history.pace else 0
    return max(WINDOW, (history.population or 0) * history.seeds, slots)


def _is_timed(evaluation: Finished) -> bool:
    return evaluation.timing is not None and evaluation.outcome is Outcome.OK


def _calibrated_s(history: History) -> float | None:
    """Median seconds of the baseline's calibration; None before it was timed."""
    seconds = history.trials.calibrated_s
    return statistics.median(seconds) if seconds and statistics.median(seconds) > 0 else None


def _accepted(history: History, calibrated: float, width: int) -> float:
    """The ratio that the user has seen and accepted; 1 when there was no pause."""
    before = history.last(width, (Phase.SEARCH,), until=history.accepted_after)
    ratios = [_Paced.of(each, calibrated).ratio for each in before if _is_timed(each)]
    return statistics.median(ratios) if history.accepted_after and ratios else 1.0


def _is_a_region(history: History, calibrated: float) -> bool:
    """Whether slow evaluations are those of one region, for workloads that cannot tell a config's work."""
    seen = [each for each in history.last(MOST_EVALUATIONS, (Phase.SEARCH,)) if _is_timed(each)]
    if any(each.work is not None for each in seen):
        return False
    slow = [_Paced.of(each, calibrated).ratio > 1.5 for each in seen]
    region = find_region([each.config for each in seen], slow)
    return region is not None and region.explains


def _mean(values: Sequence[float]) -> float | None:
    return statistics.fmean(values) if values else None


def _blame(window: Sequence[_Paced], alone: float, measure: float) -> str:
    """Other processes, partly or as a whole, or something else, or nobody knows."""
    if all(each.contention is None for each in window):
        return "whether other processes are in the way is not known"
    contended = sum(is_contended(each.contention) for each in window)
    if 2 * contended < len(window):
        return f"other processes do not explain it ({contended} of {len(window)} were contended)"
    if alone <= 1.5 * measure:
        return f"other processes on the slots' cores explain it ({contended} of {len(window)} were contended)"
    return f"other processes explain a part of it; without them it would be {alone:.3g} times"
