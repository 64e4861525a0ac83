"""A run's events for those who only look: no lock is taken, a record being written is left out."""

from __future__ import annotations

from flopwise.events import Event
from flopwise.journal.lock import holder
from flopwise.journal.log import read_events
from flopwise.paths import RunFolder


def read_run(folder: RunFolder) -> list[Event]:
    """All events of a run, finished or running.

    Raises:
        JournalDamaged: If a record is not as it was written.
    """
    events, _ = read_events(folder.journal)
    return events


def liveness(folder: RunFolder, state: str) -> str:
    """One line on whether somebody works on the run right now.

    Args:
        folder: The run folder.
        state: What the journal says: planned, running, finished, stopped, paused, interrupted or failed.
    """
    held = holder(folder.lock)
    if held is not None:
        return f"coordinator: pid {held.pid} on {held.host}, since {held.started}"
    if state == "running":
        return f"its coordinator died; `flopwise resume {folder.name}` goes on"
    return ""
