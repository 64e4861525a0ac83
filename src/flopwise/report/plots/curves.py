"""What the best few trials and the baseline reported while they ran."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from flopwise.report.evidence import Curve, Evidence
from flopwise.report.plots import style
from flopwise.report.text import number

WINDOW = 0.06
"""Of a curve: what is averaged into one point of its heavy line."""


def curves(evidence: Evidence) -> Figure | None:
    """Learning curves of first seeds: as reported, faint, and their running mean."""
    if not evidence.curves:
        return None
    figure = style.figure(3.8)
    axes = figure.add_subplot()
    ranked = iter(style.CURVES)
    for curve in evidence.curves:
        colour = (
            style.BASELINE if curve.trial == 0 else style.WINNER if curve.trial == evidence.leader else next(ranked)
        )
        width = 2.4 if curve.trial == evidence.leader else 1.6
        dashes = (0, (5, 2)) if curve.trial == 0 else "-"
        axes.plot(curve.steps, curve.values, color=colour, linewidth=0.8, alpha=0.22, zorder=2)
        axes.plot(curve.steps, smooth(curve.values), color=colour, linewidth=width, linestyle=dashes,
                  label=_label(evidence, curve), zorder=4 if curve.trial == evidence.leader else 3)  # fmt: skip
    axes.set_ylim(*_span(evidence.curves))
    axes.set_xlim(0, None)
    axes.set_xlabel("step")
    axes.set_ylabel(style.literal(evidence.curves[0].metric, 28) + ", while running")
    axes.legend(loc="upper right", labelcolor=style.INK)
    return figure


def smooth(values: Sequence[float]) -> list[float]:
    """Centred running mean over ``WINDOW`` of the curve; shorter at both ends."""
    half = int(len(values) * WINDOW / 2)
    windows = [values[max(0, i - half) : i + half + 1] for i in range(len(values))]
    return [sum(window) / len(window) for window in windows]


def _label(evidence: Evidence, curve: Curve) -> str:
    trial = next(trial for trial in evidence.summary["trials"] if trial["number"] == curve.trial)
    what = "baseline" if curve.trial == 0 else f"trial {curve.trial}"
    winner = " (winner)" if curve.trial == evidence.leader and evidence.summary["winner"] else ""
    return f"{what}{winner}: {number(trial['value'])}"


def _span(drawn: Sequence[Curve]) -> tuple[float, float]:
    """From the lowest to the highest value after the first tenth, where curves often start far out."""
    settled = [value for curve in drawn for value in curve.values[len(curve.values) // 10 :]]
    low, high = min(settled), max(settled)
    room = 0.06 * ((high - low) or abs(high) or 1.0)
    return low - room, high + room
