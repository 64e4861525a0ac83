"""Screens of the command line as text: plan, status, problems, and the verdict with its price.

Everything fits 80 columns. On a terminal there are colours (unless ``NO_COLOR`` is set); into a pipe
or a file go plain lines.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.panel import Panel
from rich.text import Text

from flopwise.budget.plan import Plan
from flopwise.errors import Problem
from flopwise.report import probes, rows
from flopwise.report.answers import answer_grid
from flopwise.report.grid import Column, Drawing, Grid
from flopwise.report.headline import Summary, counted, headline, price_line
from flopwise.report.offer import offer_command, offer_sentences
from flopwise.report.packing import Packing, packing_grid, packing_sentences
from flopwise.report.pause import evidence_facts, ways_on
from flopwise.report.slot_use import slot_grid, slot_sentences
from flopwise.report.text import number, percent, plain
from flopwise.report.training import training_command
from flopwise.units import format_bytes, format_count, format_flops, format_money, format_seconds

WIDEST = 100
"""Columns used at most: longer lines are hard to read."""

LAST_TRIALS = 10

COLOURS: Mapping[str, str] = {"GO": "green", "NO-GO": "red", "INCONCLUSIVE": "yellow"}


def render(*parts: RenderableType | None, console: Console | None = None) -> str:
    """Renderables as one text, fit for standard output; None is left out.

    Args:
        *parts: From top to bottom.
        console: Whose width and colours count; None for standard output's.
    """
    console = console or Console(force_jupyter=False)  # in a notebook a capture would show empty outputs
    with console.capture() as captured:
        for part in parts:
            if part is not None:
                console.print(part, width=min(console.width, WIDEST))
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def closing_text(summary: Summary, reason: str, detail: str, folder: Path, console: Console | None = None) -> str:
    """The last screen of a session.

    Args:
        summary: Of the run.
        reason: planned, declined, refused, finished, stopped, paused, interrupted or failed.
        detail: One line.
        folder: The run folder.
        console: Whose width and colours count; None for standard output's.
    """
    body = [verdict_panel(summary), _winner(summary)] if summary["verdict"] else [_ending(summary, reason, detail)]
    if summary["questions"] and summary["verdict"]:
        body.append(_spaced(Drawing(answer_grid(summary))))
    larger = [_spaced(Text(plain(sentence), style="dim")) for sentence in offer_sentences(summary)]
    return render(*body, *larger, _spaced(_footer(summary, reason, folder)), console=console)


def verdict_panel(summary: Summary) -> RenderableType:
    """The verdict in one line, and the reasons for it."""
    verdict = summary["verdict"]
    colour = COLOURS.get(verdict["verdict"], "white")
    claim = Text.assemble((verdict["verdict"], f"bold {colour}"), "  ", (plain(headline(summary)), "bold"))
    reasons = [Text(plain(reason), style="dim") for reason in verdict["reasons"]]
    return Framed(Group(claim, *reasons), colour)


class Framed:
    """A renderable in a frame on a terminal, bare in a pipe."""

    def __init__(self, body: RenderableType, colour: str) -> None:
        self._body = body
        self._colour = colour

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Panel(self._body, border_style=self._colour) if console.is_terminal else self._body


def _winner(summary: Summary) -> RenderableType | None:
    """Winner beside baseline: every knob, then the means on fresh seeds."""
    grid, losses = rows.knobs(summary), rows.losses(summary)
    if grid is None or losses is None:
        return None
    metric = f"{summary['objective']['metric']} (mean)"
    means = (metric, *losses.rows[-1][1:3])
    return _spaced(Drawing(Grid(grid.columns, (*grid.rows, means), ("",) * len(grid.rows) + ("best",))))


def _ending(summary: Summary, reason: str, detail: str) -> RenderableType:
    said = f": {plain(detail)}" if detail else ""
    lines: list[RenderableType] = [Text.assemble((reason, "bold"), said)]
    if reason == "paused" and summary["policies"]:
        lines.append(_spaced(_facts(evidence_facts(summary["policies"][-1]["evidence"]))))
    best = _best_line(summary)
    if best:
        lines.append(Text(best))
    if summary["failures"]:
        lines.append(_spaced(Drawing(rows.failures(summary))))
    return Group(*lines)


def _best_line(summary: Summary) -> str:
    best, baseline = summary["best_so_far"], summary["baseline"]
    if not best or baseline is None:
        return ""
    metric, last = plain(summary["objective"]["metric"]), best[-1]
    if last["trial"] == 0:
        return f"best so far: the baseline, {metric} {number(last['value'])}"
    return (
        f"best so far: trial {last['trial']}, {metric} {number(last['value'])} "
        f"(baseline {number(baseline['mean'])}), not confirmed"
    )


def _footer(summary: Summary, reason: str, folder: Path) -> RenderableType:
    place = _near(folder)
    lines = [("spent", price_line(summary)), ("report", f"{place}/report.md")]
    again = {"planned": "run", "declined": "run", "refused": "run anyway", "interrupted": "go on"}.get(reason)
    if again:
        option = " --anyway" if reason == "refused" else ""
        lines.append((again, f"flopwise resume {shlex.quote(place)}{option}"))
    elif reason == "paused" and summary["policies"]:
        ways = ways_on(summary["policies"][-1], shlex.quote(place))
        lines += [(f"if {when}", way) for when, way in ways]
    if offer_command(summary):
        lines.append(("larger tier", offer_command(summary)))
    if summary["questions"] and training_command(summary):
        lines.append(("train it", training_command(summary)))
    return _facts(lines)


def _near(folder: Path) -> str:
    """The folder as seen from here, when it lies below."""
    here = Path.cwd()
    return str(folder.relative_to(here)) if folder.is_relative_to(here) else str(folder)


def status_text(summary: Summary, console: Console | None = None) -> str:
    """Where a run stands, from its summary."""
    tier = f"tier {summary['tier']}" if summary["tier"] else "no tier chosen"
    title = Text.assemble((plain(summary["name"]), "bold"), f"  {plain(summary['workload'])}, {plain(tier)}")
    verdict = verdict_panel(summary) if summary["verdict"] else Text(plain(headline(summary)))
    best = _best_line(summary)
    console = console or Console(force_jupyter=False)
    room = min(console.width, WIDEST) - rows.OTHER_COLUMNS
    return render(
        title,
        verdict,
        Text(best) if best and not summary["verdict"] else None,
        _spaced(Drawing(rows.trials(summary, LAST_TRIALS, room))) if summary["trials"] else None,
        _spaced(Drawing(rows.failures(summary))) if summary["failures"] else None,
        _spaced(Drawing(slot_grid(summary["slot_use"]))) if _has_run(summary) else None,
        *(_spaced(Text(plain(sentence))) for sentence in slot_sentences(summary)),
        _spaced(_facts([("spent", price_line(summary)), *_limits(summary)])),
        console=console,
    )


def _has_run(summary: Summary) -> bool:
    """Whether anything ran on the slots of the last session."""
    return any(row["attempts"] or row["running"] for row in summary["slot_use"])


def _limits(summary: Summary) -> Iterator[tuple[str, str]]:
    """What each of the study's limits still allows."""
    limits, spend = summary["limits"], summary["spend"]
    amounts: Mapping[str, tuple[float, Callable[[float], str], str]] = {
        "evaluations": (spend["evaluations"], "{:,}".format, " evaluations"),
        "device_hours": (spend["device_s"] / 3600, lambda hours: format_seconds(hours * 3600), " device"),
        "wall_clock": (spend["session_s"], format_seconds, " wall"),
        "price": (spend["total_price"], format_money, ""),
        "flops": (spend["train_flops"] or 0.0, format_flops, ""),
    }
    for name, (used, shown, unit) in amounts.items():
        if limits.get(name) is not None:
            yield "left", f"{shown(max(0, limits[name] - used))} of {shown(limits[name])}{unit}"


