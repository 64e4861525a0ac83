"""Single keys of the space, held against the workload: is everything a parameter allows allowed there?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic import BaseModel

from flopwise.conditions import Conditions, among
from flopwise.errors import ExpressionError, Problem, SpaceError
from flopwise.space import Categorical, Float, Int, Parameter
from flopwise.study.explain import read, shown
from flopwise.study.freeze import lookup, with_keys
from flopwise.study.names import leaves, misnamed
from flopwise.study.rules import Rules
from flopwise.trial import Fidelity
from flopwise.workload import WorkloadSpec


class Judge:
    """Tries values of one key at a time in an otherwise unchanged baseline.

    A parameter with conditions is tried where they hold. A value that breaks a constraint there may be
    refused by the workload: no such config is ever run.

    Args:
        spec: The workload.
        full: The baseline, derived values set.
        stop: How much training one evaluation buys.
        rules: Constraints and derived values.
        conditions: Of the whole space.
    """

    def __init__(
        self, spec: WorkloadSpec, full: Mapping[str, Any], stop: Fidelity, rules: Rules, conditions: Conditions
    ) -> None:
        self._spec = spec
        self._model: type[BaseModel] | None = spec.config_model
        self._full = full
        self._stop = stop
        self._rules = rules
        self._conditions = conditions

    def judge(self, key: str, parameter: Parameter) -> tuple[Parameter, list[Problem], list[Problem]]:
        """The parameter as the workload takes it, problems, and warnings."""
        place = f"space.{key}"
        lost = self.address(key) or fixed_problems(place, key, self._spec)
        if lost:
            return parameter, lost, []
        needed = self._conditions.needs(key)
        if not all(needed.values()):
            return parameter, [Problem(f"{place}.when", "its conditions exclude each other, so it never matters")], []
        taken, complaint = self._taken(key, parameter, self._activating(needed))
        if complaint:
            return parameter, [Problem(place, complaint)], []
        if isinstance(parameter, Categorical):
            try:
                parameter = Categorical(tuple(taken))
            except SpaceError as error:
                return parameter, [Problem(place, f"the workload reads two choices as one: {error.got}")], []
        value = lookup(self._full, key)
        if value is None and self._model is not None:
            return parameter, [Problem(place, "the baseline is null here; give it a value in `base`")], []
        return parameter, *_baseline(place, parameter, value)

    def address(self, key: str) -> list[Problem]:
        """The problem with a key that is no leaf of the workload's config."""
        if self._model is None:
            return []
        return misnamed(f"space.{key}", key, list(leaves(self._full)), f"the workload {self._spec.name!r}")

    def _activating(self, needed: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
        """What has to change in the baseline for a parameter to matter."""
        return {key: values[0] for key, values in needed.items() if not among(lookup(self._full, key), values)}

    def _taken(self, key: str, parameter: Parameter, around: Mapping[str, Any]) -> tuple[list[Any], str | None]:
        """What the workload makes of the values that stand for all, or why it refuses one."""
        known = self._known(around)
        taken = []
        for value in _probes(parameter):
            settings = {**around, key: value}
            complaint, as_read = self._try(key, settings, known)
            if complaint and known is not None and self._rules.allows(settings):
                return [], f"at {shown(value)}: {complaint}"
            taken.append(value if complaint else as_read)
        return taken, None

    def _known(self, around: Mapping[str, Any]) -> set[Problem] | None:
        """What the workload says before the key is set; None where it cannot even read that."""
        config = self._with(around)
        if config is None or (self._model is not None and read(self._model, config).problems):
            return None
        return set(spoken(self._spec, config, self._stop))

    def _with(self, settings: Mapping[str, Any]) -> dict[str, Any] | None:
        """The baseline with keys set and derived values computed; None where they cannot be."""
        try:
            return with_keys(self._full, {**settings, **self._rules.derive(settings)})
        except ExpressionError:
            return None

    def _try(self, key: str, settings: Mapping[str, Any], known: set[Problem] | None) -> tuple[str | None, Any]:
        """Why the baseline with one key set is refused, and what the workload makes of the value."""
        config, value = self._with(settings), settings[key]
        if config is None:
            return "its derived values cannot be computed", None
        if self._model is not None:
            reading = read(self._model, config)
            if reading.problems:
                return others_key(reading.problems[0], key), None
            config = reading.value.model_dump(mode="json")
        found = lookup(config, key)
        if found != value or isinstance(found, bool) != isinstance(value, bool):
            return f"the workload reads it as {shown(found)}", None
        for problem in spoken(self._spec, config, self._stop):
            if problem not in (known or ()):
                return others_key(problem, f"base.{key}"), None
        return None, found


def spoken(spec: WorkloadSpec, full: Mapping[str, Any], stop: Fidelity) -> list[Problem]:
    """What the workload itself says about a config, under the study file's keys."""
    found = []
    for problem in spec.check(full, stop):
        outside = problem.key == "evaluation.stop" or problem.key.startswith("evaluation.stop.")
        found.append(replace(problem, key=problem.key if outside else f"base.{problem.key}"))
    missing = spec.needs_stop and stop.unit is None
    return [problem for problem in found if not (missing and problem.key.startswith("evaluation.stop"))]


def fixed_problems(place: str, key: str, spec: WorkloadSpec, because: str = "") -> list[Problem]:
    """The problem with a key that would vary although the workload's ``prepare`` goes by it; empty for others.

    Args:
        place: Where the key stands in the study file.
        key: Dotted, of the workload's config.
        spec: The workload.
        because: Why it varies, where that does not go without saying.
    """
    section = key.partition(".")[0]
    if section not in spec.prepared:
        return []
    reason = f"`{section}` is prepared once and the same in every trial, so this cannot vary{because}"
    fix = "give it one value in `base`; to compare values, run a study for each and `flopwise compare` them"
    return [Problem(place, f"{reason}; {fix}")]


def others_key(problem: Problem, key: str) -> str:
    """The message, with the key it is about unless that is the one being set."""
    return problem.message if problem.key == key else f"{problem.key.removeprefix('base.')}: {problem.message}"


def _probes(parameter: Parameter) -> tuple[Any, ...]:
    """Values that stand for all: the bounds, one inside, and the neighbour of the lower bound; all choices."""
    match parameter:
        case Float():
            return parameter.low, parameter.high, parameter.decode(0.381966)
        case Int():
            return tuple(dict.fromkeys((parameter.low, parameter.high, parameter.low + parameter.step)))
        case Categorical():
            return parameter.choices


def _baseline(place: str, parameter: Parameter, value: Any) -> tuple[list[Problem], list[Problem]]:
    """Problems and warnings about the base's own value for a key of the space; None means it has none."""
    if value is None or parameter.contains(value):
        return [], []
    if isinstance(parameter, Categorical):
        return [], [Problem(place, f"the baseline {shown(value)} is not among the choices")]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return [Problem(place, f"expected a number as the baseline in `base`, got {shown(value)}")], []
    return [], [Problem(place, f"the baseline {shown(value)} is not in the range {parameter.low} to {parameter.high}")]
