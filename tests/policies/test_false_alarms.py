"""Healthy searches are left alone: accidents in one of a hundred evaluations pause hardly any of them.

Whole studies, two hundred of each kind of failure: ``python -m benchmarks.false_alarms``.
"""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from flopwise.policies.policy import Action, Finished, History
from flopwise.registry import load
from flopwise.trial import Outcome, Phase

POLICIES = ("non_finite", "crash_rate", "crash_loop")


def search(seed: int, share: float, kinds: tuple[Outcome, ...]) -> list[Finished]:
    """A target tier of the seed system: 120 trials, some of which fail by accident."""
    draw, ends = random.Random(seed), []
    for number in range(1, 121):
        failed, kind = draw.random() < share, draw.choice(kinds)
        config = {"x": draw.random(), "y": draw.random()}
        outcome, loss = (kind, None) if failed else (Outcome.OK, draw.gauss(1.0, 0.1))
        ends.append(Finished(number, Phase.SEARCH, 1 + (number - 1) // 12, loss, outcome, config=config))
    return ends


def paused(ends: list[Finished]) -> bool:
    """Whether any policy pauses while the search goes on; asked at every failure, which alone can make it."""
    kinds = [load("policies", name) for name in POLICIES]
    policies = [kind(kind.Options()) for kind in kinds]
    counts = [count for count, end in enumerate(ends, 1) if end.failed]
    decisions = (policy.judge(History(ends[:count], 12)) for count in counts for policy in policies)
    return any(decision is not None and decision.action is Action.PAUSE for decision in decisions)


@pytest.mark.parametrize(
    "kinds",
    [(Outcome.ERROR,), (Outcome.NAN,), (Outcome.ERROR, Outcome.NAN, Outcome.TIMEOUT)],
    ids=["errors", "nan", "all kinds"],
)
def test_one_percent_of_accidents_pauses_hardly_any_search(kinds: tuple[Outcome, ...]) -> None:
    assert sum(paused(search(seed, 0.01, kinds)) for seed in range(200)) <= 2


@pytest.mark.parametrize("kind", [Outcome.ERROR, Outcome.NAN])
def test_a_fifth_of_failures_pauses_nearly_every_search(kind: Outcome) -> None:
    assert sum(paused(search(seed, 0.2, (kind,))) for seed in range(50)) >= 48


def test_more_failures_pause_more_searches() -> None:
    counts = [sum(paused(search(seed, share, (Outcome.ERROR,))) for seed in range(50)) for share in (0.01, 0.06, 0.2)]
    assert all(fewer < more for fewer, more in pairwise(counts))
