"""``flopwise report``: write report.md and report.json again, from the journal."""

from __future__ import annotations

import typer

from flopwise.cli.options import RUNS, Json, RunName, Runs
from flopwise.paths import find_run
from flopwise.report.read import read_run
from flopwise.report.write import write_report


def command(run: RunName, as_json: Json = False, runs: Runs = RUNS) -> None:
    """Write the report of a run and print it."""
    folder = find_run(run, runs)
    events = read_run(folder)
    write_report(folder, events)
    typer.echo((folder.report_json if as_json else folder.report_md).read_text())
