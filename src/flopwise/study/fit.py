"""Whether base and space fit the workload: every key exists there, and what the space allows is allowed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel

from flopwise.errors import Problem, SpaceError
from flopwise.space import Categorical, Float, Int, Parameter
from flopwise.study.explain import MOST, nearest, read, shown
from flopwise.study.freeze import lookup, with_keys
from flopwise.trial import Fidelity
from flopwise.workload import WorkloadSpec


@dataclass(frozen=True)
class Fit:
    """Base and space as the workload takes them.

    Args:
        base: The whole config, the workload's defaults filled in.
        space: Dotted key to parameter; choices in the types that the workload gives them.
        problems: Why they do not fit.
        warnings: What is allowed but probably not meant; ``key`` and ``message`` as in a problem.
    """

    base: dict[str, Any]
    space: dict[str, Parameter]
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()


def fit(
    spec: WorkloadSpec,
    base: Mapping[str, Any],
    space: Mapping[str, Parameter],
    stop: Fidelity,
    broken: Sequence[str] = (),
) -> Fit:
    """Hold base and space against a workload.

    Args:
        spec: The workload.
        base: As the study file gives it.
        space: Dotted key to parameter.
        stop: How much training one evaluation buys.
        broken: Keys of the space whose parameter could not be read; only their spelling is checked.
    """
    problems: list[Problem] = []
    if spec.config_model is None:
        full = dict(base)
        problems += _overlaps(space, base)
    else:
        reading = read(spec.config_model, base, "base")
        problems += reading.problems
        if reading.value is None:
            return Fit(dict(base), dict(space), tuple(problems))
        full = reading.value.model_dump(mode="json")
    problems += _spoken(spec, full, stop)
    keys = _Keys(spec, full, stop)
    judged = [keys.judge(key, parameter) for key, parameter in space.items()]
    problems += [problem for key in broken[:MOST] for problem in keys.address(key)]
    problems += [problem for _, found, _ in judged for problem in found]
    warnings = [warning for _, _, found in judged for warning in found]
    fitted = {key: parameter for key, (parameter, _, _) in zip(space, judged, strict=True)}
    return Fit(full, fitted, tuple(problems), tuple(warnings))


def leaves(nested: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Dotted keys of everything in a nested config that is not itself a section."""
    for name, value in nested.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def _overlaps(space: Mapping[str, Parameter], base: Mapping[str, Any]) -> Iterator[Problem]:
    """A key of the space that lies inside another one, or inside a plain value of the base."""
    for key in space:
        parts = key.split(".")
        for count in range(1, len(parts)):
            outer = ".".join(parts[:count])
            inside = lookup(base, outer)
            if outer in space:
                yield Problem(f"space.{key}", f"lies inside {outer!r}, which the space sets as a whole")
            elif inside is not None and not isinstance(inside, Mapping):
                yield Problem(f"space.{key}", f"{outer!r} is {shown(inside)} in `base`, which has no keys inside")


def _spoken(spec: WorkloadSpec, full: Mapping[str, Any], stop: Fidelity) -> list[Problem]:
    """What the workload itself says about a config, under the study file's keys."""
    found = []
    for problem in spec.check(full, stop):
        outside = problem.key == "evaluation.stop" or problem.key.startswith("evaluation.stop.")
        found.append(replace(problem, key=problem.key if outside else f"base.{problem.key}"))
    missing = spec.needs_stop and stop.unit is None
    return [problem for problem in found if not (missing and problem.key.startswith("evaluation.stop"))]


class _Keys:
    """Judges single keys of the space against one base."""

    def __init__(self, spec: WorkloadSpec, full: Mapping[str, Any], stop: Fidelity) -> None:
        self._spec = spec
        self._model: type[BaseModel] | None = spec.config_model
        self._full = full
        self._stop = stop
        self._known = set(_spoken(spec, full, stop))

    def judge(self, key: str, parameter: Parameter) -> tuple[Parameter, list[Problem], list[Problem]]:
        """The parameter as the workload takes it, problems, and warnings."""
        place = f"space.{key}"
        lost = self.address(key)
        if lost:
            return parameter, lost, []
        taken = []
        for value in _probes(parameter):
            complaint, as_read = self._try(key, value)
            if complaint:
                return parameter, [Problem(place, f"at {shown(value)}: {complaint}")], []
            taken.append(as_read)
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
        known = [] if self._model is None else list(leaves(self._full))
        if self._model is None or key in known:
            return []
        inside = [leaf for leaf in known if leaf.startswith(f"{key}.")]
        if inside:
            return [Problem(f"space.{key}", f"this is a section; name one of its keys: {', '.join(inside)}")]
        near = nearest(key, known)
        section = [leaf for leaf in known if leaf.rpartition(".")[0] == key.rpartition(".")[0]] or known
        listed = f"the workload {self._spec.name!r} has no such key; expected one of {', '.join(section)}"
        return [Problem(f"space.{key}", f"{listed}; did you mean {near!r}?" if near else listed)]

    def _try(self, key: str, value: Any) -> tuple[str | None, Any]:
        """Why the base with one key set is refused, and what the workload makes of the value."""
        config = with_keys(self._full, {key: value})
        if self._model is not None:
            reading = read(self._model, config)
            if reading.problems:
                return _others_key(reading.problems[0], key), None
            config = reading.value.model_dump(mode="json")
        found = lookup(config, key)
        if found != value or isinstance(found, bool) != isinstance(value, bool):
            return f"the workload reads it as {shown(found)}", None
        for problem in _spoken(self._spec, config, self._stop):
            if problem not in self._known:
                return _others_key(problem, f"base.{key}"), None
        return None, found


def _others_key(problem: Problem, key: str) -> str:
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
