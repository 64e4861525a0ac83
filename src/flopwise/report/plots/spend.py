"""Value against device time: what each second of the machine bought, phase by phase."""

from __future__ import annotations

from collections.abc import Iterator

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from flopwise.report.evidence import Evidence, Finished
from flopwise.report.plots import style
from flopwise.report.plots.history import SEARCHED, draw_best, draw_trials, entries
from flopwise.trial import Phase
from flopwise.units import format_money

UNITS = ((7200.0, 3600.0, "hours"), (180.0, 60.0, "minutes"), (0.0, 1.0, "seconds"))
"""From so many seconds on, seconds per unit, and its name."""


def spend(evidence: Evidence) -> Figure | None:
    """Every finished trial at the device time that the run had taken by then."""
    values = [trial.value for trial in evidence.finished if trial.value is not None]
    if len(values) < 2:
        return None
    total = evidence.finished[-1].spent_device_s
    per, unit = next((per, name) for least, per, name in UNITS if total >= least)
    figure = style.figure(3.9)
    axes = figure.add_subplot()
    span = style.limits(evidence, values)
    axes.set_ylim(*span)
    axes.set_xlim(0, total / per * 1.02)
    searched = [trial for trial in evidence.finished if trial.phase in SEARCHED]
    xs = [trial.spent_device_s / per for trial in searched]
    _phases(axes, evidence, per)
    draw_trials(axes, searched, xs, span)
    draw_best(axes, evidence, searched, xs, span)
    confirmed = [trial for trial in evidence.finished if trial.phase not in SEARCHED and trial.value is not None]
    _confirmed(axes, evidence, confirmed, per, span)
    axes.set_xlabel(f"device time, {unit}{_money(evidence)}")
    axes.set_ylabel(style.metric_label(evidence))
    shown = entries(evidence, searched)
    style.legend(figure, [*shown, *([_fresh_entry()] if confirmed else [])])
    return figure


def _money(evidence: Evidence) -> str:
    price = evidence.summary["spend"]["total_price"]
    return f"  (the whole run: {format_money(price)})" if price > 0 else ""


def _phases(axes: Axes, evidence: Evidence, per: float) -> None:
    """A light band for every other phase, and its name."""
    for index, (phase, start, end) in enumerate(_spans(evidence.finished)):
        if index % 2:
            axes.axvspan(start / per, end / per, color="#f4f6f9", zorder=0, linewidth=0)
        wide = (end - start) / evidence.finished[-1].spent_device_s > 0.06
        if wide:
            axes.annotate(
                phase, ((start + end) / 2 / per, 1.0), xycoords=("data", "axes fraction"), xytext=(0, -4),
                textcoords="offset points", ha="center", va="top", color=style.QUIET, fontsize=8,
            )  # fmt: skip


def _spans(finished: tuple[Finished, ...]) -> Iterator[tuple[Phase, float, float]]:
    """Phase, and the device seconds at which it began and ended."""
    start = 0.0
    for index, trial in enumerate(finished):
        following = finished[index + 1] if index + 1 < len(finished) else None
        if following is None or following.phase != trial.phase:
            yield trial.phase, start, trial.spent_device_s
            start = trial.spent_device_s


def _confirmed(axes: Axes, evidence: Evidence, trials: list[Finished], per: float, span: tuple[float, float]) -> None:
    """Means on fresh seeds: hollow, in the colour of whose config it is."""
    for trial in trials:
        colour = style.WINNER if trial.of == evidence.leader else style.BASELINE if trial.of == 0 else style.BEST
        value = style.clamp(trial.value or 0.0, span)
        axes.plot(
            [trial.spent_device_s / per], [value], "D", markersize=6, color=style.PAPER, markeredgecolor=colour,
            markeredgewidth=1.6, zorder=6, clip_on=False,
        )  # fmt: skip


def _fresh_entry() -> Line2D:
    return Line2D(
        [], [], linestyle="", marker="D", markersize=5.5, color=style.PAPER, markeredgecolor=style.QUIET,
        markeredgewidth=1.5, label="on fresh seeds",
    )  # fmt: skip
