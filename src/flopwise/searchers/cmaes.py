"""CMA-ES in the unit cube: each generation is drawn from a normal distribution that learns from the last.

Hansen, "The CMA Evolution Strategy: A Tutorial", arXiv:1604.00772; the algorithm itself is the
``cmaes`` library's. What is added here makes it fit to resume and to noisy, failing training runs: every
proposal has its own random stream, and the strategy sees ranks only, so a failed trial is simply the
worst of its generation instead of a penalty that would wreck the covariance.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from cmaes import CMA
from pydantic import BaseModel, ConfigDict, Field

from flopwise import seeds
from flopwise.errors import Problem
from flopwise.searchers.generations import check_due, check_number, check_population, finished, split
from flopwise.space import Categorical, Space
from flopwise.trial import Proposal, Told

MARGIN = 0.01
"""A centre on the border of the cube starts this far inside it: half of all draws there would be void."""


class CmaEs:
    """Covariance matrix adaptation, starting from the baseline.

    With ``asynchronous`` no slot waits for the end of a generation: a proposal is drawn from the distribution that the
    last whole generation left, and the trials that finish next, whichever they are, make up the next one. So some of
    its points were drawn from an older distribution, at most as many as run at once; ranks and points are theirs all
    the same (an injected solution in Hansen's terms, arXiv:1110.4181).

    Categories and booleans have no order and are refused. A generation in which every trial failed
    teaches nothing: the next one is drawn from the same distribution.

    Example:
        >>> from flopwise.space import Float, Space
        >>> space = Space({"x": Float(0, 1), "y": Float(0, 1)})
        >>> search = CmaEs(space, 0, CmaEs.Options(), {"x": 0.5, "y": 0.5}, 4)
        >>> [proposal.number for proposal in search.ask([1, 2, 3, 4])]
        [1, 2, 3, 4]
    """

    class Options(BaseModel):
        """``search.options`` of CMA-ES.

        Args:
            sigma: Standard deviation of the first generation, as a share of every parameter's range.
        """

        model_config = ConfigDict(extra="forbid", frozen=True)

        sigma: float = Field(default=0.3, gt=0.0, le=1.0)

    generational: ClassVar[bool] = True
    asynchronous: ClassVar[bool] = True

    def __init__(
        self,
        space: Space,
        seed: int,
        options: Options,
        centre: Mapping[str, Any],
        population: int | None,
        asynchronous: bool = False,
    ) -> None:
        self._space = space
        self._learned: set[int] | None = set() if asynchronous else None
        self._seed = seed
        self._cma = _strategy(space.encode(centre), options.sigma, population)
        self._told = 0

    @classmethod
    def check(cls, space: Space, options: Options) -> list[Problem]:
        """One problem naming all parameters that have no order; none when there are no such."""
        unordered = [key for key, parameter in space.parameters.items() if isinstance(parameter, Categorical)]
        if not unordered:
            return []
        message = (
            f"cmaes searches ordered numbers and cannot vary the categorical or bool {', '.join(unordered)}; "
            "use `search: {method: tpe}` or `{method: random}`, or an int range when the values are ordered"
        )
        return [Problem("search.method", message)]

    def ask(self, numbers: Sequence[int]) -> list[Proposal]:
        """See :class:`flopwise.searchers.searcher.Searcher`."""
        if self._learned is None:
            check_due(numbers, self._told, self._cma.population_size)
        else:
            check_number(numbers)
        return [self._propose(number) for number in numbers]

    def tell(self, results: Sequence[Told]) -> None:
        """See :class:`flopwise.searchers.searcher.Searcher`."""
        size = self._cma.population_size
        whole = split(results, self._told, size) if self._learned is None else finished(results, self._learned, size)
        for generation in whole:
            self._learn(generation)

    def _propose(self, number: int) -> Proposal:
        self._cma.reseed_rng(seeds.derive(self._seed, "cmaes", number))
        point = tuple(float(x) for x in self._cma.ask())
        return Proposal(number, self._space.decode(point), point)

    def _learn(self, generation: Sequence[Told]) -> None:
        """Update the distribution with ranks: best first, failed last, ties by trial number."""
        self._told += len(generation)
        if all(told.loss is None for told in generation):
            return
        ranked = sorted(generation, key=lambda told: (math.inf if told.loss is None else told.loss, told.number))
        self._cma.tell([(np.array(told.point), float(rank)) for rank, told in enumerate(ranked)])


def _strategy(centre: Sequence[float], sigma: float, population: int | None) -> CMA:
    """The library's strategy around ``centre``; None lets it choose the population (4 + 3 ln n)."""
    if population is not None:
        check_population("CMA-ES", population)
    mean = np.clip(np.array(centre, dtype=float), MARGIN, 1.0 - MARGIN)
    bounds = np.array([[0.0, 1.0]] * len(mean))
    with np.errstate(divide="ignore"):  # populations of 2 and 3 have no rank-mu update: the library divides by its 0
        return CMA(mean=mean, sigma=sigma, bounds=bounds, population_size=population, seed=0)
