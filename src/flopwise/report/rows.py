"""The tables of a run, each from its summary: what is in them, not how they are drawn."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from flopwise.budget.plan import Plan
from flopwise.budget.pricing import TierPlan
from flopwise.report.grid import Column, Grid, gives, right
from flopwise.report.headline import Summary, planned_evaluations, planned_tier
from flopwise.report.slot_use import CONTENDED
from flopwise.report.text import BLANK, clip, knob, number, short_keys
from flopwise.units import format_count, format_flops, format_money, format_seconds

OTHER_COLUMNS = 43
"""Characters of a table of trials that are not for the config."""

TITLE = 16
"""Characters of a metric's name over a column."""

DERIVED = "(derived)"
"""Behind a key that the study computes from the others."""

FAILED = frozenset({"nan", "oom", "error", "timeout", "killed"})


def plan_grid(plan: Plan) -> Grid:
    """Every tier and its price."""
    titles = ("trials", "evaluations", "steps each", "device time", "wall clock", "price")
    columns: list[str | Column] = ["tier", *(right(title) for title in titles)]
    return Grid.of(columns, [_tier_row(tier, plan) for tier in plan.tiers])


def _tier_row(tier: TierPlan, plan: Plan) -> tuple[str, ...]:
    shape = f"{tier.population} × {tier.generations}" if tier.population else f"{tier.trials:,}"
    return (
        tier.name + (" !" if tier.exceeds else ""),
        shape,
        f"{tier.evaluations:,}",
        BLANK if plan.steps is None else format_count(plan.steps),
        format_seconds(tier.device_hours * 3600),
        format_seconds(tier.wall_s),
        format_money(tier.price),
    )


def knobs(summary: Summary) -> Grid | None:
    """The winner's config beside the baseline's; None where there is no winner."""
    baseline, winner = summary["baseline"], summary["winner"]
    if winner is None or baseline is None:
        return None
    before, after = settings(baseline), settings(winner)
    rows = [(title, knob(before.get(title)), knob(value)) for title, value in after.items()]
    return Grid.of(["knob", right("baseline"), right("winner")], rows)


def settings(trial: Mapping[str, Any]) -> dict[str, Any]:
    """Every key that a trial sets, with its value: those of the space, then the computed ones, marked as such.

    Args:
        trial: A row of the summary's trials, its baseline or its winner.
    """
    return {**trial["config"], **{f"{key} {DERIVED}": value for key, value in trial["derived"].items()}}


def losses(summary: Summary) -> Grid | None:
    """Baseline and winner seed by seed, and their means; None where there is no winner."""
    baseline, winner = summary["baseline"], summary["winner"]
    if winner is None or baseline is None:
        return None
    pairs = list(zip(baseline["values"], winner["values"], strict=False))
    rows = [(f"fresh seed {i}", *_compared(b, w, summary)) for i, (b, w) in enumerate(pairs, 1)]
    mean = ("mean", *_compared(baseline["mean"], winner["mean"], summary))
    columns = [summary["objective"]["metric"], right("baseline"), right("winner"), right("better by")]
    return Grid.of(columns, [*rows, mean])


def _compared(baseline: float | None, winner: float | None, summary: Summary) -> tuple[str, str, str]:
    if baseline is None or winner is None:
        return number(baseline), number(winner), BLANK
    sign = 1.0 if summary["objective"]["direction"] == "minimize" else -1.0
    return number(baseline), number(winner), number(sign * (baseline - winner))


def best_so_far(summary: Summary) -> Grid:
    """How the best value fell with what had been spent."""
    rows = [
        (_name(row["trial"]), format_seconds(row["spent_device_s"]), number(row["value"]))
        for row in summary["best_so_far"]
    ]
    return Grid.of([right("trial"), right("device time spent"), right(summary["objective"]["metric"])], rows)


def _name(trial: int) -> str:
    return "0 (baseline)" if trial == 0 else str(trial)


def failures(summary: Summary) -> Grid:
    """What went wrong, how often, and one example each."""
    rows = [(f["outcome"], f"{f['count']:,}", f["example_cause"], f["attempt"]) for f in summary["failures"]]
    return Grid.of(["outcome", right("attempts"), "for example", "in"], rows)


def warnings(summary: Summary) -> Grid:
    """What attempts warned about."""
    rows = [(w["flag"], f"{w['count']:,}", w["attempt"]) for w in summary["warnings"]]
    return Grid.of(["warning", right("attempts"), "first in"], rows)