def plan_text(plan: Plan, study: Mapping[str, Any], packing: Packing | None = None) -> str:
    """What every tier would cost, before anything is spent on it: plain lines.

    Args:
        plan: To be shown.
        study: Canonical form.
        packing: Where the way of cutting the machine was measured.
    """
    facts = [("one evaluation", _evaluation(plan)), ("baseline", _baseline(plan, study)), *probes.facts(plan, study)]
    facts += [("confirmation", _confirmation(plan)), ("machine", _machine(plan))]
    alarms = [_note(alarm) for alarm in probes.alarms(plan)]
    notes = [*map(_note, plan.warnings), *(Text(plain(sentence)) for sentence in probes.left_out(plan))]
    console = Console(width=80, color_system=None, force_terminal=False, soft_wrap=False, force_jupyter=False)
    title = Text(f"plan of {plain(study['name'])}")
    first = [*alarms, Text("")] if alarms else []
    ladder = _spaced(Drawing(probes.ladder_grid(plan.probed.rungs))) if plan.probed.rungs else None
    priced = _spaced(Drawing(rows.plan_grid(plan)))
    warned = _spaced(Group(*notes)) if notes else None
    return render(title, *first, _facts(facts), *_packing(packing), ladder, priced, warned, console=console)


def _packing(packing: Packing | None) -> Iterator[RenderableType]:
    if packing is None:
        return
    if packing["pairs"]:
        yield _spaced(Drawing(packing_grid(packing)))
    yield _spaced(Group(*(Text(plain(sentence)) for sentence in packing_sentences(packing))))


