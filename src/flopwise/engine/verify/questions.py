"""The answers of a staged search once more: every contrast of every question, by code of its own."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from scipy.special import stdtrit

from flopwise.engine.verify.curves import Curve, Training, along, training
from flopwise.engine.verify.parts import Trial
from flopwise.engine.verify.run import Run
from flopwise.engine.verify.settled import Place, asked, places, told
from flopwise.study import baseline_config

Pair = tuple[Training, Training]


def expected_questions(run: Run) -> list[dict[str, Any]]:
    """What the report says of the questions."""
    if run.study["search"]["method"] != "staged":
        return []
    order, _ = places(run)
    trials = dict(zip(order, run.by_phase("search"), strict=False))
    noise = _Noise(run)
    return [_question(run, name, question, trials, noise) for name, question in asked(run).items()]


def _question(
    run: Run, name: str, question: Mapping[str, Any], trials: Mapping[Place, Trial], noise: _Noise
) -> dict[str, Any]:
    mine = [trial for place, trial in trials.items() if place[0] == name]
    ranked = [(loss, trial.event.number) for trial in mine if (loss := told(trial)) is not None]
    event = next((event for _, event in run.settled if event.question == name), None)
    return {
        "name": name,
        "ask": question["ask"],
        "trials": [trial.event.number for trial in mine],
        "best": min(ranked)[1] if ranked else None,
        "settled": None if event is None else {"skipped": event.skipped, "reason": event.reason},
        "contrasts": [_contrast(run, each, name, trials, noise) for each in _contrasts(run, question)],
    }


Sides = tuple[dict[str, Any], dict[str, Any], list[tuple[tuple[int, int], tuple[int, int]]]]
"""Reference, option, and pairs of (row, context)."""


def _contrasts(run: Run, question: Mapping[str, Any]) -> Iterator[Sides]:
    base = dict(baseline_config(run.study))
    base |= {key: value for key, value in question["base"].items() if not isinstance(value, dict)}
    grid, where = question["grid"], question["configs"] or [{}]
    if not grid:
        keys = list(dict.fromkeys(key for config in where for key in config))
        whole = [{key: config[key] if key in config else base.get(key) for key in keys} for config in where]
        first = _first(where, base)
        yield from ((whole[first], each, [((0, first), (0, n))]) for n, each in enumerate(whole) if n != first)
        return
    keys = list(grid)
    rows = list(itertools.product(*(range(len(grid[key])) for key in keys)))
    values = [{key: grid[key][n] for key, n in zip(keys, row, strict=True)} for row in rows]
    for at, key in enumerate(keys):
        first = _first([{key: value} for value in grid[key]], base)
        for option in range(len(grid[key])):
            if option != first:
                twins = [
                    (rows.index(row), rows.index((*row[:at], option, *row[at + 1 :])))
                    for row in rows
                    if row[at] == first
                ]
                yield {key: grid[key][first]}, {key: grid[key][option]}, _everywhere(twins, len(where))
    first = _first(values, base)
    for row, each in enumerate(values):
        if sum(not _equal(each[key], values[first][key]) for key in keys) > 1:
            yield values[first], each, _everywhere([(first, row)], len(where))


def _everywhere(twins: Sequence[tuple[int, int]], contexts: int) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    return [((first, context), (second, context)) for first, second in twins for context in range(contexts)]


def _first(options: Sequence[Mapping[str, Any]], base: Mapping[str, Any]) -> int:
    fits = [n for n, each in enumerate(options) if all(_equal(value, base.get(key)) for key, value in each.items())]
    return fits[0] if fits else 0


def _equal(one: Any, other: Any) -> bool:
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def _contrast(run: Run, sides: Sides, name: str, trials: Mapping[Place, Trial], noise: _Noise) -> dict[str, Any]:
    reference, option, cells = sides
    failed = missing = 0
    blocks: list[list[Pair]] = []
    for cell in cells:
        blocks.append([])
        both = [trials.get((name, *place)) for place in cell]
        for seed in range(run.study["evaluation"]["seeds"]):
            ends = [None if trial is None else trial.end(seed) for trial in both]
            known = [end.outcome == "ok" for end in ends if end is not None]
            missing += len(known) < 2
            failed += len(known) == 2 and not all(known)
            if known == [True, True]:
                first, second = (training(run, trial, seed) for trial in both if trial is not None)
                blocks[-1].append((first, second))
    timed = [[pair for pair in block if pair[0].alone and pair[1].alone] for block in blocks]
    goal = "target" in run.study["objective"]
    runs = [each for block in timed for pair in block for each in pair]
    until = min((each.seconds for each in runs if not each.reached), default=None) if goal else None
    gaps = _gaps(timed if goal else blocks, until, run)
    main = _gain(gaps, noise.of("objective"))
    if until is not None and all(each.seconds >= until for each in runs):
        main = {**_gain([], None), "n": main["n"]}
    elif until is not None and main["rests_on"] == "pairs" and not main["sd"]:
        main = {**_gain([], None), "n": main["n"], "mean": main["mean"]}
    chance = (
        _chance([gap for block in gaps for gap in block]) if until is not None and main["rests_on"] == "pairs" else None
    )
    return {
        "reference": reference,
        "option": option,
        "pairs": sum(map(len, blocks)),
        "failed": failed,
        "missing": missing,
        "disturbed": sum(map(len, blocks)) - sum(map(len, timed)),
        "reached": [sum(p[side].reached for block in timed for p in block) for side in (0, 1)] if goal else None,
        "horizon": until,
        "chance": chance,
        "answer": _answer(main, chance),
        "objective": main,
        "equal_seconds": _equal_at(timed, 1, noise, run),
        "equal_step": _equal_at(blocks, 0, noise, run),
    }


def _gaps(blocks: Sequence[Sequence[Pair]], until: float | None, run: Run) -> list[list[float]]:
    if "target" not in run.study["objective"]:
        return [[first.loss - second.loss for first, second in block] for block in blocks]
    cut = math.inf if until is None else until
    return [[min(first.seconds, cut) - min(second.seconds, cut) for first, second in block] for block in blocks]


def _answer(main: Mapping[str, Any], chance: float | None) -> str:
    lower, upper = main["lower"], main["upper"]
    if lower is None or lower <= 0 <= upper or (chance or 0.0) > 0.05:
        return "open"
    return "better" if lower > 0 else "worse"


def _equal_at(blocks: Sequence[Sequence[Pair]], axis: int, noise: _Noise, run: Run) -> dict[str, Any]:
    gaps: list[list[float]] = []
    ends: list[float] = []
    turn = _turn(run)
    for block in blocks:
        gaps.append([])
        for first, second in block:
            if first.curve and second.curve:
                ends.append(float(min(first.curve[-1][axis], second.curve[-1][axis])))
                gaps[-1].append(turn * (along(first.curve, ends[-1], axis) - along(second.curve, ends[-1], axis)))
    found = _gain(gaps, noise.of(("equal_step", "equal_seconds")[axis]))
    return {**found, "from": min(ends) if ends else None, "to": max(ends) if ends else None}


def _turn(run: Run) -> float:
    objective = run.study["objective"]
    return 1.0 if objective.get("target", objective)["direction"] == "minimize" else -1.0


def _gain(gaps: Sequence[Sequence[float]], noise: tuple[float, int] | None) -> dict[str, Any]:
    """Mean and 95% interval of differences; by their spread within blocks, or by that of repeated configs."""
    every = [gap for block in gaps for gap in block]
    keys = ("sd", "df", "lower", "upper", "rests_on")
    if not every:
        return {"n": 0, "mean": None, **dict.fromkeys(keys)}
    mean = math.fsum(every) / len(every)
    squares = math.fsum((gap - math.fsum(block) / len(block)) ** 2 for block in gaps for gap in block)
    df = len(every) - sum(bool(block) for block in gaps)
    sd, source = (math.sqrt(squares / df) if df else None), "pairs"
    if df < 3 and noise is not None:
        sd, df, source = math.sqrt(2 * noise[0]), noise[1], "repeats"
    if sd is None:
        return {"n": len(every), "mean": mean, **dict.fromkeys(keys)}
    margin = float(stdtrit(df, 0.975)) * sd / math.sqrt(len(every))
    return {
        "n": len(every),
        "mean": mean,
        "sd": sd,
        "df": df,
        "lower": mean - margin,
        "upper": mean + margin,
        "rests_on": source,
    }


def _chance(gaps: Sequence[float]) -> float:
    kept = gaps[:14]
    bar = abs(math.fsum(kept)) - 1e-9 * math.fsum(abs(gap) for gap in kept)
    ways = list(itertools.product((1, -1), repeat=len(kept)))
    sums = (math.fsum(sign * gap for sign, gap in zip(signs, kept, strict=True)) for signs in ways)
    return sum(abs(total) >= bar for total in sums) / len(ways)


class _Noise:
    """Variance between the seeds of one config and its degrees of freedom, over all configs that have several."""

    def __init__(self, run: Run) -> None:
        self._groups: dict[str, list[list[float]]] = {"objective": [], "equal_seconds": [], "equal_step": []}
        goal = "target" in run.study["objective"]
        for _, trial in sorted(run.trials.items()):
            ends, full = trial.ends, run.study["evaluation"]["stop"]
            if (
                len(ends) > 1
                and trial.event.stop == full
                and all(end is not None and end.outcome == "ok" for end in ends)
            ):
                seeds = [training(run, trial, seed) for seed in range(len(ends))]
                self._add(seeds, goal)

    def _add(self, seeds: Sequence[Training], goal: bool) -> None:
        alone = all(each.alone for each in seeds)
        if not goal:
            self._groups["objective"].append([each.loss for each in seeds])
        elif alone and all(each.reached for each in seeds):
            self._groups["objective"].append([each.seconds for each in seeds])
        curves: list[Curve] = [each.curve for each in seeds]
        for axis, name in enumerate(("equal_step", "equal_seconds")):
            if all(curves) and (alone or not axis):
                end = float(min(curve[-1][axis] for curve in curves))
                self._groups[name].append([along(curve, end, axis) for curve in curves])

    def of(self, what: str) -> tuple[float, int] | None:
        """Variance and degrees of freedom; None where no config has several seeds."""
        groups = self._groups[what]
        df = sum(len(group) - 1 for group in groups)
        if not df:
            return None
        return math.fsum(statistics.variance(group) * (len(group) - 1) for group in groups) / df, df
