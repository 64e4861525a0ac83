"""From options to what the engine asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import typer
from rich.console import Console

from flopwise import registry
from flopwise.cli.options import command_line, interactive
from flopwise.engine.request import Request
from flopwise.paths import find_study
from flopwise.report.view import choose_view
from flopwise.study import Study, load_study


def load(
    study: str,
    slots: int | None,
    executor: str | None,
    groups: Sequence[str] | None = None,
    freeze: Sequence[str] | None = None,
) -> Study:
    """The study file with the command line's overrides: where, how much, and which part of the space."""
    loaded = load_study(find_study(study), groups=groups or (), freeze=freeze or ())
    overrides = {key: value for key, value in (("slots", slots), ("executor", executor)) if value is not None}
    registry.load("executors", overrides.get("executor", loaded.canonical["execution"]["executor"]))
    execution = {**loaded.canonical["execution"], **overrides}
    return replace(loaded, canonical={**loaded.canonical, "execution": execution})


def request(runs: Path, *, tier: str | None = None, yes: bool = False, quiet: bool = False) -> Request:
    """Where to run, which view to show, and how to ask."""
    console = Console()

    def ask(question: str) -> bool:
        return yes or not interactive() or typer.confirm(question, default=True)

    return Request(
        runs=runs,
        view=choose_view(console, quiet=quiet, runs=runs),
        command=command_line(),
        tier=tier,
        ask=ask,
        may_ask=yes or interactive(),
    )
