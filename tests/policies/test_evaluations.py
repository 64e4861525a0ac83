"""Evaluations put together while they come in say the same as the whole history looked through anew."""

from __future__ import annotations

import math
import random
from collections import defaultdict
from typing import Any

import pytest

from flopwise import registry
from flopwise.policies.evaluations import Evaluations, Finished
from flopwise.policies.policy import History
from flopwise.trial import Outcome, Phase


def history(seed: int, seeds: int) -> list[Finished]:
    """A baseline, search trials whose seeds end out of order, some failures, and confirmation."""
    draw = random.Random(seed)
    ends = [Finished(0, Phase.CALIBRATE, None, draw.uniform(1, 2), Outcome.OK) for _ in range(3)]
    numbers = [number for number in range(1, 40) for _ in range(seeds)]
    for place in range(len(numbers) - 1):
        if draw.random() < 0.4:
            numbers[place], numbers[place + 1] = numbers[place + 1], numbers[place]
    for number in numbers:
        failed = draw.random() < 0.15
        loss = None if failed else round(draw.uniform(0.5, 2), 1)
        ends.append(Finished(number, Phase.SEARCH, 1 + number // 4, loss, Outcome.ERROR if failed else Outcome.OK))
    return [*ends, Finished(40, Phase.DECIDE, None, 0.1, Outcome.OK)]


@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize("seed", range(5))
def test_trials_are_scored_when_their_last_seed_ends(seed: int, seeds: int) -> None:
    ends = history(seed, seeds)
    losses: defaultdict[int, list[float]] = defaultdict(list)
    expected: list[tuple[int, float, int]] = []
    for index, end in enumerate(ends):
        if end.phase is Phase.SEARCH:
            losses[end.number].append(math.inf if end.loss is None else end.loss)
            if len(losses[end.number]) == seeds:
                expected.append((end.number, sum(losses[end.number]) / seeds, index))
    found = Evaluations(seeds, ends)
    assert [(trial.number, trial.loss, trial.last) for trial in found.searched] == expected
    for place, trial in enumerate(found.searched):
        until = [loss for _, loss, _ in expected[: place + 1]]
        assert trial.best == until.index(min(until))


@pytest.mark.parametrize("name", registry.names("policies"))
@pytest.mark.parametrize("accepted_after", [0, 20])
def test_a_policy_says_the_same_of_a_history_that_grows(name: str, accepted_after: int) -> None:
    kind: Any = registry.load("policies", name)
    policy, ends, growing = kind(kind.Options()), history(1, 2), Evaluations(2)
    for count, end in enumerate(ends, 1):
        growing.append(end)
        settings = (4, 0.05, accepted_after, 2)
        assert policy.judge(History(growing, *settings)) == policy.judge(History(tuple(ends[:count]), *settings))


def test_recent_evaluations_are_those_of_a_phase_after_the_accepted_ones() -> None:
    ends = history(2, 1)
    seen = History(ends, accepted_after=10)
    assert seen.recent(3) == ends[-3:]
    assert seen.recent(5, (Phase.SEARCH,)) == ends[-6:-1]
    assert seen.recent(1000) == ends[10:]
    assert seen.recent(5, (Phase.CALIBRATE,)) == []
    assert seen.recent(0) == []
