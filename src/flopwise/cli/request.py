"""From options to what the engine asks for."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import typer
from rich.console import Console

from flopwise import registry
from flopwise.cli.options import command_line, interactive
from flopwise.engine.request import Request
from flopwise.errors import InputError
from flopwise.paths import find_study
from flopwise.report.view import choose_view
from flopwise.study import Study, load_study, yaml_text


def load(
    study: str,
    slots: int | None,
    executor: str | None,
    groups: Sequence[str] | None = None,
    freeze: Sequence[str] | None = None,
    after: str | None = None,
) -> Study:
    """The study file with the command line's overrides: where, how much, which part of the space, and after which run.

    With overrides its text is the study that they make of the file, so that a run folder keeps what was run.
    """
    loaded = load_study(find_study(study), groups=groups or (), freeze=freeze or ())
    overrides = {key: value for key, value in (("slots", slots), ("executor", executor)) if value is not None}
    registry.load("executors", overrides.get("executor", loaded.canonical["execution"]["executor"]))
    _refuse_options(loaded, executor)
    canonical = {**loaded.canonical, "execution": {**loaded.canonical["execution"], **overrides}}
    canonical |= {} if after is None else {"after": after}
    first = {"group": groups or (), "freeze": freeze or (), "after": [after] if after else ()}
    named = {**first, **{key: [str(value)] for key, value in overrides.items()}}
    options = [word for option, values in named.items() for value in values for word in (f"--{option}", value)]
    if not options:
        return loaded
    note = f"{loaded.source} as `{shlex.join(options)}` changed it; to run this again, leave the options out"
    return replace(loaded, canonical=canonical, text=yaml_text(canonical, note))


def _refuse_options(study: Study, executor: str | None) -> None:
    """Options are one executor's own; no setting is ignored silently."""
    execution = study.canonical["execution"]
    if executor not in (None, execution["executor"]) and execution.get("options"):
        raise InputError(
            f"the study has options for executor {execution['executor']}",
            expected=f"no execution.options with --executor {executor}",
            where=study.source,
            fix="drop execution.options from the file, or leave out --executor",
        )


def request(
    runs: Path, *, tier: str | None = None, yes: bool = False, anyway: bool = False, quiet: bool = False
) -> Request:
    """Where to run, which view to show, and how to ask."""
    console = Console()

    def ask(question: str) -> bool:
        return yes or not interactive() or typer.confirm(question, default=True)

    def ask_anyway(question: str) -> bool:
        return anyway or (not yes and interactive() and typer.confirm(question, default=False))

    return Request(
        runs=runs,
        view=choose_view(console, quiet=quiet, runs=runs),
        command=command_line(),
        tier=tier,
        ask=ask,
        anyway=ask_anyway,
        may_ask=yes or interactive(),
    )
