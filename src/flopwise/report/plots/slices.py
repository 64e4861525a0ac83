"""One small picture a knob: its value against the metric, for every search trial."""

from __future__ import annotations

import math
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from flopwise.report.evidence import Evidence
from flopwise.report.plots import style
from flopwise.report.text import knob, short_keys
from flopwise.seeds import stream
from flopwise.space import Categorical, Float, Int, Parameter

COLUMNS = 3
PANEL_IN = 2.15

JITTER = 0.22
"""How far dots of one choice are spread, in choices."""


def slices(evidence: Evidence) -> Figure | None:
    """Small multiples, a panel a knob; later trials are darker."""
    if len(evidence.searched) < 2:
        return None
    keys = evidence.space.keys[: style.MOST_PANELS]
    names = short_keys(evidence.space.keys)
    columns = min(COLUMNS, len(keys))
    rows = math.ceil(len(keys) / columns)
    figure = style.figure(rows * PANEL_IN + 0.45)
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
    span = style.limits(evidence, _values(evidence))
    for index, axes in enumerate(grid.flat):
        if index >= len(keys):
            axes.set_visible(False)
            continue
        key = keys[index]
        _panel(axes, evidence, key, span)
        axes.set_xlabel(style.literal(names[key], 28))
    figure.supylabel(style.metric_label(evidence), fontsize=9.5, color=style.INK)
    style.legend(figure, _entries(evidence))
    return figure


def _values(evidence: Evidence) -> list[float]:
    first = [evidence.baseline["value"]] if evidence.baseline else []
    return [*first, *(trial["value"] for trial in evidence.searched)]


def _panel(axes: Axes, evidence: Evidence, key: str, span: tuple[float, float]) -> None:
    parameter = evidence.space.parameters[key]
    axes.set_ylim(*span)
    shown = [trial for trial in evidence.searched if key in evidence.active(trial["config"])]
    xs = [_position(parameter, trial["config"][key], trial["number"]) for trial in shown]
    ys = [style.clamp(trial["value"], span) for trial in shown]
    order = [index / max(1, len(shown) - 1) for index in range(len(shown))]
    axes.scatter(
        xs, ys, c=order, cmap=style.AGE, s=style.dot(len(shown)) ** 2, linewidths=0.4, edgecolors=style.PAPER, zorder=3
    )
    if evidence.baseline and key in evidence.active(evidence.baseline["config"]):
        at = _position(parameter, evidence.baseline["config"][key], None)
        axes.plot(
            [at], [style.clamp(evidence.baseline["value"], span)], "D", color=style.BASELINE, markersize=6.5,
            markeredgecolor=style.PAPER, zorder=5,
        )  # fmt: skip
    leader = next((trial for trial in shown if trial["number"] == evidence.leader), None)
    if leader is not None:
        style.star(axes, _position(parameter, leader["config"][key], None), style.clamp(leader["value"], span))
    _axis(axes, parameter)


def _position(parameter: Parameter, value: Any, number: int | None) -> float:
    """Where a value stands on its knob's axis; dots of one choice are spread a little."""
    if not isinstance(parameter, Categorical):
        return float(value)
    at = next((i for i, c in enumerate(parameter.choices) if type(c) is type(value) and c == value), -1)
    return at if number is None else at + stream(0, "jitter", number).uniform(-JITTER, JITTER)


def _axis(axes: Axes, parameter: Parameter) -> None:
    if isinstance(parameter, Categorical):
        labels = [style.literal(knob(choice), 10) for choice in parameter.choices]
        many = len(labels) > 4
        axes.set_xticks(range(len(labels)), labels, rotation=30 if many else 0, ha="right" if many else "center")
        axes.set_xlim(-0.6, len(labels) - 0.4)
        return
    axes.set_xscale(parameter.scale)
    marks = style.ticks(parameter)
    axes.set_xticks(marks, [knob(mark) for mark in marks])
    axes.set_xticks([], minor=True)
    axes.set_xlim(*_range(parameter, axes.get_xlim()))


def _range(parameter: Float | Int, drawn: tuple[float, float]) -> tuple[float, float]:
    """All that the knob may be, and a baseline that lies outside, with a little air."""
    low, high = min(parameter.low, drawn[0]), max(parameter.high, drawn[1])
    if parameter.scale == "log":
        low = drawn[0] if 0 < drawn[0] < parameter.low else parameter.low
        air = (high / low) ** 0.04
        return low / air, high * air
    air = 0.04 * (high - low)
    return low - air, high + air


def _entries(evidence: Evidence) -> list[Line2D]:
    line = Line2D
    found = [line([], [], linestyle="", marker="o", markersize=5, color="#7f9cc0", label="trial (later ones darker)")]
    if evidence.baseline:
        found.append(line([], [], linestyle="", marker="D", markersize=5.5, color=style.BASELINE, label="baseline"))
    return [*found, style.star_entry(evidence)] if evidence.leader is not None else found
