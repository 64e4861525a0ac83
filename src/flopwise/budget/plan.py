"""The priced plan of a study: what each tier would cost and what it could tell, from one calibrated baseline."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from flopwise.budget.admission import NOTHING
from flopwise.budget.fitness import Advice, Signal, advise, unfit
from flopwise.budget.knobs import Knob
from flopwise.budget.limits import Spent
from flopwise.budget.pricing import Cheap, Rates, TierPlan, price_tier
from flopwise.budget.probing import FEW_STEPS
from flopwise.budget.proxy import Proxy
from flopwise.budget.stragglers import MOST_IDLE, equal_share, populations
from flopwise.objective import Objective
from flopwise.stats.censored import FEWEST_SEEDS
from flopwise.stats.looks import critical_value, planned
from flopwise.stats.noise import noise_sd
from flopwise.stats.power import EFFECT, POWER, confirmable, enough_seeds, expected_power, seeds_needed
from flopwise.stats.rank import Agreement
from flopwise.stats.signal import detectable
from flopwise.stats.threshold import threshold
from flopwise.trial import Phase


@dataclass(frozen=True)
class Calibration:
    """What running the baseline has shown.

    Args:
        seconds: Wall seconds of each evaluation, one a seed.
        losses: Losses of the seeds that ended ok.
        peak_rss_bytes: Largest memory of a worker process; None when unknown.
    """

    seconds: tuple[float, ...]
    losses: tuple[float, ...]
    peak_rss_bytes: int | None = None


@dataclass(frozen=True)
class LeftOut:
    """Something that was not measured.

    Args:
        what: ``signal`` or ``knobs``.
        evaluations: That measuring it would take.
    """

    what: str
    evaluations: int


@dataclass(frozen=True)
class Probed:
    """What was measured before the search, beyond the baseline.

    Args:
        signal: At the study's own stop; None when it was not measured.
        knobs: What every knob does; empty when they were not tried.
        rungs: At larger stops, smallest first.
        left_out: What was not measured.
        proxy: How far the cheap stop can be trusted; None without one.
    """

    signal: Signal | None = None
    knobs: tuple[Knob, ...] = ()
    rungs: tuple[Signal, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    proxy: Proxy | None = None


@dataclass(frozen=True)
class Plan:
    """What is shown before anything is spent on the search, and journaled when a tier is chosen.

    Args:
        tiers: In the study's order.
        slots: Evaluations at the same time.
        price_per_hour: Of the whole machine.
        seconds_per_evaluation: Mean of the calibration.
        steps: Optimizer steps of one evaluation; None when unknown.
        tokens: Training tokens of one evaluation; None when unknown.
        flops: Training FLOPs of one evaluation; None when unknown.
        peak_rss_bytes: Largest memory of a worker; None when unknown.
        evaluation_seeds: Seeds of a search trial.
        baseline_mean: The baseline's mean metric; None when no seed ended ok.
        noise_sd: Standard deviation of the metric over seeds; None when unknown.
        min_improvement: As the study asks for it.
        threshold: The same in the metric's unit; None when the baseline's metric is unknown.
        confirm_top: Candidates to choose from.
        confirm_seeds: Fresh seeds for the chosen one and for the baseline each, at most.
        spent: By the run so far.
        confirm_looks: After how many of them the decision is looked at.
        warnings: Sentences, most important first.
        probed: What was measured beyond the baseline.
        unfit: Why the search should not be spent on this budget: keys of :data:`flopwise.budget.fitness.UNFIT`.
        advice: A budget at which candidates can be told apart; None where it is not needed or was not found.
    """

    tiers: tuple[TierPlan, ...]
    slots: int
    price_per_hour: float
    seconds_per_evaluation: float
    steps: int | None
    tokens: float | None
    flops: float | None
    peak_rss_bytes: int | None
    evaluation_seeds: int
    baseline_mean: float | None
    noise_sd: float | None
    min_improvement: float
    threshold: float | None
    confirm_top: int
    confirm_seeds: int
    spent: Spent
    confirm_looks: tuple[int, ...] = ()
    warnings: tuple[str, ...] = ()
    probed: Probed = Probed()
    unfit: tuple[str, ...] = ()
    advice: Advice | None = None

    @property
    def rates(self) -> Rates:
        """What one evaluation costs."""
        return Rates(self.seconds_per_evaluation, self.slots, self.price_per_hour, self.flops)

    def tier(self, name: str) -> TierPlan:
        """One tier by name; raises ``KeyError`` when there is none."""
        return {tier.name: tier for tier in self.tiers}[name]

    def reserve(self, tier: str, phase: Phase) -> Spent:
        """What admission must leave for confirmation while ``phase`` of ``tier`` runs."""
        chosen = self.tier(tier)
        return self.rates.reserve(phase, chosen.choose_evaluations, chosen.decide_evaluations)

    def to_json(self) -> dict[str, Any]:
        """For the journal: JSON values."""
        return dict(json.loads(json.dumps(asdict(self))))

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Plan:
        """Inverse of :meth:`to_json`, before or after a trip through JSON."""
        tiers = tuple(TierPlan(**{**tier, "exceeds": tuple(tier["exceeds"])}) for tier in data["tiers"])
        typed = {"tiers": tiers, "spent": Spent(**data["spent"]), "warnings": tuple(data["warnings"])}
        advice = data.get("advice")
        typed |= {"unfit": tuple(data.get("unfit", ())), "advice": Advice(**advice) if advice else None}
        typed |= {"probed": _probed(data.get("probed", {})), "confirm_looks": tuple(data.get("confirm_looks", ()))}
        return cls(**{**data, **typed})


def _probed(data: Mapping[str, Any]) -> Probed:
    signal = data.get("signal")
    return Probed(
        signal=Signal(**signal) if signal else None,
        knobs=tuple(
            Knob(**{**knob, "values": tuple(knob["values"]), "losses": tuple(knob["losses"])})
            for knob in data.get("knobs", ())
        ),
        rungs=tuple(Signal(**rung) for rung in data.get("rungs", ())),
        left_out=tuple(LeftOut(**each) for each in data.get("left_out", ())),
        proxy=_proxy(data.get("proxy")),
    )


def _proxy(data: Mapping[str, Any] | None) -> Proxy | None:
    found = data["agreement"] if data else None
    return Proxy(**{**data, "agreement": Agreement(**found) if found else None}) if data else None


def make_plan(
    study: Mapping[str, Any],
    calibration: Calibration,
    *,
    slots: int,
    steps: int | None = None,
    tokens: float | None = None,
    flops: float | None = None,
    spent: Spent = NOTHING,
    probed: Probed = Probed(),
    proxy_flops: float | None = None,
) -> Plan:
    """Price every tier of a study.

    Args:
        study: Canonical form.
        calibration: Of the baseline, at least one evaluation.
        slots: Evaluations at the same time.
        steps: Optimizer steps that ``evaluation.stop`` buys; None when the workload cannot tell.
        tokens: Training tokens of one evaluation; None when unknown.
        flops: Training FLOPs of one evaluation; None when unknown.
        spent: By the run so far; limits count it.
        probed: What was measured beyond the baseline.
        proxy_flops: Training FLOPs of an evaluation at the cheap stop of the search; None when unknown or none.

    Raises:
        ValueError: If nothing was calibrated.
    """
    if not calibration.seconds:
        raise ValueError("a plan needs at least one calibrated evaluation")
    baseline, noise = _baseline(study, calibration), noise_sd(calibration.losses)
    share = study["confirm"]["min_improvement"]
    looks, together = study["confirm"].get("looks", 1), max(1, slots // 2)
    needed = seeds_needed(
        noise,
        0.0 if baseline is None else baseline,
        share,
        measured_on=len(calibration.losses),
        looks=looks,
        together=together,
    )
    rates = Rates(statistics.fmean(calibration.seconds), slots, study["execution"]["price_per_hour"], flops)
    fewest = FEWEST_SEEDS if "target" in study["objective"] else 0
    seeds = study["confirm"]["seeds"] or max(needed, fewest)
    reasons = unfit(study, steps, probed.signal)
    few = "few_steps" in reasons
    cheap = None
    if probed.proxy is not None:
        cheap = Cheap(probed.proxy.seconds, proxy_flops, study["proxy"]["recheck"])
    plan = Plan(
        tiers=tuple(
            price_tier(name, study, rates, confirm_seeds=seeds, flops=flops, spent=spent, cheap=cheap)
            for name in study["tiers"]
        ),
        slots=slots,
        price_per_hour=rates.price_per_hour,
        seconds_per_evaluation=rates.seconds,
        steps=steps,
        tokens=tokens,
        flops=flops,
        peak_rss_bytes=calibration.peak_rss_bytes,
        evaluation_seeds=study["evaluation"]["seeds"],
        baseline_mean=baseline,
        noise_sd=noise,
        min_improvement=share,
        threshold=None if baseline is None else threshold(baseline, share, noise),
        confirm_top=study["confirm"]["top"],
        confirm_seeds=seeds,
        confirm_looks=planned(seeds, looks, together),
        spent=spent,
        probed=probed,
        unfit=reasons,
        advice=advise(study, few, probed.signal, probed.rungs) if reasons else None,
    )
    found = replace(plan, tiers=tuple(replace(tier, detectable=_detectable(plan, tier)) for tier in plan.tiers))
    return replace(found, warnings=tuple(_warnings(found, study)))


def _detectable(plan: Plan, tier: TierPlan) -> float | None:
    """The smallest true improvement that a tier finds and confirms, in the metric's unit; None when unknown."""
    noise = plan.noise_sd if plan.probed.signal is None else plan.probed.signal.noise_sd
    if noise is None or plan.noise_sd is None or plan.threshold is None:
        return None
    found = detectable(noise, tier.trials, plan.confirm_top, plan.evaluation_seeds)
    least = max(found, confirmable(plan.threshold, plan.noise_sd, plan.confirm_seeds))
    return least if math.isfinite(least) else None


