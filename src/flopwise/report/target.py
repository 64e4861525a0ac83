"""What a report says of a study that runs to a target."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from flopwise.report.blocks import Block, say
from flopwise.report.grid import Grid, right
from flopwise.report.headline import Summary
from flopwise.report.text import number
from flopwise.units import format_seconds


def target_blocks(summary: Summary) -> Iterator[Block]:
    """The target in force where it is not the study's own, and the times of trainings some of which never got there."""
    timed = summary["timed"]
    if timed is None:
        return
    if timed["chosen"]:
        yield say(f"Compared by {timed['metric']} {timed['target']:g}: {timed['chosen']['reason']}")
    if timed["compared"]:
        yield _grid(timed["compared"])
        yield say(_tested(timed["compared"]))


def _grid(compared: Mapping[str, Any]) -> Grid:
    until = format_seconds(compared["horizon"])
    titles = ("fresh seeds", "reached", "failed", "slot shared", "median", f"mean up to {until}")
    rows = [(name, *_row(compared[name])) for name in ("baseline", "winner")]
    return Grid.of(["", *map(right, titles)], rows)


def _row(side: Mapping[str, Any]) -> tuple[str, ...]:
    counts = (str(side[key]) for key in ("seeds", "reached", "failed", "disturbed"))
    median = "not reached" if side["median"] is None else format_seconds(side["median"])
    return *counts, median, format_seconds(side["restricted_mean"])


def _tested(compared: Mapping[str, Any]) -> str:
    test = (
        "none of them reached the target, so there is nothing to test"
        if compared["logrank"] is None
        else f"log-rank test of equal rates: p = {number(compared['logrank'])} (two-sided)"
    )
    return (
        "Trainings that did not reach the target are censored: medians are Kaplan and Meier's, means restricted to the "
        f"time that every one of them was watched; {test}."
    )
