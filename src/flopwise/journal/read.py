"""Reading a journal without holding it: for status, reports and the writer's own start."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from pathlib import Path

from flopwise.errors import JournalDamaged, JournalError
from flopwise.events import FORMAT, Event, RunCreated, from_json
from flopwise.journal.records import START, Scan, Stored, damaged, scan

CHUNK_BYTES = 1 << 22
"""How much of a journal is in memory at a time while it is read event by event."""


def read_events(path: Path) -> tuple[list[Event], list[str]]:
    """All events of a journal that may be in the middle of being written.

    Takes no lock and changes nothing. An unterminated last record is left out: either it is being
    written right now, or the writer died there and nobody was told of it.

    Args:
        path: A ``journal.log``.

    Returns:
        The events, and notes for the user (empty when all is well).

    Raises:
        JournalDamaged: If any other record is not as it was written; names file and byte.
        JournalError: If the file cannot be read, or a newer flopwise wrote it.
    """
    events: list[Event] = []
    found = Scan((), 0, 0)
    for piece, decoded in iter_scans(path):
        found = piece
        events += decoded
    return events, torn_notes(found, str(path), "left out")


def iter_events(path: Path) -> Iterator[Event]:
    """The same events one after the other, without holding them all.

    Raises:
        JournalDamaged: As :func:`read_events`, when it comes to the damaged record.
        JournalError: As :func:`read_events`.
    """
    return (event for _, events in iter_scans(path) for event in events)


def iter_scans(path: Path) -> Iterator[tuple[Scan, list[Event]]]:
    """A journal as long as it is at this moment, in pieces: what was scanned, and the events in it.

    Only the last piece can end in an unterminated record.

    Raises:
        JournalDamaged: If a record is not as it was written.
        JournalError: If the file cannot be read, or is of another format.
    """
    source, mark, size = str(path), START, CHUNK_BYTES
    try:
        with path.open("rb", buffering=0) as file:
            end = os.fstat(file.fileno()).st_size
            while True:
                data = _read_at(file, mark.offset, min(size, end - mark.offset))
                found = scan(data, source, mark)
                last = mark.offset + len(data) >= end or not data
                if found.records or last:
                    yield found, decode_events(found, source)
                if last:
                    return
                mark, size = found.mark, CHUNK_BYTES if found.records else 2 * size
    except OSError as error:
        raise JournalError("the journal cannot be read", got=str(error), where=source) from None


def _read_at(file: io.FileIO, offset: int, size: int) -> bytes:
    file.seek(offset)
    return file.read(size) or b""


def decode_events(found: Scan, source: str) -> list[Event]:
    """The events in scanned records.

    Raises:
        JournalDamaged: If a record is not an event.
        JournalError: If the journal is of another format.
    """
    events = [_event(record, number, source) for number, record in enumerate(found.records, found.start.number + 1)]
    if events and isinstance(events[0], RunCreated) and events[0].format != FORMAT:
        raise JournalError(
            "the journal is of another format",
            expected=f"format {FORMAT}",
            got=f"format {events[0].format}",
            where=source,
            fix="use the flopwise version that wrote it: " + events[0].versions.get("flopwise", "see its first line"),
        )
    return events


def torn_notes(found: Scan, source: str, done: str) -> list[str]:
    """What to tell the user about an unterminated last record; empty when there is none."""
    if not found.torn:
        return []
    return [f"{source}: an unterminated last record of {found.torn} bytes at byte {found.end} was {done}"]


def _event(record: Stored, number: int, source: str) -> Event:
    try:
        content = json.loads(record.payload)
    except ValueError as error:
        raise damaged(number, record.offset, source, expected="JSON", got=str(error)) from None
    if not isinstance(content, dict):
        raise damaged(number, record.offset, source, expected="a JSON object", got=type(content).__name__)
    try:
        return from_json(content)
    except JournalDamaged as error:
        raise JournalDamaged(error.problem, where=f"{source}, byte {record.offset}", fix=error.fix) from None
