"""``flopwise verify``: re-derive a run from its journal and name every difference."""

from __future__ import annotations

import json
from dataclasses import asdict

import typer

from flopwise.cli.options import RUNS, Json, RunName, Runs
from flopwise.engine.verify import verify
from flopwise.paths import find_run

FAILED = 4


def command(run: RunName, as_json: Json = False, runs: Runs = RUNS) -> None:
    """Re-derive proposals, charges and every reported number; exit 4 and name what differs."""
    differences = verify(find_run(run, runs))
    if as_json:
        typer.echo(json.dumps([asdict(difference) for difference in differences], indent=2))
    elif differences:
        for difference in differences:
            typer.echo(str(difference))
    else:
        typer.echo(f"{run}: every record, proposal, charge and reported number holds")
    raise typer.Exit(FAILED if differences else 0)
