"""Looking on while a run works: its journal read as it grows, shown in the views that the run itself uses."""

from __future__ import annotations

import time
from collections.abc import Callable

from flopwise.budget.ledger import Ledger
from flopwise.clock import Clock
from flopwise.events import Event
from flopwise.journal.follow import Follower
from flopwise.journal.lock import holder
from flopwise.journal.replay import RunState
from flopwise.paths import RunFolder
from flopwise.report.view import View

LOOK_EVERY_S = 0.25

ALIVE_EVERY_S = 2.0
"""How often to look whether the coordinator still lives."""


class Watch:
    """Shows one run until it ends, its coordinator is gone, or the user leaves.

    Only reads; the run does not notice.

    Args:
        folder: The run folder.
        view: Where to show it. A :class:`~flopwise.report.live.LiveView` is spared what happened before.
        clock: Real or simulated.
        wait: Sleeps for so many seconds.
        from_start: Tell the view every event, also those from before.
    """

    def __init__(
        self,
        folder: RunFolder,
        view: View,
        clock: Clock,
        *,
        wait: Callable[[float], None] = time.sleep,
        from_start: bool = False,
    ) -> None:
        self._folder = folder
        self._view = view
        self._clock = clock
        self._wait = wait
        self._tell = from_start
        self._follower = Follower(folder.journal)
        self._state, self._ledger = RunState(), Ledger()
        self._alive_at = clock.monotonic()
        self._left = False
        self.events: list[Event] = []

    def leave(self) -> None:
        """End at the next look; the run goes on."""
        self._left = True

    def run(self) -> str:
        """Show until there is nothing more to see.

        Returns:
            ``left``, ``killed`` (no coordinator lives any more), or the reason that the session closed with.

        Raises:
            JournalDamaged: If a record is not as it was written.
        """
        self._view.open()
        try:
            while True:
                self._look()
                ended = self._ended()
                if ended:
                    return ended
                self._wait(LOOK_EVERY_S)
        finally:
            self._view.close()

    def _look(self) -> None:
        for event in self._follower.read():
            self.events.append(event)
            self._state.apply(event)
            self._ledger.apply(event)
            if self._tell:
                self._view.event(event, self._state)
        self._tell = True
        if self._state.created is not None:
            self._view.tick(self._state, self._ledger)

    def _ended(self) -> str:
        if self._left:
            return "left"
        closed = self._state.sessions[-1].closed if self._state.sessions else None
        now = self._clock.monotonic()
        if closed is None and now - self._alive_at < ALIVE_EVERY_S:
            return ""
        self._alive_at = now
        if holder(self._folder.lock) is not None:
            return ""
        self._look()  # what was written between the last look and the end
        closed = self._state.sessions[-1].closed if self._state.sessions else None
        return str(getattr(closed, "reason", "killed"))
