"""The lines above the live table: how far, what it has cost, how good, and how busy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from flopwise.budget.ledger import Ledger
from flopwise.journal.replay import RunState
from flopwise.report.slots import SlotMeter
from flopwise.report.standing import Standing
from flopwise.report.text import number, percent, sparkline
from flopwise.units import format_flops, format_money, format_seconds

BAR = 24
"""Characters of a bar at most."""

SPARKS = 24
"""Characters of the line of best values at most."""

LABEL = 13
"""Characters that a gauge's name takes."""

MOST_SHARES = 6
"""With more slots than this their loads are bars only."""

BUSY = "▁▂▃▄▅▆▇█"

OUT = "×"
"""In place of a bar: the slot is quarantined."""


def gauges(
    state: RunState, ledger: Ledger, standing: Standing, meter: SlotMeter | None, width: int
) -> Iterator[tuple[str, str]]:
    """Name and text of each gauge that has something to show.

    Args:
        state: Of the run.
        ledger: Of the run.
        standing: Up to date with the state.
        meter: Of the slots; None where nobody measures.
        width: Characters of the terminal.
    """
    yield "evaluations", _evaluations(state, standing, width)
    yield "spent", _spent(state, ledger, width)
    if standing.best is not None:
        yield "best", _best(state, standing, width)
    if state.sessions:
        yield "slots", slots_line(state, meter)


def _evaluations(state: RunState, standing: Standing, width: int) -> str:
    done, left, eta_s = len(state.final_ends), standing.left(state), standing.eta_s(state)
    failed = f"{standing.failed} failed" if standing.failed else ""
    if left is None:
        return joined(f"{done:,}", failed)
    eta = f"ETA {format_seconds(eta_s)}" if eta_s and state.tier else ""
    return _with_bar(done / max(1, done + left), joined(f"{done:,} of {done + left:,}", failed, eta), width)


def _spent(state: RunState, ledger: Ledger, width: int) -> str:
    """The fullest of the study's limits as a bar, then what else there is to say."""
    spent = ledger.spent()
    money = format_money(spent.price) if state.study["execution"]["price_per_hour"] else ""
    parts = {"device": f"{format_seconds(spent.device_s)} device", "price": money}
    fullest = max(limit_shares(state.study["limits"], ledger).items(), key=lambda item: item[1][0], default=None)
    if fullest is None:
        return joined(*parts.values())
    name, (share, text) = fullest
    others = [part for key, part in parts.items() if not name.startswith(key)]
    return _with_bar(share, joined(text, *others), width)


def limit_shares(limits: Mapping[str, float | None], ledger: Ledger) -> dict[str, tuple[float, str]]:
    """Each limit of a study: how much of it is used, as a share and in words."""
    spent = ledger.spent()
    used: Mapping[str, tuple[float, Callable[[float], str], str]] = {
        "evaluations": (spent.evaluations, "{:,.0f}".format, " evaluations"),
        "device_hours": (spent.device_s / 3600, lambda hours: format_seconds(hours * 3600), " device"),
        "wall_clock": (spent.wall_s, format_seconds, " wall"),
        "price": (spent.price, format_money, ""),
        "flops": (spent.flops, format_flops, ""),
    }
    found = {}
    for name, (amount, shown, unit) in used.items():
        limit = limits.get(name)
        if limit:
            found[name] = (amount / limit, f"{shown(amount)} of {shown(limit)}{unit}")
    return found


def _best(state: RunState, standing: Standing, width: int) -> str:
    """The best value so far as it came about, its trial, and how far it is from the baseline."""
    assert standing.best is not None
    objective, (trial, loss) = state.objective, standing.best
    name = "baseline" if trial == 0 else f"trial {trial}"
    baseline = state.trials[0].loss(objective) if 0 in state.trials else None
    gain = f"{percent((baseline - loss) / abs(baseline))} better than the baseline" if baseline and trial else ""
    text = joined(f"{number(objective.value(loss))} ({name})", gain)
    room = max(2, min(SPARKS, width - LABEL - 2 - len(text)))
    return f"{sparkline([objective.value(value) for value in _thinned(standing.course, room)])}  {text}"


def slots_line(state: RunState, meter: SlotMeter | None) -> str:
    """One bar a slot, how many are busy, and the share of their cores that they use."""
    slots, running = state.sessions[-1].opened.slots, state.running()
    on = {attempt.intent.slot: str(attempt.id) for attempt in running}
    shares = [_share(on.get(slot["index"]), slot["threads"], meter) for slot in slots]
    known = [share for share in shares if share is not None]
    out = state.quarantined
    bars = "".join(
        OUT if slot["index"] in out else _bar_of(slot["index"] in on, share)
        for slot, share in zip(slots, shares, strict=True)
    )
    load = ""
    if known:
        each = " ".join(percent(share) if share is not None else "·" for share in shares)
        load = f"CPU {each}" if len(slots) <= MOST_SHARES else f"CPU {percent(sum(known) / len(known))} on average"
    return f"{bars}  {joined(f'{len(on)} of {len(slots)} busy', load, f'{len(out)} quarantined' if out else '')}"


def _share(attempt: str | None, threads: int, meter: SlotMeter | None) -> float | None:
    """Of the slot's cores that its attempt keeps busy."""
    cpus = meter.share(attempt) if meter is not None and attempt is not None else None
    return None if cpus is None else round(cpus / max(1, threads), 2)


def _bar_of(busy: bool, share: float | None) -> str:
    if not busy:
        return "·"
    return BUSY[round(min(1.0, share) * (len(BUSY) - 1))] if share is not None else "░"


def _thinned(values: Sequence[float], most: int) -> list[float]:
    """At most so many of the values, evenly; the last one always."""
    if len(values) <= most:
        return list(values)
    return [values[round(index * (len(values) - 1) / (most - 1))] for index in range(most)]


def _with_bar(share: float, text: str, width: int) -> str:
    room = min(BAR, width - LABEL - 2 - len(text) - 1)
    return f"{bar(share, room)}  {text}" if room >= 6 else text


def bar(share: float, width: int) -> str:
    """A share as a line of that many characters.

    Example:
        >>> bar(0.45, 10)
        '━━━━╸─────'
    """
    halves = round(2 * width * min(1.0, max(0.0, share)))
    line = "━" * (halves // 2) + "╸" * (halves % 2)
    return line + "─" * (width - len(line))


def joined(*parts: str) -> str:
    """Parts that are not empty, on one line."""
    return "  ·  ".join(part for part in parts if part)
