"""Evaluations that slow down, on a clock of the test's own."""

from __future__ import annotations

from dataclasses import replace
from statistics import NormalDist

import pytest

from flopwise.policies.pace import Pace, Timing
from flopwise.policies.policy import Action, Decision, Finished, History
from flopwise.policies.time_drift import TimeDrift
from flopwise.trial import Outcome, Phase


def history(
    seconds: list[float],
    work: list[float | None] | None = None,
    contention: float | None = 0.0,
    knob: list[float] | None = None,
    accepted_after: int = 0,
) -> History:
    """A baseline of 10 s, and evaluations one after the other."""
    ends = [Finished(0, Phase.CALIBRATE, None, 1.0, Outcome.OK, Timing(1, 0, 0.0, 10.0, 0.0), work=1.0)]
    now = 10.0
    for number, length in enumerate(seconds, 1):
        timing = Timing(1, 0, now, now + length, contention)
        config = {"x": knob[number - 1] if knob else number * 37 % 101 / 101}
        amount = work[number - 1] if work else None
        ends.append(Finished(number, Phase.SEARCH, None, 1.0, Outcome.OK, timing, config, amount))
        now += length
    return History(tuple(ends), 4, 0.1, accepted_after)


def judged(*args: object, **kwargs: object) -> Decision | None:
    return TimeDrift(TimeDrift.Options()).judge(history(*args, **kwargs))  # type: ignore[arg-type]


def test_three_times_the_calibrated_seconds_pause() -> None:
    decision = judged([10.0] * 12 + [30.0] * 8)
    assert decision is not None
    assert decision.action is Action.PAUSE
    assert decision.evidence["ratio"] == pytest.approx(3.0)
    assert decision.evidence["median_s"] == pytest.approx(30.0)
    assert decision.evidence["calibrated_s"] == pytest.approx(10.0)
    assert "other processes do not explain it" in decision.cause


@pytest.mark.parametrize(
    "seconds", [[10.0] * 20, [10.0] * 12 + [19.0] * 8, [10.0] * 12 + [30.0] * 3, [10.0] * 16 + [30.0] * 4, [30.0] * 7]
)
def test_less_than_twice_or_less_than_half_of_them_go_on(seconds: list[float]) -> None:
    assert judged(seconds) is None


def test_a_search_that_moves_to_larger_models_does_not_drift() -> None:
    seconds, work = [10.0] * 12 + [30.0] * 8, [1.0] * 12 + [3.2] * 8
    assert judged(seconds, work) is None
    decision = judged([10.0] * 12 + [90.0] * 8, work)
    assert decision is not None
    assert decision.evidence["ratio"] == pytest.approx(90 / 32)
    assert decision.evidence["work"] == pytest.approx(3.2)


def test_slow_configs_of_a_workload_that_cannot_tell_its_work_are_a_region() -> None:
    knob = [number * 37 % 101 / 101 for number in range(60)]
    seconds = [40.0 if x > 0.7 else 10.0 for x in knob] + [40.0] * 8
    assert judged(seconds, knob=[*knob, *[0.8 + 0.01 * n for n in range(8)]]) is None
    assert judged([10.0] * 60 + [40.0] * 8) is not None


@pytest.mark.parametrize(
    ("contention", "said"),
    [
        (0.7, "explain it"),
        (0.3, "explain a part of it; without them it would be 2.1 times"),
        (None, "not known"),
        (0.0, "do not explain it"),
    ],
)
def test_it_says_whether_contention_explains_it(contention: float | None, said: str) -> None:
    decision = judged([30.0] * 20, contention=contention)
    assert decision is not None
    assert said in decision.cause


def test_an_accepted_pace_is_the_new_measure() -> None:
    assert judged([30.0] * 20 + [31.0] * 12, accepted_after=21) is None
    again = judged([30.0] * 20 + [70.0] * 12, accepted_after=21)
    assert again is not None
    assert again.evidence["accepted_ratio"] == pytest.approx(3.0)


def test_start_up_times_of_toys_are_not_judged() -> None:
    toy = [Finished(0, Phase.CALIBRATE, None, 1.0, Outcome.OK, Timing(1, 0, 0.0, 0.01, 0.0))]
    toy += [Finished(n, Phase.SEARCH, None, 1.0, Outcome.OK, Timing(1, 0, n, n + 0.5, 0.0)) for n in range(1, 20)]
    assert TimeDrift(TimeDrift.Options()).judge(History(tuple(toy), 4, 0.1)) is None


def test_the_longest_of_many_that_began_together_are_no_drift() -> None:
    """With many slots the last to end are the longest, and no sign of anything."""
    lengths = sorted(10.0 * 1.5 ** NormalDist().inv_cdf((n + 0.5) / 400) for n in range(400))
    found = history([*([10.0] * 400), *lengths])
    assert min(lengths[-8:]) > 20.0
    assert TimeDrift(TimeDrift.Options()).judge(found) is not None
    assert TimeDrift(TimeDrift.Options()).judge(replace(found, pace=Pace(10.0, 400, 400))) is None
    slow = history([*([10.0] * 400), *(2.5 * length for length in lengths)])
    assert TimeDrift(TimeDrift.Options()).judge(replace(slow, pace=Pace(10.0, 400, 400))) is not None
