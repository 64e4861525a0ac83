"""``flopwise report``: write report.md and report.json again, from the journal; and one page with pictures."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.text import Text

from flopwise.cli.options import RUNS, Json, RunName, Runs
from flopwise.paths import RunFolder, find_run
from flopwise.report.evidence import gather
from flopwise.report.extra import load_extra
from flopwise.report.grid import Drawing
from flopwise.report.read import read_run
from flopwise.report.tables import render
from flopwise.report.weights import importance_grid
from flopwise.report.write import write_report

Html = Annotated[bool, typer.Option("--html", help="Also write report.html and plots/ (extra `report`).")]
Knobs = Annotated[bool, typer.Option("--importance", help="Print which knobs mattered instead (extra `report`).")]


def command(
    run: RunName, html: Html = False, importance: Knobs = False, as_json: Json = False, runs: Runs = RUNS
) -> None:
    """Write the report of a run and print it, or with --html say where the page is."""
    folder = find_run(run, runs)
    if importance:
        _importance(folder, as_json)
        return
    write_page = load_extra("pages", "html") if html else None
    events = read_run(folder)
    write_report(folder, events)
    if write_page is not None:
        write_page(folder, gather(events))
        typer.echo(f"wrote {folder.report_html} and {folder.plots}", err=as_json)
    if as_json or not html:
        typer.echo((folder.report_json if as_json else folder.report_md).read_text())


def _importance(folder: RunFolder, as_json: bool) -> None:
    weigh = load_extra("analyses", "importance")
    found = weigh(gather(read_run(folder)))
    if as_json:
        typer.echo(json.dumps(found.to_json(), indent=2))
    else:
        typer.echo(render(Text(found.note), Drawing(importance_grid(found)) if found.weights else None))
