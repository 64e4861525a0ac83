"""A run's events for those who only look: no lock is taken, a record being written is left out."""

from __future__ import annotations

from flopwise.events import Event
from flopwise.journal.log import read_events
from flopwise.paths import RunFolder


def read_run(folder: RunFolder) -> list[Event]:
    """All events of a run, finished or running.

    Raises:
        JournalDamaged: If a record is not as it was written.
    """
    events, _ = read_events(folder.journal)
    return events
