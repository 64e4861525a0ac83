"""Frames on their way to a reader that may be slow: nothing is lost, nobody blocks."""

from __future__ import annotations

import socket

HIGH_BYTES = 1 << 20
"""Above this no more is read from workers: their writes block until the coordinator has caught up."""


class Outbox:
    """Buffered writes on a non-blocking socket.

    Args:
        sock: Stays open and with the caller.
    """

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._waiting = bytearray()

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def is_full(self) -> bool:
        """Whether sources that can wait should."""
        return len(self._waiting) > HIGH_BYTES

    def put(self, frame: bytes) -> None:
        """Add a frame, and send what goes without waiting."""
        self._waiting += frame
        self.flush()

    def flush(self) -> None:
        """Send what goes without waiting; once the other end is gone nothing is kept."""
        try:
            while self._waiting:
                sent = self._sock.send(self._waiting)
                del self._waiting[:sent]
        except BlockingIOError:
            return
        except OSError:
            self._waiting.clear()

    def finish(self, limit_s: float) -> None:
        """Send the rest, waiting at most ``limit_s`` seconds for a reader that stands still."""
        self._sock.settimeout(limit_s)
        try:
            self._sock.sendall(self._waiting)
        except OSError:
            return
        finally:
            self._waiting.clear()
