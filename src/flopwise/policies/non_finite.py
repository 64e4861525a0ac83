"""Pause when results keep being NaN or infinite all over the space; name the region when they do so in one."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from flopwise.policies.evaluations import Finished
from flopwise.policies.nan_look import Answer, NanLook, look
from flopwise.policies.policy import Action, Decision, History
from flopwise.policies.rates import surely_above
from flopwise.trial import Outcome, Phase

WINDOW = 20
"""Evaluations looked back on, or a whole generation where that is more."""

LONG = 3
"""And so many times that, for a smaller share that goes on."""

ACCIDENTS = 0.02
"""Share of nan results up to which they may be accidents."""

SURE = 0.002
"""And how improbable so many of them must then be: every evaluation is another occasion to be misled."""


class NonFinite:
    """Pause on sustained NaN or infinite results that no region of the space explains.

    Sustained: more than a share of the last 20 evaluations (or of a generation), or of three times as many, and
    more than a share of 2% explains. Where one region holds nearly all of them, the search leaves it by itself: a
    note names it, once, and again when the evaluations have doubled.

    Example:
        >>> NonFinite(NonFinite.Options()).judge(History(())) is None
        True
    """

    class Options(BaseModel):
        """``policies.non_finite``.

        Args:
            pause_above: Share of evaluations that are nan.
        """

        model_config = ConfigDict(extra="forbid", frozen=True)

        pause_above: float = Field(default=0.05, ge=0.0, lt=1.0)

    def __init__(self, options: Options) -> None:
        self._options = options

    def judge(self, history: History) -> Decision | None:
        """See :class:`flopwise.policies.policy.Policy`."""
        if not history.finished or history.finished[-1].outcome is not Outcome.NAN:
            return None
        window = self._sustained(history)
        if window is None:
            return None
        seen = look(history)
        if seen.answer is Answer.UNEXPLAINED:
            return Decision(Action.PAUSE, _cause(window, seen), self._evidence(window, seen))
        if seen.answer is Answer.EXPLAINED and self._is_news(history):
            return Decision(Action.NOTE, f"nan has a region: {seen.region}", self._evidence(window, seen))
        return None

    def _sustained(self, history: History) -> list[Finished] | None:
        """The last evaluations, if too many of them are nan."""
        width = max(WINDOW, (history.population or 0) * history.seeds)
        for count in (width, LONG * width):
            window = history.recent(count, (Phase.SEARCH,))
            nan = _nan(window)
            if nan > self._options.pause_above * len(window) and surely_above(nan, len(window), ACCIDENTS, SURE):
                return window
        return None

    def _is_news(self, history: History) -> bool:
        return len(history.finished) >= 2 * history.noted_after

    def _evidence(self, window: list[Finished], seen: NanLook) -> dict[str, object]:
        return {
            "nan": _nan(window),
            "window": len(window),
            "rate": _nan(window) / len(window),
            "pause_above": self._options.pause_above,
            "trials": sorted({each.number for each in window if each.outcome is Outcome.NAN}),
            "region": seen.region.to_json() if seen.region else None,
        }


def _nan(window: list[Finished]) -> int:
    return sum(each.outcome is Outcome.NAN for each in window)


def _cause(window: list[Finished], seen: NanLook) -> str:
    nearest = f"; the nearest to one is {seen.region}" if seen.region else ""
    seen_nan = f"{_nan(window)} of the last {len(window)} evaluations were nan"
    return f"{seen_nan}, and no region of the space explains them{nearest}"
