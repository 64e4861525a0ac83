"""Stamps of a node as the coordinator's clock would have made them. Monotonic clocks of two machines do not compare."""

from __future__ import annotations

import math


class NodeClock:
    """Translates one node's monotonic seconds.

    Durations are kept as the node measured them. The difference of the clocks is known from below only: a stamp that
    the node made after it heard from us is not earlier than what we sent. So a translated stamp is never late: an
    attempt begins after it was sent, and ends before its end was heard.
    """

    def __init__(self) -> None:
        self._ahead = -math.inf
        self._starts: dict[str, tuple[float, float]] = {}

    def heard(self, sent_at: float, there: float) -> None:
        """Learn from a message.

        Args:
            sent_at: When we sent it, by our clock.
            there: When it was seen on the node, by the node's.
        """
        self._ahead = max(self._ahead, sent_at - there)

    def start(self, attempt: str, there: float, sent_at: float) -> float:
        """When an attempt began, by our clock."""
        self.heard(sent_at, there)
        at = max(there + self._ahead, sent_at)
        self._starts[attempt] = there, at
        return at

    def end(self, attempt: str, began: float, ended: float, now: float) -> tuple[float, float]:
        """When an attempt began and ended, by our clock, as far apart as by the node's.

        Args:
            attempt: Its name.
            began: By the node's clock.
            ended: By the node's clock.
            now: When we heard of the end.
        """
        there, at = self._starts.pop(attempt, (began, max(began + self._ahead, now - (ended - began))))
        start = at + (began - there)
        return start, max(start, min(start + (ended - began), now))
