"""The execution section against the executor it names: its options, and what only some executors can do."""

from __future__ import annotations

from typing import Any

from flopwise import registry
from flopwise.errors import Problem
from flopwise.study.explain import not_one_of, read
from flopwise.study.schema import ExecutionSection

SHARE = ("memory", "accelerators", "exclusive", "wait", "output_limit")
"""Keys that are left out of the canonical form where they are not set: a study without them keeps its hash."""


def read_execution(section: ExecutionSection) -> tuple[dict[str, Any], list[Problem]]:
    """The section in canonical form, and what is wrong with it.

    Args:
        section: As given.

    Returns:
        Every key with its value, but for :data:`SHARE`; ``options`` with every default where the executor has options.
    """
    unset = {key for key in SHARE if getattr(section, key) is None}
    canonical, name = section.model_dump(exclude={"options", *unset}), section.executor
    if name not in registry.names("executors"):
        return canonical, [Problem("execution.executor", not_one_of(name, registry.names("executors")))]
    try:
        executor = registry.load("executors", name)
    except (ImportError, AttributeError) as error:
        return canonical, [Problem("execution.executor", f"{name!r} cannot be loaded: {error}")]
    options, problems = _options(section, executor.Options)
    return {**canonical, **options}, [*_threads(section, executor), *problems]


def _threads(section: ExecutionSection, executor: Any) -> list[Problem]:
    if section.threads != "auto" or executor.traits.pins:
        return []
    reason = f"it is measured on cores of its own, and the executor {section.executor} pins none"
    return [Problem("execution.threads", f"expected a number, got auto: {reason}")]


def _options(section: ExecutionSection, model: Any) -> tuple[dict[str, Any], list[Problem]]:
    if not model.model_fields:
        complaint = f"executor {section.executor} has none; drop them"
        return {}, [Problem("execution.options", complaint)] if section.options else []
    reading = read(model, section.options, "execution.options")
    if reading.value is None:
        return {}, list(reading.problems)
    return {"options": reading.value.model_dump(mode="json")}, list(reading.problems)
