"""``flopwise status``: where a run stands, from its journal alone."""

from __future__ import annotations

import json

import typer

from flopwise.cli.options import RUNS, Json, RunName, Runs
from flopwise.paths import find_run
from flopwise.report.read import liveness, read_run
from flopwise.report.summary import summarise
from flopwise.report.tables import status_text


def command(run: RunName, as_json: Json = False, runs: Runs = RUNS) -> None:
    """Say where a run stands."""
    folder = find_run(run, runs)
    summary = summarise(read_run(folder))
    if as_json:
        typer.echo(json.dumps(summary, indent=2))
        return
    typer.echo(status_text(summary))
    alive = liveness(folder, summary["state"])
    if alive:
        typer.echo(alive)
