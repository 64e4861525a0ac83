"""Every search trial as a line through all knobs: which combinations are good?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from flopwise.report.evidence import Evidence
from flopwise.report.plots import style
from flopwise.report.text import knob, number, short_keys
from flopwise.space import Categorical, Parameter

MOST_KNOBS = 12
TICKS = 5


def parallel(evidence: Evidence) -> Figure | None:
    """A vertical axis a knob, each stretched as the search saw it; the last axis is the metric."""
    if len(evidence.searched) < 2 or len(evidence.space) < 2:
        return None
    keys = evidence.space.keys[:MOST_KNOBS]
    figure = style.figure(3.9)
    axes = figure.add_subplot()
    axes.set_axis_off()
    span = style.limits(evidence, [trial["value"] for trial in evidence.searched])
    _lines(axes, evidence, keys, span)
    for at, key in enumerate(keys):
        _axis(axes, at, evidence.space.parameters[key])
    _metric_axis(axes, len(keys), span)
    names = [style.literal(short_keys(evidence.space.keys)[key], 16) for key in keys]
    for at, name in enumerate([*names, style.literal(evidence.summary["objective"]["metric"], 16)]):
        axes.text(at, -0.09, name, ha="center", va="top", fontsize=9, color=style.INK)
    axes.set_xlim(-0.3, len(keys) + 0.42)
    axes.set_ylim(-0.16, 1.04)
    style.legend(figure, _entries(evidence))
    return figure


def _lines(axes: Axes, evidence: Evidence, keys: tuple[str, ...], span: tuple[float, float]) -> None:
    """Worst first, so that the good ones lie on top; baseline and winner above all."""
    ranked = sorted(evidence.searched, key=lambda trial: (-evidence.sign * trial["value"], trial["number"]))
    for rank, trial in enumerate(ranked):
        colour = style.RANKS(1.0 - rank / max(1, len(ranked) - 1))
        axes.plot(*_path(evidence, trial, keys, span), color=colour, linewidth=1.2, zorder=2 + rank / 1e6)
    if evidence.baseline:
        path = _path(evidence, evidence.baseline, keys, span)
        axes.plot(*path, color=style.BASELINE, linewidth=2.0, linestyle=(0, (5, 2)), zorder=4)
    leader = next((trial for trial in ranked if trial["number"] == evidence.leader), None)
    if leader is not None:
        path = _path(evidence, leader, keys, span)
        axes.plot(*path, color=style.PAPER, linewidth=5.0, zorder=4.5)
        axes.plot(*path, color=style.WINNER, linewidth=2.6, zorder=5)


def _path(
    evidence: Evidence, trial: Mapping[str, Any], keys: tuple[str, ...], span: tuple[float, float]
) -> tuple[list[int], list[float]]:
    active = evidence.active(trial["config"])
    known = [(at, key) for at, key in enumerate(keys) if key in active]
    heights = [evidence.space.parameters[key].encode(trial["config"][key]) for _, key in known]
    end = (style.clamp(trial["value"], span) - span[0]) / (span[1] - span[0])
    return [*(at for at, _ in known), len(keys)], [*heights, end]


def _axis(axes: Axes, at: int, parameter: Parameter) -> None:
    if isinstance(parameter, Categorical):
        marks = [(parameter.encode(choice), style.literal(knob(choice), 9)) for choice in parameter.choices[:12]]
    else:
        marks = [(parameter.encode(value), knob(value)) for value in style.ticks(parameter)]
    _rule(axes, at, marks)


def _metric_axis(axes: Axes, at: int, span: tuple[float, float]) -> None:
    units = [index / (TICKS - 1) for index in range(TICKS)]
    _rule(axes, at, [(unit, number(span[0] + unit * (span[1] - span[0]))) for unit in units])


def _rule(axes: Axes, at: int, marks: list[tuple[float, str]]) -> None:
    axes.plot([at, at], [0, 1], color=style.QUIET, linewidth=1.0, zorder=6)
    for height, label in marks:
        axes.plot([at - 0.02, at + 0.02], [height, height], color=style.QUIET, linewidth=1.0, zorder=6)
        axes.text(
            at + 0.035, height, label, va="center", ha="left", fontsize=7.5, color=style.QUIET, zorder=7,
            bbox={"facecolor": style.PAPER, "edgecolor": "none", "alpha": 0.75, "pad": 0.8},
        )  # fmt: skip


def _entries(evidence: Evidence) -> list[Line2D]:
    line = Line2D
    found = [line([], [], color=style.RANKS(0.2), linewidth=1.6, label="trial (better ones darker)")]
    if evidence.baseline:
        found.append(style.baseline_entry(evidence))
    if evidence.leader:
        what = "winner" if evidence.summary["winner"] else "best so far"
        found.append(line([], [], color=style.WINNER, linewidth=2.6, label=f"{what}: trial {evidence.leader}"))
    return found
