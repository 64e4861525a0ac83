"""Was the plan that was shown, and the tier that was chosen, what the calibration gives?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from flopwise.engine.verify.charges import spend
from flopwise.engine.verify.comparison import CLOSE, pooled_sd, worth
from flopwise.engine.verify.difference import Difference, compare
from flopwise.engine.verify.proposals import CHOOSE_SEEDS
from flopwise.engine.verify.run import Run, Trial, fold
from flopwise.registry import load
from flopwise.stats.power import seeds_needed
from flopwise.study import full_config
from flopwise.trial import Fidelity

TEXTS = ("warnings", "exceeds")
"""Sentences of a plan: for people, not re-derived."""


def check_plan(run: Run) -> Iterator[Difference]:
    """Every number of the plan in ``TierChosen``."""
    if run.tier is None:
        return
    record, chosen = run.tier
    past, _ = fold([earlier for earlier in run.records if earlier.number < record.number])
    if 0 not in past.trials or not past.trials[0].finished:
        yield Difference(record.where, "tier", "after calibration", "before it")
        return
    if chosen.tier not in past.study["tiers"]:
        yield Difference(record.where, "tier", "one of " + ", ".join(past.study["tiers"]), chosen.tier)
        return
    yield from compare(record.where, expected_plan(past), _numbers(chosen.plan), "plan", CLOSE)


def expected_plan(run: Run) -> dict[str, Any]:
    """The plan of a run that has been calibrated and nothing else, without its sentences."""
    study, trial = run.study, run.trials[0]
    confirm, share = study["confirm"], study["confirm"]["min_improvement"]
    ends = [end for end in trial.ends if end is not None]
    seconds = [end.device_s for end in ends]
    base, noise = _baseline(study, trial)
    rates = _Rates(math.fsum(seconds) / len(seconds), len(run.sessions[-1].opened.slots), study)
    together, known = max(1, rates.slots // 2), sum(value is not None for value in trial.values())
    fresh = seeds_needed(noise, base or 0.0, share, measured_on=known, looks=confirm.get("looks", 1), together=together)
    seeds = confirm["seeds"] or fresh
    training = _training(study, trial)
    spent = spend(run)
    return {
        "tiers": [_tier(study, name, rates, seeds, training["flops"]) for name in study["tiers"]],
        "slots": rates.slots,
        "price_per_hour": study["execution"]["price_per_hour"],
        "seconds_per_evaluation": rates.seconds,
        **training,
        "peak_rss_bytes": max((end.peak_rss_bytes for end in ends if end.peak_rss_bytes is not None), default=None),
        "evaluation_seeds": study["evaluation"]["seeds"],
        "baseline_mean": base,
        "noise_sd": noise,
        "min_improvement": share,
        "threshold": None if base is None else worth(base, share, noise),
        "confirm_top": confirm["top"],
        "confirm_seeds": seeds,
        "confirm_looks": _looks(seeds, confirm.get("looks", 1), together),
        "spent": {
            "evaluations": spent["evaluations"],
            "device_s": spent["device_s"],
            "wall_s": spent["session_s"],
            "price": spent["total_price"],
            "flops": spent["train_flops"] or 0.0,
        },
    }


def _looks(seeds: int, most: int, together: int) -> list[int]:
    """Evenly spaced, whole waves, from the third seed on; the last at the end."""
    step = math.ceil(math.ceil(seeds / max(1, min(most, (seeds - 1) // 2))) / together) * together
    return [*(n for n in range(3, seeds) if n % step == 0), seeds]


class _Rates:
    """Seconds and money of one evaluation; evaluations run in waves over the slots."""

    def __init__(self, seconds: float, slots: int, study: Mapping[str, Any]) -> None:
        self.seconds = seconds
        self.slots = slots
        self.price_per_s = study["execution"]["price_per_hour"] / 3600.0

    def wall_s(self, batches: list[int]) -> float:
        return self.seconds * sum(math.ceil(batch / self.slots) for batch in batches)


def _tier(study: Mapping[str, Any], name: str, rates: _Rates, seeds: int, flops: float | None) -> dict[str, Any]:
    tier = study["tiers"][name]
    population, generations = tier.get("population"), tier.get("generations")
    rounds = [population] * generations if generations else [tier["trials"]]
    top = min(study["confirm"]["top"], sum(rounds))
    choose, decide = CHOOSE_SEEDS * top if top > 1 else 0, 2 * seeds
    batches = [size * study["evaluation"]["seeds"] for size in rounds]
    count = sum(batches) + choose + decide
    wall_s = rates.wall_s(batches) + rates.wall_s([choose, decide])
    return {
        "name": name,
        "trials": sum(rounds),
        "population": population,
        "generations": generations,
        "search_evaluations": sum(batches),
        "choose_evaluations": choose,
        "decide_evaluations": decide,
        "device_hours": rates.seconds * count / 3600,
        "wall_s": wall_s,
        "price": rates.price_per_s * wall_s,
        "train_flops": None if flops is None else flops * count,
    }


def _baseline(study: Mapping[str, Any], trial: Trial) -> tuple[float | None, float | None]:
    """Mean metric of the baseline and its standard deviation over seeds."""
    known = [value for value in trial.values() if value is not None]
    return math.fsum(known) / len(known) if known else None, pooled_sd(known)


def _training(study: Mapping[str, Any], trial: Trial) -> dict[str, Any]:
    """Steps and FLOPs as the workload's closed form has them, tokens as the baseline counted them."""
    spec = load("workloads", study["workload"])
    config = full_config(study, trial.event.config)
    stop = Fidelity.from_json(study["evaluation"]["stop"])
    tokens = [end.info["tokens"] for end in trial.ends if end is not None and "tokens" in end.info]
    flops = spec.flops(config, stop)
    trained = [end.train_flops for end in trial.ends if end is not None and end.train_flops is not None]
    return {
        "steps": spec.steps(config, stop),
        "tokens": tokens[0] if tokens else None,
        "flops": math.fsum(trained) / len(trained) if flops is None and trained else flops,
    }


def _numbers(plan: Any) -> Any:
    """A plan without its sentences."""
    if isinstance(plan, dict):
        return {key: _numbers(value) for key, value in plan.items() if key not in TEXTS}
    return [_numbers(value) for value in plan] if isinstance(plan, list) else plan
