"""How much of the search its slots have waited for the last of a generation, and what would have helped."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from flopwise.budget.stragglers import MOST_IDLE, populations, recommend, simulate
from flopwise.events import AttemptEnded
from flopwise.journal.replay import RunState
from flopwise.report.text import percent
from flopwise.trial import Phase


@dataclass(frozen=True)
class Ran:
    """One ended attempt of the search."""

    generation: int
    session: int
    end: AttemptEnded


def stragglers(state: RunState) -> dict[str, Any] | None:
    """What the summary says about them; None without whole generations.

    A generation that several sessions worked on counts in each from its first start to its last end there.
    """
    population = _population(state)
    ran = list(_ran(state, population)) if population else []
    if not population or not ran:
        return None
    slots = {session.opened.session: len(session.opened.slots) for session in state.sessions}
    spans: dict[tuple[int, int], list[AttemptEnded]] = {}
    for each in ran:
        spans.setdefault((each.generation, each.session), []).append(each.end)
    slot_s = math.fsum(slots[session] * _span_s(ends) for (_, session), ends in sorted(spans.items()))
    busy_s = math.fsum(each.end.ended_at - each.end.started_at for each in ran)
    seconds = [end.ended_at - end.started_at for end in state.final_ends if _is_searched(state, end)]
    last, seeds = list(slots.values())[-1], state.study["evaluation"]["seeds"]
    waves = [(size, simulate(seconds, last, size * seeds)) for size in populations(last, seeds)]
    known = [(size, wave.share) for size, wave in waves if wave is not None]
    return {
        "population": population,
        "slots": last,
        "slot_s": slot_s,
        "idle_s": slot_s - busy_s,
        "idle_share": (slot_s - busy_s) / slot_s if slot_s else 0.0,
        "populations": [{"population": size, "idle_share": share} for size, share in known],
        "recommended": recommend(known),
    }


def _population(state: RunState) -> int | None:
    """Trials of a generation that is waited for; None before a tier is chosen, and where none is."""
    if state.tier is None or state.study["search"].get("asynchronous"):
        return None
    population: int | None = state.study["tiers"][state.tier.tier].get("population")
    return population


def _ran(state: RunState, population: int) -> Iterator[Ran]:
    for place, trial in enumerate(state.by_phase(Phase.SEARCH)):
        for attempt in trial.attempts:
            if attempt.ended is not None:
                yield Ran(place // population, attempt.intent.session, attempt.ended)


def _span_s(ends: list[AttemptEnded]) -> float:
    return max(end.ended_at for end in ends) - min(end.started_at for end in ends)


def _is_searched(state: RunState, end: AttemptEnded) -> bool:
    trial = int(end.attempt[1:].partition(".")[0])
    return state.trials[trial].trial.phase is Phase.SEARCH


def straggler_sentences(found: Mapping[str, Any] | None) -> list[str]:
    """What was lost, and what to do about it; nothing where little was."""
    if found is None or found["idle_share"] <= MOST_IDLE:
        return []
    said = f"Stragglers idled slots {percent(found['idle_share'])} of the search: with whole generations of "
    said += f"{found['population']} on {found['slots']} slots, those that are done wait for the last one."
    return [said, _advice(found)]


def _advice(found: Mapping[str, Any]) -> str:
    free = "`search: {asynchronous: true}` (random, qmc, tpe, cmaes) never waits"
    size = found["recommended"]
    if size is None or size <= found["population"]:
        return f"Before the next study: {free}."
    share = next(row["idle_share"] for row in found["populations"] if row["population"] == size)
    idle = f"would have idled them {percent(share)} with these durations"
    return f"Before the next study: a population of {size} {idle}; or {free}."
