"""``flopwise results``: all runs of a folder, a line each."""

from __future__ import annotations

import json

import typer
from rich.console import Console
from rich.text import Text

from flopwise.cli.options import RUNS, Json, Runs
from flopwise.report.grid import Drawing
from flopwise.report.results import Result, list_results, results_grid
from flopwise.report.tables import render
from flopwise.report.text import plain


def command(as_json: Json = False, runs: Runs = RUNS) -> None:
    """List all runs: verdict or state, best value, and what they have cost."""
    results = list_results(runs)
    if as_json:
        typer.echo(json.dumps([result.to_json() for result in results], indent=2))
    elif results:
        typer.echo(_table(results))
    else:
        typer.echo(f"no runs under {runs}; `flopwise run quickstart` makes one")


def _table(results: list[Result]) -> str:
    notes = [f"! {result.run}: {plain(result.problem)}" for result in results if result.problem]
    if any(result.best is not None and not result.confirmed for result in results):
        notes.append("~ not confirmed on fresh seeds")
    return render(Drawing(results_grid(results)), *(Text(note, style="dim") for note in notes), console=Console())
