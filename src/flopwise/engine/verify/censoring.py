"""Times of which some are only known to be longer: Kaplan and Meier's curve, medians, means and the log-rank test."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from scipy.special import erfc

from flopwise.engine.verify.curves import Training, training
from flopwise.engine.verify.run import Run


def expected_timed(run: Run) -> dict[str, Any] | None:
    """What the report says of a study with a target."""
    target = run.study["objective"].get("target")
    if target is None:
        return None
    chosen = run.aims[-1][1] if run.aims else None
    return {
        "metric": target["metric"],
        "target": target["value"] if chosen is None else chosen.value,
        "chosen": None if chosen is None else {"reason": chosen.reason, "counts": chosen.counts},
        "compared": _compared(run),
    }


def _compared(run: Run) -> dict[str, Any] | None:
    if run.verdict is None or run.verdict[1].winner is None:
        return None
    every = {name: _runs(run, of) for name, of in (("baseline", 0), ("winner", run.verdict[1].winner))}
    kept = {name: [each for each in runs if each is not None and each.alone] for name, runs in every.items()}
    known = [each for runs in kept.values() for each in runs]
    ends = [each.seconds for each in known if not each.reached]
    if not all(kept.values()) or not ends:
        return None
    until = min(ends)
    found: dict[str, Any] = {"horizon": until, "logrank": logrank(kept["baseline"], kept["winner"])}
    for name, runs in every.items():
        own, failed = kept[name], sum(each is None for each in runs)
        steps = curve(own)
        found[name] = {
            "seeds": len(own),
            "reached": sum(each.reached for each in own),
            "failed": failed,
            "disturbed": len(runs) - failed - len(own),
            "median": next((at for at, share in steps if share <= 0.5), None),
            "restricted_mean": area(steps, until),
            "curve": [list(step) for step in steps],
            "censored": sorted(each.seconds for each in own if not each.reached),
        }
    return found


def _runs(run: Run, of: int) -> list[Training | None]:
    """One a fresh seed; None where it failed."""
    trials = [trial for trial in run.by_phase("decide") if trial.event.of == of]
    return [
        training(run, trial, seed) if end is not None and end.outcome == "ok" else None
        for trial in trials
        for seed, end in enumerate(trial.ends)
    ]


def curve(runs: Sequence[Training]) -> list[tuple[float, float]]:
    """Moments and the share that had not reached the target by then: a product over the moments."""
    steps, share = [(0.0, 1.0)], 1.0
    for moment in sorted({each.seconds for each in runs if each.reached}):
        at_risk = sum(each.seconds >= moment for each in runs)
        share *= 1 - sum(each.reached and each.seconds == moment for each in runs) / at_risk
        steps.append((moment, share))
    return steps


def area(steps: Sequence[tuple[float, float]], until: float) -> float:
    """Under a curve of steps, up to a moment."""
    total = 0.0
    for place, (moment, share) in enumerate(steps):
        end = steps[place + 1][0] if place + 1 < len(steps) else until
        total += share * max(0.0, min(end, until) - min(moment, until))
    return total


def logrank(first: Sequence[Training], second: Sequence[Training]) -> float | None:
    """Two-sided p-value: what the first group was to reach at each moment against what it did reach."""
    both = [*first, *second]
    moments = sorted({each.seconds for each in both if each.reached})
    if not moments:
        return None
    apart = variance = 0.0
    for moment in moments:
        mine, every = (sum(each.seconds >= moment for each in runs) for runs in (first, both))
        got, events = (sum(each.reached and each.seconds == moment for each in runs) for runs in (first, both))
        apart += got - events * mine / every
        if every > 1:
            variance += events * (mine / every) * (1 - mine / every) * (every - events) / (every - 1)
    return float(erfc(abs(apart) / math.sqrt(2 * variance))) if variance > 0 else None
