"""Runs side by side: verdicts, values, knobs and costs, and what keeps them from being comparable."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flopwise.errors import InputError
from flopwise.events import Event
from flopwise.journal.replay import RunState
from flopwise.report.document import standing_word
from flopwise.report.grid import Grid, right
from flopwise.report.headline import Summary
from flopwise.report.rows import settings
from flopwise.report.summary import summarise
from flopwise.report.text import BLANK, clip, knob, number, percent
from flopwise.units import format_money, format_seconds

PIN = 12
"""Characters of a hash that are shown."""

LONGEST = 40
"""Characters of a config's value."""


@dataclass(frozen=True)
class Side:
    """One of the runs.

    Args:
        name: Its folder's name.
        summary: See :mod:`flopwise.report.summary`.
        study: Canonical.
    """

    name: str
    summary: Summary
    study: Mapping[str, Any]

    @classmethod
    def of(cls, name: str, events: Sequence[Event]) -> Side:
        """A run from its whole journal."""
        return cls(name, summarise(events), RunState(events).study)

    @property
    def chosen(self) -> Mapping[str, Any] | None:
        """The winner, or before there is one the best trial of calibration and search so far."""
        if self.summary["winner"]:
            return dict(self.summary["winner"])
        best = self.summary["best_so_far"]
        trial = next((t for t in self.summary["trials"] if best and t["number"] == best[-1]["trial"]), None)
        return None if trial is None else {**trial, "of": trial["number"], "mean": trial["value"]}


@dataclass(frozen=True)
class Comparison:
    """What is said about the runs.

    Args:
        figures: A row a figure, a column a run.
        knobs: The chosen configs, a row a knob.
        notes: Sentences: what differs and what that means.
    """

    figures: Grid
    knobs: Grid
    notes: tuple[str, ...]


def compare(sides: Sequence[Side]) -> Comparison:
    """Put runs side by side.

    Args:
        sides: At least two.

    Raises:
        InputError: If they are about different metrics or directions.
    """
    _check(sides)
    names = [right(side.name) for side in sides]
    figures = [(title, *(figure(side) for side in sides)) for title, figure in FIGURES.items()]
    shown = [row for row in figures if any(cell != BLANK for cell in row[1:])]
    keys = sorted({key for side in sides for key in _settings(side)})
    knobs = [(key, *(_knob(side, key) for side in sides)) for key in keys]
    marks = ["best" if len(set(row[1:])) > 1 else "" for row in knobs]
    return Comparison(Grid.of(["", *names], shown), Grid.of(["knob", *names], knobs, marks), tuple(_notes(sides)))


def to_json(sides: Sequence[Side], comparison: Comparison) -> dict[str, Any]:
    """The same for programs, with exact numbers."""
    keys = ("verdict", "baseline", "winner", "best_so_far", "spend", "tier", "workload", "data", "state")
    runs = [{"run": side.name, **{key: side.summary[key] for key in keys}, "chosen": side.chosen} for side in sides]
    return {"objective": sides[0].summary["objective"], "runs": runs, "notes": list(comparison.notes)}


def _check(sides: Sequence[Side]) -> None:
    goals = {side.name: "{direction} {metric}".format(**side.summary["objective"]) for side in sides}
    if len(set(goals.values())) > 1:
        raise InputError(
            "these runs are about different metrics",
            expected="the same metric and direction in all",
            got="; ".join(f"{name}: {goal}" for name, goal in goals.items()),
            fix="compare runs of one metric; `flopwise results` lists all",
        )


def _settings(side: Side) -> dict[str, Any]:
    """What the chosen trial sets; nothing while there is none."""
    return settings(side.chosen) if side.chosen else {}


def _knob(side: Side, key: str) -> str:
    found = _settings(side)
    return knob(found[key]) if key in found else BLANK


def _numbers(side: Side, key: str) -> float | None:
    verdict = side.summary["verdict"]
    value = verdict["numbers"].get(key) if verdict else None
    return None if value is None else float(value)


def _value(side: Side) -> str:
    chosen = side.chosen
    if chosen is None or chosen["mean"] is None:
        return BLANK
    return f"{'' if side.summary['winner'] else '~'}{number(chosen['mean'])}"


