"""What a run's state keeps lists of, small in memory and quick to ask."""

from __future__ import annotations

from array import array
from bisect import bisect_left, insort
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import TypeVar, cast, overload

from flopwise.events import AttemptEnded
from flopwise.journal.states import TrialState

_Same = TypeVar("_Same", bound=Hashable)


class FinalEnds(Sequence[AttemptEnded]):
    """The end that counts of every evaluation, in journal order; only ever appended to.

    Args:
        trials: By number, where the ends are kept.
    """

    def __init__(self, trials: Mapping[int, TrialState]) -> None:
        self._trials = trials
        self._numbers, self._seeds = array("q"), array("l")

    def append(self, number: int, seed_index: int) -> None:
        """One more evaluation has ended for good."""
        self._numbers.append(number)
        self._seeds.append(seed_index)

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, index: int) -> AttemptEnded: ...
    @overload
    def __getitem__(self, index: slice) -> list[AttemptEnded]: ...
    def __getitem__(self, index: int | slice) -> AttemptEnded | list[AttemptEnded]:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        end = self._trials[self._numbers[index]].final(self._seeds[index])
        assert end is not None
        return end


class Waiting:
    """Evaluations that need an attempt started: trial number and seed index, kept in that order."""

    def __init__(self) -> None:
        self._sorted: list[tuple[int, int]] = []

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """In order; what changes meanwhile is not seen."""
        return iter(tuple(self._sorted))

    def add(self, evaluation: tuple[int, int]) -> None:
        """One more."""
        insort(self._sorted, evaluation)

    def remove(self, evaluation: tuple[int, int]) -> None:
        """One less, if it is there."""
        place = bisect_left(self._sorted, evaluation)
        if self._sorted[place : place + 1] == [evaluation]:
            del self._sorted[place]


class Shared:
    """The same object for equal values: most trials have the same seeds and fidelity."""

    def __init__(self) -> None:
        self._known: dict[Hashable, Hashable] = {}

    def __call__(self, value: _Same) -> _Same:
        return cast(_Same, self._known.setdefault(value, value))
