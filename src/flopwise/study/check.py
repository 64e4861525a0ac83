"""Every mistake of a study at once, and its canonical form when there is none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from flopwise import registry
from flopwise.errors import Problem, SpaceError
from flopwise.space import Parameter, Space
from flopwise.study.aim import aim_problems, evaluation_json, objective_json
from flopwise.study.draft import read_draft
from flopwise.study.execution import read_execution
from flopwise.study.explain import not_one_of, read, shown, unknown_key
from flopwise.study.fields import PARAMETER_KEY
from flopwise.study.fit import Fit, fit
from flopwise.study.freeze import baseline_config, fidelity_json, space_of
from flopwise.study.groups import Narrowed, group_problems, narrow
from flopwise.study.relations import When, read_relations
from flopwise.study.rules import rules_of
from flopwise.study.schema import AfterSection, StopSection, StudyFile, TierSection
from flopwise.study.survey import Survey, finite_problems
from flopwise.trial import Fidelity

DEFAULT_GENERATIONS = {"population": 8, "generations": 4}
DEFAULT_TRIALS = 32
DEFAULT_CALIBRATION_SEEDS = 3


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
        self.draft, found = read_draft(data)
        self.problems += found
        draft = self.draft
        self.space_keys = list(data["space"]) if isinstance(data.get("space"), Mapping) else []
        self.spec = self._load("workloads", draft.workload, "workload") if draft.workload else None
        self.searcher = self._load("searchers", draft.search.method, "search.method")
        self.most_trials: int | None = None

    def run(self) -> Checked:
        """All checks in the order of the file's sections."""
        left = self._narrowed(self._fit(self._parameters()))
        self._aim()
        self._also()
        search = self._search(left.search_space())
        tiers = self._tiers()
        execution = self._execution()
        policies = self._policies()
        self._countable(left.fit.base)
        calibration = self._calibration()
        self._proxy()
        if not self.problems:
            parts = {"search": search, "tiers": tiers, "execution": execution, "policies": policies}
            parts["calibration"] = calibration
            canonical = self._canonical(left, parts)
            self._survey(canonical)
        problems, warnings = tuple(dict.fromkeys(self.problems)), tuple(self.warnings)
        return Checked(None, problems, warnings) if problems else Checked(canonical, (), warnings)

    def _canonical(self, left: Narrowed, parts: Mapping[str, Any]) -> dict[str, Any]:
        draft = self.draft
        assert draft.objective is not None
        return {
            "name": draft.name,
            "workload": draft.workload,
            **({} if draft.after is None else {"after": after_json(draft.after)}),
            "base": left.fit.base,
            "space": left.to_json(),
            **self._rules_json(left.fit),
            "objective": objective_json(draft.objective),
            "evaluation": evaluation_json(draft.evaluation),
            "search": parts["search"],
            "tiers": parts["tiers"],
            "limits": draft.limits.model_dump(exclude={"flops"} if draft.limits.flops is None else None),
            "execution": parts["execution"],
            "policies": parts["policies"],
            "calibration": parts["calibration"],
            **self._proxy_json(),
            "confirm": draft.confirm.model_dump(exclude=set() if draft.confirm.also else {"also"}),
        }

    def _proxy_json(self) -> dict[str, Any]:
        """The proxy where there is one: a study without keeps the hash it had."""
        proxy = self.draft.proxy
        return {} if proxy is None else {"proxy": {**proxy.model_dump(), "stop": fidelity_json(proxy.model_dump())}}

    def _rules_json(self, fitted: Fit) -> dict[str, Any]:
        """Constraints and derived values where there are any: a study without them keeps the hash it had."""
        derived = {
            key: {"value": each.expression.text, "type": each.type} for key, each in sorted(fitted.derived.items())
        }
        return {
            **({"constraints": list(self.draft.constraints)} if self.draft.constraints else {}),
            **({"derived": derived} if derived else {}),
        }

    def _survey(self, canonical: Mapping[str, Any]) -> None:
        """Look at random configs: is enough allowed, and is what is allowed run?"""
        space, rules = space_of(canonical), rules_of(canonical)
        if hasattr(self.searcher, "size"):
            options = self.searcher.Options(**canonical["search"]["options"])
            self.problems += finite_problems(self.searcher, space, rules, options, baseline_config(canonical))
            return
        survey = Survey(space, rules, canonical["base"], "constraints" if self.draft.constraints else "derived")
        self.problems += survey.problems()
        if not self.problems and self.spec is not None:
            self.warnings += survey.notes(self.spec, Fidelity.from_json(canonical["evaluation"]["stop"]))

    def _say(self, key: str, message: str) -> None:
        self.problems.append(Problem(key, message))

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
        relations, unread = read_relations(self._when(), draft.constraints, draft.derived)
        self.problems += unread
        found = fit(self.spec, draft.base, parameters, self._fidelity(), broken, relations)
        self.problems += found.problems
        self.warnings += found.warnings
        return found

    def _when(self) -> When:
        return {key: section.when for key, section in self.draft.space.items() if section.when}

    def _narrowed(self, fitted: Fit) -> Narrowed:
        """What is searched of the space; all of it while groups are misnamed."""
        draft = self.draft
        when = {} if self.problems else self._when()
        found = group_problems(self.space_keys, draft.groups, draft.search.groups, draft.search.freeze)
        self.problems += found
        if found or not fitted.space:
            return Narrowed(fitted, when)
        left = narrow(fitted, when, draft.groups, draft.search.groups, draft.search.freeze)
        self.problems += left.problems
        self.warnings += left.warnings
        return left

    def _fidelity(self) -> Fidelity:
        """The stop; none while there are several."""
        given = fidelity_json(self.draft.evaluation.model_dump())
        return Fidelity.from_json(given) if len(given) == 1 else Fidelity()

    def _also(self) -> None:
        objective, spec = self.draft.objective, self.spec
        for metric in self.draft.confirm.also:
            if objective and metric == objective.metric:
                self._say(f"confirm.also.{metric}", "it is the objective's metric, and judged already; drop it here")
            elif spec and spec.metrics and metric not in spec.metrics:
                self._say(f"confirm.also.{metric}", not_one_of(metric, spec.metrics))

    def _aim(self) -> None:
        draft = self.draft
        broken = any(p.key == "evaluation" or p.key.startswith("evaluation.stop") for p in self.problems)
        executor = draft.execution.executor
        self.problems += aim_problems(draft.objective, draft.evaluation, self.spec, executor, broken=broken)

    def _countable(self, base: Mapping[str, Any]) -> None:
        """A limit on FLOPs needs a workload that counts them."""
        if self.draft.limits.flops is None or self.spec is None or self.problems:
            return
        if all(self.spec.flops(base, stop) is None for stop in (self._fidelity(), Fidelity("steps", 1.0))):
            message = f"the workload {self.draft.workload!r} does not count its FLOPs, so this would never bind"
            self._say("limits.flops", f"{message}; give `evaluation.stop: {{flops: …}}`, or limit device_hours instead")

    def _search(self, space: Space) -> dict[str, Any] | None:
        search = self.draft.search
        if self.searcher is None:
            return None
        reading = read(self.searcher.Options, search.model_extra or {}, "search")
        self.problems += reading.problems
        if reading.value is None:
            return None
        refused = self.searcher.check(space, reading.value) if len(space) else []
        self.problems += refused
        if hasattr(self.searcher, "size") and len(space) and not refused:
            self.most_trials = self.searcher.size(space, reading.value)
        found = {"method": search.method, "seed": search.seed, "options": reading.value.model_dump(mode="json")}
        return {**found, "asynchronous": True} if self._asynchronous() else found

    def _asynchronous(self) -> bool:
        """Whether trials are proposed one at a time, where that was asked for; a study that does not keeps its hash."""
        wanted = self.draft.search.asynchronous
        if wanted and not is_asynchronous(self.searcher):
            able = [name for name in registry.names("searchers") if is_asynchronous(registry.load("searchers", name))]
            message = f"{self.draft.search.method} proposes whole generations and cannot do without their results"
            self._say("search.asynchronous", f"{message}; those that can: {', '.join(able)}")
        return wanted

    def _tiers(self) -> dict[str, Any] | None:
        if self.searcher is None:
            return None
        trials = {"trials": self.most_trials or DEFAULT_TRIALS}
        default = DEFAULT_GENERATIONS if self.searcher.generational else trials
        if self.draft.tiers is None:
            return {"default": dict(default)}
        for name, tier in self.draft.tiers.items():
            self._tier(f"tiers.{name}", tier, list(default))
        return {name: tier.model_dump(include=set(default)) for name, tier in self.draft.tiers.items()}

    def _finite(self, key: str, trials: int) -> None:
        """A tier of a searcher with only so many trials: more is a mistake, less worth a note."""
        method, most = self.draft.search.method, self.most_trials
        if most is not None and trials > most:
            self._say(f"{key}.trials", f"expected at most {most}, got {trials}: {method} has {most} trials in all")
        elif most is not None and trials < most:
            self.warnings.append(Problem(f"{key}.trials", f"{trials} of the {most} trials that {method} has"))

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
        if tier.trials is not None and not wrong:
            self._finite(key, tier.trials)

    def _execution(self) -> dict[str, Any]:
        canonical, found = read_execution(self.draft.execution)
        self.problems += found
        return canonical

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

    def _proxy(self) -> None:
        """The cheap stop against the full one: the same unit, less of it, and enough to run."""
        if self.draft.proxy is None:
            return
        given = fidelity_json(self.draft.proxy.model_dump())
        full = fidelity_json(self.draft.evaluation.model_dump())
        if len(given) != 1:
            self._say("proxy.stop", f"expected exactly one of {', '.join(StopSection.model_fields)}")
            return
        ((unit, amount),) = given.items()
        if list(full) != [unit]:
            wanted = f"the unit of evaluation.stop, {next(iter(full))}" if full else "evaluation.stop in the same unit"
            self._say(f"proxy.stop.{unit}", f"expected {wanted}")
        elif amount >= full[unit]:
            self._say(f"proxy.stop.{unit}", f"expected less than evaluation.stop ({full[unit]:g}), got {amount:g}")

    def _calibration(self) -> dict[str, Any]:
        """The section with its number of seeds; what is ``auto`` there stays null: it is decided in the run."""
        least, given = self.draft.evaluation.seeds, self.draft.calibration
        seeds = max(DEFAULT_CALIBRATION_SEEDS, least) if given.seeds is None else given.seeds
        if seeds < least:
            reason = "the baseline's first seeds are those of every trial"
            self._say("calibration.seeds", f"expected at least evaluation.seeds ({least}), got {seeds}: {reason}")
        return {**given.model_dump(), "seeds": seeds}


def after_json(after: str | AfterSection) -> Any:
    """The run that a study comes after: its name, or all that was found out about it."""
    return after if isinstance(after, str) else after.model_dump(mode="json")


def is_asynchronous(searcher: Any) -> bool:
    """Whether a searcher can propose while its earlier trials run; one without generations always can."""
    return bool(getattr(searcher, "asynchronous", not searcher.generational))


def located(problem: Problem, where: Callable[[str], str]) -> Problem:
    """The problem with its place; ``where`` turns a dotted key into ``file:line``."""
    return Problem(problem.key, problem.message, problem.where or where(problem.key))
