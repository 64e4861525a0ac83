"""What plots and exports need beyond the summary: the order in which trials finished, curves, and the space."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flopwise.contention import is_contended
from flopwise.events import AttemptEnded, Event
from flopwise.journal.replay import RunState, TrialState
from flopwise.objective import Objective
from flopwise.report.headline import Summary
from flopwise.report.summary import summarise, trial_outcome
from flopwise.report.weights import Importance
from flopwise.space import Space
from flopwise.study import space_of
from flopwise.target import Point, points
from flopwise.trial import Outcome, Phase

TOP_CURVES = 5
"""Curves are kept for the baseline and for this many of the best trials."""


@dataclass(frozen=True)
class Finished:
    """A trial at the moment it finished.

    Args:
        number: Of the trial.
        phase: What it was for.
        of: In confirmation, whose config it is.
        value: In the user's metric; None when it failed.
        outcome: ``ok``, or how it failed.
        evaluations: Evaluations of the run that had ended by then.
        spent_device_s: Device seconds of all attempts that had ended by then.
    """

    number: int
    phase: Phase
    of: int | None
    value: float | None
    outcome: str
    evaluations: int
    spent_device_s: float


@dataclass(frozen=True)
class Curve:
    """What one evaluation reported while it ran.

    Args:
        trial: Number; its first seed.
        metric: Which of the reported values.
        steps: As the workload counts them.
        values: One a step, finite.
    """

    trial: int
    metric: str
    steps: tuple[float, ...]
    values: tuple[float, ...]


@dataclass(frozen=True)
class Course:
    """The validations of one training of the search, and what they stand for.

    Args:
        trial: Number.
        points: In order; at least two.
        tokens_per_step: None where the workload does not say.
        reached: Steps and seconds at which the target in force was reached; None where it was not.
    """

    trial: int
    points: tuple[Point, ...]
    tokens_per_step: float | None = None
    reached: tuple[float, float] | None = None

    @property
    def seconds_per_step(self) -> float | None:
        """Over the whole course; None where no step was made."""
        first, last = self.points[0], self.points[-1]
        steps, seconds = last.step - first.step, last.seconds - first.seconds
        return seconds / steps if steps > 0 and seconds > 0 else None


@dataclass(frozen=True)
class Evidence:
    """A run, ready to be drawn.

    Args:
        summary: See :mod:`flopwise.report.summary`.
        space: What could vary.
        finished: Trials of every phase, in the order they finished.
        curves: The baseline's and the best trials', best first after the baseline.
        courses: Of the baseline and of every search trial, one undisturbed seed each; empty where nothing validated.
        importance: How much each knob mattered; None where nobody asked.
    """

    summary: Summary
    space: Space
    finished: tuple[Finished, ...]
    curves: tuple[Curve, ...]
    courses: tuple[Course, ...] = ()
    importance: Importance | None = None

    def active(self, config: Mapping[str, Any]) -> frozenset[str]:
        """Keys of a config that matter in it: those whose conditions hold."""
        return self.space.active(config) & config.keys()

    @property
    def sign(self) -> float:
        """+1 where smaller values are better, -1 where larger ones are."""
        return 1.0 if self.summary["objective"]["direction"] == "minimize" else -1.0

    @property
    def searched(self) -> list[dict[str, Any]]:
        """Search trials that have a value, by number."""
        return [t for t in self.summary["trials"] if t["phase"] == Phase.SEARCH and t["value"] is not None]

    @property
    def baseline(self) -> dict[str, Any] | None:
        """Trial 0 as the search saw it; None before it has a value."""
        first = next((t for t in self.summary["trials"] if t["number"] == 0), None)
        return first if first is not None and first["value"] is not None else None

    @property
    def leader(self) -> int | None:
        """Number of the trial to point at: the verdict's winner, else the best of calibration and search so far."""
        winner, best = self.summary["winner"], self.summary["best_so_far"]
        return int(winner["of"]) if winner else int(best[-1]["trial"]) if best else None


