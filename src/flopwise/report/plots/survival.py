"""Which share of the fresh seeds had not reached the target by then, winner beside baseline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from flopwise.report.evidence import Evidence
from flopwise.report.plots import style
from flopwise.report.text import number

SIDES = (("winner", style.WINNER, "-"), ("baseline", style.BASELINE, (0, (5, 2))))


def survival(evidence: Evidence) -> Figure | None:
    """Kaplan and Meier's curves; None where every training of the deciding step reached the target."""
    timed = evidence.summary["timed"]
    if timed is None or timed["compared"] is None:
        return None
    compared = timed["compared"]
    figure = style.figure(3.4)
    axes = figure.add_subplot()
    end = max(max(end for name, _, _ in SIDES for end in _ends(compared[name])), compared["horizon"])
    for name, colour, dashes in SIDES:
        _draw(axes, compared[name], name, colour, dashes)
    axes.axvline(compared["horizon"], color=style.QUIET, linewidth=0.9, linestyle=":", zorder=1)
    axes.annotate(
        "up to here all of them were watched", (compared["horizon"], 0.0), xytext=(-5, 3),
        textcoords="offset points", ha="right", va="bottom", color=style.QUIET, fontsize=8,
    )  # fmt: skip
    axes.set_ylim(-0.03, 1.05)
    axes.set_xlim(0, end * 1.04)
    axes.set_xlabel("seconds of training")
    axes.set_ylabel(f"share not at {timed['target']:g} yet")
    handles, _ = axes.get_legend_handles_labels()
    style.legend(figure, handles)
    p = compared["logrank"]
    if p is not None:
        axes.set_title(f"log-rank p = {number(p)}", loc="right", fontsize=8.5, color=style.QUIET)
    return figure


def _ends(side: Mapping[str, Any]) -> list[float]:
    return [seconds for seconds, _ in side["curve"]] + list(side["censored"])


def _draw(axes: Axes, side: Mapping[str, Any], name: str, colour: str, dashes: Any) -> None:
    """Up to the last moment at which one of its trainings was watched."""
    end = max(_ends(side))
    xs, ys = [[*values] for values in zip(*side["curve"], strict=True)]
    label = f"{name}: {side['reached']} of {side['seeds']} reached it"
    axes.step([*xs, end], [*ys, ys[-1]], where="post", color=colour, linewidth=2.0, linestyle=dashes, label=label)
    for seconds in side["censored"]:
        share = [share for moment, share in side["curve"] if moment <= seconds][-1]
        axes.plot([seconds], [share], "|", color=colour, markersize=11, markeredgewidth=1.8, clip_on=False)
