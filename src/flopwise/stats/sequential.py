"""When may a confirmation be looked at before its last seed, and what must a look show to end it?

A group-sequential paired t-test. Looking often and stopping at the first good look would find an improvement
where there is none far more often than in 5% of studies. So the 5% are spent over the looks as the seeds come
in: after a share ``s`` of them ``0.05 * s ** 1.5`` has been spent at most. The bounds of a look are those of a
repeated confidence interval: they hold at all looks together, whenever and for whatever reason one stops.

Spending functions: Lan and DeMets, "Discrete sequential boundaries for clinical trials", Biometrika 70 (1983); the
power family: Kim and DeMets, Biometrika 74 (1987); repeated confidence intervals: Jennison and Turnbull, J. R.
Statist. Soc. B 51 (1989). They work with a known variance. Here it is not known, and the looks are early, so the
critical values are computed for the t statistic itself. Without an improvement, r = sum(d) / sqrt(sum(d^2)) of
normal differences d is a Markov chain whose steps do not depend on the variance: the direction of the vector of
differences is uniform and independent of its length, hence

    r[n+1] = r[n] * cos(phi) + sin(phi),   phi in (-pi/2, pi/2) with density proportional to cos(phi)^(n-1),

and the probability of crossing a critical value for the first time is a chain of integrals over one variable.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np

from flopwise.registry import resolve
from flopwise.stats.looks import ALPHA

SPENDING_POWER = 1.5
"""Of the spending function: 1 spends evenly, larger ones keep more for the last look."""

GRID, ANGLES = 1201, 301
"""Points of a distribution function, and of the integral of one step."""


@lru_cache(maxsize=4096)
def critical_values(pairs: tuple[int, ...], of: int, last: bool = True, alpha: float = ALPHA) -> tuple[float, ...]:
    """What the paired t statistic must exceed at each look.

    Args:
        pairs: Seeds compared at each look so far, at least 2; never fewer than at the look before.
        of: Seeds compared when all that is planned ends ok.
        last: The last of ``pairs`` is the last look, and spends all that is left even if seeds failed.
        alpha: To be spent over all looks.

    Raises:
        ValueError: If the counts fall, or exceed ``of``.

    Example:
        >>> [round(t, 3) for t in critical_values((5,), 5)]
        [2.132]
    """
    if list(pairs) != sorted(pairs) or not 2 <= pairs[0] <= pairs[-1] <= of:
        raise ValueError(f"looks at {pairs} of {of} seeds: expected counts from 2 up to that, none below the last")
    chain, spent, found = _Chain(pairs[0]), 0.0, []
    for place, n in enumerate(pairs, start=1):
        chain.go_to(n)
        due = alpha if last and place == len(pairs) else alpha * (n / of) ** SPENDING_POWER
        found.append(chain.cut(due - spent))
        spent = due
    return tuple(found)


class _Chain:
    """The distribution of r after n differences, of the runs that have not crossed yet; see the module."""

    def __init__(self, n: int) -> None:
        self.n = n
        self._r = self._grid(math.sqrt(n))
        self._mass = self._cdf_of_t()

    def go_to(self, n: int) -> None:
        """Add differences, one by one."""
        while self.n < n:
            angle = (np.arange(ANGLES) + 0.5) * (math.pi / ANGLES) - math.pi / 2
            weight = np.cos(angle) ** (self.n - 1)
            r = self._grid(math.sqrt(self.n + 1))
            before = (r[:, None] - np.sin(angle)) / np.cos(angle)
            self._mass = np.interp(before, self._r, self._mass) @ (weight / weight.sum())
            self._r, self.n = r, self.n + 1

    def cut(self, probability: float) -> float:
        """End the runs above the value that is exceeded with this probability; that value, as a t statistic."""
        left = self._mass[-1] - probability
        end = math.sqrt(self.n)
        angle = float(np.interp(left, self._mass, np.arcsin(self._r / end)))
        below = self._r < end * math.sin(angle)
        self._mass = np.append(self._mass[below], left)
        self._r = np.append(self._r[below], end * math.sin(angle))
        return math.sqrt(self.n - 1) * math.tan(angle)

    def _cdf_of_t(self) -> Any:
        share = self._r / math.sqrt(self.n)
        t = math.sqrt(self.n - 1) * share / np.sqrt(np.maximum(1.0 - share * share, 1e-300))
        return resolve("scipy.special:stdtr")(self.n - 1, t)

    @staticmethod
    def _grid(end: float) -> Any:
        """Denser towards both ends, where the distribution function of few differences is steep."""
        return end * np.sin(np.linspace(-math.pi / 2, math.pi / 2, GRID))
