"""Where the user looks while a study runs: a live table in a terminal or a notebook, plain lines, or nothing.

The engine calls a view from one thread and never waits for it; a view never ends a study.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from rich.console import Console

from flopwise.budget.ledger import Ledger
from flopwise.clock import Clock, RealClock
from flopwise.events import Event
from flopwise.journal.replay import RunState
from flopwise.paths import RunFolder
from flopwise.registry import resolve
from flopwise.report.keys import terminal_keys
from flopwise.report.live import LiveView
from flopwise.report.notebook import DISPLAY, Cell
from flopwise.report.plain import PlainView
from flopwise.report.slots import SlotMeter

INTERRUPT = "interrupt the kernel to stop when what runs now is done; run the cell again to go on"


class View(Protocol):
    """What the engine tells its user."""

    def open(self) -> None:
        """Begin; may follow a :meth:`close`."""
        ...

    def event(self, event: Event, state: RunState) -> None:
        """Something was journaled. ``state`` has it, and perhaps later events of the same batch."""
        ...

    def progress(self, text: str, done: float, total: float) -> None:
        """Something long is under way; ``total`` is 0 when its end is unknown."""
        ...

    def message(self, text: str) -> None:
        """Lines for the user; may be called before :meth:`open` and after :meth:`close`."""
        ...

    def tick(self, state: RunState, ledger: Ledger) -> None:
        """Called several times a second."""
        ...

    def close(self) -> None:
        """Leave the terminal as it was; calling it twice does no harm. Close before asking the user something."""
        ...


class SilentView:
    """Shows nothing."""

    def open(self) -> None:
        """Nothing to begin."""

    def event(self, event: Event, state: RunState) -> None:
        """Say nothing."""

    def progress(self, text: str, done: float, total: float) -> None:
        """Say nothing."""

    def message(self, text: str) -> None:
        """Say nothing."""

    def tick(self, state: RunState, ledger: Ledger) -> None:
        """Say nothing."""

    def close(self) -> None:
        """Nothing to leave."""


def choose_view(
    console: Console,
    quiet: bool = False,
    clock: Clock | None = None,
    runs: Path | None = None,
    *,
    live: bool = True,
) -> View:
    """The view that fits: silent when asked for, live on a terminal or in a notebook's cell, else plain lines.

    Args:
        console: Where to write.
        quiet: Show nothing.
        clock: Limits how often a live view draws; None for the machine's.
        runs: Folder that holds the runs: where a live view finds what the slots are doing.
        live: False where somebody else prints to the same terminal.
    """
    if quiet:
        return SilentView()
    if console.is_jupyter:
        cell = Cell(resolve(DISPLAY))
        return LiveView(cell.console, clock or RealClock(), meter=_meter(runs), canvas=cell, hint=INTERRUPT)
    if live and console.is_terminal and not console.is_dumb_terminal:
        return LiveView(console, clock or RealClock(), keys=terminal_keys(cursor_keeper(console)), meter=_meter(runs))
    return PlainView(console, clock or RealClock())


def cursor_keeper(console: Console) -> Callable[[bool], None]:
    """What shows the cursor while the process is suspended, for :class:`~flopwise.report.keys.Keys`."""

    def suspended(away: bool) -> None:
        console.show_cursor(away)

    return suspended


def _meter(runs: Path | None) -> SlotMeter | None:
    if runs is None:
        return None
    return SlotMeter(lambda state: RunFolder(runs / (state.created.name if state.created else "")))