def _evaluation(plan: Plan) -> str:
    parts = [format_seconds(plan.seconds_per_evaluation)]
    if plan.steps is not None:
        parts.append(f"{format_count(plan.steps)} steps")
    if plan.tokens is not None:
        parts.append(f"{format_count(plan.tokens)} tokens")
    if plan.flops is not None:
        parts.append(format_flops(plan.flops))
    if plan.peak_rss_bytes is not None:
        parts.append(format_bytes(plan.peak_rss_bytes))
    return ", ".join(parts)


def _baseline(plan: Plan, study: Mapping[str, Any]) -> str:
    noise, mean = plan.noise_sd, plan.baseline_mean
    metric = plain(study["objective"]["metric"])
    if mean is None:
        return f"{metric} unknown: no seed has one"
    if noise is None:
        return f"{metric} {number(mean)}, noise between seeds unknown"
    share = f" ({percent(noise / abs(mean))})" if mean else ""
    return f"{metric} {number(mean)}, noise between seeds {number(noise)}{share}"


def _seeds(plan: Plan) -> str:
    """``20``, or ``5, 10, 15 or 20`` where looks may end it early."""
    looks = [str(n) for n in plan.confirm_looks or (plan.confirm_seeds,)]
    return " or ".join(filter(None, (", ".join(looks[:-1]), looks[-1])))


def _confirmation(plan: Plan) -> str:
    return f"best {plan.confirm_top} on fresh seeds, then one and the baseline on {_seeds(plan)} more each"


def _machine(plan: Plan) -> str:
    return f"{counted(plan.slots, 'evaluation')} at a time, {format_money(plan.price_per_hour)} an hour"


def _note(warning: str) -> RenderableType:
    return Drawing(Grid.of(["", ""], [("!", warning)]), header=False)


def problems_text(problems: Sequence[Problem], console: Console | None = None) -> str:
    """Mistakes of a study file, one paragraph each: where, which key, what is wrong."""
    return render(*(Text(plain(str(problem))) for problem in problems), console=console)


def _facts(facts: Iterable[tuple[str, str]]) -> RenderableType:
    return Drawing(Grid.of([Column("", quiet=True), ""], facts), header=False)


def _spaced(body: RenderableType) -> RenderableType:
    return Padding(body, (1, 0, 0, 0))
