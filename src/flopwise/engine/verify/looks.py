"""Was every look at the deciding step what its seeds say, and are its bounds those that keep the promise?

The bounds are computed again by another quadrature: the 5% that are spent over the looks have to come out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.special import ndtr, roots_jacobi, stdtr, stdtrit

from flopwise.engine.verify.comparison import CLOSE, beside, evidence, judge, seeds_needed, unknown
from flopwise.engine.verify.difference import Difference, compare, show
from flopwise.engine.verify.run import Run
from flopwise.engine.verify.timing import by_chance, compared, horizon, nobody

SPENT = 0.05
EXPONENT = 1.5
FUTILE = 0.10
RISK = 0.05

NEAR = 2e-3
"""Relative tolerance of critical values, which are integrals; bounds are held to the one in the journal exactly."""


def looks_of(run: Run) -> list[int]:
    """Planned looks in seeds; empty before the deciding step."""
    return list(run.phases["decide"][1].detail["looks"]) if "decide" in run.phases else []


def check_looks(run: Run) -> Iterator[Difference]:
    """Every look in order, on all the seeds it had, and what it decided."""
    looks = looks_of(run)
    for place, (record, event) in enumerate(run.looks):
        if place >= len(looks) or event.look != place + 1:
            yield Difference(record.where, "look", f"one of {len(looks)}, in order", str(event.look))
            return
        trials = run.by_phase("decide")[: 2 * (place + 1)]
        if len(trials) < 2 * (place + 1) or not all(trial.finished for trial in trials):
            yield Difference(record.where, "look", "after all its seeds have ended", "before")
            return
        yield from _look(run, record.where, event.decision, event.numbers, looks[: place + 1], looks)


def _look(
    run: Run, where: str, decision: str, found: dict[str, Any], until: Sequence[int], looks: Sequence[int]
) -> Iterator[Difference]:
    chosen = run.phases["decide"][1].detail["chosen"]
    timed = "target" in run.study["objective"]
    losses = [_losses(run, of, until[-1]) for of in (0, chosen)]
    if timed:
        losses = list(compared(run, chosen, until[-1]))
    both = [b is not None and w is not None for b, w in zip(*losses, strict=True)]
    pairs = tuple(n for n in (sum(both[:seeds]) for seeds in until) if n >= 2)
    last = len(until) == len(looks)
    critical = found.get("critical")
    if pairs and sum(both) >= 2:
        expected = critical_values(pairs, looks[-1], last)[-1]
        yield from compare(where, expected, critical, "numbers.critical", NEAR)
    sign = -1.0 if run.study["objective"]["direction"] == "maximize" else 1.0
    share = run.study["confirm"]["min_improvement"]
    numbers = evidence(losses[0], losses[1], share, sign, looks, critical)
    yield from _beside(run, where, found, pairs, until[-1], looks)
    numbers["also"] = found.get("also")
    word = alone = judge(numbers)
    needed = [each for each in numbers["also"] if each["needed"]]
    if word == "GO" and not all(each["holds"] for each in needed):
        word = "NO-GO" if any(each["holds"] is False for each in needed) else "INCONCLUSIVE"
    if word == "INCONCLUSIVE" and not numbers["failed_winner"]:
        open_ = [each["n_needed"] for each in needed if each["holds"] is None]
        beside = None if None in open_ else max(open_, default=None)
        numbers["n_needed"] = seeds_needed(numbers) if alone == word else beside
    chance = None if last or numbers["sd"] is None else _chance(numbers, pairs)
    if (chance is None) != (found.get("chance") is None) or (
        chance is not None and abs(chance - found["chance"]) > NEAR
    ):
        yield Difference(where, "numbers.chance", show(chance), show(found.get("chance")))
    numbers["chance"] = found.get("chance")
    yield from compare(where, numbers, found, "numbers", CLOSE)
    over = last or _over(word, numbers)
    if timed:
        unsure = word == "GO" and not math.isinf(horizon(run, chosen, until[-1])) and by_chance(*losses) > RISK
        word, over = ("INCONCLUSIVE", last) if unsure or nobody(run, chosen, until[-1]) else (word, over)
    yield from compare(where, word if over else "continue", decision, "decision")


def _beside(
    run: Run, where: str, found: dict[str, Any], pairs: tuple[int, ...], seeds: int, looks: Sequence[int]
) -> Iterator[Difference]:
    """The other metrics: bounds of the same looks, of Bonferroni's where they are only reported."""
    also = run.study["confirm"].get("also", {})
    reported = sum(each["worse"] is None and each["limit"] is None for each in also.values())
    expected = []
    for metric, each in also.items():
        needed = each["worse"] is not None or each["limit"] is not None
        values = [_metric(run, of, metric)[:seeds] for of in (0, run.phases["decide"][1].detail["chosen"])]
        known = [pair for pair in zip(*values, strict=True) if None not in pair]
        if not pairs or len(known) != pairs[-1]:
            expected.append(unknown(metric, needed, len(known) if pairs else 0))
            continue
        critical = critical_values(pairs, looks[-1], seeds == looks[-1], SPENT if needed else SPENT / reported)[-1]
        expected.append(beside(metric, each, known, critical))
    # n_needed is rounded up from a critical value that is an integral: a neighbour is as right.
    for mine, theirs in zip(expected, found.get("also", ()), strict=False):
        near = [mine["n_needed"], theirs.get("n_needed")]
        if None not in near and abs(near[0] - near[1]) <= 1:
            mine["n_needed"] = near[1]
    yield from compare(where, expected, found.get("also"), "numbers.also", NEAR)


