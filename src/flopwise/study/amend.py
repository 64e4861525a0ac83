"""A study with other limits or policies, held to the same check as a study file."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from flopwise.errors import Problem, StudyError
from flopwise.study.check import check
from flopwise.study.freeze import file_form
from flopwise.study.load import read_yaml

SOURCE = "amend"
"""Stands where a file's name would, in messages."""


def amended_sections(canonical: Mapping[str, Any], given: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """The sections of a canonical study after assignments to some of its keys.

    Args:
        canonical: The study before.
        given: Dotted keys, and their values as YAML texts.

    Returns:
        The canonical form of the changed study, but for its execution and what it comes after.

    Raises:
        StudyError: If a key or a value may not stand in a study file; names every mistake.
    """
    file = {key: section for key, section in file_form(canonical).items() if key not in ("after", "execution")}
    problems: list[Problem] = []
    for key, text in given:
        document = read_yaml(text, SOURCE)
        problems += [Problem(key, problem.message) for problem in document.problems]
        _set(file, key, document.data)
    checked = check(file)
    amended = {key.partition(".")[0] for key, _ in given}
    problems += [each for each in checked.problems if each.key.partition(".")[0] in amended]
    if problems or checked.canonical is None:
        raise StudyError(problems or checked.problems, SOURCE)
    return checked.canonical


def _set(file: dict[str, Any], key: str, value: Any) -> None:
    """Set a dotted key; what is no mapping on the way there (a policy that is off) becomes one."""
    *sections, leaf = key.split(".")
    here = file
    for section in sections:
        inner = here.get(section)
        here[section] = copy.copy(inner) if isinstance(inner, dict) else {}
        here = here[section]
    here[leaf] = value
