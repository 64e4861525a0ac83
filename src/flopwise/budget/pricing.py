"""What a tier of a study would cost: time, money and evaluations.

Times assume that every evaluation takes as long as the baseline's did. Evaluations run in waves over
the slots; a generation, and each step of confirmation, begins when the last one has ended.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from flopwise.budget.admission import NOTHING, START_FACTOR
from flopwise.budget.limits import Limits, Spent
from flopwise.trial import Phase

RECHECKED_EVERY = 8
"""Trials after which the best are rechecked, where a search by a cheap stop has no generations."""

CHOOSE_SEEDS = 2
"""Fresh seeds for each of the best few, before one of them is chosen."""


@dataclass(frozen=True)
class Rates:
    """What one evaluation costs here.

    Args:
        seconds: Wall seconds of one evaluation on one slot.
        slots: Evaluations at the same time.
        price_per_hour: Of the whole machine.
        flops: Training FLOPs of one evaluation; None when unknown.
    """

    seconds: float
    slots: int
    price_per_hour: float
    flops: float | None = None

    def batches(self, *sizes: int, factor: float = 1.0) -> Spent:
        """The cost of batches of evaluations, each begun when the one before has ended.

        Args:
            *sizes: Evaluations of each batch.
            factor: How much longer than usual an evaluation is taken to last.

        Example:
            >>> Rates(10.0, 2, 3600.0).batches(3, 1)
            Spent(evaluations=4, device_s=40.0, wall_s=30.0, price=30.0, flops=0.0)
        """
        seconds = factor * self.seconds
        wall_s = seconds * sum(math.ceil(size / self.slots) for size in sizes)
        price, flops = self.price_per_hour / 3600.0 * wall_s, (self.flops or 0.0) * sum(sizes)
        return Spent(sum(sizes), seconds * sum(sizes), wall_s, price, flops)

    def head_room(self) -> Spent:
        """What admission wants left over, beyond the estimate, to start the last evaluation of each slot."""
        return replace(self.batches(self.slots, factor=START_FACTOR - 1.0), evaluations=0, flops=0.0)

    def reserve(self, phase: Phase, choose: int, decide: int) -> Spent:
        """What must be left while ``phase`` runs, so that the rest of the confirmation can be paid for.

        Each evaluation's time is reserved at the multiple of its estimate that admission demands to start it, its FLOPs
        as the baseline's.

        Args:
            phase: The phase that runs.
            choose: Evaluations to choose the candidate by.
            decide: Evaluations to decide by.
        """
        if phase is Phase.DECIDE:
            return NOTHING
        later = (decide,) if phase is Phase.CHOOSE else (choose, decide)
        return self.batches(*later, factor=START_FACTOR)


@dataclass(frozen=True)
class Cheap:
    """A search by a cheaper stop.

    Args:
        seconds: Of an evaluation there.
        flops: Training FLOPs of one; None when unknown.
        recheck: Best trials of each generation that are evaluated at the full stop.
    """

    seconds: float
    flops: float | None
    recheck: int


@dataclass(frozen=True)
class TierPlan:
    """One tier, priced: search and confirmation, without what calibration has spent.

    Args:
        name: As in the study.
        trials: Search trials.
        population: Trials a generation; None without generations.
        generations: None without generations.
        search_evaluations: Trials times seeds.
        choose_evaluations: Confirmation: the best few on fresh seeds.
        decide_evaluations: Confirmation: the chosen one and the baseline on other fresh seeds.
        device_hours: Hours on one slot.
        wall_s: Seconds with all slots.
        price: Money for the whole machine during ``wall_s``.
        train_flops: Of all evaluations; None when the workload cannot tell.
        exceeds: One sentence a limit that the tier does not fit in, with what is spent already and the
            reserve for confirmation.
        detectable: The smallest true improvement that is found and confirmed with a chance of 80%, in the metric's
            unit; None when unknown.
        recheck_evaluations: Of a search by a cheap stop: its best at the full one.
    """

    name: str
    trials: int
    population: int | None
    generations: int | None
    search_evaluations: int
    choose_evaluations: int
    decide_evaluations: int
    device_hours: float
    wall_s: float
    price: float
    train_flops: float | None
    exceeds: tuple[str, ...]
    detectable: float | None = None
    recheck_evaluations: int = 0

    @property
    def evaluations(self) -> int:
        """All of search and confirmation."""
        return self.search_evaluations + self.recheck_evaluations + self.choose_evaluations + self.decide_evaluations


def price_tier(
    name: str,
    study: Mapping[str, Any],
    rates: Rates,
    *,
    confirm_seeds: int,
    flops: float | None,
    spent: Spent,
    cheap: Cheap | None = None,
) -> TierPlan:
    """Price one tier of a canonical study.

    Args:
        name: Of the tier.
        study: Canonical form.
        rates: Cost of one evaluation.
        confirm_seeds: Fresh seeds for the chosen one and for the baseline each.
        flops: Training FLOPs of one evaluation; None when unknown.
        spent: By the run so far; limits count it.
        cheap: Where the search goes by a cheaper stop: what an evaluation there costs.
    """
    tier, seeds = study["tiers"][name], study["evaluation"]["seeds"]
    population, generations = tier.get("population"), tier.get("generations")
    rounds = [population] * generations if generations else [tier["trials"]]
    trials = sum(rounds)
    at = rates if cheap is None else replace(rates, seconds=cheap.seconds)
    rechecked = [] if cheap is None else [min(cheap.recheck, size) * seeds for size in _batches(rounds, population)]
    search = at.batches(*(size * seeds for size in rounds)) + rates.batches(*rechecked)
    top = min(study["confirm"]["top"], trials if cheap is None else sum(rechecked) // seeds)
    choose, decide = CHOOSE_SEEDS * top if top > 1 else 0, 2 * confirm_seeds
    cost = search + rates.batches(choose, decide)
    searched = search.evaluations - sum(rechecked)
    saved_flops = _saved_flops(cheap, flops, searched)
    needed = spent + search + rates.head_room() + rates.reserve(Phase.SEARCH, choose, decide)
    return TierPlan(
        name=name,
        trials=trials,
        population=population,
        generations=generations,
        search_evaluations=searched,
        recheck_evaluations=sum(rechecked),
        choose_evaluations=choose,
        decide_evaluations=decide,
        device_hours=cost.device_s / 3600.0,
        wall_s=cost.wall_s,
        price=cost.price,
        train_flops=None if flops is None or saved_flops is None else flops * cost.evaluations - saved_flops,
        exceeds=tuple(Limits.from_study(study).exceeded(needed)),
    )


def _saved_flops(cheap: Cheap | None, flops: float | None, searched: int) -> float | None:
    """What evaluations of the search cost less than full ones; None when unknown."""
    if cheap is None:
        return 0.0
    return None if flops is None or cheap.flops is None else searched * (flops - cheap.flops)


def _batches(rounds: Sequence[int], population: int | None) -> list[int]:
    """Trials between one recheck and the next."""
    if population:
        return list(rounds)
    whole, rest = divmod(sum(rounds), RECHECKED_EVERY)
    return [RECHECKED_EVERY] * whole + ([rest] if rest else [])
