"""The worker's end of the wire."""

from __future__ import annotations

import os
import select
from typing import Protocol

from flopwise.wire import Message, encode


class Sink(Protocol):
    """Where an attempt's messages go."""

    def has_room(self) -> bool:
        """Whether a short message can be taken without waiting."""
        ...

    def send(self, message: Message) -> None:
        """Take a message, waiting for room if need be."""
        ...


class Outlet:
    """Writes messages to the keeper.

    Args:
        fd: Write end of a pipe, or a file.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._poll = select.poll()
        self._poll.register(fd, select.POLLOUT)

    def has_room(self) -> bool:
        """Whether a short message can be written without waiting."""
        return bool(self._poll.poll(0))

    def send(self, message: Message) -> None:
        """Write a message, waiting for room if need be.

        Raises:
            WireError: If it cannot be encoded; nothing was written.
        """
        left = memoryview(encode(message))
        while left:
            left = left[os.write(self._fd, left) :]
