"""What the verdict rests on, in tables: the looks at the deciding step, and the triggers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from flopwise.report.blocks import Block, say
from flopwise.report.grid import Column, Grid, right
from flopwise.report.headline import Summary, counted
from flopwise.report.text import number, percent


def looks(summary: Summary) -> Iterator[Block]:
    """What each look saw and decided, and what an early end has saved."""
    if not summary["looks"]:
        return
    last = summary["looks"][-1]["numbers"]
    if last["looks"] > 1:
        yield say(
            f"The decision was looked at {counted(len(summary['looks']), 'time')} of {last['looks']} planned. "
            "Its bounds hold at all looks together: a candidate that is no better gets a GO in at most 5% of studies."
        )
    yield _grid(summary)
    saved = last["planned"] - last["seeds"]
    if saved and summary["verdict"]:
        yield say(
            f"Saved: {counted(saved, 'seed')} of {last['planned']} for baseline and winner each, "
            f"{counted(2 * saved, 'evaluation')}."
        )


def others(summary: Summary) -> Iterator[Block]:
    """The other metrics on the fresh seeds."""
    found = summary["verdict"]["numbers"].get("also") if summary["verdict"] else None
    if not found:
        return
    titles = ("baseline", "winner", "better by", "lower bound", "upper bound", "needed")
    columns: list[str | Column] = ["metric", *(right(title) for title in titles), "kept"]
    yield Grid.of(columns, [_other(each) for each in found])
    if any(each["needed"] for each in found):
        yield say("A GO needs every constraint to be surely kept, each at 95%: all of them at once need no correction.")
    reported = sum(not each["needed"] for each in found)
    if reported:
        bounds = "hold at 95% each" if reported == 1 else f"hold together (Bonferroni: 5% / {reported} each)"
        yield say(f"The bounds of what is only reported {bounds}.")


def _other(beside: Mapping[str, Any]) -> tuple[str, ...]:
    numbers = (beside[key] for key in ("baseline_mean", "winner_mean", "mean_improvement", "lower", "upper"))
    needed = [f"worse by at most {number(beside['allowed'])}"] if beside["allowed"] is not None else []
    needed += [f"within {number(beside['limit'])}"] if beside["limit"] is not None else []
    kept = {True: "yes", False: "no", None: "unsure" if beside["needed"] else ""}[beside["holds"]]
    return beside["metric"], *(number(value) for value in numbers), ", ".join(needed), kept


def triggers(summary: Summary) -> Iterator[Block]:
    """What the verdict rests on beside the fresh seeds."""
    found = summary["verdict"]["triggers"] if summary["verdict"] else []
    if not found:
        return
    yield Grid.of(["trigger", "holds", "a GO needs it", "evidence"], [_trigger(each) for each in found])


def _trigger(trigger: Mapping[str, Any]) -> tuple[str, ...]:
    holds = {True: "yes", False: "no", None: "unknown"}[trigger["holds"]]
    return trigger["name"], holds, "yes" if trigger["vetoes"] else "no, said only", trigger["evidence"]


def _grid(summary: Summary) -> Grid:
    titles = ("seeds", "better by", "lower bound", "upper bound", "chance of GO")
    columns: list[str | Column] = [right("look"), *(right(title) for title in titles), "decision"]
    return Grid.of(columns, [_row(look) for look in summary["looks"]])


def _row(look: Mapping[str, Any]) -> tuple[str, ...]:
    seen = look["numbers"]
    chance = "" if seen["chance"] is None else percent(seen["chance"])
    bounds = (number(seen["mean_improvement"]), number(seen["lower"]), number(seen["upper"]))
    return str(look["look"]), f"{seen['seeds']} of {seen['planned']}", *bounds, chance, look["decision"]
