"""``flopwise amend``: change limits and policies of a run that has begun."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from flopwise.cli.options import RUNS, RunName, Runs
from flopwise.engine.amend import amend
from flopwise.paths import find_run
from flopwise.report.text import plain
from flopwise.report.view import choose_view

Changes = Annotated[list[str], typer.Argument(metavar="KEY=VALUE...", help="Such as limits.price=2.00")]


def command(run: RunName, changes: Changes, runs: Runs = RUNS) -> None:
    """Change limits or policies of a run that is paused or interrupted: flopwise amend RUN limits.price=2.00

    Checked as in a study file, and kept in the journal. What results already paid for depend on stays as it is.
    """
    folder = find_run(run, runs)
    done = amend(folder, changes, choose_view(Console(), quiet=True, runs=runs))
    for change in done:
        typer.echo(plain(f"{change['key']}: {_shown(change['before'])} -> {_shown(change['after'])}"))
    typer.echo(f"`flopwise resume {folder.name}` goes on with it" if done else "it was so already: nothing is changed")


def _shown(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_shown(inner)}" for key, inner in value.items()) + "}"
    return str(value)
