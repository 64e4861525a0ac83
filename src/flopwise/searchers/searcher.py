"""The one interface of all searchers: ``ask`` proposes configs, ``tell`` takes results.

A proposal is a pure function of the study seed, its ordinal and the results told before. A
resumed study therefore builds a fresh searcher and tells it every finished generation in order,
without asking, and gets exactly the proposals of the undisturbed one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol

from pydantic import BaseModel

from flopwise.errors import Problem
from flopwise.space import Space
from flopwise.trial import Proposal, Told


class Searcher(Protocol):
    """What the engine needs from a searcher.

    Search trials have ordinals, their place in the search from 1 on. A trial's number in the run is another
    matter: the baseline and whatever else was calibrated come before the search, and have no ordinal.

    Args:
        space: What may vary.
        seed: The study's ``search.seed``; every random stream derives from it.
        options: The searcher's own ``Options``, validated.
        centre: Dotted key to value, every key of the space: where to begin (the baseline).
        population: Trials a generation; None for searchers without generations.

    Attributes:
        Options: Pydantic model of ``search.options`` (``extra="forbid"``, frozen).
        generational: Whether trials come in generations: a whole one is told before the next is asked.
        asynchronous: Whether it can propose one trial at a time, while earlier ones run (``search.asynchronous``). A
            generational one that can takes ``asynchronous=True`` when it is made; it is then asked for any trial at any
            time, and told ``population`` trials at a time in the order in which they finished.
    """

    Options: ClassVar[type[BaseModel]]
    generational: ClassVar[bool]
    asynchronous: ClassVar[bool]

    def __init__(
        self, space: Space, seed: int, options: Any, centre: Mapping[str, Any], population: int | None
    ) -> None: ...

    @classmethod
    def check(cls, space: Space, options: Any) -> list[Problem]:
        """Why this searcher cannot search ``space``; empty when it can."""
        ...

    def ask(self, numbers: Sequence[int]) -> list[Proposal]:
        """One proposal an ordinal, in the order of ``numbers``.

        Raises:
            ValueError: If a number is no ordinal (less than 1), or (generational) not of the generation
                that follows the ones told.
        """
        ...

    def tell(self, results: Sequence[Told]) -> None:
        """Take finished trials; their order does not matter.

        Args:
            results: Generational searchers: one or more whole generations, the next ones.

        Raises:
            ValueError: If a generation is incomplete, told twice or skipped.
        """
        ...


class Finite(Searcher, Protocol):
    """A searcher with only so many trials to propose, such as a grid.

    A tier that asks for more is a mistake in the study file, and one that asks for none gets them all.
    """

    @classmethod
    def size(cls, space: Space, options: Any) -> int:
        """How many trials there are; only called when ``check`` found no problem."""
        ...
