"""Which way of cutting a machine runs the most evaluations an hour: what to measure next, and what to choose.

A *pair* is so many slots of so many threads. Pairs are measured by running the baseline on all slots at
once, beginning in the middle of the list and going on only where it gets better: slots × threads is the
whole machine in every pair, so far from the best one an evaluation takes many times as long for nothing.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from flopwise.budget.limits import Limits, Spent
from flopwise.events import PackingMeasured

TIE = 0.05
"""Rates that differ by less than this share are taken as equal: one wave is no more exact."""

MEMORY_SHARE = 0.9
"""Evaluations may use this share of the machine's memory; the rest is for the system and the coordinator."""

LET_FINISH_S = 5.0
"""A wave is not cut short before this: for so few seconds, the table had better be complete."""

BUDGET_SHARE = 0.2
"""Packing may use this share of what a limit on time or money leaves."""

CLOSE_COUNTS = 1.25
"""A number of slots that only memory sets is worth measuring where it is so many times the next smaller one."""

MEMORY, SLOWER, LIMITS, TIMEOUT, KILLED = "memory", "slower", "limits", "timeout", "killed"
SETTLED = (MEMORY, SLOWER, LIMITS, TIMEOUT, KILLED)
"""First words of a cause that stands. Anything else (an interruption, a dead keeper) is measured again."""


@dataclass(frozen=True, order=True)
class Pair:
    """A way of cutting a machine.

    Args:
        slots: Evaluations at once.
        threads: Cores and threads of each.

    Example:
        >>> str(Pair(16, 8))
        '16 × 8'
    """

    slots: int
    threads: int

    def __str__(self) -> str:
        return f"{self.slots} × {self.threads}"


Measured = Mapping[Pair, PackingMeasured]
"""What is settled, by pair."""


@dataclass(frozen=True)
class Choice:
    """The pair to run with, and one sentence that says why."""

    pair: Pair
    reason: str


