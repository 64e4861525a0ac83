"""Pause when too many evaluations fail: the space, the workload or the machine needs a look."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field

from flopwise.policies.evaluations import Finished
from flopwise.policies.nan_look import look
from flopwise.policies.policy import Action, Decision, History
from flopwise.policies.rates import surely_above
from flopwise.policies.region import Region, find_region
from flopwise.policies.stability import STABLE_BELOW
from flopwise.trial import Outcome, Phase

WINDOW = 20
"""Evaluations looked back on, or a whole generation where that is more."""
LEAST_FAILURES = 2
"""One failure is an accident, at the start it would be a rate of 100%."""
MOST_EVALUATIONS = 120
"""Looked back on for a region in which they fail."""

BOTH = (Phase.CALIBRATE, Phase.SEARCH)


class CrashRate:
    """Pause when more than a share of the last evaluations failed after their retries.

    And when those are more than chance gives a stable search, one of which 5% fail: of twenty evaluations that is
    the fourth failure, not the third, which one in thirty searches with 1% random failures would meet. Results
    that are nan count where no region explains them. Calibration and search only: how often the
    winner fails on fresh seeds is for the verdict to say.

    Example:
        >>> CrashRate(CrashRate.Options()).judge(History(())) is None
        True
    """

    class Options(BaseModel):
        """``policies.crash_rate``.

        Args:
            pause_above: Share of failed evaluations.
        """

        model_config = ConfigDict(extra="forbid", frozen=True)

        pause_above: float = Field(default=0.10, ge=0.0, lt=1.0)

    def __init__(self, options: Options) -> None:
        self._options = options

    def judge(self, history: History) -> Decision | None:
        """See :class:`flopwise.policies.policy.Policy`."""
        width = max(WINDOW, (history.population or 0) * history.seeds)
        window = history.recent(width, BOTH)
        failed = [evaluation for evaluation in window if evaluation.failed]
        if self._too_many(failed, window) and any(each.outcome is Outcome.NAN for each in failed):
            counts = look(history).counts
            failed = [evaluation for evaluation in failed if counts(evaluation)]
        if not self._too_many(failed, window):
            return None
        region = region_of_failures(history)
        where = f"; {region}" if region and region.explains else ""
        cause = f"{len(failed)} of the last {len(window)} evaluations failed ({kinds_of(failed)}){where}"
        return Decision(Action.PAUSE, cause, self._evidence(failed, window, region))

    def _too_many(self, failed: Sequence[Finished], window: Sequence[Finished]) -> bool:
        if len(failed) < LEAST_FAILURES or len(failed) <= self._options.pause_above * len(window):
            return False
        return surely_above(len(failed), len(window), min(STABLE_BELOW, self._options.pause_above / 2.0))

    def _evidence(
        self, failed: Sequence[Finished], window: Sequence[Finished], region: Region | None
    ) -> dict[str, object]:
        return {
            "failed": len(failed),
            "window": len(window),
            "rate": len(failed) / len(window),
            "pause_above": self._options.pause_above,
            "outcomes": dict(Counter(evaluation.outcome.value for evaluation in failed)),
            "trials": sorted({evaluation.number for evaluation in failed}),
            "region": region.to_json() if region else None,
        }


def kinds_of(failed: Sequence[Finished]) -> str:
    """How they failed, the most frequent first: ``3 error, 1 oom``."""
    outcomes = Counter(evaluation.outcome.value for evaluation in failed)
    return ", ".join(f"{count} {name}" for name, count in outcomes.most_common())


def region_of_failures(history: History) -> Region | None:
    """Where in the space evaluations fail, in whatever way; None when nothing separates them from the others."""
    seen = history.last(MOST_EVALUATIONS, BOTH)
    return find_region([each.config for each in seen], [each.failed for each in seen])
