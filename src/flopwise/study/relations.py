"""What a study file says about keys together: conditions, constraints and derived values, read and named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flopwise.conditions import among, circle_of
from flopwise.errors import ExpressionError, Problem
from flopwise.expression import Expression, parse
from flopwise.space import Categorical, Float, Int, Parameter
from flopwise.study.explain import nearest, not_one_of, shown
from flopwise.study.freeze import lookup
from flopwise.study.rules import needs_of

When = Mapping[str, Mapping[str, Sequence[Any]]]


@dataclass(frozen=True)
class Relations:
    """Conditions, constraints and derived values, as far as they could be read.

    Args:
        when: Key of the space to its conditions: key to the values it must have one of.
        constraints: Place in the study file to the expression.
        derived: Key to the expression it is computed from.
    """

    when: When = field(default_factory=dict)
    constraints: Mapping[str, Expression] = field(default_factory=dict)
    derived: Mapping[str, Expression] = field(default_factory=dict)


def read_relations(
    when: When, constraints: Sequence[str], derived: Mapping[str, str]
) -> tuple[Relations, list[Problem]]:
    """Read the expressions; what is none becomes a problem and is left out."""
    listed = {f"constraints.{index}": text for index, text in enumerate(constraints)}
    kept, problems = _parsed(listed)
    computed, others = _parsed({f"derived.{key}": text for key, text in derived.items()})
    named = {place.removeprefix("derived."): expression for place, expression in computed.items()}
    given = {key: dict(conditions) for key, conditions in when.items() if conditions}
    return Relations(given, kept, named), [*problems, *others]


def _parsed(texts: Mapping[str, str]) -> tuple[dict[str, Expression], list[Problem]]:
    found: dict[str, Expression] = {}
    problems = []
    for place, text in texts.items():
        try:
            found[place] = parse(text)
        except ExpressionError as error:
            problems.append(Problem(place, str(error)))
    return found, problems


def name_problems(relations: Relations, known: Sequence[str]) -> list[Problem]:
    """Keys in expressions that are none of the config's.

    Args:
        relations: Constraints and derived values.
        known: Every key of the config, derived ones included.
    """
    places = {**relations.constraints, **{f"derived.{key}": each for key, each in relations.derived.items()}}
    found = []
    for place, expression in places.items():
        for key in expression.keys:
            if key.name not in known:
                error = ExpressionError(_unknown_name(key.name, known), expression.text, key.position)
                found.append(Problem(place, str(error)))
    return found


def _unknown_name(name: str, known: Sequence[str]) -> str:
    near = nearest(name, known)
    if near:
        return f"no such key {name!r}; did you mean {near!r}?"
    section = [key for key in known if key.rpartition(".")[0] == name.rpartition(".")[0]]
    listed = f"; expected one of {', '.join(section)}" if section else ""
    quotes = f"; a text stands in quotes: '{name}'" if "." not in name else ""
    return f"no such key {name!r}{listed}{quotes}"


def circle_problems(relations: Relations) -> list[Problem]:
    """Conditions, or derived values, that go round in a circle."""
    found = []
    circle = circle_of(relations.when)
    if circle:
        found.append(Problem(f"space.{circle[0]}.when", f"the conditions go round: {' needs '.join(circle)}"))
    circle = circle_of(needs_of(relations.derived))
    if circle:
        message = f"computed from itself: {' needs '.join(circle)}"
        found.append(Problem(f"derived.{circle[0]}", message))
    return found


def sources_of(key: str, derived: Mapping[str, Expression]) -> set[str]:
    """The keys that a derived value is computed from, in the end: none of them is derived itself."""
    found: set[str] = set()
    waiting, seen = [key], set[str]()
    while waiting:
        here = waiting.pop()
        if here not in derived:
            found.add(here)
        elif here not in seen:
            seen.add(here)
            waiting += derived[here].names
    return found


def condition_problems(
    relations: Relations, space: Mapping[str, Parameter], full: Mapping[str, Any], unread: Sequence[str] = ()
) -> list[Problem]:
    """Conditions that can never hold: on keys that there are not, or on values that those never have.

    Args:
        relations: Whose conditions.
        space: Dotted key to parameter.
        full: The workload's nested config.
        unread: Keys of the space whose parameter could not be read.
    """
    found = []
    for key, conditions in relations.when.items():
        for other, values in conditions.items():
            message = _never(relations, space, full, other, values) if other not in unread else None
            if message:
                found.append(Problem(f"space.{key}.when.{other}", message))
    return found


def _never(
    relations: Relations, space: Mapping[str, Parameter], full: Mapping[str, Any], key: str, values: Sequence[Any]
) -> str | None:
    """Why a key never has one of these values; None when it may."""
    if key in relations.derived:
        return "this key is computed (`derived`); name a key that it is computed from"
    if key in space:
        return next((message for value in values if (message := _outside(space[key], value))), None)
    fixed = lookup(full, key)
    if fixed is None or isinstance(fixed, Mapping):
        near = nearest(key, list(space))
        hint = f"; did you mean {near!r}?" if near else ""
        return f"no such key in the space or the baseline{hint}"
    if not among(fixed, values):
        return f"this never holds: {key} is {shown(fixed)} in `base` and does not vary"
    return None


def _outside(parameter: Parameter, value: Any) -> str | None:
    match parameter:
        case Float():
            return "a float hardly ever has one exact value; use an int or categorical, or a constraint"
        case Int() if not parameter.contains(value):
            step = f" in steps of {parameter.step}" if parameter.step > 1 else ""
            return f"it never is {shown(value)}: it goes from {parameter.low} to {parameter.high}{step}"
        case Categorical(choices=choices) if not among(value, choices):
            return not_one_of(value, [str(choice) for choice in choices])
    return None
