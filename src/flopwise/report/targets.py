"""Time to any target, read from the learning curves in the journal: nothing is run again for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from flopwise.errors import InputError, RunError
from flopwise.events import Event
from flopwise.journal.replay import RunState, TrialState
from flopwise.report.grid import Grid, right
from flopwise.report.text import number, percent
from flopwise.stats.targets import Rung, recommend, rung
from flopwise.target import Point, Target, points
from flopwise.trial import Outcome, Phase
from flopwise.units import format_seconds

RUNGS = 7
"""Targets of a ladder that nobody named."""


@dataclass(frozen=True)
class Ladder:
    """What the configs of a run made of several targets.

    Args:
        metric: That reaches them.
        rungs: The easiest first.
        recommended: The target that tells the configs apart best; None where nobody reached any.
        ended_at: Trainings ended at this value, so that there is no curve beyond it; None where they went on.
        seconds: Trial number to the seconds of each target, in the order of ``rungs``: the median over its seeds.
        in_force: The target that the run compares by; None where it has none.
    """

    metric: str
    rungs: tuple[Rung, ...]
    recommended: float | None
    ended_at: float | None
    seconds: Mapping[int, tuple[float | None, ...]]
    in_force: float | None

    def to_json(self) -> dict[str, Any]:
        """JSON values only."""
        rungs = [
            {**asdict(each), "spread": each.spread, "tied": each.tied, "separates": each.separates}
            for each in self.rungs
        ]
        return {**asdict(self), "rungs": rungs, "seconds": {str(key): list(row) for key, row in self.seconds.items()}}


def ladder(events: Iterable[Event], asked: Sequence[float] = ()) -> Ladder:
    """Read every curve of the search against several targets.

    Args:
        events: The whole journal.
        asked: Targets; none for those that the study declares and some between what its configs reached.

    Raises:
        RunError: If no training of the search reported what it validated.
        InputError: If a target lies beyond where the trainings ended.
    """
    state = RunState(events)
    target = _target(state)
    curves = {trial.trial.number: _curves(trial, target.metric) for trial in state.by_phase(Phase.SEARCH)}
    curves = {trial: seeds for trial, seeds in curves.items() if seeds}
    if not curves:
        raise RunError(
            f"no finished training of this run's search reported {target.metric} while it ran",
            fix="set evaluation.validate_every, or let the workload report it in rows of its learning curve",
        )
    ended_at = target.hardest if state.objective.target is not None else None
    _in_reach(asked, target, ended_at)
    levels = sorted(set(asked) or _levels(target, curves, state), key=lambda level: -target.sign * level)
    times = {
        trial: [[target.seconds(curve, level) for curve in seeds] for level in levels]
        for trial, seeds in curves.items()
    }
    rungs = [rung(level, [rows[place] for rows in times.values()]) for place, level in enumerate(levels)]
    return Ladder(
        metric=target.metric,
        rungs=tuple(rungs),
        recommended=recommend(rungs),
        ended_at=ended_at,
        seconds={trial: tuple(rung(0.0, [seeds]).median for seeds in rows) for trial, rows in times.items()},
        in_force=state.objective.target.value if state.objective.target else None,
    )


def ladder_grid(found: Ladder) -> Grid:
    """A row a target."""
    titles = [found.metric, "reached", "fastest", "median", "slowest", "noise (sd)", "pairs told apart"]
    marks = ["best" if each.value == found.recommended else "" for each in found.rungs]
    return Grid.of([right(title) for title in titles], [_row(each) for each in found.rungs], marks)


def sentences(found: Ladder) -> list[str]:
    """What to make of it."""
    said = []
    if found.recommended is None:
        said.append("No config reached any of these.")
    else:
        said.append(f"Recommended: {found.recommended:g}, which tells most pairs of configs apart.")
    if found.in_force is not None:
        said.append(f"The run compares by {found.in_force:g}.")
    if found.ended_at is not None:
        said.append(f"Trainings ended at {found.ended_at:g}, the hardest target declared: beyond it nothing is known.")
    return said


def _row(each: Rung) -> tuple[str, ...]:
    times = (each.fastest, each.median, each.slowest, each.noise_sd)
    shown = ("–" if seconds is None else format_seconds(seconds) for seconds in times)
    return (number(each.value), f"{each.reached} of {each.of}", *shown, percent(each.separates))


def _target(state: RunState) -> Target:
    """The study's, or what stands for one: its metric."""
    objective = state.objective
    return objective.target or Target(objective.metric, 0.0, objective.direction)


def _curves(trial: TrialState, metric: str) -> list[list[Point]]:
    """One validated curve a seed; none while the trial has not ended ok."""
    if not trial.finished or trial.failure() is not None:
        return []
    attempts = [trial.last_counted(index) for index in range(len(trial.trial.seeds))]
    curves = [points(each.rows, metric) for each in attempts if each is not None and each.outcome == Outcome.OK]
    return curves if all(curves) else []


def _levels(target: Target, curves: Mapping[int, Sequence[Sequence[Point]]], state: RunState) -> set[float]:
    """What is declared, and values that some of the configs reached and others did not."""
    best = [min(target.sign * each.value for each in curve) for seeds in curves.values() for curve in seeds]
    ordered = sorted(best)
    places = {round(share * (len(ordered) - 1) / (RUNGS - 1)) for share in range(RUNGS)}
    found = {_rounded(ordered[place], ordered[-1] - ordered[0]) for place in places}
    declared = set(target.levels) if state.objective.target is not None else set()
    hardest = target.sign * target.hardest if declared else None
    return declared | {target.sign * each for each in found if hardest is None or each >= hardest}


def _rounded(value: float, spread: float) -> float:
    """To a hundredth of the spread, upwards: whoever reached the value reaches that."""
    digits = 6 if spread <= 0 else max(0, min(6, 2 - _exponent(spread)))
    step: float = 10.0**-digits
    return round(value + step / 2, digits)


def _exponent(value: float) -> int:
    return int(f"{value:e}".partition("e")[2])


def _in_reach(asked: Sequence[float], target: Target, ended_at: float | None) -> None:
    beyond = [level for level in asked if ended_at is not None and not target.reached(ended_at, level)]
    if beyond:
        raise InputError(
            f"there is no curve beyond {ended_at:g}",
            expected=f"targets no harder than {ended_at:g}, where the trainings ended",
            got=", ".join(f"{level:g}" for level in beyond),
            fix="declare harder ones in objective.target.tighten: trainings then go on to the hardest",
        )
