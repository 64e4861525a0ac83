"""``flopwise doctor``: what this machine gives a study, and what would hinder one."""

from __future__ import annotations

import json

import typer
from rich.table import Table
from rich.text import Text

from flopwise.cli.options import RUNS, Json, Runs
from flopwise.engine.doctor import Finding, examine
from flopwise.report.tables import render
from flopwise.report.text import plain

FAILED = 4
COLOURS = {"ok": "green", "note": "yellow", "problem": "bold red"}


def command(as_json: Json = False, runs: Runs = RUNS) -> None:
    """Look at machine, installation and run folder; exit 4 if there is a problem. Nothing is run."""
    found = examine(runs)
    if as_json:
        typer.echo(json.dumps(found.to_json(), indent=2))
    else:
        typer.echo(render(_table(found.findings)))
    raise typer.Exit(FAILED if found.has_problems else 0)


def _table(findings: tuple[Finding, ...]) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for finding in findings:
        text = Text(plain(finding.text))
        if finding.fix:
            text.append(f"\n→ {plain(finding.fix)}", style="bold")
        table.add_row(Text(finding.level, COLOURS[finding.level]), finding.topic, text)
    return table
