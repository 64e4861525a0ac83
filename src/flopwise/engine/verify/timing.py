"""Studies that run to a target: the seconds of every attempt from its learning curve, the target that counts, and
the times that confirmation compares, all by code of its own."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from flopwise.engine.verify.difference import Difference, compare
from flopwise.engine.verify.parts import Trial
from flopwise.engine.verify.run import Run
from flopwise.events import AttemptEnded, Measured

CLOSE = 1e-9
Curve = list[tuple[int, float, float]]
"""Step, seconds, value."""
Watched = tuple[float, bool] | None
"""Seconds, and whether the target was reached by then; None where the seed failed."""
End = AttemptEnded | None


def check_timing(run: Run) -> Iterator[Difference]:
    """Everything about targets; nothing in a study without."""
    if "target" not in run.study["objective"]:
        return
    curves = _curves(run)
    for trial, _, end, record in run.ended():
        if end.outcome == "ok":
            yield from _attempt(record.where, trial.study["objective"]["target"], end, curves[end.attempt])
    yield from _chosen(run)


def _curves(run: Run) -> dict[str, Curve]:
    metric = run.study["objective"]["target"]["metric"]
    curves: dict[str, Curve] = defaultdict(list)
    for record in run.records:
        if isinstance(record.event, Measured):
            for row in record.event.rows:
                value, at = row["values"].get(metric), row["values"].get("train_s", row["elapsed_s"])
                if all(isinstance(each, float | int) and math.isfinite(each) for each in (value, at)):
                    curves[record.event.attempt].append((row["step"], at, value))
    return curves


def _attempt(where: str, target: Mapping[str, Any], end: AttemptEnded, curve: Curve) -> Iterator[Difference]:
    """Its own account of itself against its rows in the journal."""
    if not curve:
        yield Difference(where, "rows", f"some with {target['metric']}", "none")
        return
    levels = {target["value"], *target["fallback"], *target["tighten"]}
    ladder = sorted(levels, reverse=target["direction"] == "minimize")
    mine = crossing(curve, target["value"], target)
    found = {
        "reached_target": mine is not None,
        "time_to_target": mine,
        "final_step": curve[-1][0],
        "targets": [[level, crossing(curve, level, target)] for level in ladder],
        "last_validation": list(curve[-1]),
    }
    yield from compare(where, found, {key: end.info.get(key) for key in found}, "info", CLOSE)
    yield from compare(where, mine, end.metrics.get("seconds_to_target"), "metrics.seconds_to_target", CLOSE)


def crossing(curve: Curve, level: float, target: Mapping[str, Any]) -> float | None:
    """Where the straight lines between validations first meet a level."""
    turn = 1.0 if target["direction"] == "minimize" else -1.0
    last: tuple[float, float] | None = None
    for _, at, value in curve:
        gap = turn * (value - level)
        if gap <= 0:
            return at if last is None else last[0] + (at - last[0]) * last[1] / (last[1] - gap)
        last = (at, gap)
    return None


def _chosen(run: Run) -> Iterator[Difference]:
    """A target is changed once, at the end of the search, and exactly where it has to be."""
    if "choose" not in run.phases and "decide" not in run.phases and run.verdict is None and not run.aims:
        return
    target = run.study["objective"]["target"]
    trials = [trial for trial in run.by_phase("search") if trial.finished and trial.failure() is None]
    expected = _choice(target, trials)
    found = [event.value for _, event in run.aims]
    if found != expected:
        where = run.aims[-1][0].where if run.aims else "events"
        yield Difference(where, "TargetChosen", str(expected or "none"), str(found or "none"))
    for record, event in run.aims:
        ladder = [target["value"], *target["fallback"], *target["tighten"]]
        counts = [_count(level, [_times(trial, level) for trial in trials]) for level in ladder]
        yield from compare(record.where, counts, event.counts, "counts", CLOSE)


def _choice(target: Mapping[str, Any], trials: Sequence[Trial]) -> list[float]:
    """The other target that has to be taken; none where the first one does."""

    def reached(level: float) -> list[float]:
        found = (_middle(_times(trial, level)) for trial in trials)
        return [each for each in found if each is not None]

    def tied(level: float) -> bool:
        times = reached(level)
        if not times or len(times) < len(trials):
            return False
        noise = _noise([_times(trial, level) for trial in trials])
        return max(times) - min(times) <= max(0.05 * statistics.median(times), 2 * noise)

    if not trials:
        return []
    if not reached(target["value"]):
        return [level for level in target["fallback"] if reached(level)][:1]
    harder = [level for level in target["tighten"] if len(reached(level)) > 1]
    if not tied(target["value"]) or not harder:
        return []
    return [next((level for level in harder if not tied(level)), harder[-1])]


def _times(trial: Trial, level: float) -> list[float | None]:
    """When each seed reached a level."""
    tables = (dict(map(tuple, end.info["targets"])) if end is not None else {} for end in trial.ends)
    return [table.get(level) for table in tables]


def _middle(times: Sequence[float | None]) -> float | None:
    ordered = sorted(math.inf if each is None else each for each in times)
    half = len(ordered) // 2
    found = ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2
    return None if math.isinf(found) else found


def _noise(groups: Sequence[Sequence[float | None]]) -> float:
    known = [[each for each in group if each is not None] for group in groups]
    repeated = [group for group in known if len(group) > 1]
    if not repeated:
        return 0.0
    squares = math.fsum(statistics.variance(group) * (len(group) - 1) for group in repeated)
    return math.sqrt(squares / sum(len(group) - 1 for group in repeated))


def _count(level: float, groups: Sequence[Sequence[float | None]]) -> dict[str, Any]:
    times = [each for each in map(_middle, groups) if each is not None]
    middle = statistics.median(times) if times else 0.0
    spread = (max(times) - min(times)) / middle if middle else None
    return {"value": level, "reached": len(times), "of": len(groups), "spread": spread}


def compared(run: Run, chosen: int, seeds: int) -> tuple[list[float | None], list[float | None]]:
    """Restricted seconds of baseline and winner; the baseline's are None where the time of one of them is not valid."""
    first, second, ends = _sides(run, chosen, seeds)
    until = horizon(run, chosen, seeds)
    bad = [any(contended(end) for end in pair) for pair in ends]
    mine = [None if each is None or out else min(each[0], until) for each, out in zip(first, bad, strict=True)]
    return mine, [None if each is None else min(each[0], until) for each in second]


