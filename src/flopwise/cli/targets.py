"""``flopwise targets``: time to any target, from the learning curves of a run."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.text import Text

from flopwise.cli.options import RUNS, Json, RunName, Runs
from flopwise.paths import find_run
from flopwise.report.grid import Drawing
from flopwise.report.read import read_run
from flopwise.report.tables import render
from flopwise.report.targets import ladder, ladder_grid, sentences

Asked = Annotated[list[float] | None, typer.Option("--target", help="A value of the validated metric; repeatable.")]


def command(run: RunName, target: Asked = None, as_json: Json = False, runs: Runs = RUNS) -> None:
    """Read the time to any target from a run's learning curves."""
    found = ladder(read_run(find_run(run, runs)), target or ())
    if as_json:
        typer.echo(json.dumps(found.to_json(), indent=2))
        return
    notes = [Text(sentence) for sentence in sentences(found)]
    typer.echo(render(Drawing(ladder_grid(found)), Text(""), *notes))
