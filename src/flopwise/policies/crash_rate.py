"""Pause when too many evaluations fail: the space, the workload or the machine needs a look."""

from __future__ import annotations

from collections import Counter

from pydantic import BaseModel, ConfigDict, Field

from flopwise.policies.policy import Action, Decision, History
from flopwise.trial import Phase

WINDOW = 20
"""Evaluations looked back on, or a whole generation where that is more."""
LEAST_FAILURES = 2
"""One failure is an accident, at the start it would be a rate of 100%."""


class CrashRate:
    """Pause when more than a share of the last evaluations failed after their retries.

    Calibration and search only: how often the winner fails on fresh seeds is for the verdict to say.

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
        window = history.recent(width, (Phase.CALIBRATE, Phase.SEARCH))
        failed = [evaluation for evaluation in window if evaluation.failed]
        if len(failed) < LEAST_FAILURES or len(failed) <= self._options.pause_above * len(window):
            return None
        outcomes = Counter(evaluation.outcome.value for evaluation in failed)
        kinds = ", ".join(f"{count} {name}" for name, count in outcomes.most_common())
        cause = f"{len(failed)} of the last {len(window)} evaluations failed ({kinds})"
        evidence = {
            "failed": len(failed),
            "window": len(window),
            "rate": len(failed) / len(window),
            "pause_above": self._options.pause_above,
            "outcomes": dict(outcomes),
            "trials": sorted({evaluation.number for evaluation in failed}),
        }
        return Decision(Action.PAUSE, cause, evidence)
