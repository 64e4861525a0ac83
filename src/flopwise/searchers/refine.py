"""The second stage of a staged search: what the best few agree on is locked, the rest gets a fine grid.

The fraction of the grid is a Latin hypercube (McKay et al., Technometrics 21:239, 1979) with small discrepancy, by
scipy: of every knob each level is taken equally often, as nearly as the numbers allow, and pairs of levels nearly so.
"""

from __future__ import annotations

import math
from collections.abc import Container, Mapping, Sequence
from itertools import product
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from flopwise import seeds
from flopwise.registry import resolve
from flopwise.space import Categorical, Parameter, Space
from flopwise.trial import Told

DRAWS = 8
"""Hypercubes drawn at most until all points of one are new."""


class Refine(BaseModel):
    """``search.refine``.

    Args:
        trials: Trials of the second stage; 0 for none.
        top: The best so many trials of the first stage say what is locked and which range is refined.
        levels: Values of each number in the fine grid.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    trials: int = Field(36, ge=0, le=1000)
    top: int = Field(5, ge=1, le=100)
    levels: int = Field(6, ge=2, le=50)


def refined(
    space: Space, told: Sequence[Told], refine: Refine, seed: int, centre: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """The configs of the second stage; the same ones for the same results.

    Args:
        space: What may vary.
        told: Results of the first stage.
        refine: How large the second is to be.
        seed: The study's.
        centre: Stands for the best where every trial failed.

    Returns:
        At most ``refine.trials``; fewer where the grid has no more, and none where the best few agree on everything.
    """
    top = best(told, refine.top)
    grid = {key: levels(space.parameters[key], [config[key] for config in top], refine.levels) for key in space.keys}
    free = [key for key in space.keys if len(grid[key]) > 1]
    locked = {key: (top[0] if top else centre)[key] for key in space.keys if key not in free}
    known = {_identity(each.config) for each in told}
    if math.prod(len(grid[key]) for key in free) <= refine.trials + len(known):
        cells = product(*(grid[key] for key in free)) if free else ()
        every = [{**locked, **dict(zip(free, cell, strict=True))} for cell in cells]
        new = [config for config in every if _identity(config) not in known]
        if len(new) <= refine.trials:
            return new
    return _fraction(free, grid, locked, known, refine.trials, seed)


def _fraction(
    free: Sequence[str],
    grid: Mapping[str, Sequence[Any]],
    locked: Mapping[str, Any],
    known: Container[str],
    count: int,
    seed: int,
) -> list[dict[str, Any]]:
    """The first Latin hypercube whose points are all new and different; filled up from others where none is."""
    pool: dict[str, dict[str, Any]] = {}
    for draw in range(DRAWS):
        stream = seeds.derive(seed, "refine", draw)
        cube = resolve("scipy.stats:qmc.LatinHypercube")(d=len(free), optimization="random-cd", seed=stream)
        rows = cube.random(count).tolist()
        drawn = [{key: grid[key][int(unit * len(grid[key]))] for key, unit in zip(free, r, strict=True)} for r in rows]
        configs = {_identity(config): config for config in ({**locked, **each} for each in drawn)}
        new = {name: config for name, config in configs.items() if name not in known}
        if len(new) == count:
            return list(new.values())
        pool = {**pool, **new}
    return list(pool.values())[:count]


def _identity(config: Mapping[str, Any]) -> str:
    """Equal for equal configs."""
    return repr(sorted(config.items()))


def best(told: Sequence[Told], count: int) -> list[Mapping[str, Any]]:
    """Configs of the best few, each config once, best first."""
    ranked = sorted((each.loss, each.number, each.config) for each in told if each.loss is not None)
    found: dict[str, Mapping[str, Any]] = {}
    for _, _, config in ranked:
        found.setdefault(_identity(config), config)
    return list(found.values())[:count]


def levels(parameter: Parameter, values: Sequence[Any], count: int) -> list[Any]:
    """The fine grid of one knob: over the range that the best few span, and a step beyond where the best is its edge.

    Args:
        parameter: Of the knob.
        values: Of the best few, the best first.
        count: At most so many.

    Returns:
        Values in order; one alone where the best few agree.
    """
    if isinstance(parameter, Categorical):
        return [choice for choice in parameter.choices if any(_same(choice, value) for value in values)]
    units = [parameter.encode(value) for value in values]
    if not units or max(units) - min(units) < 1e-12:
        return list(values[:1])
    low, high = min(units), max(units)
    step = (high - low) / (count - 1)
    low = max(0.0, low - step) if units[0] == low else low
    high = min(1.0, high + step) if units[0] == high else high
    spread = [low + (high - low) * place / (count - 1) for place in range(count)]
    return list(dict.fromkeys(parameter.decode(unit) for unit in spread))


def _same(choice: Any, value: Any) -> bool:
    return type(choice) is type(value) and bool(choice == value)
