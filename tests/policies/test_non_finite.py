"""Sustained nan: paused where it is everywhere, named where it has a region."""

from __future__ import annotations

import random
from itertools import pairwise

from flopwise.policies.crash_loop import CrashLoop
from flopwise.policies.crash_rate import CrashRate
from flopwise.policies.non_finite import NonFinite
from flopwise.policies.policy import Action, Decision, Finished, History
from flopwise.trial import Outcome, Phase


def search(count: int, nan: float, *, above: float = 2.0, seed: int = 0) -> tuple[Finished, ...]:
    """Trials at random places of two knobs; nan with a probability, and always where ``a`` is above something."""
    draw, ends = random.Random(seed), []
    for number in range(1, count + 1):
        config = {"a": draw.random(), "b": draw.random()}
        bad = draw.random() < nan or config["a"] > above
        outcome, loss = (Outcome.NAN, None) if bad else (Outcome.OK, 1.0)
        ends.append(Finished(number, Phase.SEARCH, None, loss, outcome, config=config))
    return tuple(ends)


def first(ends: tuple[Finished, ...], kind: type = NonFinite) -> Decision | None:
    """The first decision while the history grows."""
    policy = kind(kind.Options())
    decisions = (policy.judge(History(ends[:count], 8)) for count in range(1, len(ends) + 1))
    return next((decision for decision in decisions if decision is not None), None)


def test_nan_everywhere_pauses_with_its_numbers() -> None:
    decision = first(search(80, 0.2))
    assert decision is not None
    assert decision.action is Action.PAUSE
    assert "no region of the space explains" in decision.cause
    assert decision.evidence["nan"] >= 4
    assert decision.evidence["rate"] > 0.05


def test_nan_in_one_region_is_named_and_nothing_pauses() -> None:
    for seed in range(20):
        ends = search(100, 0.0, above=0.75, seed=seed)
        decision = first(ends)
        assert decision is not None
        assert decision.action is Action.NOTE
        rule = decision.evidence["region"]["rules"][0]
        assert (rule["knob"], rule["test"]) == ("a", ">")
        assert 0.6 < rule["value"] < 0.85
        assert first(ends, CrashRate) is None


def test_a_bad_region_does_not_hide_nan_elsewhere() -> None:
    policy, paused = NonFinite(NonFinite.Options()), 0
    for seed in range(10):
        ends = search(150, 0.15, above=0.8, seed=seed)
        decisions = [policy.judge(History(ends[:count], 8)) for count in range(1, len(ends) + 1)]
        paused += any(decision is not None and decision.action is Action.PAUSE for decision in decisions)
    assert paused >= 9


def test_a_region_is_named_again_only_when_evaluations_have_doubled() -> None:
    ends, policy = search(200, 0.0, above=0.75), NonFinite(NonFinite.Options())
    named, noted = [], 0
    for count in range(1, len(ends) + 1):
        if policy.judge(History(ends[:count], 8, noted_after=noted)) is not None:
            named.append(count)
            noted = count
    assert 1 <= len(named) <= 5
    assert all(later >= 2 * earlier for earlier, later in pairwise(named))


def test_one_percent_of_nan_is_an_accident() -> None:
    paused = sum(first(search(120, 0.01, seed=seed)) is not None for seed in range(200))
    assert paused <= 2


def test_all_nan_in_a_row_is_a_crash_loop_all_the_same() -> None:
    ends = tuple(
        Finished(number, Phase.SEARCH, None, None, Outcome.NAN, config={"a": number / 9}) for number in range(1, 6)
    )
    assert CrashLoop(CrashLoop.Options()).judge(History(ends, 8)) is not None


def test_it_says_nothing_while_the_last_result_was_fine() -> None:
    ends = search(80, 0.2)
    fine = Finished(81, Phase.SEARCH, None, 1.0, Outcome.OK, config={"a": 0.5, "b": 0.5})
    assert NonFinite(NonFinite.Options()).judge(History((*ends, fine), 8)) is None
