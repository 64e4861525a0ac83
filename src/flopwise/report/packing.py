"""The ways of cutting the machine that were measured: what each gave, what it costs, and which one was taken."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from flopwise.budget.packing import format_rate
from flopwise.events import Event, PackingChosen, PackingMeasured, SessionOpened
from flopwise.report.grid import Grid, right
from flopwise.report.text import BLANK
from flopwise.units import format_bytes, format_money, format_seconds

PER = 100
"""Evaluations that a price is given for."""

Packing = Mapping[str, Any]
"""As :meth:`Packings.to_json` gives it."""


class Packings:
    """A fold over a run's events, by number of the machine's cores."""

    def __init__(self) -> None:
        self._cores = 0
        self._measured: dict[int, dict[tuple[int, int], PackingMeasured]] = {}
        self._chosen: PackingChosen | None = None

    def apply(self, event: Event) -> None:
        """Take one event; most say nothing about packing."""
        match event:
            case SessionOpened():
                self._cores = int(event.machine.get("cores", 0))
            case PackingMeasured():
                self._measured.setdefault(self._cores, {})[event.slots, event.threads] = event
            case PackingChosen():
                self._chosen = event

    def to_json(self, price_per_hour: float) -> dict[str, Any] | None:
        """What was chosen last and the pairs measured on such a machine; None when nothing was.

        Args:
            price_per_hour: Of the whole machine.
        """
        chosen = self._chosen
        cores = chosen.cores if chosen else max(self._measured, default=None)
        if cores is None:
            return None
        pairs = [pair for _, pair in sorted(self._measured.get(cores, {}).items())]
        return {
            "cores": cores,
            "slots": chosen.slots if chosen else None,
            "threads": chosen.threads if chosen else None,
            "reason": chosen.reason if chosen else "",
            "pairs": list(_rows(pairs, price_per_hour)),
        }


def _rows(pairs: Sequence[PackingMeasured], price_per_hour: float) -> Iterator[dict[str, Any]]:
    means = {index: statistics.fmean(pair.seconds) for index, pair in enumerate(pairs) if not pair.cause}
    fastest = min(means.values(), default=0.0)
    for index, pair in enumerate(pairs):
        rate, mean_s = pair.evaluations_per_hour, means.get(index)
        yield {
            "slots": pair.slots,
            "threads": pair.threads,
            "evaluations_per_hour": rate,
            "seconds": mean_s,
            "slowdown": mean_s / fastest if mean_s and fastest else None,
            "peak_rss_bytes": pair.peak_rss_bytes,
            "price_per_100": PER * price_per_hour / rate if rate else None,
            "cause": pair.cause,
        }


def packing_grid(packing: Packing) -> Grid:
    """A row a pair; the one that was taken has an asterisk.

    *slowdown* is how much longer one evaluation takes than at the pair where it is fastest.
    """
    titles = ("slots × threads", "evaluations/h", "each", "slowdown", "memory", f"price of {PER}")
    taken = packing["slots"], packing["threads"]
    marks = ["best" if (pair["slots"], pair["threads"]) == taken else "" for pair in packing["pairs"]]
    return Grid.of([right(title) for title in titles], [_cells(pair, taken) for pair in packing["pairs"]], marks)


def _cells(pair: Mapping[str, Any], taken: tuple[int | None, int | None]) -> tuple[str, ...]:
    rate, slowdown, memory = pair["evaluations_per_hour"], pair["slowdown"], pair["peak_rss_bytes"]
    mark = "* " if (pair["slots"], pair["threads"]) == taken else ""
    return (
        f"{mark}{pair['slots']} × {pair['threads']}",
        format_rate(rate) if rate else BLANK,
        format_seconds(pair["seconds"]) if pair["seconds"] is not None else BLANK,
        f"{slowdown:.2f}" if slowdown is not None else BLANK,
        format_bytes(memory) if memory is not None else BLANK,
        format_money(pair["price_per_100"]) if pair["price_per_100"] is not None else BLANK,
    )


def packing_sentences(packing: Packing) -> list[str]:
    """The choice and its reason, then why each of the pairs without a rate has none."""
    slots, threads = packing["slots"], packing["threads"]
    taken = [f"{slots} × {threads} is taken: {packing['reason']}."] if slots is not None else []
    return taken + [
        f"{pair['slots']} × {pair['threads']}: {pair['cause']}." for pair in packing["pairs"] if pair["cause"]
    ]
