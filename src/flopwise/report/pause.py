"""A pause for people: the numbers behind it with their units, and the ways on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from flopwise.report.text import number, percent
from flopwise.units import format_seconds

SHARES = frozenset({"rate", "pause_above", "share", "contention", "idle", "pause_below"})
"""Numbers that are shares."""

TIMES = frozenset({"ratio", "accepted_ratio", "ratio_without_contention", "work"})
"""Numbers that count how many times something is."""

MOST_LISTED = 12
"""Trials named; the rest is counted."""

WIDER: Mapping[str, str] = {
    "crash_rate": "pause_above",
    "non_finite": "pause_above",
    "time_drift": "pause_above",
    "throughput": "pause_below",
    "crash_loop": "consecutive",
}
"""The option that says how much a policy bears."""


def evidence_lines(evidence: Mapping[str, Any]) -> Iterator[str]:
    """:func:`evidence_facts`, each as one line."""
    yield from (f"{name}: {shown}" for name, shown in evidence_facts(evidence))


def evidence_facts(evidence: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The numbers of a decision's evidence, each with its name; what is not known is left out.

    Example:
        >>> list(evidence_facts({"failed": 4, "rate": 0.2, "median_s": 90.0, "outcomes": {"error": 3, "nan": 1}}))
        [('failed', '4'), ('rate', '20%'), ('median', '1 min 30 s'), ('outcomes', '3 error, 1 nan')]
    """
    for key, value in evidence.items():
        shown = _shown(key, value, evidence)
        if shown:
            yield key.removesuffix("_s").replace("_", " "), shown


def _shown(key: str, value: Any, evidence: Mapping[str, Any]) -> str:
    if value is None or value == [] or value == {}:
        return ""
    if key == "region":
        return region_text(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{count} {name}" for name, count in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        more = f" and {len(value) - MOST_LISTED} more" if len(value) > MOST_LISTED else ""
        return ", ".join(map(str, value[:MOST_LISTED])) + more
    if not isinstance(value, float):
        return str(value)
    if key.endswith("_s"):
        return format_seconds(value)
    if key in TIMES or (key == "pause_above" and "ratio" in evidence):
        return f"{value:.3g} times"
    return percent(value) if key in SHARES else number(value)


def region_text(region: Mapping[str, Any]) -> str:
    """Which knob values predict failure, and how surely.

    Args:
        region: As a policy's evidence holds it.
    """
    rules = " and ".join(f"{rule['knob']} {rule['test']} {_value(rule['value'])}" for rule in region["rules"])
    inside = f"{region['inside_failed']} of {region['inside']} failed there"
    elsewhere = f"{region['outside_failed']} of {region['outside']} elsewhere"
    sure = "" if region["explains"] else ", which does not explain them"
    return f"{rules}: {inside}, {elsewhere} (p = {region['p']:.2g}{sure})"


def _value(value: Any) -> str:
    return number(value) if isinstance(value, float) else str(value)


def ways_on(pause: Mapping[str, Any], run: str) -> Iterator[tuple[str, str]]:
    """When which command lets a paused run go on.

    Args:
        pause: Its policy and evidence, as the summary holds them.
        run: The run as the command line names it.
    """
    policy, evidence = pause["policy"], pause["evidence"]
    yield "this is as it should be", f"flopwise resume {run} --accept {policy}"
    option = WIDER.get(policy)
    if option is not None and option in evidence:
        wider = _wider(option, evidence[option])
        yield "more may be borne", f"flopwise amend {run} policies.{policy}.{option}={wider}, then resume"
    yield "it should not be asked", f"flopwise amend {run} policies.{policy}=false, then resume"
    yield "a slot is to blame", f"flopwise resume {run} --exclude-slot N"


def _wider(option: str, value: float) -> str:
    if option == "consecutive":
        return str(int(value) * 2)
    if option == "pause_below":
        return f"{value / 2:.3g}"
    return f"{min(value * 2, 0.9) if value < 1 else value * 2:.3g}"