def _baseline(side: Side) -> str:
    baseline = side.summary["baseline"]
    return number(baseline["mean"]) if baseline else BLANK


def _relative(side: Side) -> str:
    relative = _numbers(side, "relative")
    return BLANK if relative is None else percent(relative)


def _bounds(side: Side) -> str:
    lower, upper = _numbers(side, "lower"), _numbers(side, "upper")
    return BLANK if lower is None or upper is None else f"{number(lower)} to {number(upper)}"


def _noise(side: Side) -> str:
    calibration = side.summary["calibration"]
    return number(calibration["noise_sd"]) if calibration else BLANK


def _seeds(side: Side) -> str:
    seeds = _numbers(side, "n")
    return BLANK if seeds is None else f"{seeds:.0f}"


def _search(side: Side) -> str:
    return f"{side.study['search']['method']}, {side.summary['tier'] or 'no tier'}"


FIGURES: Mapping[str, Callable[[Side], str]] = {
    "verdict": lambda side: standing_word(side.summary),
    "search": _search,
    "baseline": _baseline,
    "winner": _value,
    "better by": lambda side: number(_numbers(side, "mean_improvement")),
    "of the baseline": _relative,
    "90% interval": _bounds,
    "fresh seeds": _seeds,
    "noise sd": _noise,
    "trial": lambda side: str(side.chosen["of"]) if side.chosen else BLANK,
    "slots": lambda side: str(len(side.summary["slots"])) if side.summary["slots"] else BLANK,
    "evaluations": lambda side: f"{side.summary['spend']['evaluations']:,}",
    "device time": lambda side: format_seconds(side.summary["spend"]["device_s"]),
    "wall clock": lambda side: format_seconds(side.summary["spend"]["session_s"]),
    "price": lambda side: format_money(side.summary["spend"]["total_price"]),
}
"""Row titles and how each is read from a run."""


def _notes(sides: Sequence[Side]) -> Iterator[str]:
    """What differs between the runs, most serious first."""
    for title, read, meaning in DIFFERENCES:
        found = {side.name: read(side) for side in sides}
        if len(set(found.values())) > 1:
            told = ", ".join(f"{text} ({name})" for name, text in found.items())
            yield f"The {title} differs: {told}. {meaning}"
    yield from _fixed(sides)
    if any(not side.summary["winner"] and side.chosen for side in sides):
        yield "Values with a ~ are the search's own best, not confirmed on fresh seeds, and tend to be too good."


def _fixed(sides: Sequence[Side]) -> Iterator[str]:
    """Keys of the workload's config that no search varied, and that differ."""
    varied = {key for side in sides for key in side.study["space"]}
    bases = [dict(_flat(side.study["base"])) for side in sides]
    for key in sorted({key for base in bases for key in base} - varied):
        values = [clip(knob(base.get(key)), LONGEST) for base in bases]
        if len(set(values)) > 1:
            told = ", ".join(f"{value} ({side.name})" for value, side in zip(values, sides, strict=True))
            yield f"The fixed {key} differs: {told}. Winners differ in more than their knobs."


def _pins(side: Side) -> str:
    pins = [f"{key} {str(value)[:PIN]}" for key, value in sorted(side.summary["data"].items())]
    return ", ".join(pins) or "none"


def _stop(side: Side) -> str:
    stop = side.study["evaluation"]["stop"]
    return ", ".join(f"{key} {value:g}" for key, value in stop.items() if value is not None) or "the workload's own"


def _machine(side: Side) -> str:
    machine = side.summary["machine"]
    return f"{machine.get('cores', '?')} cores, {machine.get('cpu', 'unknown')}" if machine else "unknown"


def _flat(tree: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in sorted(tree.items()):
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


APART = "Their values mean different things; compare improvements, not values."

DIFFERENCES: tuple[tuple[str, Callable[[Side], str], str], ...] = (
    ("workload", lambda side: side.summary["workload"], APART),
    ("data", _pins, APART),
    ("length of an evaluation", _stop, APART),
    ("machine", _machine, "Times and prices do not compare."),
)
"""What may differ, how it is read, and what a difference means."""