def _baseline(study: Mapping[str, Any], calibration: Calibration) -> float | None:
    """The baseline's mean as a metric value."""
    if not calibration.losses:
        return None
    return Objective.from_json(study["objective"]).value(statistics.fmean(calibration.losses))


def _warnings(plan: Plan, study: Mapping[str, Any]) -> Iterator[str]:
    """What is doubtful about a plan: limits it does not fit in, and differences it could not tell."""
    for tier in plan.tiers:
        for sentence in tier.exceeds:
            yield f"Tier {tier.name} does not fit with what is spent and reserved for confirmation: {sentence}."
    if study["limits"]["price"] is not None and plan.price_per_hour == 0:
        yield "limits.price never binds: execution.price_per_hour is 0. Set what the machine costs."
    if not study["search"].get("asynchronous"):
        yield from _straggler_warnings(plan)
    if plan.steps is not None and plan.steps < FEW_STEPS and "few_steps" not in plan.unfit:
        yield (
            f"One evaluation is only {plan.steps} optimizer steps: too few to tell configs apart. "
            "Raise evaluation.stop or make the model smaller."
        )
    yield from _noise_warnings(plan)


def _straggler_warnings(plan: Plan) -> Iterator[str]:
    """Slots that idle at the end of every generation even if all evaluations take equally long."""
    for tier in plan.tiers:
        share = equal_share(tier.population, plan.evaluation_seeds, plan.slots) if tier.population else 0.0
        if share > MOST_IDLE:
            twice = populations(plan.slots, plan.evaluation_seeds)[1:2] or populations(
                plan.slots, plan.evaluation_seeds
            )
            yield (
                f"Tier {tier.name}: generations of {tier.population} leave {plan.slots} slots idle {share:.0%} of the "
                f"search, even if all evaluations take equally long. A population of {twice[0]} fills them twice; "
                "`search: {asynchronous: true}` never waits."
            )


