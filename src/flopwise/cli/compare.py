"""``flopwise compare``: runs side by side."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.text import Text

from flopwise.cli.options import RUNS, Json, Runs
from flopwise.errors import InputError
from flopwise.paths import find_run
from flopwise.report.compare import Comparison, Side, compare, to_json
from flopwise.report.grid import Drawing
from flopwise.report.read import read_run
from flopwise.report.tables import render
from flopwise.report.text import plain

Names = Annotated[list[str], typer.Argument(metavar="RUN RUN...", help="Two runs or more.")]


def command(names: Names, as_json: Json = False, runs: Runs = RUNS) -> None:
    """Put runs of the same metric side by side: verdicts, winners, knobs, and what they cost."""
    if len(set(names)) < 2:
        raise InputError("one run alone", expected="two different runs or more", fix="`flopwise status RUN` shows one")
    folders = [find_run(name, runs) for name in names]
    sides = [Side.of(folder.name, read_run(folder)) for folder in folders]
    comparison = compare(sides)
    typer.echo(json.dumps(to_json(sides, comparison), indent=2) if as_json else _text(sides, comparison))


def _text(sides: list[Side], comparison: Comparison) -> str:
    goal = "{direction} {metric}".format(**sides[0].summary["objective"])
    notes = [Text(f"! {plain(note)}", style="yellow") for note in comparison.notes]
    return render(
        Text(plain(goal), style="bold"), Drawing(comparison.figures), Text(""), Drawing(comparison.knobs),
        *([Text(""), *notes] if notes else []),
    )  # fmt: skip
