"""Keeps a searcher to configs that a study's constraints allow: what is not allowed is drawn again.

A proposal is a pure function of seed, trial number and results told. So the same searcher with another
seed, told the same results, draws once more from the same distribution: rejection sampling, for any
searcher and without its help. CMA-ES stays what it was, with its distribution cut to what is allowed, and
a resumed study repeats the same draws. A config that is not allowed is never run, told or journaled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from flopwise import seeds
from flopwise.errors import SpaceError
from flopwise.searchers.settled import Settled
from flopwise.space import Space
from flopwise.trial import Proposal, Told

TRIES = 100
"""Draws from the searcher for one trial."""
EVEN_TRIES = 10_000
"""Even draws from the whole cube after those, for a searcher that has lost its way out of what is allowed."""


class Proposer(Protocol):
    """What asks and tells: a searcher, or a constrained one."""

    def ask(self, numbers: Sequence[int]) -> list[Proposal]:
        """See :class:`flopwise.searchers.searcher.Searcher`."""
        ...

    def tell(self, results: Sequence[Told]) -> None:
        """See :class:`flopwise.searchers.searcher.Searcher`."""
        ...


class Constrained:
    """A searcher whose proposals are all allowed.

    Args:
        make: The searcher with a given seed, told nothing yet.
        seed: The study's ``search.seed``.
        space: What is searched.
        allows: Whether a config may be run.

    Example:
        >>> from flopwise.searchers.random import RandomSearch
        >>> from flopwise.space import Float
        >>> space = Space({"x": Float(0, 1)})
        >>> make = lambda seed: RandomSearch(space, seed, RandomSearch.Options(), {"x": 0.5}, None)
        >>> search = Constrained(make, 0, space, lambda config: config["x"] > 0.9)
        >>> all(proposal.config["x"] > 0.9 for proposal in search.ask([1, 2, 3]))
        True
    """

    def __init__(
        self, make: Callable[[int], Proposer], seed: int, space: Space, allows: Callable[[Mapping[str, Any]], bool]
    ) -> None:
        self._make = make
        self._seed = seed
        self._space = space
        self._allows = allows
        self._history: list[tuple[Told, ...]] = []
        self._searchers = [make(seed)]

    @property
    def room(self) -> Callable[[int, int], int] | None:
        """Of a searcher with stages: how many more trials may be asked for."""
        return getattr(self._searchers[0], "room", None)

    @property
    def settled(self) -> Sequence[Settled]:
        """Of such a searcher: the questions that it does not ask to their end, so far."""
        return getattr(self._searchers[0], "settled", ())

    def ask(self, numbers: Sequence[int]) -> list[Proposal]:
        """One allowed proposal a trial number; see :class:`flopwise.searchers.searcher.Searcher`.

        Raises:
            SpaceError: If none is found: the constraints allow next to nothing.
        """
        return [self._again(first) for first in self._searchers[0].ask(numbers)]

    def tell(self, results: Sequence[Told]) -> None:
        """See :class:`flopwise.searchers.searcher.Searcher`."""
        self._history.append(tuple(results))
        for searcher in self._searchers:
            searcher.tell(results)

    def _again(self, proposal: Proposal) -> Proposal:
        """The proposal, or the first allowed one of further draws."""
        for draw in range(1, TRIES):
            if self._allows(proposal.config):
                return proposal
            (proposal,) = self._searcher(draw).ask([proposal.number])
        return proposal if self._allows(proposal.config) else self._even(proposal.number)

    def _searcher(self, draw: int) -> Proposer:
        """The searcher of one further draw, told everything."""
        while len(self._searchers) <= draw:
            searcher = self._make(seeds.derive(self._seed, "constrained", len(self._searchers)))
            for results in self._history:
                searcher.tell(results)
            self._searchers.append(searcher)
        return self._searchers[draw]

    def _even(self, number: int) -> Proposal:
        stream = seeds.stream(self._seed, "constrained", 0, number)
        for _ in range(EVEN_TRIES):
            point = tuple(stream.random() for _ in range(len(self._space)))
            config = self._space.decode(point)
            if self._allows(config):
                return Proposal(number, config, point)
        raise SpaceError(
            f"no config that the constraints allow was found for trial {number}",
            expected=f"one among {TRIES} proposals and {EVEN_TRIES:,} even draws",
            fix="loosen the constraints, or narrow the space to where they hold",
        )