def spend(summary: Summary) -> Grid:
    """Evaluations, device time and money by phase."""
    account = summary["spend"]
    counted = account["train_flops"] is not None

    def flops(part: Mapping[str, Any]) -> list[str]:
        shown = BLANK if part["train_flops"] is None else format_flops(part["train_flops"])
        return [shown] if counted else []

    rows = [
        (phase, f"{part['evaluations']:,}", format_seconds(part["device_s"]), *flops(part), format_money(part["price"]))
        for phase, part in account["by_phase"].items()
    ]
    idle = ("idle", "", "", *[""] * counted, format_money(account["idle_price"]))
    amounts = f"{account['evaluations']:,}", format_seconds(account["device_s"])
    total = ("total", *amounts, *flops(account), format_money(account["total_price"]))
    titles = ["evaluations", "device time", *["training"] * counted, "price"]
    return Grid.of(["phase", *map(right, titles)], [*rows, idle, total])


def plan_against_spend(summary: Summary) -> Grid | None:
    """What the tier was said to cost and what it took, calibration apart; None before a tier was chosen."""
    tier = planned_tier(summary)
    if tier is None:
        return None
    before, account = summary["plan"]["spent"], summary["spend"]
    planned = (planned_evaluations(tier), tier["device_hours"] * 3600, tier["wall_s"])
    took = (
        account["evaluations"] - before["evaluations"],
        account["device_s"] - before["device_s"],
        account["session_s"] - before["wall_s"],
    )
    rows = [
        ("evaluations", f"{planned[0]:,}", f"{took[0]:,}"),
        ("device time", format_seconds(planned[1]), format_seconds(max(0.0, took[1]))),
        ("wall clock", format_seconds(planned[2]), format_seconds(max(0.0, took[2]))),
        ("price", format_money(tier["price"]), format_money(max(0.0, account["total_price"] - before["price"]))),
    ]
    return Grid.of(["", right("planned"), right("took")], rows)


def trials(summary: Summary, most: int, room: int, *, best_first: bool = False) -> Grid:
    """Trials of calibration and search.

    Args:
        summary: Of the run.
        most: At most this many rows: the last ones, or the best.
        room: Characters a config may take before it is put into one column.
        best_first: Sort by value; trials without one come last. Computed keys are shown as well.
    """
    shown = [trial for trial in summary["trials"] if trial["phase"] in ("calibrate", "search")]
    if best_first:
        shown = sorted(shown, key=lambda trial: _rank(trial, summary))[:most]
    best = summary["best_so_far"][-1]["trial"] if summary["best_so_far"] else None
    shown = shown if best_first else shown[-most:]
    configs, cells = config_columns([settings(trial) if best_first else trial["config"] for trial in shown], room)
    rows = [_trial_row(trial, cell, best) for trial, cell in zip(shown, cells, strict=True)]
    metric = right(clip(summary["objective"]["metric"], TITLE))
    columns: list[str | Column] = [right("trial"), *configs, metric, "status", right("time")]
    return Grid.of(columns, rows, [mark(trial["number"], trial["outcome"], best) for trial in shown])


def _trial_row(trial: Mapping[str, Any], config: tuple[str, ...], best: int | None) -> tuple[str, ...]:
    number_, outcome = trial["number"], trial["outcome"]
    status, contended = label(number_, outcome, best), f"{CONTENDED} " if trial["contended"] else ""
    return (str(number_), *config, number(trial["value"]), status, contended + format_seconds(trial["seconds"]))


def config_columns(configs: Sequence[Mapping[str, Any]], room: int) -> tuple[list[Column], list[tuple[str, ...]]]:
    """Columns for configs and one tuple of cells each: a column a knob, or all in one where they are many.

    Args:
        configs: With the same keys.
        room: Characters that all columns together may take, gaps included.
    """
    names = short_keys(configs[0]) if configs else {}
    values = [[knob(config.get(key)) for key in names] for config in configs]
    titles = list(names.values())
    widths = [max(map(len, column)) for column in zip(*values, strict=True)]
    if sum(max(len(title), width) + 2 for title, width in zip(titles, widths, strict=True)) <= room:
        return [right(title) for title in titles], [tuple(row) for row in values]
    parts = [[f"{t} {v:<{w}}" for t, v, w in zip(titles, row, widths, strict=True)] for row in values]
    return [gives("config")], [("  ".join(row),) for row in parts]


def label(trial: int, outcome: str, best: int | None) -> str:
    """What a row says about its trial: baseline, best, or how it ended."""
    words = [word for word, holds in (("baseline", trial == 0), ("best", trial == best)) if holds]
    return " ".join(words) if words and outcome == "ok" else outcome


def mark(trial: int, outcome: str, best: int | None) -> str:
    """How a row looks: a key of ``grid.STYLES``."""
    if outcome in FAILED:
        return "failed"
    if outcome in ("running", "waiting"):
        return "quiet"
    return "best" if trial == best else "baseline" if trial == 0 else ""


def _rank(trial: Mapping[str, Any], summary: Summary) -> tuple[float, int]:
    sign = 1.0 if summary["objective"]["direction"] == "minimize" else -1.0
    value = trial["value"]
    return (math.inf if value is None else sign * value, trial["number"])
