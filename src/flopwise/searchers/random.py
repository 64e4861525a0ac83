"""Random search: every config is drawn independently and uniformly from the unit cube.

Bergstra and Bengio, "Random Search for Hyper-Parameter Optimization", JMLR 13, 2012.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from flopwise import seeds
from flopwise.errors import Problem
from flopwise.space import Space
from flopwise.trial import Proposal, Told


class RandomSearch:
    """Uniform draws; a trial's config depends on the study seed and its number alone.

    Example:
        >>> from flopwise.space import Float, Space
        >>> space = Space({"lr": Float(1e-4, 1e-1, "log")})
        >>> search = RandomSearch(space, 0, RandomSearch.Options(), {"lr": 1e-3}, None)
        >>> search.ask([1, 2])[1] == search.ask([2])[0]
        True
    """

    class Options(BaseModel):
        """Random search has nothing to set."""

        model_config = ConfigDict(extra="forbid", frozen=True)

    generational: ClassVar[bool] = False
    asynchronous: ClassVar[bool] = True

    def __init__(
        self, space: Space, seed: int, options: Options, centre: Mapping[str, Any], population: int | None
    ) -> None:
        self._space = space
        self._seed = seed

    @classmethod
    def check(cls, space: Space, options: Options) -> list[Problem]:
        """Random search takes any space."""
        return []

    def ask(self, numbers: Sequence[int]) -> list[Proposal]:
        """See :class:`flopwise.searchers.searcher.Searcher`."""
        return [self._propose(number) for number in numbers]

    def tell(self, results: Sequence[Told]) -> None:
        """Results change nothing."""

    def _propose(self, number: int) -> Proposal:
        if number < 1:
            raise ValueError(f"search trials are numbered from 1, asked for {number}")
        stream = seeds.stream(self._seed, "random", number)
        point = tuple(stream.random() for _ in range(len(self._space)))
        return Proposal(number, self._space.decode(point), point)
