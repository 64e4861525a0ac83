"""Which knob values predict failure: one region of the space that holds most failures and little else.

A region is one rule (a knob above, at most, or equal to a value) or two of them. Rules are ranked by Fisher's exact
test; its p is corrected for every rule that was tried, after Tarone ("A modified Bonferroni method for discrete
data", 1990): rules that could not have been as extreme whatever happened do not count.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

ALPHA = 0.01
"""Corrected p up to which a rule is believed."""

MOST_RULES = 2
"""Rules of a region."""

LEAST_INSIDE = 0.5
"""Share of failures in a region that makes it a bad one."""

LEAST_SHARE = 0.8
"""Share of all failures that a region must hold to explain them."""

ROUNDING = 1e-9
"""Equal probabilities may differ by so much."""

Config = Mapping[str, Any]


@dataclass(frozen=True)
class Rule:
    """One condition on one knob.

    Args:
        knob: Key of the space.
        test: ``>``, ``<=`` or ``=``.
        value: The threshold, or the value.
    """

    knob: str
    test: str
    value: Any

    def holds(self, config: Config) -> bool:
        """Whether a config fulfils it."""
        given = config.get(self.knob)
        if self.test == "=":
            return bool(given == self.value)
        return _ordered(given) and bool(given > self.value if self.test == ">" else given <= self.value)

    def __str__(self) -> str:
        value = f"{self.value:.4g}" if isinstance(self.value, float) else self.value
        return f"{self.knob} {self.test} {value}"


@dataclass(frozen=True)
class Region:
    """Where failures are, and how sure that is.

    Args:
        rules: All of them hold inside.
        inside: Evaluations there.
        inside_bad: Those of them that failed.
        outside: Evaluations elsewhere.
        outside_bad: Those of them that failed.
        p: Of the least sure rule, corrected for the number of rules tried.
    """

    rules: tuple[Rule, ...]
    inside: int
    inside_bad: int
    outside: int
    outside_bad: int
    p: float

    def holds(self, config: Config) -> bool:
        """Whether a config lies inside."""
        return all(rule.holds(config) for rule in self.rules)

    @property
    def explains(self) -> bool:
        """Whether it is believed, bad, and holds nearly all failures."""
        bad = self.inside_bad + self.outside_bad
        return (
            self.p <= ALPHA
            and self.inside_bad >= LEAST_INSIDE * self.inside
            and self.inside_bad >= LEAST_SHARE * bad
            and self.outside_bad <= 1 + 0.02 * self.outside
        )

    def __str__(self) -> str:
        rules = " and ".join(str(rule) for rule in self.rules)
        elsewhere = f"{self.outside_bad} of {self.outside} elsewhere"
        return f"{rules}: {self.inside_bad} of {self.inside} failed there, {elsewhere} (p = {self.p:.2g})"

    def to_json(self) -> dict[str, Any]:
        """For a policy's evidence."""
        rules = [{"knob": rule.knob, "test": rule.test, "value": rule.value} for rule in self.rules]
        counts = {"inside": self.inside, "inside_failed": self.inside_bad}
        return {
            "rules": rules,
            **counts,
            "outside": self.outside,
            "outside_failed": self.outside_bad,
            "p": self.p,
            "explains": self.explains,
        }


@dataclass(frozen=True)
class _Found:
    """A rule, what it holds, and how extreme that is."""

    rule: Rule
    inside: int
    bad: int
    raw: float
    p: float = field(default=1.0)