def horizon(run: Run, chosen: int, seeds: int) -> float:
    """The shortest that a run with a valid time was watched without reaching the target; infinite for none."""
    return min((seconds for seconds, reached in _valid(run, chosen, seeds) if not reached), default=math.inf)


def nobody(run: Run, chosen: int, seeds: int) -> bool:
    """Whether no run with a valid time reached the target."""
    return not any(reached for _, reached in _valid(run, chosen, seeds))


def _valid(run: Run, chosen: int, seeds: int) -> list[tuple[float, bool]]:
    first, second, ends = _sides(run, chosen, seeds)
    kept = [(b, w) for b, w, pair in zip(first, second, ends, strict=True) if not any(map(contended, pair))]
    return [each for pair in kept for each in pair if each is not None]


def _sides(run: Run, chosen: int, seeds: int) -> tuple[list[Watched], list[Watched], list[tuple[End, End]]]:
    """Baseline, winner, and the ends of both, seed by seed over all looks."""
    trials = [[trial for trial in run.by_phase("decide") if trial.event.of == of] for of in (0, chosen)]
    first, second = ([each for trial in side for each in _watched(trial)][:seeds] for side in trials)
    ends = [[end for trial in side for end in trial.ends][:seeds] for side in trials]
    return first, second, list(zip(*ends, strict=True))


def by_chance(baseline: Sequence[float | None], winner: Sequence[float | None]) -> float:
    """How many of the 2^n ways to turn the differences of (at most 14) pairs round give at least this sum."""
    gains = [b - w for b, w in zip(baseline, winner, strict=True) if b is not None and w is not None][:14]
    sums = [0.0]
    for gain in gains:
        sums = [before + turned for before in sums for turned in (gain, -gain)]
    slack = 1e-9 * math.fsum(abs(gain) for gain in gains)
    return sum(each >= math.fsum(gains) - slack for each in sums) / len(sums)


def contended(end: AttemptEnded | None) -> bool:
    """Whether its time says nothing."""
    return end is not None and end.outcome == "ok" and (end.contention or 0.0) > 0.1


def _watched(trial: Trial) -> list[tuple[float, bool] | None]:
    """Seconds of every seed until the target or until its end, and which of the two; None where it failed."""
    pairs = zip(trial.values(), trial.ends, strict=True)
    return [
        (value, True)
        if value is not None
        else (end.info["last_validation"][1], False)
        if end is not None and end.outcome == "ok"
        else None
        for value, end in pairs
    ]