def candidates(cores: int, slots: int | None, most: int, nodes: int = 1) -> tuple[Pair, ...]:
    """The pairs worth a thought, the one preferred among equals first.

    With the number of slots open: from one slot of all cores to as many as can be used, halving, each with
    all the threads there is room for; among equals fewer slots, since each evaluation is done sooner. With
    the number of slots given: from one thread to as many as fit; among equals fewer, which leaves cores to
    others.

    Args:
        cores: Of the machine.
        slots: As the study gives them; None for any number.
        most: Evaluations that the search can have under way at a time.
        nodes: Memory nodes (NUMA) of equal size; slots are kept inside of one where they are small enough.

    Example:
        >>> [str(pair) for pair in candidates(12, None, most=100)]
        ['1 × 12', '3 × 4', '6 × 2', '12 × 1']
        >>> [str(pair) for pair in candidates(12, 2, most=100)]
        ['2 × 1', '2 × 2', '2 × 4', '2 × 6']
    """
    if slots is not None:
        room = max(1, cores // slots)
        return tuple(Pair(slots, threads) for threads in sorted({*_doublings(room), room}))
    counts = _counts(max(1, min(cores, most)), nodes)
    return tuple(Pair(count, cores // count) for count in counts)


def _counts(most: int, nodes: int) -> list[int]:
    """Halvings of the most slots: of each node's share first, then of the nodes."""
    whole = nodes if most % nodes == 0 else 1
    return sorted({*(whole * share for share in _halvings(most // whole)), *_halvings(whole)})


def _halvings(count: int) -> Iterator[int]:
    while count:
        yield count
        count //= 2


def _doublings(limit: int) -> Iterator[int]:
    count = 1
    while count <= limit:
        yield count
        count *= 2


def next_pair(pairs: Sequence[Pair], settled: Measured, memory_bytes: int) -> Pair | None:
    """The pair to measure next; None when the best one is known.

    From the middle towards more slots (or threads) as long as each pair is clearly better than the one
    before. If not even the first was, towards fewer as long as none is clearly worse than the best.

    Args:
        pairs: From :func:`candidates`.
        settled: What is known.
        memory_bytes: Of the machine.
    """
    start = pairs[len(pairs) // 2]
    pairs = with_memory_limit(pairs, settled, memory_bytes)
    middle = pairs.index(start)
    if start not in settled:
        return start
    first = best = settled[start].evaluations_per_hour
    for pair in pairs[middle + 1 :]:
        if pair not in settled:
            return pair
        if settled[pair].evaluations_per_hour <= best * (1 + TIE):
            break
        best = settled[pair].evaluations_per_hour
    return _next_below(pairs[:middle], settled, best) if best == first else None


def _next_below(pairs: Sequence[Pair], settled: Measured, best: float) -> Pair | None:
    for pair in reversed(pairs):
        if pair not in settled:
            return pair
        rate = settled[pair].evaluations_per_hour
        if rate < best * (1 - TIE):
            return None
        best = max(best, rate)
    return None


def with_memory_limit(pairs: Sequence[Pair], settled: Measured, memory_bytes: int) -> Sequence[Pair]:
    """The pairs, and where memory ends between two of them the most slots that fit."""
    peak, cores = _peak(settled), max(pair.slots * pair.threads for pair in pairs)
    counts = [pair.slots for pair in pairs]
    if peak is None or len(set(counts)) == 1:
        return pairs
    most = int(MEMORY_SHARE * memory_bytes / peak)
    below = max((count for count in counts if count <= most), default=0)
    if not below or most > max(counts) or most < CLOSE_COUNTS * below:
        return pairs
    return sorted({*pairs, Pair(most, max(1, cores // most))})


def _peak(settled: Measured) -> int | None:
    """Largest memory of one evaluation that ended."""
    peaks = [each.peak_rss_bytes for each in settled.values() if each.evaluations_per_hour > 0 and each.peak_rss_bytes]
    return max(peaks, default=None)


def too_big(pair: Pair, settled: Measured, memory_bytes: int) -> str:
    """Why a pair's memory cannot fit, as a cause; empty when it may."""
    failed = [other for other, each in settled.items() if each.cause.startswith(MEMORY) and other.slots <= pair.slots]
    if failed:
        return f"{MEMORY}: {min(failed)} has been too much already"
    return over_memory(pair, _peak(settled), memory_bytes)


def over_memory(pair: Pair, peak_bytes: int | None, memory_bytes: int) -> str:
    """The cause against a pair whose evaluations of so many bytes are too many; empty when they fit.

    Example:
        >>> over_memory(Pair(16, 8), 2 * 2**30, 24 * 2**30)
        'memory: 16 × 2.0 GiB, and 21.6 GiB are free to use'
    """
    usable = MEMORY_SHARE * memory_bytes
    if peak_bytes is None or pair.slots * peak_bytes <= usable:
        return ""
    return f"{MEMORY}: {pair.slots} × {peak_bytes / 2**30:.1f} GiB, and {usable / 2**30:.1f} GiB are free to use"


def too_long(pair: Pair, settled: Measured, left_s: float) -> str:
    """Why the limits leave too little to measure a pair, as a cause; empty when they may leave enough.

    Args:
        pair: It.
        settled: The others: one of its evaluations takes no less time than theirs, even if threads were perfect.
        left_s: Seconds that each of its evaluations may take.
    """
    means = [each.slots * 3600.0 / each.evaluations_per_hour for each in settled.values() if each.evaluations_per_hour]
    counts = [each.slots for each in settled.values() if each.evaluations_per_hour]
    least_s = min((mean * min(1.0, pair.slots / count) for mean, count in zip(means, counts, strict=True)), default=0.0)
    if least_s <= left_s:
        return ""
    return f"{LIMITS}: they leave {left_s:.3g} s for one evaluation, which takes {least_s:.3g} s at least"


def evaluations_per_hour(slots: int, seconds: Sequence[float]) -> float:
    """What so many slots do in an hour, each beginning the next evaluation when one has ended.

    This is the search's own way of working. The makespan of the wave would count the wait for its slowest
    evaluation, which a search fills.

    Example:
        >>> evaluations_per_hour(2, [9.0, 11.0])
        720.0
    """
    mean = statistics.fmean(seconds)
    return slots * 3600.0 / mean if mean > 0 else 0.0


def best_rate(settled: Measured) -> float:
    """The most evaluations an hour of all that count; 0 while none does."""
    return max((each.evaluations_per_hour for each in settled.values()), default=0.0)


def hopeless(slots: int, seconds: Sequence[float], settled: Measured) -> str:
    """The cause against a pair that is being measured and cannot be chosen any more; empty while it can.

    Args:
        slots: Of the pair.
        seconds: What each slot's evaluation has taken so far, or in all: together a lower bound of their mean.
        settled: The other pairs.

    Example:
        >>> hopeless(1, [40.0], {Pair(2, 1): PackingMeasured(2, 1, [60.0, 60.0], 120.0, None, "", 120.0, 0.0, 0.0)})
        'slower: at most 90 evaluations an hour; cut short after 40 s'
    """
    most = evaluations_per_hour(slots, seconds)
    if max(seconds) < LET_FINISH_S or not 0 < most < best_rate(settled) * (1 - TIE):
        return ""
    return f"{SLOWER}: at most {format_rate(most)} evaluations an hour; cut short after {max(seconds):.3g} s"


def format_rate(rate: float) -> str:
    """Evaluations an hour for people.

    Example:
        >>> format_rate(10951.3), format_rate(4.7364)
        ('10,951', '4.74')
    """
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}"


def choose(pairs: Iterable[Pair], settled: Measured) -> Choice | None:
    """The pair with the most evaluations an hour, or the preferred one of its equals; None when none counts.

    Args:
        pairs: The preferred one of equals first.
        settled: What is known.
    """
    counted = [pair for pair in sorted_as(pairs, settled) if settled[pair].evaluations_per_hour > 0]
    best = best_rate(settled)
    taken = next((pair for pair in counted if settled[pair].evaluations_per_hour >= best * (1 - TIE)), None)
    if taken is None:
        return None
    rate = settled[taken].evaluations_per_hour
    if rate == best:
        return Choice(taken, f"{format_rate(rate)} evaluations an hour, the most of {len(settled)} tried")
    fastest = next(pair for pair in counted if settled[pair].evaluations_per_hour == best)
    gain = "fewer cores are taken" if taken.slots == fastest.slots else "each evaluation is done sooner"
    return Choice(
        taken, f"{format_rate(rate)} evaluations an hour, as good as {fastest} ({format_rate(best)}), and {gain}"
    )


def sorted_as(pairs: Iterable[Pair], settled: Measured) -> list[Pair]:
    """What is settled, the one preferred among equals first; those that only memory made a candidate, too."""
    order = list(pairs)
    return sorted(settled, key=lambda pair: (pair.slots, order.index(pair) if pair in order else 0))


def allowance(limits: Limits, spent: Spent) -> tuple[float, float]:
    """Device seconds and wall seconds that packing may use; infinite where nothing limits them."""
    left = limits.time_left(spent)
    wall_s = min(left.get("wall_clock", math.inf), left.get("price", math.inf))
    return BUDGET_SHARE * left.get("device_hours", math.inf), BUDGET_SHARE * wall_s
