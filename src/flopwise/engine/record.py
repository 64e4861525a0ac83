"""Journal, state and ledger, always in step: what happened is written, then folded, then shown."""

from __future__ import annotations

from collections.abc import Iterator

from flopwise.budget.ledger import Ledger
from flopwise.events import AttemptEnded, Event
from flopwise.journal.log import Journal
from flopwise.journal.read import iter_events
from flopwise.journal.replay import RunState
from flopwise.report.view import View


class Record:
    """The run's memory as the engine uses it.

    Events are folded and let go: however long the run, what is kept of it is its state.

    Args:
        journal: Open for writing; its old events are folded in at once.
        view: Told of every event, but only after it is on disk.
    """

    def __init__(self, journal: Journal, view: View) -> None:
        self._journal = journal
        self._view = view
        self._fresh: list[Event] = []
        self.state = RunState()
        self.ledger = Ledger()
        for note in journal.notes:
            view.message(note)
        replayed, journal.replayed = journal.replayed, []
        for event in replayed:
            self._fold(event)

    @property
    def events(self) -> list[Event]:
        """All events, read again from the journal."""
        return list(self.stream())

    def stream(self) -> Iterator[Event]:
        """The same one after the other, without holding them all; those not committed yet come last."""
        yield from iter_events(self._journal.path)
        yield from tuple(self._fresh)

    def let_go_of_durability(self) -> None:
        """From here on a commit does not wait for the disk: for simulations only."""
        self._journal.durable = False

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
        self.state.apply(event)
        self.ledger.apply(event)
        if isinstance(event, AttemptEnded):
            self.state.let_go(curve=event.attempt)
