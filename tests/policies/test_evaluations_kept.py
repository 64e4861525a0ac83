"""Evaluations of long ago are kept as text, and are what they were."""

from __future__ import annotations

from flopwise.policies.evaluations import RECENT, Evaluations, Finished
from flopwise.policies.pace import Timing
from flopwise.trial import Outcome, Phase


def finished(number: int) -> Finished:
    if number % 7 == 0:
        return Finished(number, Phase.SEARCH, None, None, Outcome.ERROR)
    timing = Timing(1, number % 4, 0.1 * number, 0.1 * number + 1 / 3, None if number % 3 else 0.25)
    return Finished(number, Phase.SEARCH, number // 4, 1 / number, Outcome.OK, timing)


def test_old_evaluations_are_what_they_were() -> None:
    given = [finished(number) for number in range(1, RECENT + 60)]
    kept = Evaluations(1, given)
    assert list(kept) == given == kept[:]
    assert kept[3:9] == given[3:9] and kept[0] == given[0] and kept[-1] is given[-1]
    assert kept[0] is not given[0] and kept[0].timing == given[0].timing
    assert isinstance(kept[6].outcome, Outcome) and kept[6].failed
