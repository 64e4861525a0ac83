"""What a comparison on paired seeds says, and which verdict follows from it: verify's own formulas."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from scipy.special import stdtrit

CLOSE = 1e-9
"""Relative tolerance for statistics: two correct formulas may differ in the last digits."""

FURTHEST = 1000
"""Beyond this many seeds no number is suggested."""


def evidence(
    baseline: Sequence[float | None],
    winner: Sequence[float | None],
    share: float,
    sign: float,
    looks: Sequence[int],
    critical: float | None,
) -> dict[str, Any]:
    """The numbers of a comparison on paired seeds at one look, from losses.

    Bounds lie so many standard errors from the mean; the noise is pooled over both configs.

    Args:
        baseline: Losses of the seeds so far.
        winner: On the same seeds.
        share: ``confirm.min_improvement``.
        sign: -1 where larger metrics are better.
        looks: Planned, in seeds.
        critical: Standard errors to the bounds.
    """
    pairs = [(b, w) for b, w in zip(baseline, winner, strict=True) if b is not None and w is not None]
    gains = [b - w for b, w in pairs]
    n = len(pairs)
    mean = math.fsum(gains) / n if n else None
    base = sign * math.fsum(b for b, _ in pairs) / n if n else None
    sd = statistics.stdev(gains) if n > 1 else None
    margin = critical * sd / math.sqrt(n) if sd is not None and critical is not None else None
    noise = pooled_sd([loss for loss in baseline if loss is not None], [loss for loss in winner if loss is not None])
    return {
        "n": n,
        "min_improvement": share,
        "failed_baseline": sum(loss is None for loss in baseline),
        "failed_winner": sum(loss is None for loss in winner),
        "seeds": len(baseline),
        "planned": looks[-1] if looks else 0,
        "look": list(looks).index(len(baseline)) + 1 if len(baseline) in looks else 0,
        "looks": len(looks),
        "critical": critical if sd is not None else None,
        "chance": None,
        "also": [],
        "baseline_mean": base,
        "winner_mean": sign * math.fsum(w for _, w in pairs) / n if n else None,
        "mean_improvement": mean,
        "sd": sd,
        "lower": None if mean is None or margin is None else mean - margin,
        "upper": None if mean is None or margin is None else mean + margin,
        "threshold": None if base is None else worth(base, share, noise),
        "relative": mean / base if mean is not None and base is not None and base > 0 else None,
        "noise_sd": noise if n else None,
        "n_needed": None,
    }


def unknown(metric: str, needed: bool, n: int) -> dict[str, Any]:
    """Another metric that is not known on every seed compared."""
    names = ("baseline_mean", "winner_mean", "mean_improvement", "lower", "upper", "allowed", "limit", "worst", "best")
    return {"metric": metric, "needed": needed, "n": n, **dict.fromkeys((*names, "holds", "n_needed"))}


def beside(
    metric: str, also: Mapping[str, Any], pairs: Sequence[tuple[float, float]], critical: float
) -> dict[str, Any]:
    """Another metric on paired seeds, and whether its constraint is surely kept.

    Args:
        metric: Its name.
        also: ``direction``, ``worse`` and ``limit`` of the study.
        pairs: Baseline's and winner's value.
        critical: Standard errors between a mean and its bounds.
    """
    up = 1.0 if also["direction"] == "maximize" else -1.0
    n, worse, limit = len(pairs), also["worse"], also["limit"]
    gains, values = [up * (w - b) for b, w in pairs], [w for _, w in pairs]
    base, mean, gain = math.fsum(b for b, _ in pairs) / n, math.fsum(values) / n, math.fsum(gains) / n
    margin = critical * statistics.stdev(gains) / math.sqrt(n)
    own = critical * statistics.stdev(values) / math.sqrt(n)
    allowed = None if worse is None else worse * abs(base)
    rooms = [] if allowed is None else [(gain + allowed, margin)]
    rooms += [] if limit is None else [(up * (mean - limit), own)]
    answers = [True if room >= error else False if room + error < 0 else None for room, error in rooms]
    counts = [_count(room, error, n) for (room, error), answer in zip(rooms, answers, strict=True) if answer is None]
    return {
        **unknown(metric, bool(rooms), n),
        "baseline_mean": base,
        "winner_mean": mean,
        "mean_improvement": gain,
        "lower": gain - margin,
        "upper": gain + margin,
        "allowed": allowed,
        "limit": limit,
        "worst": None if limit is None else mean - up * own,
        "best": None if limit is None else mean + up * own,
        "holds": False if False in answers else True if answers and None not in answers else None,
        "n_needed": None if None in counts else max((count for count in counts if count is not None), default=None),
    }


def _count(room: float, margin: float, n: int) -> int | None:
    """Seeds at which a margin of n seeds has shrunk to the room."""
    if room == 0 or n * (margin / room) ** 2 > FURTHEST:
        return None
    return max(math.ceil(n * (margin / room) ** 2), n + 1)


def worth(base: float, share: float, noise_sd: float | None) -> float:
    """The improvement asked for: a share of a positive baseline, else one noise sd for each percent."""
    return share * base if base > 0 else 100.0 * share * (noise_sd or 0.0)


def pooled_sd(*groups: Sequence[float]) -> float | None:
    """Standard deviation within groups; None when none has two values."""
    repeated = [group for group in groups if len(group) > 1]
    if not repeated:
        return None
    squares = sum(statistics.variance(group) * (len(group) - 1) for group in repeated)
    return math.sqrt(squares / sum(len(group) - 1 for group in repeated))


def judge(numbers: Mapping[str, Any]) -> str:
    """GO when surely better and by enough; NO-GO when surely not enough, or it fails half the time."""
    if numbers["seeds"] and 2 * numbers["failed_winner"] >= numbers["seeds"]:
        return "NO-GO"
    lower, upper, least = numbers["lower"], numbers["upper"], numbers["threshold"]
    if lower is None or upper is None or least is None:
        return "INCONCLUSIVE"
    if lower > 0 and numbers["mean_improvement"] >= least:
        return "INCONCLUSIVE" if numbers["failed_winner"] else "GO"
    return "NO-GO" if upper < least or numbers["sd"] == 0 else "INCONCLUSIVE"


def seeds_needed(numbers: Mapping[str, Any]) -> int | None:
    """The fewest seeds beyond those there are at which the same mean and spread would decide."""
    sd, mean, least = numbers["sd"], numbers["mean_improvement"], numbers["threshold"]
    if sd is None or mean is None or least is None:
        return None
    room = mean if mean >= least else least - mean
    further = range(numbers["n"] + 1, FURTHEST + 1)
    return next((n for n in further if float(stdtrit(n - 1, 0.95)) * sd / math.sqrt(n) < room), None)
