"""What a GO rests on beside the fresh seeds: a stable study, sane curves, a lasting signal, a winner inside its space.

Each trigger holds, does not hold, or is unknown. Two of them turn a GO into INCONCLUSIVE when they do not hold, because
they say that the comparison was not of what it seems: *stability* and *curves*. The others are said and left to the
reader: fresh seeds have the last word on whether an improvement is real, and a better one beyond a bound takes nothing
from the one that was found.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

STABLE_BELOW = 0.05
"""Share of failed evaluations, after their retries."""
LEAST_FAILURES = 2
"""One failure is an accident."""
GENERATIONS = 3
"""The last generations of the search that are looked at."""

LOST_AGAIN = 0.5
"""A curve that ends so much of its fall above its lowest point has exploded, if that is far in itself, too:"""
FAR = 0.1
"""this share of the lowest point's value; so is one that ends so much above its beginning."""
LONG_STEP = 100.0
"""A gradient so many times the geometric mean of its curve is a pathology."""


@dataclass(frozen=True)
class Trigger:
    """One condition on a verdict.

    Args:
        name: One word.
        holds: None when nothing is known about it.
        vetoes: Whether a GO needs it.
        evidence: One sentence for people.
        numbers: Behind it, JSON values.
    """

    name: str
    holds: bool | None
    vetoes: bool
    evidence: str
    numbers: dict[str, Any]


@dataclass(frozen=True)
class Shape:
    """What is known of one learning curve; see :class:`flopwise.journal.course.Course`."""

    head: float
    low: float
    tail: float
    typical_length: float | None = None
    longest: float | None = None

    @property
    def exploded(self) -> bool:
        """Whether it ends far above its lowest point, or above where it began."""
        if not math.isfinite(self.tail):
            return True
        far = FAR * abs(self.low)
        lost = self.tail - self.low > max(far, LOST_AGAIN * (self.head - self.low))
        return lost or self.tail - self.head > FAR * abs(self.head)

    @property
    def jumped(self) -> bool:
        """Whether some gradient was far longer than is usual in this curve."""
        return self.longest is not None and self.longest > LONG_STEP * (self.typical_length or 0.0)


def stability(failed: Sequence[bool], generations: int) -> Trigger:
    """Do evaluations of the search end with a result?

    Args:
        failed: One a final evaluation of the generations looked at.
        generations: How many those are; 0 where the searcher has none.
    """
    count, share = sum(failed), sum(failed) / len(failed) if failed else 0.0
    holds = None if not failed else count < LEAST_FAILURES or share < STABLE_BELOW
    span = f"the last {generations} generations" if generations > 1 else "the search's last part"
    evidence = (
        f"{count} of {len(failed)} evaluations of {span} failed, after retries; fewer than {STABLE_BELOW:.0%} asked"
    )
    numbers = {"failed": count, "evaluations": len(failed), "generations": generations, "share": share}
    return Trigger("stability", holds, True, evidence, numbers)


def persistence(gains: Sequence[float | None], generations: Sequence[float | None], least: float | None) -> Trigger:
    """Is the improvement there whenever it is looked for, or was it one lucky trial?

    Args:
        gains: The winner's improvement in search, choosing and deciding, in the metric's unit; None where it was not
            measured.
        generations: Improvement of the best trial of each of the last generations; None where none ended ok.
        least: The threshold; None when it is unknown.
    """
    seen = [gain for gain in gains if gain is not None]
    best = [gain for gain in generations if gain is not None]
    reached = [] if least is None else [gain >= least for gain in best]
    holds = None
    if least is not None and len(seen) > 1:
        holds = all(gain >= least for gain in seen) and 2 * sum(reached) >= len(generations)
    shown = ", ".join(f"{name} {gain:.4g}" for name, gain in zip(PASSES, gains, strict=True) if gain is not None)
    evidence = f"better by: {shown or 'unknown'}; the best of a generation was by enough in {sum(reached)} of the last "
    numbers = {"gains": list(gains), "generations": list(generations), "reached": sum(reached)}
    return Trigger("persistence", holds, False, evidence + f"{len(generations)}", numbers)


PASSES = ("search", "choosing", "deciding")


def curves(shapes: Sequence[Shape]) -> Trigger:
    """Did the winner's trainings on fresh seeds fall and stay there, in even steps?

    Args:
        shapes: Of its evaluations that reported enough rows.
    """
    exploded, jumped = sum(shape.exploded for shape in shapes), sum(shape.jumped for shape in shapes)
    lengths = sum(shape.longest is not None for shape in shapes)
    evidence = f"{exploded} of the winner's {len(shapes)} curves on fresh seeds exploded"
    if lengths:
        evidence += f", {jumped} of {lengths} had a gradient over {LONG_STEP:g} times the usual"
    if not shapes:
        evidence = "the winner's evaluations reported no curve of ten rows or more"
    numbers = {"curves": len(shapes), "exploded": exploded, "lengths": lengths, "jumped": jumped}
    return Trigger("curves", None if not shapes else not exploded and not jumped, True, evidence, numbers)


def inside(pressed: Sequence[dict[str, Any]]) -> Trigger:
    """Does the winner lie inside its space, or would it go beyond a bound if it could?

    Args:
        pressed: One a parameter at its bound: ``key``, ``value``, ``end`` (low or high) and ``widen``, a wider bound
            that the workload takes; None where it takes none.
    """
    said = [
        f"{each['key']} = {each['value']:.4g} is at its `{each['end']}`: "
        + (
            "no wider bound is known to make sense"
            if each["widen"] is None
            else f"widen, try {each['end']}: {each['widen']:.4g}"
        )
        for each in pressed
    ]
    open_ = [each for each in pressed if each["widen"] is not None]
    evidence = "; ".join(said) or "no parameter of the winner is at a bound of its range"
    return Trigger("inside", not open_, False, evidence, {"pressed": list(pressed)})
