"""Random configs of a space, before anything is spent: do the rules allow enough, and does the workload run them?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from flopwise import seeds
from flopwise.errors import Problem
from flopwise.space import Space
from flopwise.study.explain import read, shown
from flopwise.study.freeze import with_keys
from flopwise.study.judge import spoken
from flopwise.study.rules import Rules
from flopwise.trial import Fidelity
from flopwise.workload import WorkloadSpec

DRAWS = 1000
"""Random configs that are held against the rules."""
TRIED = 100
"""Allowed ones that are shown to the workload."""
SCARCE = 0.02
"""A smaller allowed share than this is worth a note."""


class Survey:
    """Draws configs evenly from the cube and counts.

    Args:
        space: What is searched.
        rules: Constraints and derived values.
        full: The baseline.
        place: The section that the rules come from.
    """

    def __init__(self, space: Space, rules: Rules, full: Mapping[str, Any], place: str = "constraints") -> None:
        stream = seeds.stream(0, "survey")
        self._full = full
        self._place = place
        self._rules = rules
        self._objections: Counter[str] = Counter()
        self._allowed: list[dict[str, Any]] = []
        self._draws = DRAWS if rules else TRIED
        for _ in range(self._draws):
            config = space.decode([stream.random() for _ in range(len(space))])
            objection = rules.objection(config)
            if objection is None:
                self._allowed.append(config)
            else:
                self._objections[objection] += 1

    def problems(self) -> list[Problem]:
        """That the rules allow nothing."""
        if self._allowed:
            return []
        return [Problem(self._place, f"none of {self._draws} random configs is allowed; mostly: {self._mostly()}")]

    def notes(self, spec: WorkloadSpec, stop: Fidelity) -> list[Problem]:
        """That the rules allow little, or that the workload refuses what they allow."""
        share = len(self._allowed) / self._draws
        found = []
        if share < SCARCE:
            message = f"only {share:.1%} of random configs are allowed; mostly: {self._mostly()}"
            found.append(Problem(self._place, f"{message}. A narrower space searches better"))
        tried = self._allowed[:TRIED]
        refused = [why for config in tried if (why := self._refused(spec, config, stop))]
        if refused:
            message = f"the workload refuses {len(refused)} of {len(tried)} random configs, for example: {refused[0]}"
            found.append(Problem("space", f"{message}. Say under `constraints` what has to hold"))
        return found

    def _mostly(self) -> str:
        return self._objections.most_common(1)[0][0]

    def _refused(self, spec: WorkloadSpec, config: Mapping[str, Any], stop: Fidelity) -> str | None:
        """What the workload says against a config; None when it would run it."""
        full = with_keys(self._full, {**config, **self._rules.derive(config)})
        if spec.config_model is not None:
            reading = read(spec.config_model, full)
            if reading.problems:
                first = reading.problems[0]
                return f"{first.key}: {first.message}" if first.key else first.message
            full = reading.value.model_dump(mode="json")
        said = spoken(spec, full, stop)
        return f"{said[0].key.removeprefix('base.')}: {said[0].message}" if said else None


def finite_problems(
    searcher: Any, space: Space, rules: Rules, options: Any, baseline: Mapping[str, Any]
) -> list[Problem]:
    """Trials of a finite searcher that the rules do not allow: it has no others to propose instead.

    Args:
        searcher: A searcher class with a ``size``.
        space: What is searched.
        rules: Constraints and derived values.
        options: The searcher's own.
        baseline: Dotted key to value.
    """
    if not rules:
        return []
    if hasattr(searcher, "room"):
        reason = "its questions say what is run, and what comes of them is not known beforehand"
        return (
            [Problem("constraints", f"cannot be kept by a staged search: {reason}; drop them")] if rules.forbids else []
        )
    numbers = range(1, searcher.size(space, options) + 1)
    for proposal in searcher(space, 0, options, baseline, None).ask(numbers):
        why = rules.objection(proposal.config)
        if why:
            values = ", ".join(f"{key} = {shown(value)}" for key, value in proposal.config.items())
            message = f"proposes a fixed set of configs, and one of them is not allowed ({values}): {why}"
            return [Problem("search.method", f"{message}; use random, qmc or tpe, or other values")]
    return []
