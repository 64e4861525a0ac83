"""``flopwise export``: the trials of a run for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flopwise.cli.options import RUNS, RunName, Runs
from flopwise.errors import InputError
from flopwise.paths import RunFolder, find_run
from flopwise.report.extra import load_extra
from flopwise.report.read import read_run

Format = Annotated[str, typer.Option("--format", help="csv, jsonl or optuna.")]
Output = Annotated[
    Path | None, typer.Option("-o", "--output", help="A file. Default: standard output; for optuna, RUN/optuna.log.")
]
Force = Annotated[bool, typer.Option("--force", help="Replace the file.")]


def command(run: RunName, to: Format = "csv", output: Output = None, force: Force = False, runs: Runs = RUNS) -> None:
    """Write a run's trials as CSV, JSON lines, or a storage that optuna-dashboard opens; finished or not."""
    folder = find_run(run, runs)
    write = load_extra("exports", to)
    events = read_run(folder)
    if output is not None:
        _check(output, folder, force)
    typer.echo(write(folder, events, output), nl=output is not None or to == "optuna")


def _check(output: Path, folder: RunFolder, force: bool) -> None:
    """Refuse to write over what is there, and never into the run itself."""
    if output.resolve().is_relative_to(folder.root) and output.resolve() != folder.optuna:
        raise InputError(f"{output} is inside the run folder", expected="a file elsewhere", fix="name another one")
    if output.exists() and not force:
        raise InputError(f"{output} exists already", expected="a new file", fix="name another one, or add --force")
