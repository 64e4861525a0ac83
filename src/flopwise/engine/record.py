"""Journal, state and ledger, always in step: what happened is written, then folded, then shown."""

from __future__ import annotations

from flopwise.budget.ledger import Ledger
from flopwise.events import Event
from flopwise.journal.log import Journal
from flopwise.journal.replay import RunState
from flopwise.report.view import View


class Record:
    """The run's memory as the engine uses it.

    Args:
        journal: Open for writing; its old events are folded in at once.
        view: Told of every event, but only after it is on disk.
    """

    def __init__(self, journal: Journal, view: View) -> None:
        self._journal = journal
        self._view = view
        self._fresh: list[Event] = []
        self.events: list[Event] = []
        self.state = RunState()
        self.ledger = Ledger()
        for note in journal.notes:
            view.message(note)
        for event in journal.replayed:
            self._fold(event)

    def add(self, *events: Event) -> None:
        """Buffer events for the next commit and fold them into the state."""
        self._journal.append(events)
        for event in events:
            self._fold(event)
        self._fresh += events

    def commit(self) -> None:
        """Make everything added durable, then show it. Returns only after the fsync."""
        if not self._fresh:
            return
        self._journal.commit()
        fresh, self._fresh = self._fresh, []
        for event in fresh:
            self._view.event(event, self.state)

    def _fold(self, event: Event) -> None:
        self.events.append(event)
        self.state.apply(event)
        self.ledger.apply(event)
