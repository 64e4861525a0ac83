"""Which keys of the space a run searches: groups that are picked, and keys that are frozen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from flopwise.conditions import among
from flopwise.errors import Problem
from flopwise.space import Parameter, Space, centre
from flopwise.study.explain import not_one_of, shown
from flopwise.study.fit import Fit
from flopwise.study.freeze import lookup, with_keys
from flopwise.study.relations import When
from flopwise.study.schema import parameter_mapping


@dataclass(frozen=True)
class Narrowed:
    """What is left to search.

    Args:
        fit: Base and space without the frozen keys; the base has a value for each of those.
        when: Conditions of what is left.
        problems: Names that there are not, or nothing left.
        warnings: Parameters that can never matter now.
    """

    fit: Fit
    when: When
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()

    def search_space(self) -> Space:
        """As searchers see it."""
        needed = {other for conditions in self.when.values() for other in conditions}
        values = {key: lookup(self.fit.base, key) for key in {*needed, *self.fit.space}}
        return Space(dict(sorted(self.fit.space.items())), self.when, values)

    def to_json(self) -> dict[str, Any]:
        """The canonical form's ``space``."""
        space = {key: dict(parameter_mapping(self.fit.space[key])) for key in sorted(self.fit.space)}
        for key, conditions in self.when.items():
            space[key]["when"] = {other: list(conditions[other]) for other in sorted(conditions)}
        return space


def group_problems(
    space: Sequence[str], groups: Mapping[str, Sequence[str]], searched: Sequence[str] | None, frozen: Sequence[str]
) -> list[Problem]:
    """Keys and groups that there are not.

    Args:
        space: Keys of the space, readable or not.
        groups: Name to keys.
        searched: ``search.groups``.
        frozen: ``search.freeze``.
    """
    found = [
        Problem(f"groups.{name}.{index}", not_one_of(key, space))
        for name, keys in groups.items()
        for index, key in enumerate(keys)
        if key not in space
    ]
    for index, name in enumerate(searched or ()):
        if name not in groups:
            message = not_one_of(name, list(groups)) if groups else f"there is no group {name!r}: `groups` is empty"
            found.append(Problem(f"search.groups.{index}", message))
    for index, name in enumerate(frozen):
        if name not in groups and name not in space:
            found.append(Problem(f"search.freeze.{index}", not_one_of(name, [*groups, *space])))
    return found


def narrow(
    fit: Fit,
    when: When,
    groups: Mapping[str, Sequence[str]],
    searched: Sequence[str] | None,
    frozen: Sequence[str],
) -> Narrowed:
    """Leave the keys that are searched; the others keep the baseline's value.

    Args:
        fit: The whole space, free of problems.
        when: Its conditions.
        groups: Name to keys of the space.
        searched: Names of groups, or None for the whole space.
        frozen: Names of groups and keys to leave out.
    """
    picked = set(fit.space) if searched is None else _members(groups, searched)
    keys = [key for key in fit.space if key in picked - _members(groups, frozen)]
    base = _with_values(fit, [key for key in fit.space if key not in keys])
    keys, warnings = _that_matter(keys, fit.space, when, base)
    left = replace(fit, base=base, space={key: fit.space[key] for key in keys})
    problems = () if keys else (_nothing(searched),)
    return Narrowed(left, {key: when[key] for key in keys if key in when}, problems, tuple(warnings))


def _members(groups: Mapping[str, Sequence[str]], names: Sequence[str]) -> set[str]:
    return {key for name in names for key in groups.get(name, [name])}


def _with_values(fit: Fit, frozen: Sequence[str]) -> dict[str, Any]:
    """The base with a value for every frozen key."""
    lacking = {key: centre(fit.space[key]) for key in frozen if lookup(fit.base, key) is None}
    return with_keys(fit.base, lacking)


def _that_matter(
    keys: Sequence[str], space: Mapping[str, Parameter], when: When, base: Mapping[str, Any]
) -> tuple[list[str], list[Problem]]:
    """The keys whose conditions can hold while the others keep the baseline's values."""
    others = {other for conditions in when.values() for other in conditions}
    whole = Space(space, when, {key: lookup(base, key) for key in {*others, *space}})
    warnings = []
    for key in keys:
        for other, values in whole.conditions.needs(key).items():
            fixed = lookup(base, other)
            if other not in keys and not among(fixed, values):
                message = (
                    f"not searched: it matters only where {other} is {_either(values)}, which stays {shown(fixed)}"
                )
                warnings.append(Problem(f"space.{key}", message))
                break
    lost = {warning.key.removeprefix("space.") for warning in warnings}
    return [key for key in keys if key not in lost], warnings


def _either(values: Sequence[Any]) -> str:
    return " or ".join(shown(value) for value in values)


def _nothing(searched: Sequence[str] | None) -> Problem:
    place = "search.freeze" if searched is None else "search.groups"
    return Problem(place, "nothing is left to search; pick another group or freeze less")
