"""Was the plan that was shown, and the tier that was chosen, what the calibration gives?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from scipy.special import ndtri

from flopwise.engine.verify.charges import spend
from flopwise.engine.verify.comparison import CLOSE, pooled_sd, worth
from flopwise.engine.verify.difference import Difference, compare
from flopwise.engine.verify.probed import expected_probed, fitness
from flopwise.engine.verify.proposals import CHOOSE_SEEDS
from flopwise.engine.verify.run import Run, Trial, fold
from flopwise.registry import load
from flopwise.stats.power import confirmable, seeds_needed
from flopwise.study import baseline_config, full_config
from flopwise.trial import Fidelity

TEXTS = ("warnings", "exceeds", "why")
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
    expected = expected_plan(past)
    if "probed" not in chosen.plan:  # of a version that measured nothing but the baseline
        expected = _without_probes(expected)
    yield from compare(record.where, expected, _numbers(chosen.plan), "plan", CLOSE)
    yield from compare(record.where, bool(expected.get("unfit")), chosen.anyway, "anyway")


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
    seeds = confirm["seeds"] or max(5 if "target" in study["objective"] else 0, fresh)
    training = _training(study, trial)
    spent = spend(run)
    probed = expected_probed(run, rates.seconds, rates.slots, noise)
    rates.cheap_s = probed["proxy"]["seconds"] if probed["proxy"] else None
    least = None if base is None else worth(base, share, noise)
    finds = _Finds(least, noise, probed["signal"], seeds, confirm["top"], study["evaluation"]["seeds"])
    return {
        "tiers": [_tier(study, name, rates, seeds, training["flops"], finds) for name in study["tiers"]],
        "slots": rates.slots,
        "price_per_hour": study["execution"]["price_per_hour"],
        "seconds_per_evaluation": rates.seconds,
        **training,
        "peak_rss_bytes": max((end.peak_rss_bytes for end in ends if end.peak_rss_bytes is not None), default=None),
        "evaluation_seeds": study["evaluation"]["seeds"],
        "baseline_mean": base,
        "noise_sd": noise,
        "min_improvement": share,
        "threshold": least,
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
        "probed": probed,
        **fitness(study, training["steps"], probed),
    }


def _looks(seeds: int, most: int, together: int) -> list[int]:
    """Evenly spaced, whole waves, from the third seed on; the last at the end."""
    step = math.ceil(math.ceil(seeds / max(1, min(most, (seeds - 1) // 2))) / together) * together
    return [*(n for n in range(3, seeds) if n % step == 0), seeds]


def _without_probes(plan: dict[str, Any]) -> dict[str, Any]:
    """The plan as it was before there was more than the baseline."""
    tiers = [
        {key: value for key, value in tier.items() if key not in ("detectable", "recheck_evaluations")}
        for tier in plan["tiers"]
    ]
    return {**{key: value for key, value in plan.items() if key not in ("probed", "unfit", "advice")}, "tiers": tiers}


class _Finds:
    """The smallest improvement that a tier finds among its trials and then confirms."""

    def __init__(
        self, least: float | None, noise: float | None, signal: Any, confirm: int, top: int, seeds: int
    ) -> None:
        self._least, self._noise, self._confirm, self._top = least, noise, confirm, top
        self._spread = noise if signal is None else signal["noise_sd"]
        self._seeds = seeds

    def __call__(self, trials: int) -> float | None:
        if self._least is None or self._noise is None or self._spread is None:
            return None
        edge = float(ndtri(1 - self._top / trials)) if self._top < trials else 0.0
        searched = max(0.0, edge + float(ndtri(0.8))) * self._spread / math.sqrt(self._seeds)
        least = max(searched, confirmable(self._least, self._noise, self._confirm))
        return least if math.isfinite(least) else None


class _Rates:
    """Seconds and money of one evaluation; evaluations run in waves over the slots."""

    cheap_s: float | None = None

    def __init__(self, seconds: float, slots: int, study: Mapping[str, Any]) -> None:
        self.seconds = seconds
        self.slots = slots
        self.price_per_s = study["execution"]["price_per_hour"] / 3600.0

    def wall_s(self, batches: list[int]) -> float:
        return self.seconds * sum(math.ceil(batch / self.slots) for batch in batches)


def _tier(
    study: Mapping[str, Any], name: str, rates: _Rates, seeds: int, flops: float | None, finds: _Finds
) -> dict[str, Any]:
    tier = study["tiers"][name]
    population, generations = tier.get("population"), tier.get("generations")
    rounds = [population] * generations if generations else [tier["trials"]]
    top = min(study["confirm"]["top"], sum(rounds))
    choose, decide = CHOOSE_SEEDS * top if top > 1 else 0, 2 * seeds
    batches = [size * study["evaluation"]["seeds"] for size in rounds]
    again = _rechecks(study, rounds, population) if rates.cheap_s is not None else []
    if rates.cheap_s is not None:
        top = min(study["confirm"]["top"], sum(again) // study["evaluation"]["seeds"])
        choose = CHOOSE_SEEDS * top if top > 1 else 0
    each_s = rates.seconds if rates.cheap_s is None else rates.cheap_s
    full, cheap = sum(again) + choose + decide, _searched_flops(study, flops, rates)
    wall_s = rates.wall_s(batches) / rates.seconds * each_s if rates.seconds else 0.0
    wall_s += rates.wall_s(again) + rates.wall_s([choose, decide])
    return {
        "name": name,
        "trials": sum(rounds),
        "population": population,
        "generations": generations,
        "search_evaluations": sum(batches),
        "recheck_evaluations": sum(again),
        "choose_evaluations": choose,
        "decide_evaluations": decide,
        "device_hours": (each_s * sum(batches) + rates.seconds * full) / 3600,
        "wall_s": wall_s,
        "price": rates.price_per_s * wall_s,
        "train_flops": None if flops is None or cheap is None else cheap * sum(batches) + flops * full,
        "detectable": finds(sum(rounds)),
    }


def _rechecks(study: Mapping[str, Any], rounds: list[int], population: int | None) -> list[int]:
    """Evaluations at the full stop after each generation, or each eight trials, of a search by a cheap one."""
    trials = sum(rounds)
    sizes = rounds if population else [min(8, trials - start) for start in range(0, trials, 8)]
    return [min(study["proxy"]["recheck"], size) * study["evaluation"]["seeds"] for size in sizes]


def _searched_flops(study: Mapping[str, Any], flops: float | None, rates: _Rates) -> float | None:
    """Training FLOPs of an evaluation of the search; None when unknown."""
    if rates.cheap_s is None:
        return flops
    config = full_config(study, baseline_config(study))
    stop = Fidelity.from_json(study["proxy"]["stop"])
    found: float | None = load("workloads", study["workload"]).flops(config, stop)
    return found


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
