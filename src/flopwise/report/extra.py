"""What needs an optional package: loaded when asked for, with an error that says how to get it."""

from __future__ import annotations

from typing import Any

from flopwise import registry
from flopwise.errors import InputError


def load_extra(family: str, name: str) -> Any:
    """The member of a family whose module may need the extra ``report``.

    Args:
        family: ``analyses``, ``plots``, ``pages`` or ``exports``.
        name: Of the member.

    Raises:
        InputError: If there is no such member, or a package it needs is not installed.
    """
    try:
        return registry.load(family, name)
    except ModuleNotFoundError as error:
        package = (error.name or "a package").partition(".")[0]
        if package == "flopwise":
            raise
        raise InputError(
            f"{name} needs {package}, which is not installed",
            expected="the packages of flopwise's extra `report`",
            fix="pip install 'flopwise[report]'",
        ) from None
