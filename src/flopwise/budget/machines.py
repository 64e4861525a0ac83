"""Which machine to rent for a tier: each of a catalogue, priced from what was measured here.

What is assumed, and said beside every table: a core there is as fast as a core here, and evaluations that share a
machine slow each other down as much as they did here at the same share of its cores.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flopwise.budget.admission import NOTHING
from flopwise.budget.packing import MEMORY_SHARE
from flopwise.budget.plan import Plan
from flopwise.budget.pricing import Rates, TierPlan, price_tier


@dataclass(frozen=True)
class Machine:
    """One machine that can be had.

    Args:
        name: As the vendor calls it.
        cores: Usable at once.
        memory_bytes: Of the whole machine.
        price_per_hour: Of the whole machine.
        gpus: How many.
        gpu: Their kind, as the driver names it; None without.
    """

    name: str
    cores: int
    memory_bytes: float
    price_per_hour: float
    gpus: int = 0
    gpu: str | None = None


@dataclass(frozen=True)
class Catalogue:
    """Machines and where their prices are from.

    Args:
        currency: Of all prices.
        priced: The day the prices are of, ISO 8601.
        source: Where they were read.
        machines: In the file's order.
    """

    currency: str
    priced: str
    source: str
    machines: tuple[Machine, ...]


@dataclass(frozen=True)
class Scaling:
    """What was measured of evaluations that run beside each other.

    Args:
        threads: Cores of one evaluation.
        points: Share of the machine's cores in use, and seconds of an evaluation then; by share.
        peak_rss_bytes: Memory of one evaluation; None when unknown.
        gpus: Accelerators of one evaluation.
        gpu: Their kind; None without.
    """

    threads: int
    points: tuple[tuple[float, float], ...]
    peak_rss_bytes: int | None = None
    gpus: int = 0
    gpu: str | None = None

    def slots(self, machine: Machine) -> int:
        """Evaluations that fit on a machine at once; 0 where none does."""
        if self.gpus and machine.gpu != self.gpu:
            return 0
        most = machine.cores // self.threads
        if self.peak_rss_bytes:
            most = min(most, int(MEMORY_SHARE * machine.memory_bytes // self.peak_rss_bytes))
        return min(most, machine.gpus // self.gpus) if self.gpus else most

    def seconds(self, machine: Machine, slots: int) -> float:
        """Seconds of an evaluation beside the others: as here at the same share of the cores, linear in between."""
        share = slots * self.threads / machine.cores
        lower = [point for point in self.points if point[0] <= share][-1:] or [self.points[0]]
        upper = [point for point in self.points if point[0] >= share][:1] or [self.points[-1]]
        (x0, y0), (x1, y1) = lower[0], upper[0]
        return y0 if x1 <= x0 else y0 + (y1 - y0) * (share - x0) / (x1 - x0)


@dataclass(frozen=True)
class Offer:
    """What a tier would take on a machine.

    Args:
        machine: Its name.
        slots: Evaluations at once.
        threads: Cores of each.
        seconds: Of one evaluation beside the others.
        wall_s: Of search and confirmation.
        price: Of the machine for so long.
    """

    machine: str
    slots: int
    threads: int
    seconds: float
    wall_s: float
    price: float


@dataclass(frozen=True)
class Advice:
    """The cheapest and the fastest machine for a tier; None where no machine fits.

    Args:
        tier: Its name.
        cheapest: Among equally cheap ones the fastest.
        fastest: Among equally fast ones the cheapest.
        offers: Every machine that fits, in the catalogue's order.
    """

    tier: str
    cheapest: Offer | None
    fastest: Offer | None
    offers: tuple[Offer, ...]


def advise(study: Mapping[str, Any], plan: Plan, scalings: Sequence[Scaling], catalogue: Catalogue) -> list[Advice]:
    """Cheapest and fastest machine for every tier.

    Args:
        study: Canonical study.
        plan: Priced here.
        scalings: What was measured, one a number of threads; the best one is taken on each machine.
        catalogue: What can be had.
    """
    return [_advice(study, plan, tier, scalings, catalogue) for tier in plan.tiers]


def _advice(
    study: Mapping[str, Any], plan: Plan, tier: TierPlan, scalings: Sequence[Scaling], catalogue: Catalogue
) -> Advice:
    most = _most_at_once(tier, plan)
    found = [[_offer(study, plan, tier, s, m, most) for s in scalings if s.slots(m)] for m in catalogue.machines]
    offers = tuple(min(each, key=lambda offer: (offer.wall_s, offer.threads)) for each in found if each)
    cheapest = min(offers, key=lambda offer: (offer.price, offer.wall_s), default=None)
    fastest = min(offers, key=lambda offer: (offer.wall_s, offer.price), default=None)
    return Advice(tier.name, cheapest, fastest, offers)


def _most_at_once(tier: TierPlan, plan: Plan) -> int:
    """More slots than this no phase of a tier can fill."""
    search = (tier.population or tier.trials) * plan.evaluation_seeds
    return max(search, tier.choose_evaluations, tier.decide_evaluations, 1)


def _offer(
    study: Mapping[str, Any], plan: Plan, tier: TierPlan, scaling: Scaling, machine: Machine, most: int
) -> Offer:
    slots = min(scaling.slots(machine), most)
    seconds = scaling.seconds(machine, slots)
    rates = Rates(seconds, slots, machine.price_per_hour, plan.flops)
    priced = price_tier(tier.name, study, rates, confirm_seeds=plan.confirm_seeds, flops=plan.flops, spent=NOTHING)
    return Offer(machine.name, slots, scaling.threads, seconds, priced.wall_s, priced.price)


def scalings(
    plan: Plan, machine: Mapping[str, Any], slot: Mapping[str, Any], packing: Mapping[str, Any] | None
) -> list[Scaling]:
    """What this run has measured: every pair of the packing, else the calibration alone.

    Args:
        plan: Priced here.
        machine: ``SessionOpened.machine``.
        slot: One of ``SessionOpened.slots``.
        packing: Of the report; None where nothing was measured.
    """
    pairs = [pair for pair in (packing or {}).get("pairs", ()) if pair["seconds"] is not None]
    gpus, kinds = len(slot.get("accelerators", ())), machine.get("accelerators") or [None]
    gpu = kinds[0] if gpus else None
    cores = int(machine["cores"])
    if not pairs:
        share = plan.slots * int(slot["threads"]) / cores
        seconds = ((min(1.0, share), plan.seconds_per_evaluation),)
        return [Scaling(int(slot["threads"]), seconds, plan.peak_rss_bytes, gpus, gpu)]
    found = []
    for threads in sorted({int(pair["threads"]) for pair in pairs}):
        same = [pair for pair in pairs if pair["threads"] == threads]
        by_share: dict[float, list[float]] = {}
        for pair in same:
            by_share.setdefault(pair["slots"] * threads / cores, []).append(pair["seconds"])
        points = tuple((share, statistics.fmean(seconds)) for share, seconds in sorted(by_share.items()))
        peaks = [pair["peak_rss_bytes"] for pair in same if pair["peak_rss_bytes"] is not None]
        found.append(Scaling(threads, points, max(peaks, default=plan.peak_rss_bytes), gpus, gpu))
    return found


def assumptions(scalings: Sequence[Scaling], packing: Mapping[str, Any] | None) -> list[str]:
    """What the offers take for granted, one sentence each."""
    basis = "each measured way of cutting this machine" if packing and packing["pairs"] else "the calibration here"
    said = [
        f"Times are those of {basis}: a core there is taken to be as fast as a core here, and evaluations beside each "
        "other to slow down as they did here at the same share of the cores.",
    ]
    if not (packing and packing["pairs"]):
        said.append("Measure how evaluations slow each other down with `execution: {threads: auto}`.")
    if any(scaling.gpus for scaling in scalings):
        said.append("Only machines with the same kind of GPU are compared: how fast others are was not measured.")
    return said
