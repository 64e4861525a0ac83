"""What every policy promises, whichever it is."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from flopwise import registry
from flopwise.policies.pace import Pace, Timing
from flopwise.policies.policy import Action, Decision, Finished, History, ProxyPairs
from flopwise.trial import Outcome, Phase

ALL = pytest.mark.parametrize("name", registry.names("policies"))


def finished(number: int, loss: float | None, outcome: Outcome = Outcome.OK, population: int = 4) -> Finished:
    phase = Phase.SEARCH if number else Phase.CALIBRATE
    return Finished(number, phase, (number - 1) // population + 1 if number else None, loss, outcome)


def failures(count: int) -> list[Finished]:
    return [finished(n, None, Outcome.ERROR) for n in range(1, count + 1)]


def slow(count: int) -> tuple[Finished, ...]:
    """One after the other on two slots, each taking three times what was promised."""
    timings = [Timing(1, n % 2, 6.0 * n, 6.0 * n + 12.0, 0.0) for n in range(count)]
    return tuple(replace(finished(n, -float(n)), timing=timing) for n, timing in enumerate(timings))


def nan_at_random(count: int) -> tuple[Finished, ...]:
    """Every fourth is nan, wherever it lies."""
    ends = [
        finished(n, None if n % 4 == 3 else 1.0 / n, Outcome.NAN if n % 4 == 3 else Outcome.OK) for n in range(1, count)
    ]
    return tuple(replace(end, config={"x": end.number * 37 % 101 / 101.0}) for end in ends)


def nan_in_a_region(count: int) -> tuple[Finished, ...]:
    """Nan where x is large."""
    places = [n * 37 % 101 / 101.0 for n in range(1, count)]
    ends = [(n, x, x > 0.75) for n, x in enumerate(places, 1)]
    kinds = {True: Outcome.NAN, False: Outcome.OK}
    return tuple(replace(finished(n, None if bad else 1.0 / n, kinds[bad]), config={"x": x}) for n, x, bad in ends)


HISTORIES = {
    "one failure": History(tuple(failures(1)), 4),
    "all failed": History((finished(0, 1.0), *failures(200)), 4, 0.1),
    "all failed, the baseline too": History(tuple(finished(n, None, Outcome.NAN) for n in range(200)), 4),
    "flat": History(tuple(finished(n, 1.0) for n in range(200)), 4, 0.1),
    "flat, no generations": History(tuple(finished(n, 1.0) for n in range(200)), None, None),
    "falling": History(tuple(finished(n, -float(n)) for n in range(200)), 4, 0.1),
    "slow": History(slow(200), 4, 0.1, pace=Pace(4.0, 2, 2)),
    "the proxy misleads": History(
        (finished(0, 1.0), *(Finished(n, Phase.RECHECK, None, float(n), Outcome.OK) for n in range(1, 9))),
        4,
        0.1,
        proxy=ProxyPairs([(float(n), -float(n)) for n in range(8)], 0.5),
    ),
    "slower and slower": History(
        (replace(finished(0, 1.0), timing=Timing(1, 0, 0.0, 4.0, 0.0)), *slow(40)[1:]), 4, 0.1
    ),
    "flat, at its end": History(tuple(finished(n, 1.0) for n in range(200)), 4, 0.1, over=True),
    "nan at random": History(nan_at_random(80), 4, 0.1),
    "nan in a region": History(nan_in_a_region(80), 4, 0.1),
    "pruned": History(tuple(finished(n, None if n else 1.0, Outcome.PRUNED) for n in range(200)), None, 0.0),
}
MANY = pytest.mark.parametrize("history", HISTORIES.values(), ids=HISTORIES.keys())


def policy(name: str) -> Any:
    kind = registry.load("policies", name)
    return kind(kind.Options())


@ALL
def test_an_empty_history_gives_no_reason_to_do_anything(name: str) -> None:
    assert policy(name).judge(History(())) is None
    assert policy(name).judge(History((), 8, 0.1, 0, 3)) is None


@ALL
@MANY
def test_the_same_history_gives_the_same_decision(name: str, history: History) -> None:
    once = policy(name)
    first = once.judge(history)
    for prefix in range(0, len(history.finished), 7):
        once.judge(replace(history, finished=history.finished[:prefix]))
    assert once.judge(history) == first == policy(name).judge(history)


@ALL
@MANY
def test_decisions_are_sentences_with_evidence_that_the_journal_can_keep(name: str, history: History) -> None:
    decision = policy(name).judge(history)
    if decision is not None:
        assert isinstance(decision, Decision)
        assert decision.action in Action
        assert decision.cause
        assert json.loads(json.dumps(decision.evidence, allow_nan=False)) == decision.evidence


@ALL
def test_each_policy_has_something_to_say(name: str) -> None:
    assert any(policy(name).judge(history) is not None for history in HISTORIES.values())


@ALL
@MANY
def test_what_the_user_has_accepted_is_not_raised_again(name: str, history: History) -> None:
    decision = policy(name).judge(replace(history, accepted_after=len(history.finished)))
    assert decision is None or decision.action is Action.STOP


@ALL
def test_steady_progress_is_left_alone(name: str) -> None:
    assert policy(name).judge(HISTORIES["falling"]) is None


@ALL
def test_options_refuse_what_they_do_not_know(name: str) -> None:
    with pytest.raises(ValueError, match="paus"):
        registry.load("policies", name).Options(paus=1)
