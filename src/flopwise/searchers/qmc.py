"""Quasi-random search: the points of a scrambled Sobol sequence, which leave no large gaps.

Owen, "Scrambling Sobol' and Niederreiter-Xing points", Journal of Complexity 14, 1998; Joe and Kuo,
SIAM J. Sci. Comput. 30, 2008; the sequence itself is ``scipy.stats.qmc``'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from scipy.stats import qmc

from flopwise import seeds
from flopwise.errors import Problem
from flopwise.space import Space
from flopwise.trial import Proposal, Told

FIRST_BLOCK = 64
"""Points made at first; then as many again each time. A power of two keeps the sequence balanced."""


class QuasiRandom:
    """Evenly spread configs.

    Example:
        >>> from flopwise.space import Float, Space
        >>> space = Space({"lr": Float(1e-4, 1e-1, "log")})
        >>> search = QuasiRandom(space, 0, QuasiRandom.Options(), {"lr": 1e-3}, None)
        >>> halves = [space.encode(p.config)[0] < 0.5 for p in search.ask([1, 2])]
        >>> sorted(halves)
        [False, True]
    """

    class Options(BaseModel):
        """``search.options`` of quasi-random search.

        Args:
            baseline_first: Whether trial 1 is the baseline's config and the sequence begins with trial 2.
                A baseline outside the space is left out. Trial 0 is that config already, on the same seeds.
        """

        model_config = ConfigDict(extra="forbid", frozen=True)

        baseline_first: bool = False

    generational: ClassVar[bool] = False
    asynchronous: ClassVar[bool] = True

    def __init__(
        self, space: Space, seed: int, options: Options, centre: Mapping[str, Any], population: int | None
    ) -> None:
        self._space = space
        inside = all(space.parameters[key].contains(centre[key]) for key in space.active(centre))
        self._head = [space.encode(centre)] if options.baseline_first and inside else []
        self._sobol = qmc.Sobol(len(space), scramble=True, seed=seeds.derive(seed, "qmc"))
        self._made: NDArray[np.float64] = np.empty((0, len(space)))

    @classmethod
    def check(cls, space: Space, options: Options) -> list[Problem]:
        """Quasi-random search takes any space."""
        return []

    def ask(self, numbers: Sequence[int]) -> list[Proposal]:
        """See :class:`flopwise.searchers.searcher.Searcher`."""
        return [self._propose(number) for number in numbers]

    def tell(self, results: Sequence[Told]) -> None:
        """Results change nothing."""

    def _propose(self, number: int) -> Proposal:
        if number < 1:
            raise ValueError(f"search trials are numbered from 1, asked for {number}")
        place = number - 1
        point = self._head[place] if place < len(self._head) else self._point(place - len(self._head))
        return Proposal(number, self._space.decode(point), point)

    def _point(self, place: int) -> tuple[float, ...]:
        while place >= len(self._made):
            block = self._sobol.random(max(FIRST_BLOCK, len(self._made)))
            self._made = np.concatenate([self._made, block])
        return tuple(float(x) for x in self._made[place])
