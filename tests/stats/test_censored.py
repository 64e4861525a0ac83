"""Censored times: against hand-made values, scipy's own, and the error rate that is promised."""

from __future__ import annotations

import random

import pytest

from flopwise.objective import Objective
from flopwise.stats.censored import (
    Duration,
    decide_timed,
    horizon,
    logrank,
    median,
    restricted,
    restricted_mean,
    survival,
)
from flopwise.stats.verdict import Judgement, Verdict
from flopwise.target import Target

OBJECTIVE = Objective("seconds_to_target", target=Target("val_loss", 5.0))
# Remission times of 6-mercaptopurine and placebo (Freireich et al., Blood 21:699, 1963), weeks.
TREATED = [(6, 1), (6, 1), (6, 1), (6, 0), (7, 1), (9, 0), (10, 1), (10, 0), (11, 0), (13, 1), (16, 1), (17, 0),
           (19, 0), (20, 0), (22, 1), (23, 1), (25, 0), (32, 0), (32, 0), (34, 0), (35, 0)]  # fmt: skip
PLACEBO = [1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23]


def treated() -> list[Duration]:
    return [Duration(float(weeks), bool(reached)) for weeks, reached in TREATED]


def placebo() -> list[Duration]:
    return [Duration(float(weeks), True) for weeks in PLACEBO]


def test_kaplan_and_meier_on_the_textbook_example() -> None:
    found = dict(survival(treated()))
    published = {6.0: 0.857, 7.0: 0.807, 10.0: 0.753, 13.0: 0.690, 16.0: 0.627, 22.0: 0.538, 23.0: 0.448}
    assert {moment: found[moment] for moment in published} == pytest.approx(published, abs=6e-4)
    assert (median(treated()), median(placebo())) == (23.0, 8.0)


def test_the_log_rank_test_on_the_textbook_example() -> None:
    assert logrank(treated(), placebo()) == pytest.approx(4.17e-5, rel=0.02)
    assert logrank(placebo(), placebo()) == pytest.approx(1.0)
    assert logrank([Duration(3.0, False)], [Duration(4.0, False)]) is None


def test_the_restricted_mean_is_the_mean_of_restricted_times_up_to_the_horizon() -> None:
    stream = random.Random(2)
    runs = [Duration(stream.expovariate(0.1), True) for _ in range(30)] + [Duration(20.0, False)] * 5
    until = horizon(runs)
    assert until == 20.0
    assert restricted_mean(runs, until) == pytest.approx(sum(restricted(each, until) for each in runs) / len(runs))
    assert horizon(runs[:30]) is None


def judge(baseline: list[Duration | None], winner: list[Duration | None], bad: list[bool] | None = None) -> Judgement:
    return decide_timed(baseline, winner, bad or [False] * len(baseline), 0.01, OBJECTIVE)


def test_a_faster_config_is_a_go_also_where_the_baseline_never_arrives() -> None:
    winner: list[Duration | None] = [Duration(10.0 + i, True) for i in range(5)]
    baseline: list[Duration | None] = [
        Duration(60.0, False),
        Duration(62.0, False),
        Duration(50.0 + 2, True),
        Duration(61.0, False),
        Duration(55.0, True),
    ]
    found = judge(baseline, winner)
    assert found.verdict == "GO"
    assert found.numbers["baseline_mean"] == pytest.approx((60.0 + 60.0 + 52.0 + 60.0 + 55.0) / 5)
    assert "reached on 2 (baseline) and 5 (winner) of 5 seeds" in found.reasons[-1]


def test_where_nobody_arrives_nothing_is_decided() -> None:
    never: list[Duration | None] = [Duration(60.0, False)] * 3
    found = judge(never, never)
    assert found.verdict == "INCONCLUSIVE"
    assert found.reasons[0].startswith("Neither the baseline nor the winner reached")


def test_disturbed_seeds_are_left_out_of_both() -> None:
    winner: list[Duration | None] = [Duration(10.0 + i, True) for i in range(4)]
    baseline: list[Duration | None] = [Duration(500.0, True), *(Duration(20.0 + i, True) for i in range(3))]
    found = judge(baseline, winner, [True, False, False, False])
    assert found.numbers["n"] == 3 and found.numbers["baseline_mean"] == 21.0
    assert "Left out on 1 fresh seeds" in found.reasons[-1]
    assert judge(baseline, winner, [True] * 4).verdict == "INCONCLUSIVE"


def test_equally_fast_configs_are_a_go_in_at_most_one_study_of_twenty() -> None:
    stream = random.Random(3)

    def run() -> Duration:
        seconds = 30.0 * stream.lognormvariate(0.0, 0.3)
        return Duration(seconds, True) if seconds < 38.0 else Duration(38.0 * stream.uniform(0.9, 1.1), False)

    goes = sum(judge([run() for _ in range(8)], [run() for _ in range(8)]).verdict == "GO" for _ in range(400))
    assert goes <= 0.05 * 400 + 2 * (400 * 0.05 * 0.95) ** 0.5


def test_where_every_slot_was_shared_that_is_the_reason() -> None:
    runs = [Duration(2.0, True)] * 3
    judged = decide_timed(runs, [Duration(1.0, True)] * 3, [True] * 3, 0.01, Objective("seconds_to_target"))
    assert judged.verdict is Verdict.INCONCLUSIVE
    assert judged.reasons[0].startswith("No time can be compared")
