"""Every mistake of a study at once, and its canonical form when there is none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, get_type_hints

from flopwise import registry
from flopwise.errors import Problem, SpaceError
from flopwise.space import Parameter, Space
from flopwise.study.explain import MOST, nearest, not_one_of, read, shown, unknown_key
from flopwise.study.fit import Fit, fit
from flopwise.study.freeze import fidelity_json
from flopwise.study.schema import (
    PARAMETER_KEY,
    CalibrationSection,
    ConfirmSection,
    EvaluationSection,
    ExecutionSection,
    LimitsSection,
    ObjectiveSection,
    ParameterSection,
    SearchSection,
    StudyFile,
    TierSection,
    parameter_mapping,
)
from flopwise.trial import Fidelity

DEFAULT_GENERATIONS = {"population": 8, "generations": 4}
DEFAULT_TRIALS = {"trials": 32}
DEFAULT_CALIBRATION_SEEDS = 3

_HINTS = get_type_hints(StudyFile, include_extras=True)


@dataclass(frozen=True)
class Checked:
    """What came of a check.

    Args:
        canonical: The canonical form; None when there are problems.
        problems: Every mistake.
        warnings: What is allowed but probably not meant.
    """

    canonical: dict[str, Any] | None
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class Draft:
    """The sections as far as they could be read; what could not has its default, or is empty."""

    name: str = ""
    workload: str = ""
    base: dict[str, Any] = field(default_factory=dict)
    space: dict[str, ParameterSection] = field(default_factory=dict)
    objective: ObjectiveSection | None = None
    evaluation: EvaluationSection = field(default_factory=EvaluationSection)
    search: SearchSection = field(default_factory=SearchSection)
    tiers: dict[str, TierSection] | None = None
    limits: LimitsSection = field(default_factory=LimitsSection)
    execution: ExecutionSection = field(default_factory=ExecutionSection)
    policies: dict[str, Any] = field(default_factory=dict)
    calibration: CalibrationSection | None = None
    confirm: ConfirmSection = field(default_factory=ConfirmSection)


def check(data: Any) -> Checked:
    """Check a study given as plain values.

    Args:
        data: What the YAML file or the Python mapping holds: JSON values.
    """
    if not isinstance(data, Mapping):
        wanted = f"expected a mapping with the keys {', '.join(StudyFile.model_fields)}"
        return Checked(None, (Problem("file", f"{wanted}, got {shown(data)}"),))
    return _Check(data).run()


class _Check:
    """One pass over a study; ``problems`` and ``warnings`` grow as it goes."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self.draft = Draft(**self._sections(data))
        draft = self.draft
        self.space_keys = list(data["space"]) if isinstance(data.get("space"), Mapping) else []
        self.spec = self._load("workloads", draft.workload, "workload") if draft.workload else None
        self.searcher = self._load("searchers", draft.search.method, "search.method")

    def run(self) -> Checked:
        """All checks in the order of the file's sections."""
        fitted = self._fit(self._parameters())
        self._metric()
        self._stop()
        search = self._search(Space(dict(sorted(fitted.space.items()))))
        tiers = self._tiers()
        self._executor()
        policies = self._policies()
        calibration = self._calibration()
        problems = tuple(dict.fromkeys(self.problems))
        if problems:
            return Checked(None, problems, tuple(self.warnings))
        parts = {"search": search, "tiers": tiers, "policies": policies, "calibration": calibration}
        return Checked(self._canonical(fitted, parts), (), tuple(self.warnings))

    def _canonical(self, fitted: Fit, parts: Mapping[str, Any]) -> dict[str, Any]:
        draft = self.draft
        assert draft.objective is not None
        evaluation = draft.evaluation.model_dump()
        return {
            "name": draft.name,
            "workload": draft.workload,
            "base": fitted.base,
            "space": {key: dict(parameter_mapping(fitted.space[key])) for key in sorted(fitted.space)},
            "objective": draft.objective.model_dump(),
            "evaluation": {**evaluation, "stop": fidelity_json(evaluation)},
            "search": parts["search"],
            "tiers": parts["tiers"],
            "limits": draft.limits.model_dump(),
            "execution": draft.execution.model_dump(),
            "policies": parts["policies"],
            "calibration": parts["calibration"],
            "confirm": draft.confirm.model_dump(),
        }

    def _say(self, key: str, message: str) -> None:
        self.problems.append(Problem(key, message))

    def _sections(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Read section by section, so that one bad section does not hide the mistakes of another."""
        known = list(StudyFile.model_fields)
        strange = [key for key in data if key not in known][:MOST]
        for key in strange:
            self._say(key, unknown_key(key, known))
        meant = {nearest(key, known) for key in strange}
        found = {}
        for name, declared in StudyFile.model_fields.items():
            if data.get(name) is not None:
                reading = read(_HINTS[name], data[name], name)
                self.problems += reading.problems
                if reading.value is not None:
                    found[name] = reading.value
            elif declared.is_required() and name not in meant:
                self._say(name, f"missing: {(declared.description or 'what counts as better').lower().rstrip('.')}")
        return found

    def _parameters(self) -> dict[str, Parameter]:
        found = {}
        for key, section in self.draft.space.items():
            try:
                found[key] = section.parameter()
            except SpaceError as error:
                hints = (
                    f"expected {error.expected}" if error.expected else "",
                    f"got {error.got}" if error.got else "",
                )
                message = "; ".join(part for part in (error.problem, *hints, error.fix or "") if part)
                self._say(f"space.{key}", message)
        return found

    def _load(self, family: str, name: str, key: str) -> Any:
        """A family's member; None (and a problem) when the name is unknown or does not load."""
        valid = registry.names(family)
        if name not in valid:
            self._say(key, not_one_of(name, valid))
            return None
        try:
            return registry.load(family, name)
        except (ImportError, AttributeError) as error:
            self._say(key, f"{name!r} cannot be loaded: {error}")
            return None

    def _fit(self, parameters: Mapping[str, Parameter]) -> Fit:
        draft = self.draft
        if self.spec is None:
            return Fit(dict(draft.base), dict(parameters))
        broken = [key for key in self.space_keys if key not in parameters and PARAMETER_KEY.fullmatch(key)]
        found = fit(self.spec, draft.base, parameters, self._fidelity(), broken)
        self.problems += found.problems
        self.warnings += found.warnings
        return found

    def _fidelity(self) -> Fidelity:
        """The stop; none while there are several."""
        given = fidelity_json(self.draft.evaluation.model_dump())
        return Fidelity.from_json(given) if len(given) == 1 else Fidelity()

    def _metric(self) -> None:
        objective, spec = self.draft.objective, self.spec
        if objective and spec and spec.metrics and objective.metric not in spec.metrics:
            self._say("objective.metric", not_one_of(objective.metric, spec.metrics))

    def _stop(self) -> None:
        given = fidelity_json(self.draft.evaluation.model_dump())
        if len(given) > 1:
            self._say("evaluation.stop", f"expected exactly one of {', '.join(given)}; drop the others")
        broken = any(p.key == "evaluation" or p.key.startswith("evaluation.stop") for p in self.problems)
        if not given and not broken and self.spec is not None and self.spec.needs_stop:
            example = "{flops: 1e12}, or with tokens, steps or seconds"
            self._say("evaluation.stop", f"missing: how much training one evaluation buys; for example {example}")

    def _search(self, space: Space) -> dict[str, Any] | None:
        search = self.draft.search
        if self.searcher is None:
            return None
        reading = read(self.searcher.Options, search.model_extra or {}, "search")
        self.problems += reading.problems
        if reading.value is None:
            return None
        if len(space):
            self.problems += self.searcher.check(space, reading.value)
        return {"method": search.method, "seed": search.seed, "options": reading.value.model_dump(mode="json")}

    def _tiers(self) -> dict[str, Any] | None:
        if self.searcher is None:
            return None
        default = DEFAULT_GENERATIONS if self.searcher.generational else DEFAULT_TRIALS
        if self.draft.tiers is None:
            return {"default": dict(default)}
        for name, tier in self.draft.tiers.items():
            self._tier(f"tiers.{name}", tier, list(default))
        return {name: tier.model_dump(include=set(default)) for name, tier in self.draft.tiers.items()}

    def _tier(self, key: str, tier: TierSection, wanted: list[str]) -> None:
        given = [name for name, value in tier.model_dump().items() if value is not None]
        method = self.draft.search.method
        kind = "searches by generations" if "trials" not in wanted else "has no generations"
        wrong = [name for name in given if name not in wanted]
        if wrong:
            self._say(key, f"{method} {kind}: give {' and '.join(wanted)} instead of {' and '.join(wrong)}")
        lacking = [name for name in wanted if name not in given]
        broken = any(problem.key.startswith(f"{key}.") for problem in self.problems)
        if lacking and not wrong and not broken:
            self._say(key, f"{method} {kind}: {' and '.join(lacking)} missing")

    def _executor(self) -> None:
        valid = registry.names("executors")
        name = self.draft.execution.executor
        if name not in valid:
            self._say("execution.executor", not_one_of(name, valid))

    def _policies(self) -> dict[str, Any]:
        valid = registry.names("policies")
        for name in self.draft.policies:
            if name not in valid:
                self._say(f"policies.{name}", unknown_key(name, valid))
        return {name: self._policy(name) for name in valid}

    def _policy(self, name: str) -> dict[str, Any] | None:
        """Options of one policy; None when it is switched off (or wrong)."""
        given = self.draft.policies.get(name, {})
        if given is None or given is False:
            return None
        if given is True:
            given = {}
        if not isinstance(given, Mapping):
            self._say(f"policies.{name}", f"expected a mapping of options, or false, got {shown(given)}")
            return None
        policy = self._load("policies", name, f"policies.{name}")
        if policy is None:
            return None
        reading = read(policy.Options, given, f"policies.{name}")
        self.problems += reading.problems
        return None if reading.value is None else reading.value.model_dump(mode="json")

    def _calibration(self) -> dict[str, int]:
        least = self.draft.evaluation.seeds
        given = self.draft.calibration
        if given is None:
            return {"seeds": max(DEFAULT_CALIBRATION_SEEDS, least)}
        if given.seeds < least:
            reason = "the baseline's first seeds are those of every trial"
            self._say("calibration.seeds", f"expected at least evaluation.seeds ({least}), got {given.seeds}: {reason}")
        return {"seeds": given.seeds}


def located(problem: Problem, where: Callable[[str], str]) -> Problem:
    """The problem with its place; ``where`` turns a dotted key into ``file:line``."""
    return Problem(problem.key, problem.message, problem.where or where(problem.key))
