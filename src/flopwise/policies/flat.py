"""End a study whose search found nothing: there is nothing that a confirmation could confirm."""

from __future__ import annotations

import math
from statistics import NormalDist

from pydantic import BaseModel, ConfigDict, Field

from flopwise.policies.policy import Action, Decision, History

MANY = 30
"""From so many trials on, the best is held against what chance makes of equal configs."""

_NORMAL = NormalDist()


class Flat:
    """Stop at the end of a tier whose best trial does not beat the baseline beyond the noise.

    Beyond the noise: by more than one standard deviation of a trial's score over seeds; of a search of thirty and more
    trials, by more than the best of as many equal configs would in four of five searches. Both are
    compared on the seeds they share. The smallest of several tiers is a smoke test and not judged.

    Example:
        >>> Flat(Flat.Options()).judge(History(())) is None
        True
    """

    class Options(BaseModel):
        """``policies.flat``.

        Args:
            trials: A search of fewer trials is too short to be called flat.
            chance: Share of searches among equal configs whose best stays below the measure.
        """

        model_config = ConfigDict(extra="forbid", frozen=True)

        trials: int = Field(default=20, ge=2)
        chance: float = Field(default=0.80, gt=0.0, lt=1.0)

    def __init__(self, options: Options) -> None:
        self._options = options

    def judge(self, history: History) -> Decision | None:
        """See :class:`flopwise.policies.policy.Policy`."""
        searched, baseline = history.trials.searched, history.trials.baseline_loss(history.seeds)
        if history.proxy is not None:  # its losses are not those of the baseline's stop
            return None
        if not history.over or len(searched) < self._options.trials or baseline is None or history.noise_sd is None:
            return None
        best = searched[searched[-1].best]
        score_sd = history.noise_sd / math.sqrt(history.seeds)
        least = score_sd * self._sds(len(searched))
        gain = baseline - best.loss
        if best.loss == math.inf or gain > least:
            return None
        evidence = {
            "trials": len(searched),
            "best_trial": best.number,
            "best_loss": best.loss,
            "baseline_loss": baseline,
            "gain": gain,
            "least": least,
            "noise_sd": score_sd,
        }
        return Decision(Action.STOP, self._cause(len(searched), gain, least), evidence)

    def _sds(self, trials: int) -> float:
        """How many standard deviations the best must be better by."""
        chance: float = _NORMAL.inv_cdf(self._options.chance ** (1.0 / trials)) if trials >= MANY else 0.0
        return max(1.0, chance)

    def _cause(self, trials: int, gain: float, least: float) -> str:
        found = f"better than the baseline by {gain:.3g}" if gain > 0 else f"no better than the baseline ({gain:.3g})"
        return f"flat: the best of {trials} trials is {found}, and up to {least:.3g} is noise"
