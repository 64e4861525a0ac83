"""The verbs as a mapping that imports a verb's file when that verb is asked for.

``flopwise status`` then never pays for what only ``flopwise run`` needs, and ``flopwise --help`` for nothing.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from flopwise.registry import resolve

VERBS = (
    "init",
    "check",
    "schema",
    "doctor",
    "plan",
    "run",
    "status",
    "watch",
    "resume",
    "amend",
    "results",
    "report",
    "compare",
    "targets",
    "train",
    "export",
    "verify",
    "repair",
    "logs",
)
"""In the order of ``flopwise --help``; each is a module of this package with a ``command``."""


class LazyVerbs(MutableMapping[str, Any]):
    """Verb to typer command, made at its first use.

    Args:
        names: Modules of ``flopwise.cli``, in order.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        self._made: dict[str, Any] = dict.fromkeys(names)

    def __getitem__(self, name: str) -> Any:
        if self._made[name] is None:
            self._made[name] = _command(name)
        return self._made[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._made[name] = command

    def __delitem__(self, name: str) -> None:
        del self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._made)

    def __len__(self) -> int:
        return len(self._made)


class Verbs(TyperGroup):
    """The root command, whose subcommands are the lazy ones."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = LazyVerbs(VERBS)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """List the verbs with what their files say of them, and import none."""
        lazy, self.commands = self.commands, {name: TyperCommand(name, help=_said(name)) for name in self.commands}
        try:
            super().format_help(ctx, formatter)
        finally:
            self.commands = lazy


def _said(name: str) -> str:
    """The docstring of a verb's ``command``, from its source."""
    tree = ast.parse(Path(__file__).with_name(f"{name}.py").read_text())
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "command"]
    return (ast.get_docstring(functions[0]) or "") if functions else ""


def _command(name: str) -> Any:
    alone = typer.Typer(add_completion=False)
    alone.command(name)(resolve(f"flopwise.cli.{name}:command"))
    return typer.main.get_command(alone)
