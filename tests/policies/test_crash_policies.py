"""Crash rate and crash loop: when exactly they pause."""

from __future__ import annotations

import pytest

from flopwise.policies.crash_loop import CrashLoop
from flopwise.policies.crash_rate import CrashRate
from flopwise.policies.pace import Pace
from flopwise.policies.policy import Action, Decision, Finished, History
from flopwise.trial import Outcome, Phase

FAILED = {"x": Outcome.ERROR, "n": Outcome.NAN, "o": Outcome.OOM, "t": Outcome.TIMEOUT, "p": Outcome.PRUNED}


def history(ends: str, population: int | None = 8, accepted_after: int = 0, seeds: int = 1) -> History:
    """``.`` ended ok, ``x`` error, ``n`` nan, ``o`` oom, ``t`` timeout, ``p`` pruned."""
    evaluations = tuple(
        Finished(number, Phase.SEARCH, None, 1.0 if end == "." else None, FAILED.get(end, Outcome.OK))
        for number, end in enumerate(ends, start=1)
    )
    return History(evaluations, population, None, accepted_after, seeds)


def rate(ends: str, pause_above: float = 0.10, **more: int) -> Decision | None:
    return CrashRate(CrashRate.Options(pause_above=pause_above)).judge(history(ends, **more))


def loop(ends: str, consecutive: int = 5, **more: int) -> Decision | None:
    return CrashLoop(CrashLoop.Options(consecutive=consecutive)).judge(history(ends, **more))


@pytest.mark.parametrize(
    ("ends", "paused"),
    [
        ("x", False),
        (".x", False),
        ("xx", True),
        ("x.....x", True),
        ("x......x", False),
        ("x.....x........x", True),
        ("x.....x..........x", False),
        ("." * 90 + "x.x.x.x", True),
        ("." * 90 + "x.x.x", False),
        ("x" + "." * 16 + "xxx", True),
        ("x" + "." * 17 + "xxx", False),
        ("pppp", False),
        ("x.t.o", True),
    ],
)
def test_crash_rate_pauses_above_a_tenth_of_the_last_twenty_beyond_chance(ends: str, paused: bool) -> None:
    assert (rate(ends) is not None) is paused


def test_crash_rate_looks_back_on_a_whole_generation() -> None:
    assert rate("xxxxxx" + "." * 54) is None
    assert rate("xxxxxxx" + "." * 53, population=60) is not None
    assert rate("xxxxxxx" + "." * 53, population=30, seeds=2) is not None


def test_nan_counts_once_it_is_clear_that_no_region_explains_it() -> None:
    assert rate("n.n.n.n...") is None
    assert rate("n.n.n.n.n.n") is not None
    assert rate("x.n.n.n.x") is None


def test_failures_of_the_winner_are_left_to_the_verdict() -> None:
    failed = tuple(Finished(9, Phase.DECIDE, None, None, Outcome.ERROR) for _ in range(4))
    assert CrashRate(CrashRate.Options()).judge(History(history("....").finished + failed)) is None


def test_crash_rate_takes_its_share_from_the_study() -> None:
    assert rate("x.x.", pause_above=0.5) is None
    assert rate("x.xx", pause_above=0.5) is not None


def test_crash_rate_says_what_failed_and_how() -> None:
    decision = rate("..x.o.x")
    assert decision is not None
    assert decision.action is Action.PAUSE
    assert decision.cause == "3 of the last 7 evaluations failed (2 error, 1 oom)"
    assert decision.evidence["trials"] == [3, 5, 7]
    assert decision.evidence["rate"] == pytest.approx(3 / 7)


@pytest.mark.parametrize(
    ("ends", "paused"),
    [("xxxx", False), ("xxxxx", True), ("....xxxx.", False), ("xxxx.xxxx", False), (".xnotx", True), ("xxxxp", False)],
)
def test_crash_loop_pauses_after_five_failures_in_a_row(ends: str, paused: bool) -> None:
    assert (loop(ends) is not None) is paused


def test_crash_loop_ends_within_a_twentieth_of_a_hundred_evaluations() -> None:
    first = next(count for count in range(1, 101) if loop("x" * count))
    assert first <= 5


def test_crash_loop_says_what_failed() -> None:
    decision = loop("..xxo", consecutive=3)
    assert decision is not None
    assert decision.action is Action.PAUSE
    assert decision.cause == "the last 3 evaluations all failed (2 error, 1 oom)"


def test_an_accepted_pause_starts_counting_anew() -> None:
    assert rate("xxx", accepted_after=3) is None
    assert rate("xxxx", accepted_after=3) is None
    assert rate("xxxxx", accepted_after=3) is not None
    assert loop("xxxxx....", accepted_after=5) is None
    assert loop("xxxxxxxxx", accepted_after=5) is None
    assert loop("xxxxxxxxxx", accepted_after=5) is not None


def test_configs_that_all_fail_before_the_search_end_the_probing_and_then_pause_it() -> None:
    ends = [Finished(0, Phase.CALIBRATE, None, 1.0, Outcome.OK)]
    ends += [Finished(number, Phase.SIGNAL, None, None, Outcome.ERROR) for number in range(1, 6)]

    def judged(upto: int, pace: Pace | None = None) -> Decision | None:
        return CrashLoop(CrashLoop.Options()).judge(History(tuple(ends[:upto]), pace=pace))

    assert judged(5) is None
    probing, searching = judged(6), judged(6, Pace(1.0, 2, 2))
    assert probing is not None and probing.action is Action.END_PROBING
    assert searching is not None and searching.action is Action.PAUSE


@pytest.mark.parametrize("phase", [Phase.KNOBS, Phase.PROXY, Phase.LADDER])
def test_other_probes_may_fail_one_after_the_other(phase: Phase) -> None:
    ends = tuple(Finished(number, phase, None, None, Outcome.ERROR) for number in range(9))
    assert CrashLoop(CrashLoop.Options()).judge(History(ends)) is None


def test_a_metric_that_never_came_is_a_failure() -> None:
    ok_without_loss = Finished(1, Phase.SEARCH, None, None, Outcome.OK)
    assert CrashRate(CrashRate.Options()).judge(History((ok_without_loss, ok_without_loss))) is not None


@pytest.mark.parametrize("wrong", [-0.1, 1.0, 10.0])
def test_the_share_is_a_share(wrong: float) -> None:
    with pytest.raises(ValueError, match="pause_above"):
        CrashRate.Options(pause_above=wrong)
