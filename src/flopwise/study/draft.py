"""A study's sections as far as they can be read, before anything is held against anything else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, get_type_hints

from flopwise.errors import Problem
from flopwise.study.explain import MOST, nearest, read, unknown_key
from flopwise.study.schema import (
    AfterSection,
    CalibrationSection,
    ConfirmSection,
    EvaluationSection,
    ExecutionSection,
    LimitsSection,
    ObjectiveSection,
    ParameterSection,
    ProxySection,
    SearchSection,
    StudyFile,
    TierSection,
)

_HINTS = get_type_hints(StudyFile, include_extras=True)


@dataclass(frozen=True)
class Draft:
    """The sections as far as they could be read; what could not has its default, or is empty."""

    name: str = ""
    workload: str = ""
    after: str | AfterSection | None = None
    base: dict[str, Any] = field(default_factory=dict)
    space: dict[str, ParameterSection] = field(default_factory=dict)
    constraints: list[str] = field(default_factory=list)
    derived: dict[str, str] = field(default_factory=dict)
    groups: dict[str, list[str]] = field(default_factory=dict)
    objective: ObjectiveSection | None = None
    evaluation: EvaluationSection = field(default_factory=EvaluationSection)
    search: SearchSection = field(default_factory=SearchSection)
    tiers: dict[str, TierSection] | None = None
    limits: LimitsSection = field(default_factory=LimitsSection)
    execution: ExecutionSection = field(default_factory=ExecutionSection)
    policies: dict[str, Any] = field(default_factory=dict)
    calibration: CalibrationSection = field(default_factory=CalibrationSection)
    proxy: ProxySection | None = None
    confirm: ConfirmSection = field(default_factory=ConfirmSection)


def read_draft(data: Mapping[str, Any]) -> tuple[Draft, list[Problem]]:
    """Read section by section, so that one bad section does not hide the mistakes of another."""
    known = list(StudyFile.model_fields)
    strange = [key for key in data if key not in known][:MOST]
    problems = [Problem(key, unknown_key(key, known)) for key in strange]
    meant = {nearest(key, known) for key in strange}
    found = {}
    for name, declared in StudyFile.model_fields.items():
        if data.get(name) is not None:
            reading = read(_HINTS[name], data[name], name)
            problems += reading.problems
            if reading.value is not None:
                found[name] = reading.value
        elif declared.is_required() and name not in meant:
            what = (declared.description or "what counts as better").lower().rstrip(".")
            problems.append(Problem(name, f"missing: {what}"))
    return Draft(**found), problems
