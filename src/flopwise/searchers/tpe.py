"""TPE: where good configs are dense and bad ones are rare, propose the next.

Bergstra et al., "Algorithms for Hyper-Parameter Optimization", NeurIPS 2011; Watanabe,
arXiv:2304.11127. The algorithm is Optuna's sampler. What is added here makes it fit to resume: every
proposal comes from a fresh sampler with its own seed that sees the told trials in the order of their
numbers, whatever order they finished in, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal

from optuna.samplers import TPESampler
from optuna.trial import TrialState
from pydantic import BaseModel, ConfigDict, Field

from flopwise import seeds
from flopwise.errors import Problem
from flopwise.searchers.told import History, even, first_new, quiet
from flopwise.space import Space
from flopwise.trial import Proposal, Told

DRAWS = 8
"""Draws of the sampler for one trial, while they give configs that were told already."""
EVEN_DRAWS = 100
"""Even draws after those; a config told already is proposed again only when these give nothing new either."""

FAILED = {"worst": TrialState.PRUNED, "ignored": TrialState.FAIL}


class Tpe:
    """Tree-structured Parzen estimator over any space, fit for trials that finish in any order.

    Trials that are still running are unknown to it. Proposals made at the same moment differ by
    their seeds; Optuna's ``constant_liar`` would need the running trials' configs, and with them a
    proposal would no longer be a function of results alone.

    A failed trial ranks below every result, so that configs like it are avoided. Optuna itself leaves
    failed trials out and goes on proposing beyond the edge of what works, when the best lies at that edge.
    While everything fails there is nothing to learn, and draws stay even.

    Example:
        >>> from flopwise.space import Float, Space
        >>> search = Tpe(Space({"x": Float(0, 1)}), 0, Tpe.Options(), {"x": 0.5}, None)
        >>> search.ask([1, 2])[1] == search.ask([2])[0]
        True
    """

    class Options(BaseModel):
        """``search.options`` of TPE.

        Args:
            startup: Finished trials before it learns; until then draws are even.
            candidates: Draws from the density of good configs, the best of which is proposed.
            multivariate: Whether densities are joint over all parameters, or one for each.
            failed: Whether a failed trial is the worst, or ignored (for failures that are not the config's).
        """

        model_config = ConfigDict(extra="forbid", frozen=True)

        startup: int = Field(default=10, ge=1)
        candidates: int = Field(default=24, ge=1, le=10_000)
        multivariate: bool = True
        failed: Literal["worst", "ignored"] = "worst"

    generational: ClassVar[bool] = False
    asynchronous: ClassVar[bool] = True

    def __init__(
        self, space: Space, seed: int, options: Options, centre: Mapping[str, Any], population: int | None
    ) -> None:
        self._space = space
        self._seed = seed
        self._options = options
        self._history = History(space, FAILED[options.failed])

    @classmethod
    def check(cls, space: Space, options: Options) -> list[Problem]:
        """TPE takes any space."""
        return []

    def ask(self, numbers: Sequence[int]) -> list[Proposal]:
        """See :class:`flopwise.searchers.searcher.Searcher`."""
        return [self._propose(number) for number in numbers]

    def tell(self, results: Sequence[Told]) -> None:
        """See :class:`flopwise.searchers.searcher.Searcher`."""
        for told in results:
            self._history.add(told)

    def _propose(self, number: int) -> Proposal:
        if number < 1:
            raise ValueError(f"search trials are numbered from 1, asked for {number}")
        drawn, config = first_new(self._space, self._draws(number), self._history.configs)
        return Proposal(number, config, drawn)

    def _draws(self, number: int) -> Iterator[tuple[float, ...]]:
        for draw in range(DRAWS if self._history.results else 0):
            sampler = self._sampler(seeds.derive(self._seed, "tpe", number, draw))
            yield self._history.draw(sampler, together=self._options.multivariate)
        yield from even(self._space, seeds.derive(self._seed, "tpe", number), EVEN_DRAWS)

    def _sampler(self, seed: int) -> TPESampler:
        with quiet():
            return TPESampler(
                n_startup_trials=self._options.startup,
                n_ei_candidates=self._options.candidates,
                multivariate=self._options.multivariate,
                constant_liar=False,
                seed=seed,
            )
