"""The validated loss against seconds, against steps and against tokens, side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from flopwise.report.evidence import Course, Evidence
from flopwise.report.plots import style
from flopwise.target import Point
from flopwise.units import format_count

SHOWN = 4
"""Courses beside the baseline's: the best few."""

Clock = tuple[str, Callable[[Course, Point], float]]

SECONDS: Clock = ("seconds of training", lambda _, point: point.seconds)
STEPS: Clock = ("steps", lambda _, point: float(point.step))
TOKENS: Clock = ("tokens", lambda course, point: point.step * (course.tokens_per_step or 0.0))


def clocks(evidence: Evidence) -> Figure | None:
    """The baseline and the best configs on every clock; the others, faint, behind them. None without validations."""
    if len(evidence.courses) < 2:
        return None
    counted = all(course.tokens_per_step for course in evidence.courses)
    shown = [SECONDS, STEPS, *([TOKENS] if counted else [])]
    figure = style.figure(3.9)
    every = figure.subplots(1, len(shown), sharey=True)
    leading = _leading(evidence)
    for axes, clock in zip(every, shown, strict=True):
        _draw(axes, evidence, leading, clock)
    every[0].set_ylabel(style.literal(_metric(evidence), 28))
    every[0].set_ylim(*_span(evidence))
    handles, _ = every[0].get_legend_handles_labels()
    style.legend(figure, handles)
    return figure


def _leading(evidence: Evidence) -> list[int]:
    """The trial to point at, then the best others."""
    known = {course.trial for course in evidence.courses}
    ranked = sorted(evidence.searched, key=lambda trial: (evidence.sign * trial["value"], trial["number"]))
    order = [evidence.leader, *(trial["number"] for trial in ranked)]
    return [trial for trial in dict.fromkeys(order) if trial in known and trial][:SHOWN]


def _draw(axes: Axes, evidence: Evidence, leading: Sequence[int], clock: Clock) -> None:
    name, read = clock
    colours = dict(zip((t for t in leading if t != evidence.leader), style.CURVES, strict=False))
    for course in sorted(evidence.courses, key=lambda course: _depth(course.trial, leading, evidence)):
        xs, ys = [read(course, point) for point in course.points], [point.value for point in course.points]
        trial = course.trial
        if trial == evidence.leader and trial:
            what = "winner" if evidence.summary["winner"] else "best so far"
            axes.plot(xs, ys, color=style.WINNER, linewidth=2.4, label=f"{what}: trial {trial}", zorder=5)
        elif trial == 0:
            axes.plot(xs, ys, color=style.BASELINE, linewidth=1.6, linestyle=(0, (5, 2)), label="baseline", zorder=4)
        elif trial in colours:
            axes.plot(xs, ys, color=colours[trial], linewidth=1.4, label=f"trial {trial}", zorder=3)
        else:
            axes.plot(xs, ys, color=style.TRIAL, linewidth=0.8, alpha=0.4, zorder=2)
    if evidence.summary["timed"]:
        axes.axhline(evidence.summary["timed"]["target"], color=style.INK, linewidth=0.9, linestyle=":", zorder=1)
    axes.set_xlim(0, None)
    axes.set_xlabel(name)
    if clock is TOKENS:
        axes.xaxis.set_major_formatter(lambda value, _: format_count(value))
    axes.locator_params(axis="x", nbins=5)


def _depth(trial: int, leading: Sequence[int], evidence: Evidence) -> int:
    """The winner's is drawn first, for the legend; then the baseline's, then the best others'."""
    if trial == evidence.leader:
        return -2
    return -1 if trial == 0 else leading.index(trial) if trial in leading else SHOWN


def _metric(evidence: Evidence) -> str:
    timed = evidence.summary["timed"]
    return str(timed["metric"] if timed else evidence.summary["objective"]["metric"])


def _span(evidence: Evidence) -> tuple[float, float]:
    """All values but the first few of each course, which are those of hardly trained models."""
    values = [point.value for course in evidence.courses for point in course.points[max(1, len(course.points) // 10) :]]
    goal = [evidence.summary["timed"]["target"]] if evidence.summary["timed"] else []
    low, high = min([*values, *goal]), max([*values, *goal])
    room = 0.06 * ((high - low) or abs(high) or 1.0)
    return low - room, high + room
