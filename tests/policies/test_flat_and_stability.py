"""A search that found nothing, and how stable a search was."""

from __future__ import annotations

import random

import pytest

from flopwise.policies.flat import Flat
from flopwise.policies.policy import Action, Decision, Finished, History
from flopwise.policies.stability import stability
from flopwise.trial import Outcome, Phase


def judged(losses: list[float], noise: float = 0.1, *, baseline: float = 1.0, over: bool = True) -> Decision | None:
    ends = [Finished(0, Phase.CALIBRATE, None, baseline, Outcome.OK)]
    ends += [Finished(n, Phase.SEARCH, None, loss, Outcome.OK) for n, loss in enumerate(losses, 1)]
    return Flat(Flat.Options()).judge(History(tuple(ends), 8, noise, over=over))


def test_a_search_that_is_no_better_than_the_baseline_stops_the_study() -> None:
    decision = judged([1.05] * 30)
    assert decision is not None
    assert decision.action is Action.STOP
    assert decision.evidence["gain"] == pytest.approx(-0.05)
    assert "no better than the baseline" in decision.cause


@pytest.mark.parametrize(("best", "flat"), [(0.95, True), (0.85, False), (0.5, False)])
def test_beyond_the_noise_is_more_than_one_standard_deviation(best: float, flat: bool) -> None:
    assert (judged([1.0] * 19 + [best]) is not None) is flat


def test_of_many_trials_chance_alone_makes_one_look_good() -> None:
    draw = random.Random(5)
    called = sum(judged([draw.gauss(1.0, 0.1) for _ in range(60)]) is not None for _ in range(200))
    assert 140 <= called <= 190
    real = sum(judged([draw.gauss(1.0 - 0.4 * (n % 16 == 0), 0.1) for n in range(60)]) is not None for _ in range(200))
    assert real <= 2


def test_short_searches_and_searches_under_way_are_not_judged() -> None:
    assert judged([1.0] * 19) is None
    assert judged([1.0] * 40, over=False) is None


def test_trials_are_compared_with_the_baseline_on_the_seeds_they_share() -> None:
    ends = [
        Finished(0, Phase.CALIBRATE, None, loss, Outcome.OK, seed_index=i) for i, loss in enumerate((3.0, 1.0, 1.0))
    ]
    ends += [Finished(n, Phase.SEARCH, None, 2.9, Outcome.OK) for n in range(1, 25)]
    decision = Flat(Flat.Options()).judge(History(tuple(ends), 8, 1.1, over=True))
    assert decision is not None
    assert decision.evidence["baseline_loss"] == 3.0


def ends_of(outcomes: str) -> list[Finished]:
    kinds = {".": Outcome.OK, "x": Outcome.ERROR}
    return [
        Finished(n, Phase.SEARCH, None, 1.0 if end == "." else None, kinds[end]) for n, end in enumerate(outcomes, 1)
    ]


def test_stable_is_less_than_a_twentieth_of_the_last_three_generations() -> None:
    assert stability(ends_of("." * 24), 8).stable
    assert stability(ends_of("." * 30 + "x"), 8).stable
    assert not stability(ends_of("." * 22 + "xx"), 8).stable
    assert stability(ends_of("xx" + "." * 24), 8).stable
    assert not stability(ends_of("." * 12), 4).stable, "too few to say so"
    assert stability(ends_of("." * 60 + "x" + "." * 19), None).evaluations == 20
    assert stability([], 8).rate is None
