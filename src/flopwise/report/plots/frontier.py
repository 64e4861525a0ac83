"""Speed against quality: what a step costs, and what it is worth."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from flopwise.report.evidence import Course, Evidence
from flopwise.report.plots import style
from flopwise.units import format_seconds

Spot = tuple[float, float]
"""Seconds a step, and steps to the target."""

LINES = 4
"""Lines of equal time to the target, about so many."""

ROOM = 1.25
"""Beyond the outermost points, as a factor."""


def frontier(evidence: Evidence) -> Figure | None:
    """Every config at its seconds a step and its steps to the target; None without a target that two of them reach."""
    reached = {each.trial: spot for each in evidence.courses if (spot := _spot(each)) is not None}
    if len(reached) < 2:
        return None
    missed = [spot for each in evidence.courses if each.reached is None and (spot := _end(each)) is not None]
    figure = style.figure(4.2)
    axes = figure.add_subplot()
    _frame(axes, [*reached.values(), *missed])
    _equal_times(axes)
    front = best(list(reached.values()))
    axes.step([x for x, _ in front], [y for _, y in front], where="post", color=style.BEST, linewidth=1.6, zorder=3)
    for spot in missed:
        axes.plot(*spot, "^", color=style.PAPER, markeredgecolor=style.TRIAL, markersize=6, zorder=3)
    for trial, spot in reached.items():
        colour = style.BASELINE if trial == 0 else style.TRIAL
        axes.plot(*spot, "s" if trial == 0 else "o", color=colour, markersize=6, zorder=4)
    if evidence.leader in reached:
        style.star(axes, *reached[evidence.leader])
    axes.set_xlabel("seconds a step")
    axes.set_ylabel(f"steps to {_goal(evidence)}")
    style.legend(figure, _entries(evidence, reached, missed))
    return figure


def _spot(course: Course) -> Spot | None:
    """None where the target was not reached, or at once."""
    if course.reached is None:
        return None
    steps, seconds = course.reached
    return (seconds / steps, steps) if steps > 0 and seconds > 0 else None


def _end(course: Course) -> Spot | None:
    each, last = course.seconds_per_step, course.points[-1].step
    return None if each is None or last <= 0 else (each, float(last))


def best(spots: Sequence[Spot]) -> list[Spot]:
    """Those that no other one beats in both, from the quickest step on.

    Example:
        >>> best([(1.0, 9.0), (2.0, 5.0), (3.0, 6.0), (2.0, 7.0)])
        [(1.0, 9.0), (2.0, 5.0)]
    """
    found: list[Spot] = []
    for spot in sorted(spots):
        if not found or spot[1] < found[-1][1]:
            found.append(spot)
    return found


def _frame(axes: Axes, spots: Sequence[Spot]) -> None:
    """Logarithmic, so that lines of equal time are straight."""
    axes.set_xscale("log")
    axes.set_yscale("log")
    for limit, values in ((axes.set_xlim, [x for x, _ in spots]), (axes.set_ylim, [y for _, y in spots])):
        limit(min(values) / ROOM, max(values) * ROOM)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(style.few_ticks(*axis.get_view_interval()))
        axis.set_major_formatter(style.plain_ticks())
        axis.set_minor_locator(style.no_ticks())


def _equal_times(axes: Axes) -> None:
    """Dotted lines on which seconds a step times steps is the same."""
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    times = np.geomspace(left * low, right * high, LINES + 2)[1:-1]
    for seconds in times:
        xs = np.array([left, right])
        axes.plot(xs, seconds / xs, ":", color=style.QUIET, linewidth=0.9, zorder=1)
        x = math.sqrt(max(left, seconds / high) * min(right, seconds / low))
        axes.annotate(
            format_seconds(seconds), (x, seconds / x), xytext=(3, 3), textcoords="offset points",
            color=style.QUIET, fontsize=8, zorder=1,
        )  # fmt: skip


def _goal(evidence: Evidence) -> str:
    timed = evidence.summary["timed"]
    return f"{style.literal(timed['metric'], 24)} {timed['target']:g}"


def _entries(evidence: Evidence, reached: dict[int, Spot], missed: Sequence[Spot]) -> list[Line2D]:
    found = [style.trial_entry("config"), Line2D([], [], color=style.BEST, linewidth=1.6, label="frontier")]
    if 0 in reached:
        found.append(Line2D([], [], linestyle="", marker="s", color=style.BASELINE, markersize=6, label="baseline"))
    if missed:
        found.append(
            Line2D(
                [], [], linestyle="", marker="^", color=style.PAPER, markeredgecolor=style.TRIAL, label="not reached"
            )
        )
    return [*found, style.star_entry(evidence)] if evidence.leader in reached else found
