"""Derived values at the baseline: their types, and that they are given nowhere else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from graphlib import TopologicalSorter
from typing import Any

from pydantic import BaseModel

from flopwise.errors import ExpressionError, Problem
from flopwise.expression import Expression, equal
from flopwise.study.explain import read, shown
from flopwise.study.freeze import lookup, with_keys
from flopwise.study.names import misnamed
from flopwise.study.rules import TYPES, Derived, Rules, needs_of


class Computed:
    """The baseline with its derived values.

    Args:
        model: Of the workload's config; None when anything will do.
        full: The baseline, the workload's defaults filled in.
        given: The baseline as the study file has it.
        centres: Dotted key to the value of keys that the baseline lacks.

    Attributes:
        full: The baseline, derived values set.
        derived: Key to expression and type, as far as there was no problem.
        problems: What is wrong with the others.
    """

    def __init__(
        self,
        model: type[BaseModel] | None,
        full: Mapping[str, Any],
        given: Mapping[str, Any],
        centres: Mapping[str, Any],
    ) -> None:
        self.full = dict(full)
        self.derived: dict[str, Derived] = {}
        self.problems: list[Problem] = []
        self._model = model
        self._given = given
        self._centres = centres

    def add_all(self, derived: Mapping[str, Expression]) -> None:
        """Compute them in the order in which they need each other; there must be no circle."""
        for key in TopologicalSorter(needs_of(derived)).static_order():
            self._add(key, derived[key])

    def _add(self, key: str, expression: Expression) -> None:
        plain = Rules(self.full, self._centres, derived={key: Derived(expression)})
        try:
            value = plain.derive({})[key]
        except ExpressionError as error:
            self._say(key, f"at the baseline: {error}")
            return
        value, complaint = self._taken(key, value)
        given = lookup(self._given, key)
        if complaint:
            self._say(key, f"at the baseline: {complaint}")
        elif given is not None and not equal(given, value):
            self._say(key, f"`base` says {shown(given)}, but it is computed as {shown(value)}; drop it from `base`")
        else:
            self.full = with_keys(self.full, {key: value})
            self.derived[key] = Derived(expression, None if self._model is None else type(value).__name__)

    def _taken(self, key: str, value: Any) -> tuple[Any, str]:
        """The value as the workload holds it, or what it says against it."""
        if self._model is None:
            return value, ""
        whole = isinstance(value, float) and value.is_integer()
        complaint = ""
        for candidate in (value, int(value)) if whole else (value,):
            reading = read(self._model, with_keys(self.full, {key: candidate}))
            if not reading.problems:
                found = lookup(reading.value.model_dump(mode="json"), key)
                return (found, "") if type(found).__name__ in TYPES else (found, f"read as {shown(found)}")
            complaint = complaint or reading.problems[0].message
        fraction = isinstance(value, float) and not whole and "whole number" in complaint
        return value, f"{complaint}; use round(…) or //" if fraction else complaint

    def _say(self, key: str, message: str) -> None:
        self.problems.append(Problem(f"derived.{key}", message))


def place_problems(
    derived: Sequence[str], space: Sequence[str], known: Sequence[str] | None, owner: str
) -> list[Problem]:
    """Derived keys that are no key of the workload's config, or that the space sets already.

    Args:
        derived: Keys.
        space: Keys of the space.
        known: Keys of the workload's config; None when anything will do.
        owner: Whose keys they are, for the message.
    """
    found = []
    for key in derived:
        if key in space:
            message = "also in `space`; a key is either searched or computed, so drop it from one of them"
            found.append(Problem(f"derived.{key}", message))
        elif known is not None:
            found += misnamed(f"derived.{key}", key, known, owner)
    return found


def takes(model: type[BaseModel] | None, full: Mapping[str, Any], key: str) -> bool:
    """Whether a workload takes a key that its config does not have yet (it lies in a mapping of free keys)."""
    if model is None or isinstance(lookup(full, key), Mapping):
        return False
    problems = read(model, with_keys(full, {key: 1})).problems
    return not any(key == problem.key or key.startswith(f"{problem.key}.") for problem in problems)
