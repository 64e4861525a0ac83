"""What a study's expressions make of a config: derived values, and whether the constraints hold.

Both are functions of the config alone. They are read from the canonical form again wherever they are
needed, so a resumed run and the verification see the same rules as the run itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Any

from flopwise.errors import ExpressionError
from flopwise.expression import Expression, Get, parse
from flopwise.study.freeze import baseline_config, lookup, with_keys

TYPES = ("int", "float", "bool", "str")
"""What a derived value can be in the workload's config."""


@dataclass(frozen=True)
class Derived:
    """A key of the config that is computed from others.

    Args:
        expression: What it is.
        type: One of ``TYPES``: what the workload holds there; None to take what comes out.
    """

    expression: Expression
    type: str | None = None

    def typed(self, value: Any) -> Any:
        """A result as the workload holds it.

        Raises:
            ExpressionError: If it is of another type, or a fraction where a whole number is needed.
        """
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if self.type == "float" and number:
            return float(value)
        if self.type == "int" and number and float(value).is_integer():
            return int(value)
        if self.type is None or type(value).__name__ == self.type:
            return value
        wanted = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "a text"}[self.type]
        hint = "; use round(…) or //" if self.type == "int" and number else ""
        raise ExpressionError(f"expected {wanted}, got {value!r:.60}{hint}", self.expression.text, 1)


class Rules:
    """A study's constraints and derived values.

    Args:
        base: The workload's nested config.
        baseline: Dotted key to the value of keys that the base may lack.
        constraints: Each has to hold.
        derived: Dotted key to what it is computed from, without circles.
    """

    def __init__(
        self,
        base: Mapping[str, Any],
        baseline: Mapping[str, Any],
        constraints: Sequence[Expression] = (),
        derived: Mapping[str, Derived] | None = None,
    ) -> None:
        self._base = base
        self._baseline = dict(baseline)
        self._constraints = tuple(constraints)
        self._derived = dict(derived or {})
        self._order = tuple(
            TopologicalSorter(needs_of({key: each.expression for key, each in self._derived.items()})).static_order()
        )

    def __bool__(self) -> bool:
        return bool(self._constraints or self._derived)

    @property
    def forbids(self) -> bool:
        """Whether there are constraints."""
        return bool(self._constraints)

    def derive(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Every derived key's value.

        Args:
            config: Dotted key to value; what it leaves out is the baseline's.

        Raises:
            ExpressionError: If one cannot be computed for this config.
        """
        found: dict[str, Any] = {}
        for key in self._order:
            derived = self._derived[key]
            found[key] = derived.typed(derived.expression.value(self._getter(config, found)))
        return found

    def holds(self, constraint: Expression, config: Mapping[str, Any]) -> bool:
        """Whether one constraint holds.

        Raises:
            ExpressionError: If it is not true or false here, or a derived value has none.
        """
        return _truth(constraint, self._getter(config, self.derive(config)))

    def values(self, expression: Expression, config: Mapping[str, Any]) -> dict[str, Any]:
        """The values of the keys that an expression names, by name.

        Raises:
            ExpressionError: If a derived value cannot be computed.
        """
        get = self._getter(config, self.derive(config))
        return {name: get(name) for name in sorted(expression.names)}

    def objection(self, config: Mapping[str, Any]) -> str | None:
        """Why a config is not allowed; None when it is.

        One whose derived values or constraints cannot be computed is not allowed either.
        """
        try:
            get = self._getter(config, self.derive(config))
            broken = next((each for each in self._constraints if not _truth(each, get)), None)
        except ExpressionError as error:
            return str(error)
        return None if broken is None else f"{broken.text} does not hold"

    def allows(self, config: Mapping[str, Any]) -> bool:
        """Whether a config may be run."""
        return self.objection(config) is None

    def _getter(self, config: Mapping[str, Any], derived: Mapping[str, Any]) -> Get:
        def get(key: str) -> Any:
            for known in (derived, config):
                if key in known:
                    return known[key]
            value = lookup(self._base, key)
            return self._baseline.get(key) if value is None else value

        return get


def needs_of(derived: Mapping[str, Expression]) -> dict[str, list[str]]:
    """Derived key to the derived keys it is computed from."""
    return {key: sorted(each.names & derived.keys()) for key, each in sorted(derived.items())}


def rules_of(canonical: Mapping[str, Any]) -> Rules:
    """The rules of a study; of one from before there were any, none."""
    derived = {key: Derived(parse(each["value"]), each["type"]) for key, each in canonical.get("derived", {}).items()}
    constraints = [parse(text) for text in canonical.get("constraints", ())]
    return Rules(canonical["base"], baseline_config(canonical), constraints, derived)


class Configs:
    """The workload's nested config of each trial of a study: the base with the trial's keys and the derived ones.

    Args:
        canonical: The study; its rules are read once.

    Example:
        >>> study = {"base": {"train": {"lr": 0.1, "steps": 9}}, "space": {}}
        >>> Configs(study)({"train.lr": 0.2})
        {'train': {'lr': 0.2, 'steps': 9}}
    """

    def __init__(self, canonical: Mapping[str, Any]) -> None:
        self._base = canonical["base"]
        self._rules = rules_of(canonical)

    def __call__(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """The config of a trial.

        Args:
            config: Dotted key to value.

        Raises:
            ExpressionError: If a derived value cannot be computed; the search proposes no such config.
        """
        return with_keys(self._base, {**config, **self._rules.derive(config)})


def full_config(canonical: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """The workload's nested config of a trial: the base with the trial's keys and the derived ones set.

    Args:
        canonical: The study.
        config: Dotted key to value.

    Raises:
        ExpressionError: If a derived value cannot be computed; the search proposes no such config.
    """
    return Configs(canonical)(config)


def _truth(constraint: Expression, get: Get) -> bool:
    value = constraint.value(get)
    if not isinstance(value, bool):
        raise ExpressionError(f"expected a comparison, true or false, got {value!r:.60}", constraint.text, 1)
    return value
