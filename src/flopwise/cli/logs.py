"""``flopwise logs``: what an attempt printed, and its summary."""

from __future__ import annotations

from typing import Annotated

import typer

from flopwise.cli.options import RUNS, RunName, Runs
from flopwise.errors import InputError
from flopwise.paths import RunFolder, find_run
from flopwise.report.text import clean


def command(
    run: RunName,
    attempt: Annotated[str | None, typer.Argument(help="An attempt such as t0012.s0.a1, or a trial number.")] = None,
    runs: Runs = RUNS,
) -> None:
    """Print what an attempt wrote to stdout and stderr; without one, list the attempts."""
    folder = find_run(run, runs)
    known = sorted(path.name for path in folder.attempts.iterdir()) if folder.attempts.is_dir() else []
    if attempt is None:
        typer.echo("\n".join(known) or "no attempts yet")
        return
    for name in _matching(attempt, known, run):
        typer.echo(f"== {name}")
        _print(folder, name)


def _matching(attempt: str, known: list[str], run: str) -> list[str]:
    prefix = f"t{int(attempt):04d}." if attempt.isdigit() else attempt
    found = [name for name in known if name == prefix or (attempt.isdigit() and name.startswith(prefix))]
    if not found:
        raise InputError(f"no attempt {attempt!r} in {run}", expected="one of: " + ", ".join(known[:20]))
    return found


def _print(folder: RunFolder, name: str) -> None:
    for stream in ("stdout", "stderr", "run.md"):
        path = folder.attempt(name) / stream
        text = path.read_text(errors="replace").strip() if path.exists() else ""
        if text:
            typer.echo(f"-- {stream}\n{clean(text)}")
