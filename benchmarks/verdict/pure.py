"""The same studies without the engine: its seeds, the same values, and the functions that choose and decide.

Thousands of times quicker than a run with its journal, and held against runs of the engine by the benchmark.
"""

from __future__ import annotations

import statistics

from benchmarks.verdict.work import value

from flopwise.budget.pricing import CHOOSE_SEEDS
from flopwise.objective import Objective
from flopwise.seeds import derive
from flopwise.stats.looks import planned
from flopwise.stats.noise import noise_sd
from flopwise.stats.power import seeds_needed
from flopwise.stats.verdict import decide

TOP, CALIBRATED = 3, 3
LOSS = Objective("loss")


def values(number: int, purpose: str, x: int, first: int, last: int, best: int, gain: float) -> list[float]:
    """What a config gives on some seeds of a purpose in study ``number``."""
    return [value(x, derive(number, purpose, index), best, gain) for index in range(first, last)]


def conclude(
    number: int, candidates: int, best: int, gain: float, least: float, looks: int
) -> tuple[str, int, int, int, list[float], list[float], list[float]]:
    """A study from calibration to verdict.

    Returns:
        Verdict; the knob of its winner; seeds run and planned; the baseline's calibrated values; the search's values;
        and the values up to the choice of the best by all of them.
    """
    baseline = values(number, "evaluation", 0, 0, CALIBRATED, best, gain)
    searched = {x: values(number, "evaluation", x, 0, 1, best, gain)[0] for x in range(1, candidates + 1)}
    top = sorted(searched, key=lambda x: searched[x])[:TOP]
    again = {x: values(number, "choose", x, 0, CHOOSE_SEEDS, best, gain) for x in top}
    chosen = min(top, key=lambda x: statistics.fmean(again[x]))
    reused = min(([searched[x], *again[x]] for x in top), key=statistics.fmean)
    most = seeds_needed(
        noise_sd(baseline), statistics.fmean(baseline), least, measured_on=CALIBRATED, looks=looks, together=1
    )
    plan = planned(most, looks)
    for seeds in plan:
        pair = [values(number, "decide", x, 0, seeds, best, gain) for x in (0, chosen)]
        judged = decide(pair[0], pair[1], least, LOSS, plan)
        if judged.final:
            break
    return str(judged.verdict), chosen, seeds, most, baseline, list(searched.values()), reused
