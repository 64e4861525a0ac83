"""What became of the slots: how busy, how often interrupted, how much in other processes' way, and which failed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from flopwise.contention import CONTENDED_ABOVE, is_contended
from flopwise.events import AttemptEnded, Event
from flopwise.journal.replay import AttemptState, RunState
from flopwise.journal.states import EXCLUDED
from flopwise.paths import RunFolder
from flopwise.report.grid import Column, Grid, right
from flopwise.report.slots import SlotMeter
from flopwise.report.text import BLANK, percent
from flopwise.trial import Outcome

CONTENDED = "!"
"""Beside a time during which other processes were in the way."""

WELL = frozenset({Outcome.OK, Outcome.PRUNED})


def slot_use(state: RunState) -> list[dict[str, Any]]:
    """One row a slot of the last session; ``report.summary`` says what each key holds."""
    if not state.sessions:
        return []
    opened = state.sessions[-1].opened
    on: dict[int, list[AttemptState]] = {slot["index"]: [] for slot in opened.slots}
    for trial in state.trials.values():
        for attempt in trial.attempts:
            if attempt.intent.session == opened.session and attempt.intent.slot in on:
                on[attempt.intent.slot].append(attempt)
    return [_row(slot, on[slot["index"]], state) for slot in opened.slots]


def _row(slot: Mapping[str, Any], attempts: Iterable[AttemptState], state: RunState) -> dict[str, Any]:
    index = slot["index"]
    ends = [attempt.ended for attempt in attempts if attempt.ended is not None]
    running = [str(attempt.id) for attempt in state.running() if attempt.intent.slot == index]
    quarantined = state.quarantined.get(index)
    return {
        "slot": index,
        "attempts": len(ends),
        "failed": sum(not end.interrupted and end.outcome not in WELL for end in ends),
        "seconds": sum(_seconds(end) for end in ends),
        "load": _load(ends, slot["threads"]),
        "switches_per_s": _switches_per_s(ends),
        "contention": _contention(ends),
        "running": running[0] if running else None,
        "quarantined": quarantined.cause if quarantined else None,
    }


def contention(state: RunState) -> dict[str, Any]:
    """How many attempts of the run were in other processes' way, of those of which it is known."""
    known = [end.contention for end in state.ended() if end.contention is not None]
    return {"contended": sum(map(is_contended, known)), "known": len(known), "above": CONTENDED_ABOVE}


def _seconds(end: AttemptEnded) -> float:
    return end.ended_at - end.started_at


def _load(ends: Iterable[AttemptEnded], threads: int) -> float | None:
    """Share of the slot's cores that its attempts kept busy while they ran."""
    known = [end for end in ends if end.cpu_s is not None]
    seconds = sum(_seconds(end) for end in known)
    return sum(end.cpu_s or 0.0 for end in known) / (threads * seconds) if seconds else None


def _switches_per_s(ends: Iterable[AttemptEnded]) -> float | None:
    known = [end for end in ends if end.switches is not None]
    seconds = sum(_seconds(end) for end in known)
    return sum(sum(end.switches or ()) for end in known) / seconds if seconds else None


def _contention(ends: Iterable[AttemptEnded]) -> float | None:
    """Share of the slot's time that others took, over all of its attempts."""
    known = [end for end in ends if end.contention is not None]
    seconds = sum(_seconds(end) for end in known)
    return sum((end.contention or 0.0) * _seconds(end) for end in known) / seconds if seconds else None


def slots_now(folder: RunFolder, events: Iterable[Event], summary: Mapping[str, Any], now: float) -> list[Any]:
    """The summary's ``slot_use`` after one look at what runs, where it runs on this machine.

    Args:
        folder: The run folder.
        events: What the summary is of.
        summary: Of a run that may be running.
        now: Monotonic seconds.
    """
    meter = SlotMeter(lambda _: folder)
    meter.look(RunState(events), now)
    return with_meter(summary["slot_use"], summary["slots"], meter)


def with_meter(rows: Iterable[Mapping[str, Any]], slots: Iterable[Mapping[str, Any]], meter: SlotMeter) -> list[Any]:
    """The same rows; where something runs, with what it uses now in place of what ended attempts used.

    Args:
        rows: The summary's ``slot_use``.
        slots: The summary's ``slots``.
        meter: Has looked.
    """
    threads = {slot["index"]: slot["threads"] for slot in slots}
    return [_metered(row, threads[row["slot"]], meter) for row in rows]


def _metered(row: Mapping[str, Any], threads: int, meter: SlotMeter) -> dict[str, Any]:
    share, switches = meter.share(row["running"] or ""), meter.switches_per_s(row["running"] or "")
    load = row["load"] if share is None else share / threads
    return {**row, "load": load, "switches_per_s": row["switches_per_s"] if switches is None else switches}


def slot_grid(rows: Iterable[Mapping[str, Any]]) -> Grid:
    """One line a slot: what ran there, how much of its cores it used, and what runs now.

    Args:
        rows: The summary's ``slot_use``, as it is or after :func:`with_meter`.
    """
    rows = list(rows)
    titles = ("slot", "attempts", "failed", "CPU", "switches/s", "contention")
    columns: list[str | Column] = [*(right(title) for title in titles), "now"]
    marks = ["failed" if row["quarantined"] else "quiet" if row["running"] is None else "" for row in rows]
    return Grid.of(columns, [_cells(row) for row in rows], marks)


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    switches, share = row["switches_per_s"], row["contention"]
    return (
        str(row["slot"]),
        f"{row['attempts']:,}",
        f"{row['failed']:,}" if row["failed"] else BLANK,
        BLANK if row["load"] is None else percent(round(row["load"], 2)),
        BLANK if switches is None else f"{switches:,.0f}",
        BLANK if share is None else (f"{CONTENDED} " if is_contended(share) else "") + percent(round(share, 2)),
        row["running"] or ("quarantined" if row["quarantined"] else "idle"),
    )


def slot_sentences(summary: Mapping[str, Any]) -> Iterator[str]:
    """What is to be said about slots: which were contended, and which are not used any more, and why."""
    found = summary["contention"]
    if found["contended"]:
        yield (
            f"{found['contended']:,} of {found['known']:,} measured attempts were contended ({CONTENDED}): other "
            f"processes took more than {percent(found['above'])} of their cores' time, so their seconds say little "
            "about their configs."
        )
    for row in summary["slot_use"]:
        if row["quarantined"]:
            yield f"Slot {row['slot']} {_out(row['quarantined'])}."


def _out(cause: str) -> str:
    return f"is {cause}" if cause == EXCLUDED else f"is quarantined until the next session: {cause}"
