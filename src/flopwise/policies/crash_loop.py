"""Pause when nothing works any more, before the budget is gone."""

from __future__ import annotations

from collections import Counter

from pydantic import BaseModel, ConfigDict, Field

from flopwise.policies.crash_rate import kinds_of, region_of_failures
from flopwise.policies.nan_look import Answer, look
from flopwise.policies.policy import Action, Decision, History
from flopwise.trial import Outcome, Phase

JUDGED = tuple(phase for phase in Phase if phase not in (Phase.KNOBS, Phase.PROXY, Phase.LADDER))
"""Knobs at the ends of their ranges may fail one after the other: that is what trying them is for."""


class CrashLoop:
    """Pause when the last evaluations all failed, one after the other.

    Five in a row by default: at most 5% of a study of a hundred evaluations, besides those already
    running. Results that are nan do not count where one region of the space explains them. While the signal
    is measured there is nothing to pause yet: the probing ends, and what the plan then begins pauses at once.

    Example:
        >>> CrashLoop(CrashLoop.Options()).judge(History(())) is None
        True
    """

    class Options(BaseModel):
        """``policies.crash_loop``.

        Args:
            consecutive: Failures in a row.
        """

        model_config = ConfigDict(extra="forbid", frozen=True)

        consecutive: int = Field(default=5, ge=2)

    def __init__(self, options: Options) -> None:
        self._options = options

    def judge(self, history: History) -> Decision | None:
        """See :class:`flopwise.policies.policy.Policy`."""
        last = history.recent(self._options.consecutive, JUDGED)
        if len(last) < self._options.consecutive or not all(evaluation.failed for evaluation in last):
            return None
        if any(each.outcome is Outcome.NAN for each in last) and look(history).answer is Answer.EXPLAINED:
            return None
        region = region_of_failures(history)
        where = f"; {region}" if region and region.explains else ""
        evidence = {
            "consecutive": len(last),
            "outcomes": dict(Counter(evaluation.outcome.value for evaluation in last)),
            "trials": sorted({evaluation.number for evaluation in last}),
            "region": region.to_json() if region else None,
        }
        action = Action.END_PROBING if history.pace is None and last[-1].phase is Phase.SIGNAL else Action.PAUSE
        return Decision(action, f"the last {len(last)} evaluations all failed ({kinds_of(last)}){where}", evidence)
