"""When a parameter matters: conditions on the values of other keys, and conditions of those in turn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any

from flopwise.errors import SpaceError
from flopwise.expression import equal

Values = Mapping[str, Sequence[Any]]
"""Dotted key to the values it may have; all of them have to hold."""


class Conditions:
    """The conditions of a space's parameters.

    A parameter is active when every key in its conditions has one of the values listed there, and those
    of them that are parameters are active themselves.

    Args:
        parameters: Dotted keys of all parameters.
        when: Dotted key of a parameter to what has to hold.
        baseline: Dotted key to the value of a key that is no parameter, or that is inactive.

    Raises:
        SpaceError: If a condition belongs to or is about an unknown key, or they go round in a circle.
    """

    def __init__(self, parameters: Sequence[str], when: Mapping[str, Values], baseline: Mapping[str, Any]) -> None:
        self.when = {key: dict(values) for key, values in when.items() if values}
        self._parameters = frozenset(parameters)
        self._baseline = dict(baseline)
        self._check()
        parents = {key: [other for other in self.when.get(key, {}) if other in parameters] for key in parameters}
        self._order = tuple(TopologicalSorter(parents).static_order())
        self._needs = self._all_needs()

    def __bool__(self) -> bool:
        return bool(self.when)

    def active(self, config: Mapping[str, Any]) -> frozenset[str]:
        """The parameters whose conditions hold.

        Args:
            config: A value for every parameter; those of inactive ones are not looked at.
        """
        found: set[str] = set()
        for key in self._order:
            if all(self._holds(other, values, config, found) for other, values in self.when.get(key, {}).items()):
                found.add(key)
        return frozenset(found)

    def needs(self, key: str) -> dict[str, tuple[Any, ...]]:
        """Everything a parameter needs to be active, conditions of its conditions included.

        Returns:
            Key to the values that all of them allow; an empty tuple where they exclude each other.
        """
        return dict(self._needs.get(key, {}))

    def fallback(self, key: str) -> Any:
        """The value a parameter has while it is inactive."""
        return self._baseline[key]

    def _holds(self, key: str, values: Sequence[Any], config: Mapping[str, Any], active: set[str]) -> bool:
        if key in self._parameters:
            return key in active and among(config[key], values)
        return among(self._baseline[key], values)

    def _all_needs(self) -> dict[str, dict[str, tuple[Any, ...]]]:
        needs: dict[str, dict[str, tuple[Any, ...]]] = {}
        for key in self._order:
            found: dict[str, tuple[Any, ...]] = {}
            for other, values in self.when.get(key, {}).items():
                for name, allowed in ((other, tuple(values)), *needs.get(other, {}).items()):
                    known = found.get(name, allowed)
                    found[name] = tuple(value for value in known if among(value, allowed))
            if found:
                needs[key] = found
        return needs

    def _check(self) -> None:
        strange = [key for key in self.when if key not in self._parameters]
        if strange:
            raise SpaceError(f"conditions of {', '.join(strange)}", expected="conditions of parameters of the space")
        needed = {other for values in self.when.values() for other in values if other not in self._parameters}
        lost = sorted(key for key in {*needed, *self.when} if key not in self._baseline)
        if lost:
            raise SpaceError(f"conditions need a baseline value of {', '.join(lost)}", expected="a value for each")
        circle = circle_of(self.when)
        if circle:
            raise SpaceError(f"the conditions go round: {', '.join(circle)}", expected="conditions without a circle")


def among(value: Any, values: Sequence[Any]) -> bool:
    """Whether a value is one of several; 1 is 1.0, but not true."""
    return any(equal(value, other) for other in values)


def circle_of(needs: Mapping[str, Any]) -> tuple[str, ...]:
    """Keys each of which needs the next, the first one repeated at the end; empty when none do.

    Args:
        needs: Key to the keys it needs.

    Example:
        >>> circle_of({"a": ["b"], "b": ["a"], "c": ["a"]}) in (("a", "b", "a"), ("b", "a", "b"))
        True
    """
    try:
        TopologicalSorter({key: list(needed) for key, needed in needs.items()}).prepare()
    except CycleError as error:
        return tuple(reversed(error.args[1]))
    return ()
