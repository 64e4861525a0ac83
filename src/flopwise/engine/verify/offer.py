"""Whether a larger tier is offered, derived again: failures at the end of the search, and whether it still improved."""

from __future__ import annotations

import math
from typing import Any

from flopwise.engine.verify.comparison import pooled_sd
from flopwise.engine.verify.run import Run

LOOKED_AT = 20
"""Evaluations at least, or three generations, or a quarter of the search."""


def expected_offer(run: Run) -> dict[str, Any] | None:
    """What ``larger_tier`` of the report must be."""
    tiers = list(run.study["tiers"])
    if run.verdict is None or run.tier is None or tiers.index(run.tier[1].tier) == len(tiers) - 1:
        return None
    name = tiers[tiers.index(run.tier[1].tier) + 1]
    size, seeds = run.study["tiers"][run.tier[1].tier].get("population"), run.study["evaluation"]["seeds"]
    trials = [trial for trial in run.by_phase("search") if trial.finished]
    outcomes = [end.outcome for trial in trials for end in trial.ends if end is not None]
    last = outcomes[-max(LOOKED_AT, 3 * size * seeds if size else math.ceil(len(outcomes) / 4)) :]
    failed = sum(outcome not in ("ok", "pruned") for outcome in last)
    gain = _gain([trial.loss() for trial in trials], size or 1)
    sd = pooled_sd(run.trials[0].reached())
    noise = None if sd is None else sd / math.sqrt(seeds)
    stable = len(last) >= LOOKED_AT and 20 * failed < len(last)
    improving = gain is not None and noise is not None and gain > noise
    planned: dict[str, Any] = {each["name"]: each for each in run.tier[1].plan["tiers"]}.get(name, {})
    return {
        "tier": name,
        "offered": stable and improving and run.verdict[1].verdict != "NO-GO",
        "stable": stable,
        "improving": improving,
        "failed": failed,
        "evaluations": len(last),
        "gain": gain,
        "noise": noise,
        "planned": {key: planned.get(key) for key in ("device_hours", "wall_s", "price")},
    }


def _gain(losses: list[float | None], size: int) -> float | None:
    """What the last third, in whole generations, added to the best before it."""
    third = size * max(1, math.ceil(len(losses) / (3 * size)))
    before = [loss for loss in losses[: max(0, len(losses) - third)] if loss is not None]
    return min(before) - min(loss for loss in losses if loss is not None) if before else None
