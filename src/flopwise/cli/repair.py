"""``flopwise repair``: have back what can be had back from a run whose journal is damaged."""

from __future__ import annotations

import typer

from flopwise.cli.options import RUNS, RunName, Runs
from flopwise.engine.repair import Repaired, repair
from flopwise.paths import RunFolder, find_run

FAILED = 4


def command(run: RunName, runs: Runs = RUNS) -> None:
    """Write a run with a damaged journal anew, beside the old one, which is only read; say what is lost.

    The new run is the whole old one where nothing that matters is lost, else what it was before the loss.
    Exit 4 when the new run does not hold either.
    """
    folder = find_run(run, runs)
    done = repair(folder)
    if done is None:
        typer.echo(f"{folder.root}: the journal is not damaged, there is nothing to repair")
        return
    _tell(done, folder)
    if done.differences:
        raise typer.Exit(FAILED)
    name = done.target.name
    typer.echo(f"`flopwise verify {name}` finds nothing; `flopwise resume {name}` goes on where it ends")


def _tell(done: Repaired, folder: RunFolder) -> None:
    found = done.found
    counts = f"{len(found.kept)} records kept, {len(found.mended)} of them put right, {len(found.lost)} lost"
    typer.echo(f"{folder.journal}: {counts}")
    for record in found.mended:
        typer.echo(f"  record {record.number}, byte {record.offset}: {record.mended}")
    for lost in found.lost:
        typer.echo(f"  record {lost.number}, byte {lost.offset}: {lost.size} bytes lost, {lost.why}")
    which = "all" if done.later is None else "the first"
    typer.echo(f"{done.target.root}: a new run of {which} {done.records} records; {folder.root} is as it was")
    if done.later is not None:
        behind = len(found.kept) - done.records
        typer.echo(f"{done.later}: the {behind} records behind the first loss, which do not hold without what is lost")
    for difference in done.differences:
        typer.echo(f"  still wrong: {difference}")
