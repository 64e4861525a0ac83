"""Reading a journal while it grows: each record once, in order, without holding it."""

from __future__ import annotations

import os
from pathlib import Path

from flopwise.errors import JournalError
from flopwise.events import Event
from flopwise.journal.read import decode_events
from flopwise.journal.records import START, damaged, scan


class Follower:
    """Hands out what a journal has gained since the last look.

    Args:
        path: A ``journal.log``.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._mark = START

    def read(self) -> list[Event]:
        """New events; the first call gives all there are. A record being written is left for the next call.

        Raises:
            JournalDamaged: If a record is not as it was written, or the file has become shorter.
            JournalError: If the file cannot be read, or a newer flopwise wrote it.
        """
        found = scan(self._grown(), str(self._path), self._mark)
        events = decode_events(found, str(self._path))
        self._mark = found.mark
        return events

    def _grown(self) -> bytes:
        try:
            with self._path.open("rb", buffering=0) as file:
                size = os.fstat(file.fileno()).st_size
                file.seek(self._mark.offset)
                data = file.read(max(0, size - self._mark.offset)) or b""
        except OSError as error:
            raise JournalError("the journal cannot be read", got=str(error), where=str(self._path)) from None
        if size < self._mark.offset:
            number = self._mark.number + 1
            expected, got = f"at least {self._mark.offset} bytes", f"{size}: it became shorter"
            raise damaged(number, size, str(self._path), expected=expected, got=got)
        return data
