"""Sentences about a run that the screen and the report share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flopwise.report.text import number, percent
from flopwise.units import format_flops, format_money, format_seconds

Summary = Mapping[str, Any]
"""What :func:`flopwise.report.summary.summarise` returns."""


def headline(summary: Summary) -> str:
    """One line that says where the run stands: its verdict, or how far it is.

    Example:
        >>> numbers = {"n": 5, "mean_improvement": 0.2, "lower": 0.1, "upper": 0.3, "relative": None}
        >>> verdict = {"verdict": "GO", "reasons": [], "numbers": numbers}
        >>> headline({"verdict": verdict, "winner": {"of": 7}})
        'trial 7 beats the baseline by 0.2000 (95% lower bound 0.1000) on 5 fresh seeds'
    """
    verdict = summary["verdict"]
    if verdict is None:
        return standing(summary)
    numbers, winner = verdict["numbers"], summary["winner"]
    if winner is None or numbers.get("mean_improvement") is None or numbers.get("lower") is None:
        return str(verdict["reasons"][0]) if verdict["reasons"] else "no reason was given"
    seeds = f"on {counted(numbers['n'], 'fresh seed')}"
    claims = {"GO": _beats, "NO-GO": _misses}
    return f"trial {winner['of']} {claims.get(verdict['verdict'], _unsettled)(numbers)} {seeds}"


def _beats(numbers: Mapping[str, Any]) -> str:
    return f"beats the baseline by {_gain(numbers, 'mean_improvement')} (95% lower bound {_gain(numbers, 'lower')})"


def _misses(numbers: Mapping[str, Any]) -> str:
    better = numbers["mean_improvement"] > 0
    change = "better" if better else "worse"
    gain = _gain(numbers, "mean_improvement").removeprefix("-")
    return f"is {gain} {change} than the baseline (95% upper bound {_gain(numbers, 'upper')})"


def _unsettled(numbers: Mapping[str, Any]) -> str:
    bounds = f"{_gain(numbers, 'lower')} to {_gain(numbers, 'upper')}"
    return f"against the baseline: {_gain(numbers, 'mean_improvement')} (90% interval {bounds})"


def _gain(numbers: Mapping[str, Any], key: str) -> str:
    """An improvement as a share of the baseline where that means something, else in the metric's unit."""
    value = numbers[key]
    if numbers.get("relative") is None:
        return number(value)
    return percent(value / numbers["baseline_mean"])


def standing(summary: Summary) -> str:
    """Where a run without a verdict is."""
    search = [trial for trial in summary["trials"] if trial["phase"] == "search"]
    done = sum(trial["outcome"] not in ("running", "waiting") for trial in search)
    tier = planned_tier(summary)
    of = f" of {tier['trials']}" if tier else ""
    progress = f", {done}{of} search trials finished" if search or tier else ""
    phase = f" in phase {summary['phase']}" if summary["phase"] else ""
    detail = f": {summary['detail']}" if summary["detail"] else ""
    return f"{summary['state']}{phase}{progress}{detail}"


def planned_tier(summary: Summary) -> Mapping[str, Any] | None:
    """The chosen tier's part of the plan; None before one was chosen."""
    tiers = (summary["plan"] or {}).get("tiers", ())
    return next((tier for tier in tiers if tier["name"] == summary["tier"]), None)


def planned_evaluations(tier: Mapping[str, Any]) -> int:
    """Evaluations of a tier's search and confirmation, from its part of the plan."""
    again = tier.get("recheck_evaluations", 0)
    return int(tier["search_evaluations"] + again + tier["choose_evaluations"] + tier["decide_evaluations"])


def price_line(summary: Summary) -> str:
    """What the run has cost, on one line."""
    spend = summary["spend"]
    parts = [
        counted(spend["evaluations"], "evaluation"),
        f"{format_seconds(spend['device_s'])} device",
        f"{format_seconds(spend['session_s'])} wall",
    ]
    flops = [] if spend["train_flops"] is None else [format_flops(spend["train_flops"])]
    return ", ".join([*parts, *flops, *_money(spend)])


def _money(spend: Mapping[str, Any]) -> list[str]:
    total = spend["total_price"]
    if total <= 0:
        return []
    return [f"{format_money(total)} ({percent(spend['idle_price'] / total)} idle)"]


def counted(count: int, noun: str) -> str:
    """``1 seed``, ``5 seeds``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
