"""Slot time lost to waiting for the end of generations, counted again."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from flopwise.engine.verify.parts import Attempt
from flopwise.engine.verify.run import Run

ENOUGH = 0.1
TIMES = (1, 2, 3, 4)


def expected_stragglers(run: Run) -> dict[str, Any] | None:
    """As the report has it: idle time between first start and last end of each generation and session."""
    study = run.study
    if run.tier is None or study["search"].get("asynchronous"):
        return None
    population = study["tiers"][run.tier[1].tier].get("population")
    attempts = list(_attempts(run, population)) if population else []
    if not attempts:
        return None
    slots = {session.opened.session: len(session.opened.slots) for session in run.sessions}
    groups: dict[tuple[int, int], list[Attempt]] = {}
    for generation, attempt in attempts:
        groups.setdefault((generation, attempt.intent.session), []).append(attempt)
    spans = [slots[key[1]] * _span(group) for key, group in sorted(groups.items())]
    busy = math.fsum(_seconds(attempt) for _, attempt in attempts)
    whole, last, seeds = math.fsum(spans), slots[run.sessions[-1].opened.session], study["evaluation"]["seeds"]
    sizes = sorted({max(2, -(-times * last // seeds)) for times in TIMES})
    shares = [(size, _share(_durations(run), last, size * seeds)) for size in sizes]
    rows = [{"population": size, "idle_share": share} for size, share in shares if share is not None]
    return {
        "population": population,
        "slots": last,
        "slot_s": whole,
        "idle_s": whole - busy,
        "idle_share": (whole - busy) / whole if whole else 0.0,
        "populations": rows,
        "recommended": next((row["population"] for row in rows if row["idle_share"] <= ENOUGH), None),
    }


def _attempts(run: Run, population: int) -> Iterator[tuple[int, Attempt]]:
    for place, trial in enumerate(run.by_phase("search")):
        yield from ((place // population, attempt) for attempt in trial.attempts if attempt.end is not None)


def _seconds(attempt: Attempt) -> float:
    assert attempt.end is not None
    return attempt.end.ended_at - attempt.end.started_at


def _span(group: list[Attempt]) -> float:
    ends = [attempt.end for attempt in group if attempt.end is not None]
    return max(end.ended_at for end in ends) - min(end.started_at for end in ends)


def _durations(run: Run) -> list[float]:
    """Of the evaluations of the search, in the order in which they were settled."""
    found = []
    for trial, attempt, end, _ in run.ended():
        if trial.event.phase == "search" and any(end is final for final in trial.ends) and attempt.end is end:
            found.append(end.ended_at - end.started_at)
    return found


def _share(seconds: list[float], slots: int, size: int) -> float | None:
    """Idle share when so many at a time are spread over the slots, each to the one that is free first."""
    generations = [seconds[at : at + size] for at in range(0, len(seconds) - size + 1, size)]
    if not generations:
        return None
    walls = []
    for generation in generations:
        free = [0.0] * slots
        for each in generation:
            first = free.index(min(free))
            free[first] += each
        walls.append(slots * max(free))
    used = math.fsum(each for generation in generations for each in generation)
    whole = math.fsum(walls)
    return (whole - used) / whole if whole else 0.0
