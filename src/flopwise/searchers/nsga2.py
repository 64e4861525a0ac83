"""NSGA-II with the one objective a study has: an elitist genetic algorithm for any kind of parameter.

Deb et al., "A Fast and Elitist Multiobjective Genetic Algorithm: NSGA-II", IEEE Trans. Evol. Comput.
6(2), 2002; the operators are Optuna's sampler's. The parents of a generation are the best trials told
so far, as many as the population has; their children come by tournament, crossover and mutation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal

import optuna
from optuna.samplers import NSGAIISampler
from optuna.samplers.nsgaii import BaseCrossover, BLXAlphaCrossover, SBXCrossover, UniformCrossover
from optuna.trial import FrozenTrial
from pydantic import BaseModel, ConfigDict, Field

from flopwise import seeds
from flopwise.errors import Problem
from flopwise.searchers.generations import SMALLEST, check_due, check_population, split
from flopwise.searchers.told import History, even, first_new, identity, quiet
from flopwise.space import Space
from flopwise.trial import Proposal, Told

DEFAULT_POPULATION = 16

DRAWS = 16
"""Children made for one trial, while they are configs that are known already."""
EVEN_DRAWS = 100
"""Even draws after those; a known config is proposed again only when these give nothing new either."""

CROSSOVERS: dict[str, type[BaseCrossover]] = {
    "uniform": UniformCrossover,
    "sbx": SBXCrossover,
    "blx_alpha": BLXAlphaCrossover,
}


class Nsga2:
    """Children of the best so far, a generation at a time.

    The first generation is drawn evenly. Failed trials are never parents; with fewer than two that
    did not fail there are no children, and draws stay even.

    Example:
        >>> from flopwise.space import Categorical, Float, Space
        >>> space = Space({"x": Float(0, 1), "kind": Categorical(("a", "b"))})
        >>> search = Nsga2(space, 0, Nsga2.Options(), {"x": 0.5, "kind": "a"}, 4)
        >>> [proposal.number for proposal in search.ask([1, 2, 3, 4])]
        [1, 2, 3, 4]
    """

    class Options(BaseModel):
        """``search.options`` of NSGA-II.

        Args:
            crossover: How the numbers of two parents are mixed; categories always come from either.
            crossover_rate: Share of children with two parents; the others have one.
            mutation_rate: Probability that a parameter of a child is drawn anew; null for one a child.
        """

        model_config = ConfigDict(extra="forbid", frozen=True)

        crossover: Literal["uniform", "sbx", "blx_alpha"] = "uniform"
        crossover_rate: float = Field(default=0.9, ge=0.0, le=1.0)
        mutation_rate: float | None = Field(default=None, ge=0.0, le=1.0)

    generational: ClassVar[bool] = True
    asynchronous: ClassVar[bool] = False

    def __init__(
        self, space: Space, seed: int, options: Options, centre: Mapping[str, Any], population: int | None
    ) -> None:
        self._population = DEFAULT_POPULATION if population is None else population
        check_population("NSGA-II", self._population)
        self._space = space
        self._seed = seed
        self._options = options
        self._told: list[Told] = []
        self._next: list[Proposal] = []

    @classmethod
    def check(cls, space: Space, options: Options) -> list[Problem]:
        """NSGA-II takes any space."""
        return []

    def ask(self, numbers: Sequence[int]) -> list[Proposal]:
        """See :class:`flopwise.searchers.searcher.Searcher`."""
        check_due(numbers, len(self._told), self._population)
        if not self._next:
            self._next = self._generation()
        return [self._next[number - len(self._told) - 1] for number in numbers]

    def tell(self, results: Sequence[Told]) -> None:
        """See :class:`flopwise.searchers.searcher.Searcher`."""
        for generation in split(results, len(self._told), self._population):
            self._told += generation
            self._next = []

    def _generation(self) -> list[Proposal]:
        """All proposals of the next generation; none repeats a config unless the draws run out."""
        parents = Parents(self._space, self._options, self._best())
        known = {identity(self._space.decode(told.point)) for told in self._told}
        made: list[Proposal] = []
        for number in range(len(self._told) + 1, len(self._told) + self._population + 1):
            drawn, config = first_new(self._space, self._draws(number, parents), known)
            made.append(Proposal(number, config, drawn))
            known.add(identity(config))
        return made

    def _best(self) -> list[Told]:
        """The best trials of all, as many as a generation has; ties by trial number."""
        ranked = sorted((told.loss, told.number, told) for told in self._told if told.loss is not None)
        return [told for _, _, told in ranked[: self._population]]

    def _draws(self, number: int, parents: Parents) -> Iterator[tuple[float, ...]]:
        for draw in range(DRAWS if parents.enough else 0):
            yield parents.child(seeds.derive(self._seed, "nsga2", number, draw))
        yield from even(self._space, seeds.derive(self._seed, "nsga2", number), EVEN_DRAWS)


class Children(NSGAIISampler):
    """Optuna's sampler, for which every finished trial of the study is a parent and the next one a child.

    Left to itself it counts generations by trials that did not fail, and would begin the second one late.
    """

    def get_trial_generation(self, study: optuna.Study, trial: FrozenTrial) -> int:
        """The second generation: the first one has no parents."""
        return 1

    def get_parent_population(self, study: optuna.Study, generation: int) -> list[FrozenTrial]:
        """All trials: the best have been picked before."""
        return study.get_trials(deepcopy=False)


class Parents:
    """The trials that a generation descends from.

    Args:
        space: What configs are made of.
        options: Which crossover and mutation.
        trials: The parents, none of which failed.

    Attributes:
        enough: Whether there are two at least.
    """

    def __init__(self, space: Space, options: Nsga2.Options, trials: Sequence[Told]) -> None:
        self._space = space
        self._options = options
        self._count = len(trials)
        self.enough = self._count >= SMALLEST
        self._history = History(space)
        for place, told in enumerate(trials, start=1):
            self._history.add(replace(told, number=place))

    def child(self, seed: int) -> tuple[float, ...]:
        """One child, the same for the same seed."""
        with quiet():
            crossover = CROSSOVERS[self._options.crossover]()
            sampler = Children(
                population_size=self._count,
                crossover=crossover,
                crossover_prob=self._options.crossover_rate,
                mutation_prob=self._options.mutation_rate,
                seed=seed,
            )
        return self._history.draw(sampler)