def _metric(run: Run, of: int, name: str) -> list[float | None]:
    """One value a fresh seed, over all looks."""
    trials = [trial for trial in run.by_phase("decide") if trial.event.of == of]
    ends = [end for trial in trials for end in trial.ends]
    return [end.metrics.get(name) if end is not None and end.outcome == "ok" else None for end in ends]


def _losses(run: Run, of: int, seeds: int) -> list[float | None]:
    trials = [trial for trial in run.by_phase("decide") if trial.event.of == of]
    return [loss for trial in trials for loss in trial.losses()][:seeds]


def _over(word: str, numbers: dict[str, Any]) -> bool:
    """Whether a look before the last ends it: decided, without hope of a GO, or with little."""
    if numbers["failed_winner"]:
        return True
    if not numbers["sd"]:
        return False
    return word != "INCONCLUSIVE" or numbers["chance"] < FUTILE


def _chance(numbers: dict[str, Any], pairs: tuple[int, ...]) -> float:
    """Of a GO in the end, with the spread seen and twice the improvement asked for, or what was seen if more."""
    n, sd, mean, least = numbers["n"], numbers["sd"], numbers["mean_improvement"], numbers["threshold"]
    left = numbers["planned"] - numbers["seeds"]
    whole = n + left
    final = critical_values((*pairs, whole), numbers["planned"], True)[-1]
    room = whole * max(least, final * sd / math.sqrt(whole)) - n * mean - left * max(2.0 * least, mean)
    return float(room <= 0) if sd == 0 else float(ndtr(-room / (sd * math.sqrt(left))))


@lru_cache(maxsize=512)
def critical_values(pairs: tuple[int, ...], of: int, last: bool, alpha: float = SPENT) -> tuple[float, ...]:
    """t values whose first crossings spend the error over the looks, when nothing is better than the baseline.

    With psi = arcsin(r / sqrt(n)) as the variable and Gauss-Jacobi nodes for sin(phi): see ``stats/sequential`` for
    the chain that is followed.
    """
    if len(pairs) == 1 and last:
        return (float(stdtrit(pairs[0] - 1, 1.0 - alpha)),)
    psi = np.linspace(-math.pi / 2, math.pi / 2, 801)
    n, found, spent = pairs[0], [], 0.0
    mass = stdtr(n - 1, math.sqrt(n - 1) * np.tan(psi))
    edge, top = math.pi / 2, 1.0
    for place, count in enumerate(pairs):
        while n < count:
            mass, edge, n = _step(psi, mass, edge, top, n), math.pi / 2, n + 1
        due = alpha if last and place == len(pairs) - 1 else alpha * (count / of) ** EXPONENT
        top -= due - spent
        spent = due
        edge = _where(psi, mass, top)
        found.append(math.sqrt(count - 1) * math.tan(edge))
    return tuple(found)


def _step(psi: Any, mass: Any, edge: float, top: float, n: int) -> Any:
    """The distribution after one more difference, from that of what has not crossed at ``edge``, ``top`` in all."""
    below = psi < edge
    known = PchipInterpolator(np.append(psi[below], edge), np.append(mass[below], top))
    shifts, weights = roots_jacobi(200, n / 2 - 1, n / 2 - 1)
    value = (math.sqrt(n + 1) * np.sin(psi)[:, None] - shifts) / np.sqrt(1.0 - shifts**2)
    before = np.arcsin(np.clip(value / math.sqrt(n), -1.0, 1.0))
    return known(np.minimum(before, edge)) @ (weights / weights.sum())


def _where(psi: Any, mass: Any, level: float) -> float:
    """Where a rising function reaches a level, by bisection on its interpolant."""
    known = PchipInterpolator(psi, mass)
    low, high = -math.pi / 2, math.pi / 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if known(middle) < level else (low, middle)
    return (low + high) / 2
