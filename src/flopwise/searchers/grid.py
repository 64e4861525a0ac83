"""Grid search: every combination of a few values of each parameter, in an order drawn from the seed.

A study that ends before its grid does has then seen an even sample of it instead of one edge. For more
than three or four parameters ``qmc`` covers the space better for the same money: a grid repeats each
value of every parameter many times over (Bergstra and Bengio, JMLR 13, 2012).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict
from pydantic_core import PydanticCustomError

from flopwise import seeds
from flopwise.errors import Problem
from flopwise.registry import did_you_mean
from flopwise.space import Categorical, Float, Int, Parameter, Space
from flopwise.trial import Proposal, Told

DEFAULT_POINTS = 5
"""Values of a float when nothing says otherwise."""

MOST_TRIALS = 100_000
"""Largest grid."""


def _points(value: object) -> object:
    counts = value.values() if isinstance(value, Mapping) else [value]
    if all(isinstance(count, int) and not isinstance(count, bool) and count >= 1 for count in counts):
        return value
    wanted = "how many values (a whole number of at least 1), or a mapping of keys to that"
    message = f"expected {wanted}, got {value!r:.60}"
    raise PydanticCustomError("flopwise", "{message}", {"message": message})


class Grid:
    """All combinations of a few values each.

    Example:
        >>> from flopwise.space import Float, Space
        >>> space = Space({"lr": Float(1e-4, 1e-2, "log"), "tied": Categorical((False, True))})
        >>> Grid.size(space, Grid.Options(points=3))
        6
    """

    class Options(BaseModel):
        """``search.points`` of a grid search.

        Args:
            points: Values of every float, both bounds among them; or of the keys named, floats and ints.
                An int that is not named takes all its values, as do categories and booleans.
        """

        model_config = ConfigDict(extra="forbid", frozen=True)

        points: Annotated[int | dict[str, int], BeforeValidator(_points)] = DEFAULT_POINTS

    generational: ClassVar[bool] = False
    asynchronous: ClassVar[bool] = True

    def __init__(
        self, space: Space, seed: int, options: Options, centre: Mapping[str, Any], population: int | None
    ) -> None:
        self._space = space
        self._axes = [_coordinates(parameter, count) for parameter, count in _counts(space, options)]
        places = _places(space, self._axes)
        self._order = seeds.stream(seed, "grid").sample(places, len(places))

    @classmethod
    def check(cls, space: Space, options: Options) -> list[Problem]:
        """Keys of ``points`` that mean nothing, and a grid that is too large to think of."""
        named = options.points if isinstance(options.points, dict) else {}
        found = [problem for key in named for problem in _mistakes(space, key)]
        size = cls.size(space, options)
        if not found and size > MOST_TRIALS:
            message = (
                f"the grid has {size:,} trials ({_shape(space, options)}), at most {MOST_TRIALS:,}; give fewer "
                "points to the longest, such as `points: {KEY: 3}`, or use `search: {method: qmc}`"
            )
            found.append(Problem("search.points", message))
        return found

    @classmethod
    def size(cls, space: Space, options: Options) -> int:
        """How many trials the grid has: combinations that differ where it matters."""
        counts = _counts(space, options)
        combinations = math.prod(_length(parameter, count) for parameter, count in counts)
        if not space.conditions or combinations > MOST_TRIALS:
            return combinations
        return len(_places(space, [_coordinates(parameter, count) for parameter, count in counts]))

    def ask(self, numbers: Sequence[int]) -> list[Proposal]:
        """See :class:`flopwise.searchers.searcher.Searcher`."""
        return [self._propose(number) for number in numbers]

    def tell(self, results: Sequence[Told]) -> None:
        """Results change nothing."""

    def _propose(self, number: int) -> Proposal:
        if not 1 <= number <= len(self._order):
            raise ValueError(f"asked for trial {number}, but the trials of the grid are 1 to {len(self._order)}")
        point = _combination(self._axes, self._order[number - 1])
        return Proposal(number, self._space.decode(point), point)


def _mistakes(space: Space, key: str) -> Iterator[Problem]:
    parameter = space.parameters.get(key)
    place = f"search.points.{key}"
    if parameter is None:
        message = f"no such key in the space; expected one of {', '.join(space.keys)}"
        near = did_you_mean(key, list(space.keys))
        yield Problem(place, f"{message}; {near}" if near else message)
    elif isinstance(parameter, Categorical):
        yield Problem(place, "a grid takes every choice of a categorical or bool; drop this key")


def _counts(space: Space, options: Grid.Options) -> list[tuple[Parameter, int | None]]:
    """Each parameter with its number of values; None for all."""
    named = options.points if isinstance(options.points, dict) else {}
    floats = DEFAULT_POINTS if isinstance(options.points, dict) else options.points
    return [
        (parameter, named.get(key, floats if isinstance(parameter, Float) else None))
        for key, parameter in space.parameters.items()
    ]


def _combination(axes: Sequence[Sequence[float]], place: int) -> tuple[float, ...]:
    """The ``place``-th point of the product of all axes, the first axis running fastest."""
    point = []
    for axis in axes:
        place, step = divmod(place, len(axis))
        point.append(axis[step])
    return tuple(point)


def _places(space: Space, axes: Sequence[Sequence[float]]) -> Sequence[int]:
    """Places of all combinations; of those that conditions make the same config, the first."""
    combinations = range(math.prod(map(len, axes)))
    if not space.conditions:
        return combinations
    first: dict[str, int] = {}
    for place in combinations:
        first.setdefault(repr(space.decode(_combination(axes, place))), place)
    return list(first.values())


def _length(parameter: Parameter, count: int | None) -> int:
    """How many values an axis has, without listing an axis that may be endless."""
    if isinstance(parameter, Categorical):
        return len(parameter.choices)
    if isinstance(parameter, Int):
        whole = (parameter.high - parameter.low) // parameter.step + 1
        return whole if count is None or count >= whole else len(_coordinates(parameter, count))
    return count or DEFAULT_POINTS


def _coordinates(parameter: Parameter, count: int | None) -> list[float]:
    """An axis of the grid: coordinates in [0, 1], rising, no value twice."""
    if isinstance(parameter, Categorical):
        return [parameter.encode(choice) for choice in parameter.choices]
    if isinstance(parameter, Int):
        whole = range(parameter.low, parameter.high + 1, parameter.step)
        listed = whole if count is None or count >= len(whole) else _spread(parameter, count)
        return [parameter.encode(value) for value in listed]
    return [parameter.encode(value) for value in _spread(parameter, count or DEFAULT_POINTS)]


def _spread(parameter: Float | Int, count: int) -> list[Any]:
    """Values spread evenly on the parameter's scale, both bounds among them; the middle when it is one."""
    units = [0.5] if count == 1 else [step / (count - 1) for step in range(count)]
    return list(dict.fromkeys(parameter.decode(unit) for unit in units))


def _shape(space: Space, options: Grid.Options) -> str:
    """``lr 5 × width 249``, the longest axes first."""
    lengths = {key: _length(p, c) for key, (p, c) in zip(space.keys, _counts(space, options), strict=True)}
    longest = sorted(lengths, key=lambda key: -lengths[key])[:4]
    return " × ".join(f"{key} {lengths[key]:,}" for key in longest)
