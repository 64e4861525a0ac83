"""The search space: typed parameters, and their encoding to the unit cube and back.

Values are quantised when decoded, to far less than any training run can tell apart (a linear float to
1e-12 of its span, a log float to 12 significant digits). That makes ``decode(encode(v)) == v`` exact
for every decoded value, so a config survives the journal and a resume to the last bit.

A parameter may have conditions. Searchers see the whole cube all the same: while a parameter's conditions
do not hold it is inactive, its coordinate means nothing, and its config value is the baseline's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from flopwise.conditions import Conditions, Values
from flopwise.errors import SpaceError

Scale = Literal["linear", "log"]

MOST_CELLS = 10**12
"""Whole numbers of one parameter; of many more, neighbours share a coordinate."""


@dataclass(frozen=True)
class Float:
    """A real number in [low, high].

    Args:
        low: Smallest value.
        high: Largest value.
        scale: ``log`` spreads the unit interval over orders of magnitude.

    Raises:
        SpaceError: If ``low >= high``, a bound is not finite, the range is too narrow or too wide to
            resolve, or ``low <= 0`` on a log scale.
    """

    low: float
    high: float
    scale: Scale = "linear"

    def __post_init__(self) -> None:
        _check_range(self.low, self.high, self.scale)
        _check_width(self.low, self.high, self.scale)

    def encode(self, value: Any) -> float:
        """Value to [0, 1]; values outside the range are clipped."""
        value = float(min(max(value, self.low), self.high))
        if self.scale == "log":
            return math.log(value / self.low) / math.log(self.high / self.low)
        return float((value - self.low) / (self.high - self.low))

    def decode(self, unit: float) -> float:
        """[0, 1] to a quantised value; 0 and 1, and what is closer than half a quantum, give the bounds."""
        if unit <= 0.0:
            return float(self.low)
        if unit >= 1.0:
            return float(self.high)
        if self.scale == "log":
            raw = self.low * math.exp(unit * math.log(self.high / self.low))
            value = float(f"{raw:.11e}")
            near = 5e-12 * value
        else:
            raw = self.low + unit * (self.high - self.low)
            value = round(raw, self._decimals) + 0.0
            near = 0.5 * 10.0**-self._decimals
        if value - self.low <= near:
            return float(self.low)
        return float(self.high) if self.high - value <= near else value

    @cached_property
    def _decimals(self) -> int:
        resolution = max(1e-12 * (self.high - self.low), 1e-14 * max(abs(self.low), abs(self.high)))
        return -math.floor(math.log10(resolution)) - 1

    def contains(self, value: Any) -> bool:
        """Whether the value is a number inside the range."""
        return _is_number(value) and self.low <= value <= self.high


@dataclass(frozen=True)
class Int:
    """A whole number in [low, high], optionally on a grid ``low, low + step, …``.

    Args:
        low: Smallest value.
        high: Largest value; must lie on the grid.
        scale: ``log`` gives small values more room; not together with ``step``.
        step: Distance between neighbours.

    Raises:
        SpaceError: If ``low >= high``, ``high`` is off the grid, ``low < 1`` on a log scale, or there
            are too many values to tell apart in the unit interval.
    """

    low: int
    high: int
    scale: Scale = "linear"
    step: int = 1

    def __post_init__(self) -> None:
        _check_range(self.low, self.high, self.scale)
        if self.step < 1:
            raise SpaceError("step must be positive", expected="a whole number of at least 1", got=str(self.step))
        if (self.high - self.low) % self.step:
            nearest = self.high - (self.high - self.low) % self.step
            raise SpaceError(f"high {self.high} is not low + k * step ({self.step})", fix=f"use high: {nearest}")
        if self.scale == "log" and self.step != 1:
            raise SpaceError("step and log scale do not go together", fix="drop one of them")
        if self._cells() > MOST_CELLS:
            raise SpaceError("too many values", expected=f"at most {MOST_CELLS}", fix="use a step, or type: float")

    def encode(self, value: Any) -> float:
        """Value to the middle of its cell in [0, 1]; values outside are clipped."""
        value = min(max(value, self.low), self.high)
        if self.scale == "log":
            return (math.log(value) - self._log_low()) / self._log_span()
        return float(((value - self.low) / self.step + 0.5) / self._cells())

    def decode(self, unit: float) -> int:
        """[0, 1] to the value whose cell holds it."""
        unit = min(max(unit, 0.0), 1.0)
        if self.scale == "log":
            value = round(math.exp(self._log_low() + unit * self._log_span()))
            return min(max(value, self.low), self.high)
        cell = min(int(unit * self._cells()), self._cells() - 1)
        return self.low + cell * self.step

    def _cells(self) -> int:
        return (self.high - self.low) // self.step + 1

    def _log_low(self) -> float:
        return math.log(self.low - 0.5)

    def _log_span(self) -> float:
        return math.log(self.high + 0.5) - self._log_low()

    def contains(self, value: Any) -> bool:
        """Whether the value is a whole number on the grid."""
        return _is_number(value) and self.low <= value <= self.high and (value - self.low) % self.step == 0


@dataclass(frozen=True)
class Categorical:
    """One of several values without an order. ``bool`` in a study file means ``[false, true]``.

    Args:
        choices: At least two different JSON scalars.

    Raises:
        SpaceError: If there are fewer than two, or the same one twice.
    """

    choices: tuple[Any, ...]

    def __post_init__(self) -> None:
        if len(self.choices) < 2:
            raise SpaceError("a categorical needs at least two choices", got=repr(list(self.choices)))
        if len({(type(c), c) for c in self.choices}) != len(self.choices):
            raise SpaceError("a choice is listed twice", got=repr(list(self.choices)))

    def encode(self, value: Any) -> float:
        """Value to the middle of its cell in [0, 1]."""
        return (self._index(value) + 0.5) / len(self.choices)

    def decode(self, unit: float) -> Any:
        """[0, 1] to the choice whose cell holds it."""
        return self.choices[min(int(min(max(unit, 0.0), 1.0) * len(self.choices)), len(self.choices) - 1)]

    def contains(self, value: Any) -> bool:
        """Whether the value is one of the choices, type included (``1`` is not ``true``)."""
        return any(type(c) is type(value) and c == value for c in self.choices)

    def _index(self, value: Any) -> int:
        for index, choice in enumerate(self.choices):
            if type(choice) is type(value) and choice == value:
                return index
        raise SpaceError(f"{value!r} is not one of the choices {list(self.choices)}")


Parameter = Float | Int | Categorical


class Space:
    """Named parameters in a fixed order, some of which matter only under conditions.

    Args:
        parameters: Dotted key to parameter; the order is the order of the coordinates.
        when: Dotted key of a parameter to its conditions; most have none.
        baseline: Dotted key to the value of an inactive parameter, and of what else conditions are about.

    Raises:
        SpaceError: If conditions are about keys that have no value, or go round in a circle.

    Example:
        >>> space = Space({"train.lr": Float(1e-4, 1e-1, "log"), "model.n_layer": Int(1, 4)})
        >>> space.decode([0.5, 0.9])["model.n_layer"]
        4
        >>> parameters = {"kind": Categorical(("plain", "gated")), "gates": Int(1, 4)}
        >>> space = Space(parameters, {"gates": {"kind": ["gated"]}}, {"gates": 2})
        >>> space.decode([0.1, 0.9]), space.decode([0.6, 0.9])
        ({'kind': 'plain', 'gates': 2}, {'kind': 'gated', 'gates': 4})
    """

    def __init__(
        self,
        parameters: Mapping[str, Parameter],
        when: Mapping[str, Values] | None = None,
        baseline: Mapping[str, Any] | None = None,
    ) -> None:
        self.parameters = dict(parameters)
        self.conditions = Conditions(list(self.parameters), when or {}, baseline or {})

    def __len__(self) -> int:
        return len(self.parameters)

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(self.parameters)

    def encode(self, config: Mapping[str, Any]) -> tuple[float, ...]:
        """A config as a point of the unit cube, one coordinate a parameter, in order.

        Inactive parameters have the coordinate of the baseline, or the middle where that is outside.
        ``decode(encode(config)) == config`` holds for every decoded config; ``encode(decode(point))`` may
        differ from the point where a parameter is inactive.

        Raises:
            SpaceError: If a key of the space is missing or a categorical value is not a choice.
        """
        missing = [key for key in self.parameters if key not in config]
        if missing:
            raise SpaceError(f"the config lacks {', '.join(missing)}", expected="every key of the space")
        active = self.active(config)
        return tuple(
            parameter.encode(config[key]) if key in active else self._inactive_unit(key, parameter)
            for key, parameter in self.parameters.items()
        )

    def decode(self, point: Sequence[float]) -> dict[str, Any]:
        """A point of the unit cube as a config: what it says where active, the baseline's value elsewhere.

        Raises:
            SpaceError: If the number of coordinates is not the number of parameters.
        """
        if len(point) != len(self.parameters):
            raise SpaceError("wrong number of coordinates", expected=str(len(self)), got=str(len(point)))
        units = zip(self.parameters.items(), point, strict=True)
        config = {key: parameter.decode(unit) for (key, parameter), unit in units}
        active = self.active(config)
        return {key: value if key in active else self.conditions.fallback(key) for key, value in config.items()}

    def active(self, config: Mapping[str, Any]) -> frozenset[str]:
        """The parameters that matter in a config: those whose conditions hold."""
        return self.conditions.active(config) if self.conditions else frozenset(self.parameters)

    def _inactive_unit(self, key: str, parameter: Parameter) -> float:
        value = self.conditions.fallback(key)
        return parameter.encode(value) if parameter.contains(value) else 0.5


def centre(parameter: Parameter) -> Any:
    """The value a baseline takes when nothing says otherwise: the middle, or the first choice."""
    return parameter.choices[0] if isinstance(parameter, Categorical) else parameter.decode(0.5)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _check_range(low: float, high: float, scale: Scale) -> None:
    if not (math.isfinite(low) and math.isfinite(high)):
        raise SpaceError("bounds must be finite", got=f"low: {low}, high: {high}")
    if low >= high:
        raise SpaceError(f"low {low:g} is not below high {high:g}", fix="swap them, or fix the value in `base`")
    if scale == "log" and low <= 0:
        raise SpaceError(f"a log scale needs low > 0, got low: {low:g}", fix="raise low or drop `scale: log`")


def _check_width(low: float, high: float, scale: Scale) -> None:
    if high - low < max(1e-9 * max(abs(low), abs(high)), 1e-290):
        raise SpaceError("the range is too narrow", expected="high - low of at least 1e-9 of the larger bound")
    if not math.isfinite(high / low if scale == "log" else high - low):
        raise SpaceError("the range is too wide", got=f"low: {low:g}, high: {high:g}", fix="bring the bounds closer")
