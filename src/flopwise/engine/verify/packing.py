"""Is each rate of the packing what its seconds give, and was the pair taken that they speak for?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from flopwise.engine.verify.difference import Difference, compare
from flopwise.engine.verify.records import Record
from flopwise.engine.verify.run import Run
from flopwise.events import PackingChosen, PackingMeasured, SessionOpened

CLOSE = 1e-9
"""Relative tolerance of rates: the order of divisions is not part of the promise."""

EQUAL = 0.95
"""Rates of at least this share of the best are as good; the smaller pair is taken."""

UNMEASURED = "not measured"
"""A choice without measurements begins its reason with this."""

Rates = dict[tuple[int, int], float]


def check_packing(run: Run) -> Iterator[Difference]:
    """Rates, causes and choices, in journal order."""
    by_cores: dict[int, Rates] = {}
    cores = 0
    for record in run.records:
        match record.event:
            case SessionOpened() as event:
                cores = event.machine.get("cores", 0)
            case PackingMeasured() as event:
                yield from _measured(record, event)
                by_cores.setdefault(cores, {})[event.slots, event.threads] = event.evaluations_per_hour
            case PackingChosen() as event:
                yield from compare(record.where, cores, event.cores, "cores")
                yield from _chosen(run, record, event, by_cores.get(cores, {}))


def _measured(record: Record, event: PackingMeasured) -> Iterator[Difference]:
    if event.cause:
        yield from compare(record.where, 0.0, event.evaluations_per_hour, "evaluations_per_hour")
        return
    if len(event.seconds) != event.slots:
        yield Difference(record.where, "seconds", f"{event.slots}, one a slot", str(len(event.seconds)))
        return
    rate = 3600.0 * event.slots**2 / math.fsum(event.seconds)
    yield from compare(record.where, rate, event.evaluations_per_hour, "evaluations_per_hour", CLOSE)


def _chosen(run: Run, record: Record, event: PackingChosen, rates: Rates) -> Iterator[Difference]:
    if event.slots * event.threads > event.cores:
        yield Difference(record.where, "slots", f"with threads at most {event.cores} cores", f"{event.slots}")
    good = [pair for pair, rate in rates.items() if rate > 0 and rate >= EQUAL * max(rates.values())]
    if not good or event.reason.startswith(UNMEASURED):
        if good or not event.reason.startswith(UNMEASURED):
            yield Difference(record.where, "reason", "a pair that was measured, or why none was", event.reason)
        return
    slots, threads = min(good)
    yield from compare(record.where, slots, event.slots, "slots")
    yield from compare(record.where, threads, event.threads, "threads")


def expected_packing(run: Run) -> dict[str, Any] | None:
    """The report's section, from the records."""
    pairs: dict[int, dict[tuple[int, int], PackingMeasured]] = {}
    choice: PackingChosen | None = None
    cores = 0
    for record in run.records:
        if isinstance(record.event, SessionOpened):
            cores = record.event.machine.get("cores", 0)
        elif isinstance(record.event, PackingMeasured):
            pairs.setdefault(cores, {})[record.event.slots, record.event.threads] = record.event
        elif isinstance(record.event, PackingChosen):
            choice = record.event
    if choice is None and not pairs:
        return None
    cores = max(pairs) if choice is None else choice.cores
    return {
        "cores": cores,
        "slots": None if choice is None else choice.slots,
        "threads": None if choice is None else choice.threads,
        "reason": "" if choice is None else choice.reason,
        "pairs": _pairs(pairs.get(cores, {}), run.study["execution"]["price_per_hour"]),
    }


def _pairs(pairs: Mapping[tuple[int, int], PackingMeasured], price_per_hour: float) -> list[dict[str, Any]]:
    means = {pair: math.fsum(each.seconds) / len(each.seconds) for pair, each in pairs.items() if not each.cause}
    return [
        {
            "slots": each.slots,
            "threads": each.threads,
            "evaluations_per_hour": each.evaluations_per_hour,
            "seconds": means.get(pair),
            "slowdown": means[pair] / min(means.values()) if pair in means else None,
            "peak_rss_bytes": each.peak_rss_bytes,
            "price_per_100": None if each.cause else 100 * price_per_hour / each.evaluations_per_hour,
            "cause": each.cause,
        }
        for pair, each in sorted(pairs.items())
    ]
