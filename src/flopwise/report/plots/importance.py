"""Which knobs mattered, each with the mark that luck alone would reach."""

from __future__ import annotations

from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import PercentFormatter

from flopwise.report.evidence import Evidence
from flopwise.report.plots import style
from flopwise.report.text import percent, short_keys

BAR_IN = 0.34


def importance(evidence: Evidence) -> Figure | None:
    """A bar a knob, most important first, and a tick at its noise floor."""
    found = evidence.importance
    if found is None or not found.weights:
        return None
    shown = found.weights[: style.MOST_PANELS]
    names = short_keys([weight.key for weight in found.weights])
    figure = style.figure(1.15 + BAR_IN * len(shown))
    axes = figure.add_subplot()
    axes.grid(axis="y", visible=False)
    for row, weight in enumerate(shown):
        colour = style.BEST if weight.stands_out else style.TRIAL
        axes.barh(row, weight.importance, height=0.62, color=colour, zorder=2)
        axes.plot([weight.floor] * 2, [row - 0.42, row + 0.42], color=style.BASELINE, linewidth=2.2, zorder=4)
        axes.annotate(
            percent(weight.importance), (weight.importance, row), xytext=(5, 0), textcoords="offset points",
            va="center", fontsize=8.5, color=style.INK, zorder=5,
            bbox={"facecolor": style.PAPER, "edgecolor": "none", "pad": 0.6},
        )  # fmt: skip
    axes.set_yticks(range(len(shown)), [style.literal(names[weight.key], 28) for weight in shown])
    axes.tick_params(axis="y", labelcolor=style.INK, labelsize=9.5, length=0)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.12 * max(max(weight.importance, weight.floor) for weight in shown))
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_xlabel(f"share of importance (PED-ANOVA, best {found.top} of {found.trials} trials)")
    style.legend(figure, _entries())
    return figure


def _entries() -> list[Artist]:
    return [
        Patch(color=style.BEST, label="stands out"),
        Patch(color=style.TRIAL, label="could be luck"),
        Line2D([], [], color=style.BASELINE, linewidth=2.2, label="this knob's noise floor"),
    ]