def _shown(plan: Plan) -> bool:
    """Whether configs were seen to differ by more than noise."""
    return plan.probed.signal is not None and plan.probed.signal.usable


def _noise_warnings(plan: Plan) -> Iterator[str]:
    if plan.noise_sd is None:
        yield (
            f"The noise between seeds is unknown, so {plan.confirm_seeds} confirmation seeds are a guess. "
            "Set calibration.seeds to 2 or more."
        )
        return
    least = plan.threshold or 0.0
    if least == 0.0 or plan.noise_sd == 0.0:
        return
    spread = plan.noise_sd / math.sqrt(plan.evaluation_seeds)
    if spread > EFFECT * least and not _shown(plan) and not plan.unfit:
        yield (
            f"A search trial is noisier (standard deviation {spread:.3g}) than twice the improvement asked for "
            f"({least:.3g}): the search will mostly rank luck. Raise evaluation.stop or evaluation.seeds."
        )
    power = _power(plan, least)
    if power < POWER:
        enough = enough_seeds(least, plan.noise_sd)
        yield (
            f"With {plan.confirm_seeds} confirmation seeds even a true improvement of {EFFECT * least:.3g}, twice what "
            f"is asked for, is confirmed with a chance of only {power:.0%}. "
            + (f"confirm.seeds: {enough} would make it {POWER:.0%}." if enough else "No number of seeds helps here.")
        )


def _power(plan: Plan, least: float) -> float:
    """Chance that an improvement of twice what is asked for is confirmed, if the noise is as measured."""
    if plan.confirm_seeds < 2 or plan.noise_sd is None:
        return 0.0
    critical = critical_value(plan.confirm_looks, plan.confirm_seeds, last=True)
    return expected_power(least, plan.noise_sd, plan.confirm_seeds, critical=critical)
