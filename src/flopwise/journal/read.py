"""Reading a journal without holding it: for status, reports and the writer's own start."""

from __future__ import annotations

import json
import os
from pathlib import Path

from flopwise.errors import JournalDamaged, JournalError
from flopwise.events import FORMAT, Event, RunCreated, from_json
from flopwise.journal.records import Scan, Stored, damaged, scan


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
    found = scan(read_bytes(path), str(path))
    return decode_events(found, str(path)), torn_notes(found, str(path), "left out")


def read_bytes(path: Path) -> bytes:
    """The file as it was at one moment (a single read of its length at that moment).

    Raises:
        JournalError: If it cannot be read.
    """
    try:
        with path.open("rb", buffering=0) as file:
            return file.read(os.fstat(file.fileno()).st_size) or b""
    except OSError as error:
        raise JournalError("the journal cannot be read", got=str(error), where=str(path)) from None


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
