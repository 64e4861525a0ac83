"""Whether base, space and what relates their keys fit the workload, and each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flopwise.conditions import Conditions, circle_of
from flopwise.errors import ExpressionError, Problem
from flopwise.expression import Expression
from flopwise.space import Parameter, centre
from flopwise.study.derive import Computed, place_problems, takes
from flopwise.study.explain import MOST, read, shown
from flopwise.study.freeze import lookup
from flopwise.study.judge import Judge, fixed_problems, spoken
from flopwise.study.names import leaves
from flopwise.study.relations import Relations, When, circle_problems, condition_problems, name_problems, sources_of
from flopwise.study.rules import Derived, Rules, needs_of
from flopwise.trial import Fidelity
from flopwise.workload import WorkloadSpec

NO_RELATIONS = Relations()


@dataclass(frozen=True)
class Fit:
    """Base, space and derived values as the workload takes them.

    Args:
        base: The whole config, the workload's defaults and the derived values filled in.
        space: Dotted key to parameter; choices in the types that the workload gives them.
        derived: Dotted key to what it is computed from.
        problems: Why they do not fit.
        warnings: What is allowed but probably not meant; ``key`` and ``message`` as in a problem.
    """

    base: dict[str, Any]
    space: dict[str, Parameter]
    derived: Mapping[str, Derived] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()


def fit(
    spec: WorkloadSpec,
    base: Mapping[str, Any],
    space: Mapping[str, Parameter],
    stop: Fidelity,
    broken: Sequence[str] = (),
    relations: Relations = NO_RELATIONS,
) -> Fit:
    """Hold base, space and relations against a workload.

    Args:
        spec: The workload.
        base: As the study file gives it.
        space: Dotted key to parameter.
        stop: How much training one evaluation buys.
        broken: Keys of the space whose parameter could not be read; only their spelling is checked.
        relations: Conditions, constraints and derived values.
    """
    problems: list[Problem] = []
    if spec.config_model is None:
        full = dict(base)
        problems += _overlaps(list(space), list(relations.derived), base)
    else:
        reading = read(spec.config_model, base, "base")
        problems += reading.problems
        if reading.value is None:
            return Fit(dict(base), dict(space), {}, tuple(problems))
        full = reading.value.model_dump(mode="json")
    computed = _computed(spec, full, base, space, broken, relations)
    problems += [*computed.problems, *spoken(spec, computed.full, stop)]
    sound = _sound(relations, computed)
    rules = Rules(computed.full, _centres(space, full), list(sound.constraints.values()), computed.derived)
    problems += _at_baseline(rules, sound.constraints)
    judge = Judge(spec, computed.full, stop, rules, _conditions(space, sound.when, computed.full))
    judged = [judge.judge(key, parameter) for key, parameter in space.items()]
    problems += [problem for key in broken[:MOST] for problem in judge.address(key)]
    problems += [problem for _, found, _ in judged for problem in found]
    warnings = [warning for _, _, found in judged for warning in found]
    fitted = {key: parameter for key, (parameter, _, _) in zip(space, judged, strict=True)}
    return Fit(computed.full, fitted, computed.derived, tuple(problems), tuple(warnings))


def _computed(
    spec: WorkloadSpec,
    full: Mapping[str, Any],
    given: Mapping[str, Any],
    space: Mapping[str, Parameter],
    broken: Sequence[str],
    relations: Relations,
) -> Computed:
    """The baseline with its derived values, and all problems with names, circles and conditions."""
    leaf_keys, derived = list(leaves(full)), list(relations.derived)
    free = spec.config_model is None
    places = [*leaf_keys, *(key for key in derived if key not in leaf_keys and takes(spec.config_model, full, key))]
    known = [*leaf_keys, *space, *broken, *derived] if free else places
    computed = Computed(spec.config_model, full, given, _centres(space, full))
    computed.problems += [
        *place_problems(derived, [*space, *broken], None if free else places, f"the workload {spec.name!r}"),
        *name_problems(relations, known),
        *circle_problems(relations),
        *condition_problems(relations, space, full, broken),
        *_varying(spec, relations, [*space, *broken]),
    ]
    wrong = {problem.key for problem in computed.problems}
    if not circle_of(needs_of(relations.derived)):
        computed.add_all({key: each for key, each in relations.derived.items() if f"derived.{key}" not in wrong})
    return computed


def _varying(spec: WorkloadSpec, relations: Relations, space: Sequence[str]) -> Iterator[Problem]:
    """Derived keys of what is prepared once that would change from trial to trial."""
    for key in relations.derived:
        searched = sorted(sources_of(key, relations.derived) & set(space))
        if searched:
            yield from fixed_problems(f"derived.{key}", key, spec, f" with {searched[0]}, which is searched")


def _sound(relations: Relations, computed: Computed) -> Relations:
    """What can be relied on: constraints whose keys all have values, and conditions when all of them make sense."""
    wrong = {problem.key for problem in computed.problems}
    lost = relations.derived.keys() - computed.derived.keys()
    kept = {place: each for place, each in relations.constraints.items() if place not in wrong}
    constraints = {place: each for place, each in kept.items() if not each.names & lost}
    when = {} if any(key.startswith("space.") for key in wrong) else relations.when
    return Relations(when, constraints, {})


def _centres(space: Mapping[str, Parameter], full: Mapping[str, Any]) -> dict[str, Any]:
    """What the baseline has for keys of the space that the base leaves out."""
    return {key: centre(parameter) for key, parameter in space.items() if lookup(full, key) is None}


def _conditions(space: Mapping[str, Parameter], when: When, full: Mapping[str, Any]) -> Conditions:
    mine = {key: conditions for key, conditions in when.items() if key in space}
    needed = {other for conditions in mine.values() for other in conditions}
    return Conditions(list(space), mine, {key: lookup(full, key) for key in {*needed, *space}})


def _at_baseline(rules: Rules, constraints: Mapping[str, Expression]) -> Iterator[Problem]:
    """Constraints that the baseline itself does not satisfy."""
    for place, constraint in constraints.items():
        try:
            if not rules.holds(constraint, {}):
                values = ", ".join(f"{key} = {shown(value)}" for key, value in rules.values(constraint, {}).items())
                yield Problem(place, f"the baseline does not satisfy it: {values or 'it never holds'}")
        except ExpressionError as error:
            yield Problem(place, f"at the baseline: {error}")


def _overlaps(space: Sequence[str], derived: Sequence[str], base: Mapping[str, Any]) -> Iterator[Problem]:
    """A key that lies inside another one, or inside a plain value of the base."""
    places = {**{key: f"derived.{key}" for key in derived}, **{key: f"space.{key}" for key in space}}
    for key, place in places.items():
        parts = key.split(".")
        for count in range(1, len(parts)):
            outer = ".".join(parts[:count])
            inside = lookup(base, outer)
            if outer in places:
                room = places[outer].partition(".")[0]
                yield Problem(place, f"lies inside {outer!r}, which {_SETS[room]} as a whole")
            elif inside is not None and not isinstance(inside, Mapping):
                yield Problem(place, f"{outer!r} is {shown(inside)} in `base`, which has no keys inside")


_SETS = {"space": "the space sets", "derived": "`derived` sets"}
