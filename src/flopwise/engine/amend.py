"""Changing limits and policies of a run that has begun; everything else its results already depend on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flopwise.engine.place import is_over
from flopwise.engine.record import Record
from flopwise.errors import InputError, Problem, RunError, StudyError
from flopwise.events import Amended
from flopwise.journal.log import Journal
from flopwise.paths import RunFolder
from flopwise.registry import did_you_mean
from flopwise.report.view import View
from flopwise.study import amended_sections

FREE = ("limits", "policies")
"""Sections that may change while a run is under way."""

WHY_NOT: Mapping[str, str] = {
    "name": "it is the run's folder",
    "workload": "results already paid for are of this workload",
    "after": "the baseline and the centre of the search are that run's winner",
    "base": "the baseline was measured, and everything is compared with it",
    "space": "the search has learned in this space; results already paid for would not fit another",
    "constraints": "the search has learned in this space; results already paid for would not fit another",
    "derived": "results already paid for were computed with it",
    "groups": "the search has learned in this space; results already paid for would not fit another",
    "objective": "results already paid for were measured by it",
    "evaluation": "results already paid for would not be comparable",
    "search": "the method and its seed decide what was and will be proposed; resume would not repeat it",
    "tiers": "the search was planned and priced with this size; a larger tier is a run of its own",
    "execution": "times, prices and the plan were measured with it",
    "calibration": "it is over, and the plan rests on it",
    "confirm": "how the winner is judged is fixed before there is one",
}
"""Why a section stays as it is once something was paid for."""


def amend(folder: RunFolder, assignments: Sequence[str], view: View) -> list[dict[str, Any]]:
    """Change a run and journal it.

    Args:
        folder: Of a run that is not under way.
        assignments: ``limits.price=2.00``, ``policies.crash_rate.pause_above=0.2``, ``policies.patience=false``, …
        view: Told of the change.

    Returns:
        The changes: key, before and after, as the journal holds them; keys that were so already are left out.

    Raises:
        InputError: If a key cannot be changed, or a value is not what a study file may hold there.
        RunError: If the run is finished, or held by another process.
    """
    given = [_parsed(text) for text in assignments]
    with Journal.open(folder) as journal:
        record = Record(journal, view)
        if is_over(record.state):
            raise RunError(f"{folder.name} is finished", fix="run the study again with another file")
        changes = changes_of(record.state.study, given)
        if changes:
            record.add(Amended(changes))
            record.commit()
    return changes


def changes_of(study: Mapping[str, Any], given: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
    """What assignments change in a canonical study, checked as a study file is.

    Args:
        study: In force.
        given: Dotted keys and values as YAML.

    Raises:
        StudyError: With every mistake at once.
    """
    problems = [Problem(key, why) for key, _ in given if (why := _refused(key))]
    if problems:
        raise StudyError(problems, "amend")
    checked = amended_sections(study, given)
    keys = dict.fromkeys(".".join(key.split(".")[:2]) for key, _ in given)
    changes = []
    for key in keys:
        section, _, name = key.partition(".")
        before, after = study[section].get(name), checked[section][name]
        if before != after:
            changes.append({"key": key, "before": before, "after": after})
    return changes


def _parsed(text: str) -> tuple[str, str]:
    key, sign, value = text.partition("=")
    if not sign or not key.strip():
        raise InputError("this is not a change", expected="KEY=VALUE, such as limits.price=2.00", got=repr(text)[:80])
    return key.strip(), value.strip()


def _refused(key: str) -> str:
    """Why a key cannot be amended; empty when it can."""
    section, _, rest = key.partition(".")
    if section in WHY_NOT:
        return f"cannot be amended: {WHY_NOT[section]}; only {' and '.join(FREE)} can"
    if section not in FREE:
        near = did_you_mean(section, [*FREE, *WHY_NOT])
        return f"no such section; only {' and '.join(FREE)} can be amended" + (f"; {near}" if near else "")
    return "" if rest else f"names a whole section: name what changes in it, such as {section}.{_example(section)}"


def _example(section: str) -> str:
    return "price=2.00" if section == "limits" else "crash_rate.pause_above=0.2"
