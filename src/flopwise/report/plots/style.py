"""How every picture looks: one palette, quiet axes, and text from studies taken literally.

The four colours differ in hue and in lightness, so that they stay apart in grey and for the colour-blind; what
matters also differs in shape (star, dashes, cross).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from matplotlib import rc_context
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import Formatter, FuncFormatter, Locator, LogLocator, MaxNLocator, NullLocator

from flopwise.report.evidence import Evidence
from flopwise.report.text import clip, number, plain
from flopwise.space import Float, Int

INK = "#1b2733"
QUIET = "#6b7a89"
RULE = "#e3e8ee"
PAPER = "#ffffff"
TRIAL = "#8fa3b8"
"""A trial among many."""
BEST = "#1f5fae"
"""Best so far, and good values."""
WINNER = "#0a8f6a"
BASELINE = "#d9822b"
FAILED = "#c23b4e"

RANKS = LinearSegmentedColormap.from_list("ranks", ["#0b3c78", "#2f78c4", "#9fc3e6", "#e4e9ef"])
"""From the best trial to the worst."""

AGE = LinearSegmentedColormap.from_list("age", ["#cfd9e4", "#7f9cc0", "#1f5fae"])
"""From the first trial to the last."""

CURVES = ("#1f5fae", "#7a4fb5", "#2a9fc0", "#5b7f2a", "#9a6a4a")
"""Trials side by side, best first."""

WIDTH_IN = 8.0
DPI = 160
MOST_PANELS = 24
"""Knobs that a picture shows at most."""

MOST_TICKS = 8

SETTINGS: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": RULE,
    "axes.linewidth": 1.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "grid.color": RULE,
    "grid.linewidth": 0.8,
    "xtick.color": RULE,
    "ytick.color": RULE,
    "xtick.labelcolor": QUIET,
    "ytick.labelcolor": QUIET,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "figure.facecolor": PAPER,
    "axes.facecolor": PAPER,
    "text.parse_math": False,
}


def styled() -> Any:
    """Context in which figures are made and saved."""
    return rc_context(cast(Any, SETTINGS))


def figure(height_in: float = 3.6, width_in: float = WIDTH_IN) -> Figure:
    """An empty figure that fits its contents."""
    return Figure(figsize=(width_in, height_in), dpi=DPI, layout="constrained")


def literal(text: str, width: int = 40) -> str:
    """Text of a study, harmless and not too long."""
    return clip(plain(text), width)


def metric_label(evidence: Evidence) -> str:
    """The metric's name and which way is better."""
    objective = evidence.summary["objective"]
    better = "lower" if objective["direction"] == "minimize" else "higher"
    return f"{literal(objective['metric'], 28)}  ({better} is better)"


def limits(evidence: Evidence, values: Sequence[float]) -> tuple[float, float]:
    """A range of values that shows what matters: the worst few, when far out, are left to its edge."""
    ranked = sorted(evidence.sign * value for value in values)
    low, high = ranked[0], ranked[-1]
    middle, upper = ranked[len(ranked) // 2], ranked[min(len(ranked) - 1, (9 * len(ranked)) // 10)]
    if high - low > 4 * (upper - low) and upper > middle:
        high = upper + 0.6 * (upper - low)
    room = 0.08 * ((high - low) or abs(high) or 1.0)
    low, high = low - room, high + room
    return (low, high) if evidence.sign > 0 else (-high, -low)


def clamp(value: float, span: tuple[float, float]) -> float:
    """The value, or the edge of the range that it lies beyond."""
    return min(max(value, span[0]), span[1])


def baseline_line(axes: Axes, value: float) -> None:
    """The value to be beaten, across the whole picture, named at its right end."""
    axes.axhline(value, color=BASELINE, linewidth=1.3, linestyle=(0, (5, 3)), zorder=2)


def star(axes: Axes, x: float, y: float) -> None:
    """The winner, or the best so far."""
    axes.plot([x], [y], "*", markersize=15, color=WINNER, markeredgecolor=PAPER, markeredgewidth=1.1, zorder=6)


def legend(drawing: Figure, entries: Sequence[Artist]) -> None:
    """A legend on one line above the picture."""
    drawing.legend(
        handles=list(entries), ncols=len(entries), loc="outside upper left", handletextpad=0.5, columnspacing=1.5,
        borderaxespad=0.4,
    )  # fmt: skip


def trial_entry(label: str = "trial") -> Line2D:
    """Legend: a dot."""
    return Line2D([], [], linestyle="", marker="o", markersize=5, color=TRIAL, label=label)


def failed_entry() -> Line2D:
    """Legend: a cross."""
    return Line2D([], [], linestyle="", marker="x", markersize=5, color=FAILED, label="failed")


def best_entry() -> Line2D:
    """Legend: the line of the best so far."""
    return Line2D([], [], color=BEST, linewidth=1.8, label="best so far")


def baseline_entry(evidence: Evidence) -> Line2D:
    """Legend: the baseline and its value."""
    value = evidence.baseline["value"] if evidence.baseline else None
    return Line2D([], [], color=BASELINE, linewidth=1.3, linestyle=(0, (5, 3)), label=f"baseline {number(value)}")


def star_entry(evidence: Evidence) -> Line2D:
    """Legend: whose star it is."""
    what = "winner" if evidence.summary["winner"] else "best so far"
    style: dict[str, Any] = {"markeredgecolor": PAPER, "linestyle": ""}
    return Line2D([], [], marker="*", markersize=11, color=WINNER, label=f"{what}: trial {evidence.leader}", **style)


def ticks(parameter: Float | Int) -> list[float | int]:
    """Where a knob's axis has labels: its values where they are few, decades on a log scale, else round numbers."""
    if isinstance(parameter, Int) and parameter.scale == "linear":
        values = range(parameter.low, parameter.high + 1, parameter.step)
        if len(values) <= MOST_TICKS:
            return list(values)
    locator: Locator = LogLocator(numticks=MOST_TICKS) if parameter.scale == "log" else MaxNLocator(5)
    found = [float(at) for at in locator.tick_values(parameter.low, parameter.high)]
    inside = [at for at in found if parameter.low <= at <= parameter.high]
    shown = inside if len(inside) > 1 else [float(parameter.low), *inside, float(parameter.high)]
    return [round(at) for at in shown] if isinstance(parameter, Int) else shown


def few_ticks(low: float, high: float) -> Locator:
    """For a logarithmic axis: decades where it has two of them at least, else round numbers."""
    return LogLocator(numticks=MOST_TICKS) if high / low > 100 else LogLocator(subs=(1.0, 1.5, 2.0, 3.0, 5.0, 7.0))


def plain_ticks() -> Formatter:
    """Numbers as a person writes them."""
    return FuncFormatter(lambda value, _: f"{value:.3g}")


def no_ticks() -> Locator:
    """None at all."""
    return NullLocator()


def dot(count: int) -> float:
    """Diameter of a trial's dot in points: smaller where there are many."""
    return 4.8 if count <= 200 else 3.6 if count <= 1000 else 2.4
