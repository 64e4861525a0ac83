"""``flopwise status``: where a run stands, from its journal, and what its slots do right now."""

from __future__ import annotations

import json
import time

import typer

from flopwise.cli.options import RUNS, Json, RunName, Runs
from flopwise.paths import find_run
from flopwise.report.read import liveness, read_run
from flopwise.report.slot_use import slots_now
from flopwise.report.summary import summarise
from flopwise.report.tables import status_text


def command(run: RunName, as_json: Json = False, runs: Runs = RUNS) -> None:
    """Say where a run stands."""
    folder = find_run(run, runs)
    events = read_run(folder)
    summary = summarise(events)
    if summary["state"] == "running":
        summary["slot_use"] = slots_now(folder, events, summary, time.monotonic())
    if as_json:
        typer.echo(json.dumps(summary, indent=2))
        return
    typer.echo(status_text(summary))
    alive = liveness(folder, summary["state"])
    if alive:
        typer.echo(alive)
