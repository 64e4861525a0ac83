"""Did the run go from phase to phase as its values demanded, and does its verdict follow from them?"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from scipy.special import stdtrit

from flopwise.engine.verify.difference import Difference, compare
from flopwise.engine.verify.proposals import CHOOSE_SEEDS
from flopwise.engine.verify.run import Run, Trial
from flopwise.events import PhaseStarted, TrialProposed, VerdictReached

ORDER = ("calibrate", "search", "choose", "decide", "done")

CLOSE = 1e-9
"""Relative tolerance for statistics: two correct formulas may differ in the last digits."""

FURTHEST = 1000
"""Beyond this many seeds no number is suggested."""


def check_phases(run: Run) -> Iterator[Difference]:
    """Phases in order; trials in the phase they are for; candidates and chosen one by their values."""
    phase = -1
    for record in run.records:
        event = record.event
        if isinstance(event, PhaseStarted):
            if event.phase not in ORDER[phase + 1 :]:
                yield Difference(record.where, "phase", f"one of {', '.join(ORDER[phase + 1 :])}", event.phase)
                continue
            phase = ORDER.index(event.phase)
        elif isinstance(event, TrialProposed) and (phase < 0 or event.phase != ORDER[phase]):
            yield Difference(record.where, "phase", ORDER[phase] if phase >= 0 else "none yet", event.phase)
    yield from _chosen(run)


def ranked(trials: Sequence[Trial]) -> list[Trial]:
    """Those with a loss, best first; ties by number."""
    losses = [(trial.loss(), trial.event.number, trial) for trial in trials]
    known = [(loss, number, trial) for loss, number, trial in losses if loss is not None]
    return [trial for _, _, trial in sorted(known, key=lambda entry: entry[:2])]


def _chosen(run: Run) -> Iterator[Difference]:
    best = [trial.event.number for trial in ranked(run.by_phase("search"))]
    if "choose" in run.phases:
        record, started = run.phases["choose"]
        top = run.study["confirm"]["top"]
        yield from compare(record.where, {"candidates": best[:top], "seeds": CHOOSE_SEEDS}, started.detail, "detail")
        yield from _confirms(run, "choose", best[:top])
        best = [trial.event.of for trial in ranked(run.by_phase("choose")) if trial.event.of is not None]
    if "decide" in run.phases and run.tier is not None:
        record, started = run.phases["decide"]
        expected = {"chosen": best[0] if best else None, "seeds": run.tier[1].plan["confirm_seeds"]}
        yield from compare(record.where, expected, started.detail, "detail")
        yield from _confirms(run, "decide", [0, *best[:1]])


def _confirms(run: Run, phase: str, of: Sequence[int]) -> Iterator[Difference]:
    """The trials of a confirming phase confirm these trials, in this order; none lacks once it is over."""
    trials = run.by_phase(phase)
    for number, trial in zip(of, trials, strict=False):
        yield from compare(trial.proposed.where, number, trial.event.of, "of")
    over = run.verdict is not None or any(later in run.phases for later in ORDER[ORDER.index(phase) + 1 :])
    if len(trials) > len(of) or (over and len(trials) < len(of)):
        where = trials[-1].proposed.where if trials else run.phases[phase][0].where
        yield Difference(where, "trials", f"{len(of)} of phase {phase}", str(len(trials)))


def check_verdict(run: Run) -> Iterator[Difference]:
    """The verdict's word and every number in it."""
    if run.verdict is None:
        return
    where, event = run.verdict[0].where, run.verdict[1]
    pair = run.by_phase("decide")
    share = run.study["confirm"]["min_improvement"]
    if len(pair) != 2 or not all(trial.finished for trial in pair):
        yield from _undecided(where, event, share)
        return
    baseline, winner = pair
    sign = -1.0 if run.study["objective"]["direction"] == "maximize" else 1.0
    numbers = evidence(baseline.losses(), winner.losses(), share, sign)
    word = judge(numbers)
    if word == "INCONCLUSIVE" and not numbers["failed_winner"]:
        numbers["n_needed"] = seeds_needed(numbers)
    yield from compare(where, word, event.verdict, "verdict")
    yield from compare(where, winner.event.of, event.winner, "winner")
    yield from compare(where, numbers, event.numbers, "numbers", CLOSE)


def _undecided(where: str, event: VerdictReached, share: float) -> Iterator[Difference]:
    """A confirmation that could not be completed has no numbers and no GO."""
    if event.verdict not in ("NO-GO", "INCONCLUSIVE"):
        yield Difference(where, "verdict", "NO-GO or INCONCLUSIVE: nothing was decided", event.verdict)
    empty = {**evidence([], [], share, 1.0), "n_needed": None}
    yield from compare(where, {key: empty.get(key) for key in event.numbers}, event.numbers, "numbers")


def evidence(
    baseline: Sequence[float | None], winner: Sequence[float | None], share: float, sign: float
) -> dict[str, Any]:
    """The numbers of a comparison on paired seeds, from losses.

    Student's paired t with one-sided 95% bounds; the noise is pooled over both configs.
    """
    pairs = [(b, w) for b, w in zip(baseline, winner, strict=True) if b is not None and w is not None]
    gains = [b - w for b, w in pairs]
    n = len(pairs)
    mean = math.fsum(gains) / n if n else None
    base = sign * math.fsum(b for b, _ in pairs) / n if n else None
    sd = statistics.stdev(gains) if n > 1 else None
    margin = float(stdtrit(n - 1, 0.95)) * sd / math.sqrt(n) if sd is not None else None
    noise = pooled_sd([loss for loss in baseline if loss is not None], [loss for loss in winner if loss is not None])
    return {
        "n": n,
        "min_improvement": share,
        "failed_baseline": sum(loss is None for loss in baseline),
        "failed_winner": sum(loss is None for loss in winner),
        "seeds": len(baseline),
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