def gather(events: Iterable[Event]) -> Evidence:
    """Everything about a run that can be drawn.

    Raises:
        RunError: If the journal holds no run.
        JournalDamaged: If its events contradict each other.
    """
    known = list(events)
    summary = summarise(known)
    state, finished, spent_device_s = RunState(), list[Finished](), 0.0
    for event in known:
        state.apply(event)
        if isinstance(event, AttemptEnded):
            spent_device_s += event.device_s
        finished += [_finished(state, number, spent_device_s) for number in state.completed[len(finished) :]]
    curves, courses = tuple(_curves(state)), tuple(_courses(state))
    return Evidence(summary, space_of(state.study), tuple(finished), curves, courses)


def _finished(state: RunState, number: int, spent_device_s: float) -> Finished:
    trial = state.trials[number]
    loss = trial.loss(state.objective)
    return Finished(
        number=number,
        phase=trial.trial.phase,
        of=trial.trial.of,
        value=state.objective.shown(loss),
        outcome=trial_outcome(trial),
        evaluations=len(state.final_ends),
        spent_device_s=spent_device_s,
    )


def _curves(state: RunState) -> list[Curve]:
    ranked = [(trial.loss(state.objective), trial) for trial in state.by_phase(Phase.SEARCH)]
    best = sorted(((loss, t.trial.number, t) for loss, t in ranked if loss is not None), key=lambda row: row[:2])
    chosen = [*state.by_phase(Phase.CALIBRATE), *(trial for _, _, trial in best[:TOP_CURVES])]
    return [curve for trial in chosen if (curve := _curve(trial, state.objective.metric)) is not None]


def _courses(state: RunState) -> Iterator[Course]:
    objective = state.objective
    metric = objective.target.metric if objective.target else objective.metric
    for trial in state.by_phase(Phase.CALIBRATE, Phase.SEARCH):
        counted = [trial.last_counted(index) for index in range(len(trial.trial.seeds))]
        known = [each for each in counted if each is not None and each.outcome == Outcome.OK and each.ended]
        attempt = next((each for each in known if each.ended and not is_contended(each.ended.contention)), None)
        curve = [] if attempt is None else points(attempt.rows, metric)
        if attempt is not None and attempt.ended is not None and len(curve) > 1:
            yield Course(trial.trial.number, tuple(curve), _tokens(attempt.ended.info), _reached(curve, objective))


def _tokens(info: Mapping[str, Any]) -> float | None:
    """A step's, where the workload counts both."""
    tokens, steps = info.get("tokens"), info.get("steps")
    return tokens / steps if _finite(tokens) and _finite(steps) and steps else None


def _reached(curve: Sequence[Point], objective: Objective) -> tuple[float, float] | None:
    """Where a course crosses the target, in steps and in seconds, on straight lines."""
    if objective.target is None:
        return None
    by_step = [Point(point.step, float(point.step), point.value) for point in curve]
    steps, seconds = objective.target.seconds(by_step), objective.target.seconds(curve)
    return None if steps is None or seconds is None else (steps, seconds)


def _curve(trial: TrialState, metric: str) -> Curve | None:
    """The curve of a trial's first seed; None where fewer than two points were reported."""
    attempts = [attempt for attempt in trial.of_seed(0) if attempt.rows]
    rows = attempts[-1].rows if attempts else []
    name = reported(metric, [row.get("values", {}) for row in rows])
    pairs: list[tuple[Any, Any]] = [(row.get("step"), row.get("values", {}).get(name)) for row in rows]
    usable = [(float(step), float(value)) for step, value in pairs if _finite(step) and _finite(value)]
    if len(usable) < 2:
        return None
    steps, values = zip(*usable, strict=True)
    return Curve(trial.trial.number, name, steps, values)


def reported(metric: str, values: Sequence[dict[str, Any]]) -> str:
    """Which reported value stands for the metric: itself, else a loss, else the first one there is.

    Example:
        >>> reported("val_loss", [{"lr": 0.1, "train_loss": 2.0}])
        'train_loss'
    """
    names = list(dict.fromkeys(name for row in values for name in row))
    near = [name for name in names if name.endswith("loss")]
    return metric if metric in names else next(iter([*near, *names]), metric)


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
