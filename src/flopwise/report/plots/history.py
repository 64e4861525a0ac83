"""Best so far against evaluations: did the search still learn when it ended?"""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from flopwise.report.evidence import Evidence, Finished
from flopwise.report.plots import style
from flopwise.trial import Phase

SEARCHED = (Phase.CALIBRATE, Phase.SEARCH)


def history(evidence: Evidence) -> Figure | None:
    """Every trial of calibration and search at the evaluation that finished it."""
    trials = [trial for trial in evidence.finished if trial.phase in SEARCHED]
    values = [trial.value for trial in trials if trial.value is not None]
    if len(values) < 2:
        return None
    figure = style.figure()
    axes = figure.add_subplot()
    span = style.limits(evidence, values)
    axes.set_ylim(*span)
    draw_trials(axes, trials, [trial.evaluations for trial in trials], span)
    draw_best(axes, evidence, trials, [float(trial.evaluations) for trial in trials], span)
    axes.set_xlabel("evaluations finished")
    axes.set_ylabel(style.metric_label(evidence))
    axes.xaxis.set_major_locator(MaxNLocator(9, integer=True))
    axes.set_xlim(0, None)
    style.legend(figure, entries(evidence, trials))
    return figure


def draw_trials(axes: Axes, trials: list[Finished], xs: Sequence[float], span: tuple[float, float]) -> None:
    """Dots for values; crosses along the bottom for failures; a triangle's tip where a value lies outside."""
    edge, size = span[0] + 0.02 * (span[1] - span[0]), style.dot(len(trials))
    for trial, x in zip(trials, xs, strict=True):
        if trial.value is None:
            axes.plot([x], [edge], "x", color=style.FAILED, markersize=5, zorder=4)
        elif span[0] <= trial.value <= span[1]:
            axes.plot([x], [trial.value], "o", color=style.TRIAL, markersize=size, alpha=0.9, zorder=3)
        else:
            beyond = span[1] if trial.value > span[1] else span[0]
            axes.plot([x], [beyond], "^" if beyond == span[1] else "v", color=style.TRIAL, markersize=5, clip_on=False)


def draw_best(
    axes: Axes, evidence: Evidence, trials: list[Finished], xs: list[float], span: tuple[float, float]
) -> None:
    """The best value so far as steps, the baseline's line, and a star on the trial to point at."""
    best: float | None = None
    steps: list[tuple[float, float]] = []
    for trial, x in zip(trials, xs, strict=True):
        if trial.value is not None and (best is None or evidence.sign * trial.value < evidence.sign * best):
            best = trial.value
        if best is not None:
            steps.append((x, style.clamp(best, span)))
        if trial.number == evidence.leader and trial.value is not None:
            style.star(axes, x, style.clamp(trial.value, span))
    axes.step([x for x, _ in steps], [y for _, y in steps], where="post", color=style.BEST, linewidth=1.8, zorder=5)
    if evidence.baseline:
        style.baseline_line(axes, style.clamp(evidence.baseline["value"], span))


def entries(evidence: Evidence, trials: list[Finished]) -> list[Line2D]:
    """What the legend has to say about these trials."""
    known = [style.best_entry(), style.trial_entry()]
    if any(trial.value is None for trial in trials):
        known.append(style.failed_entry())
    if evidence.baseline:
        known.append(style.baseline_entry(evidence))
    return [*known, style.star_entry(evidence)] if evidence.leader is not None else known
