"""Is a larger tier worth its price? Only after a search that was stable and was still getting better."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flopwise.journal.replay import RunState
from flopwise.objective import uncensored
from flopwise.stats.noise import noise_sd
from flopwise.trial import Outcome, Phase
from flopwise.units import format_money, format_seconds

GENERATIONS = 3
"""Looked back on for failures."""

LEAST_EVALUATIONS = 20
"""A look at fewer says nothing about failures."""

STABLE_BELOW = 0.05
"""Share of failed evaluations below which a search is stable."""

LAST_PART = 3
"""The last third of the search is held against what came before it."""


@dataclass(frozen=True)
class Offer:
    """What speaks for a larger tier, and what against.

    Args:
        tier: The next larger one.
        failed: Failed evaluations of the last generations.
        evaluations: Of the last generations.
        gain: By how much the last third of the search improved the best loss; None when nothing ended ok.
        noise: Standard deviation of a trial's score over seeds; None when unknown.
        verdict: Of the tier that is over.
    """

    tier: str
    failed: int
    evaluations: int
    gain: float | None
    noise: float | None
    verdict: str

    @property
    def stable(self) -> bool:
        return self.evaluations >= LEAST_EVALUATIONS and self.failed < STABLE_BELOW * self.evaluations

    @property
    def improving(self) -> bool:
        return self.gain is not None and self.noise is not None and self.gain > self.noise

    @property
    def offered(self) -> bool:
        return self.stable and self.improving and self.verdict != "NO-GO"


def offer(state: RunState) -> dict[str, Any] | None:
    """The next larger tier of a judged run, with the evidence and its price from the plan.

    Returns:
        JSON values; None before a verdict, and after the largest tier.
    """
    tiers = list(state.study["tiers"])
    if state.verdict is None or state.tier is None or state.tier.tier == tiers[-1]:
        return None
    name = tiers[tiers.index(state.tier.tier) + 1]
    found = _look(state, name)
    price: dict[str, Any] = next((tier for tier in state.tier.plan.get("tiers", ()) if tier["name"] == name), {})
    return {
        "tier": name,
        "offered": found.offered,
        "stable": found.stable,
        "improving": found.improving,
        "failed": found.failed,
        "evaluations": found.evaluations,
        "gain": found.gain,
        "noise": found.noise,
        "planned": {key: price.get(key) for key in ("device_hours", "wall_s", "price")},
    }


def _look(state: RunState, tier: str) -> Offer:
    assert state.verdict is not None and state.tier is not None
    seeds = state.study["evaluation"]["seeds"]
    population = state.study["tiers"][state.tier.tier].get("population")
    trials = [trial for trial in state.by_phase(Phase.SEARCH) if trial.finished]
    ends = [end for trial in trials for end in trial.finals() if end is not None]
    width = GENERATIONS * population * seeds if population else math.ceil(len(ends) / 4)
    last = ends[-max(width, LEAST_EVALUATIONS) :]
    losses = [trial.loss(state.objective) for trial in trials]
    noise = noise_sd(uncensored(state.trials[0].losses(state.objective), state.objective))
    return Offer(
        tier=tier,
        failed=sum(end.outcome not in (Outcome.OK, Outcome.PRUNED) for end in last),
        evaluations=len(last),
        gain=_gain(losses, population),
        noise=None if noise is None else noise / math.sqrt(seeds),
        verdict=state.verdict.verdict,
    )


def _gain(losses: Sequence[float | None], population: int | None) -> float | None:
    """Best loss before the last third of the search, less the best of all; in whole generations."""
    size = population or 1
    part = size * max(1, math.ceil(len(losses) / (LAST_PART * size)))
    before = [loss for loss in losses[: max(0, len(losses) - part)] if loss is not None]
    everything = [loss for loss in losses if loss is not None]
    return min(before) - min(everything) if before else None


def offer_sentences(summary: Mapping[str, Any]) -> list[str]:
    """Whether a larger tier is worth it, and why; empty when there is none."""
    found = summary["larger_tier"]
    if found is None:
        return []
    word = "is worth its price" if found["offered"] else "is not recommended"
    return [f"Tier {found['tier']}{_price(found)} {word}: {'; '.join(_reasons(found, summary))}."]


def offer_command(summary: Mapping[str, Any]) -> str:
    """What to type for the larger tier: a new search, around the confirmed winner; empty where it is not offered."""
    found, words = summary["larger_tier"], _words(summary["command"])
    if found is None or not found["offered"] or words[:2] != ["flopwise", "run"]:
        return ""
    for option in ("--tier", "--after"):
        if option in words:
            at = words.index(option)
            words = [*words[:at], *words[at + 2 :]]
    around = ["--after", summary["name"]] if summary["verdict"]["verdict"] == "GO" else []
    return shlex.join([*words, "--tier", found["tier"], *around])


def _words(command: str) -> list[str]:
    """A command as the shell takes it apart; none of what is a sentence: run your script again."""
    try:
        return shlex.split(command)
    except ValueError:
        return []


def _price(found: Mapping[str, Any]) -> str:
    planned = found["planned"]
    if planned["wall_s"] is None:
        return ""
    money = f", {format_money(planned['price'])}" if planned["price"] else ""
    return f" ({format_seconds(planned['wall_s'])}{money})"


def _reasons(found: Mapping[str, Any], summary: Mapping[str, Any]) -> list[str]:
    few = "" if found["evaluations"] >= LEAST_EVALUATIONS else ", too few to say more"
    failures = f"{found['failed']} of the last {found['evaluations']} evaluations failed{few}"
    if found["gain"] is None or found["noise"] is None:
        progress = "whether it still improved beyond the noise is not known"
    else:
        still = "still improved the best" if found["improving"] else "did not improve the best beyond the noise"
        figures = f"by {found['gain']:.3g}, the noise is {found['noise']:.3g}"
        progress = f"the last third of the search {still} ({figures})"
    verdict = summary["verdict"]["verdict"]
    return [failures, progress, f"the verdict is {verdict}"]
