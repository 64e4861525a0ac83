"""``flopwise watch``: look on while a run works."""

from __future__ import annotations

import shlex

import typer
from rich.console import Console

from flopwise.cli.options import RUNS, RunName, Runs
from flopwise.clock import RealClock
from flopwise.paths import RunFolder, find_run
from flopwise.report.keys import terminal_keys
from flopwise.report.live import LiveView
from flopwise.report.plain import PlainView
from flopwise.report.slots import SlotMeter
from flopwise.report.summary import summarise
from flopwise.report.tables import status_text
from flopwise.report.view import cursor_keeper
from flopwise.report.watch import Watch


def command(run: RunName, runs: Runs = RUNS) -> None:
    """Show a run while it works, as its own terminal does; q leaves, and the run goes on."""
    folder = find_run(run, runs)
    console = Console()
    watch = _live(folder, console) if console.is_terminal and not console.is_dumb_terminal else _plain(folder, console)
    try:
        ended = watch.run()
    except KeyboardInterrupt:
        ended = "left"
    typer.echo(status_text(summarise(watch.events)))
    if ended == "killed":
        typer.echo(f"its process is gone; go on with `flopwise resume {shlex.quote(run)}`")


def _live(folder: RunFolder, console: Console) -> Watch:
    view = LiveView(
        console,
        RealClock(),
        keys=terminal_keys(cursor_keeper(console)),
        meter=SlotMeter(lambda _: folder),
        leave=lambda: watch.leave(),
        hint="q leaves; the run goes on",
    )
    watch = Watch(folder, view, RealClock())
    return watch


def _plain(folder: RunFolder, console: Console) -> Watch:
    return Watch(folder, PlainView(console, RealClock()), RealClock(), from_start=True)