def find_region(configs: Sequence[Config], bad: Sequence[bool]) -> Region | None:
    """The region that predicts failure best; None when no rule separates anything.

    Args:
        configs: Of evaluations.
        bad: Which of them failed.

    Example:
        >>> configs = [{"lr": n / 20, "wd": n * 7 % 20} for n in range(20)]
        >>> region = find_region(configs, [config["lr"] > 0.75 for config in configs])
        >>> str(region.rules[0]), region.explains
        ('lr > 0.775', True)
    """
    rules: list[Rule] = []
    worst = 0.0
    left = list(zip(configs, bad, strict=True))
    while len(rules) < MOST_RULES:
        found = _best(left)
        if found is None or (rules and found.p > ALPHA):
            break
        rules.append(found.rule)
        worst = max(worst, found.p)
        left = [(config, failed) for config, failed in left if found.rule.holds(config)]
    if not rules:
        return None
    inside_bad, everything = sum(failed for _, failed in left), sum(bad)
    return Region(
        tuple(rules), len(left), inside_bad, len(configs) - len(left), everything - inside_bad, min(1.0, worst)
    )


def attainable(knobs: int, evaluations: int, bad: int) -> float:
    """The smallest corrected p that so many evaluations could give: one end of one knob holds all failures.

    Example:
        >>> round(attainable(10, 20, 4), 4)
        0.0041
    """
    return min(1.0, 2.0 * knobs / math.comb(evaluations, bad))


def _best(left: Sequence[tuple[Config, bool]]) -> _Found | None:
    total, bad = len(left), sum(failed for _, failed in left)
    if not 0 < bad < total:
        return None
    knobs = sorted({knob for config, _ in left for knob in config})
    tried = [found for knob in knobs for found in _rules(knob, left, bad)]
    if not tried:
        return None
    best = min(tried, key=lambda found: found.raw)
    sizes = Counter(found.inside for found in tried)
    chance = math.fsum(times * _as_extreme(best.raw, inside, bad, total) for inside, times in sizes.items())
    return _Found(best.rule, best.inside, best.bad, best.raw, min(1.0, chance))


def _rules(knob: str, left: Sequence[tuple[Config, bool]], bad: int) -> Iterator[_Found]:
    """Every rule on a knob, each with what it holds."""
    values = [(config.get(knob), failed) for config, failed in left]
    if all(_ordered(value) for value, _ in values):
        yield from _cuts(knob, sorted(values), bad)
    else:
        for value in sorted({value for value, _ in values}, key=repr):
            inside = [failed for given, failed in values if given == value]
            if len(inside) < len(values):
                yield _found(Rule(knob, "=", value), len(inside), sum(inside), bad, len(values))


def _cuts(knob: str, values: Sequence[tuple[Any, bool]], bad: int) -> Iterator[_Found]:
    """Above and below every place between two neighbours."""
    total, below = len(values), 0
    for place in range(1, total):
        below += values[place - 1][1]
        low, high = values[place - 1][0], values[place][0]
        if low == high:
            continue
        cut = low if isinstance(low, int) and isinstance(high, int) else low + (high - low) / 2
        yield _found(Rule(knob, "<=", cut), place, below, bad, total)
        yield _found(Rule(knob, ">", cut), total - place, bad - below, bad, total)


def _found(rule: Rule, inside: int, inside_bad: int, bad: int, total: int) -> _Found:
    return _Found(rule, inside, inside_bad, _fisher(inside_bad, inside, bad, total))


def _as_extreme(raw: float, inside: int, bad: int, total: int) -> float:
    """Probability that a rule holding so many evaluations gets a p as small as that by chance."""
    whole = math.comb(total, inside)
    reached, ways = 0.0, 0
    for count in range(min(inside, bad), max(0, inside + bad - total) - 1, -1):
        ways += math.comb(bad, count) * math.comb(total - bad, inside - count)
        if ways / whole > raw * (1.0 + ROUNDING):
            break
        reached = ways / whole
    return reached


@lru_cache(maxsize=4096)
def _fisher(count: int, inside: int, bad: int, total: int) -> float:
    """Probability of ``count`` or more failures inside, were they spread by chance (the hypergeometric tail)."""
    most = min(inside, bad)
    ways = sum(math.comb(bad, k) * math.comb(total - bad, inside - k) for k in range(count, most + 1))
    return ways / math.comb(total, inside)


def _ordered(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
