"""The journal's record format: ``length crc json`` and a newline, each record chained to the one before.

``length`` is the number of bytes of the JSON and ``crc`` a CRC-32 (ISO-HDLC, as in zlib), both as 8
lower-case hex digits. The CRC of a record starts from the *written* CRC of the record before it (0 for
the first): a record altered together with its own checksum is noticed at the next one, and every record
can be checked as long as the eight digits before it are legible.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass

from flopwise.errors import JournalDamaged, JournalError

HEADER = re.compile(rb"([0-9a-f]{8}) ([0-9a-f]{8}) ")
"""Length and CRC. Upper-case digits are refused: they differ from lower-case ones by a single bit."""

HEADER_BYTES = 18

LONGEST = 0xFFFF_FFFF
"""Most bytes of JSON in a record."""

RESTORE = "`flopwise repair` has back what can be had back, in a new run; `flopwise verify` names what does not fit"


@dataclass(frozen=True)
class Stored:
    """One whole record.

    Args:
        offset: Where it begins, in bytes from the start of the file.
        crc: As written.
        payload: Its JSON.
    """

    offset: int
    crc: int
    payload: bytes


@dataclass(frozen=True)
class Mark:
    """A place between two records, to go on reading from.

    Args:
        offset: In bytes from the start of the file.
        crc: Of the record before, as written; 0 for the first.
        number: Records before.
    """

    offset: int = 0
    crc: int = 0
    number: int = 0


START = Mark()


@dataclass(frozen=True)
class Scan:
    """What a journal's bytes hold.

    Args:
        records: Whole records, in order.
        end: Where the last whole one ends, in bytes.
        torn: Bytes of an unterminated record after that.
        start: Where reading began.
    """

    records: tuple[Stored, ...]
    end: int
    torn: int
    start: Mark = START

    @property
    def crc(self) -> int:
        """What the next record is chained to."""
        return self.records[-1].crc if self.records else self.start.crc

    @property
    def mark(self) -> Mark:
        """Where to go on when the file has grown."""
        return Mark(self.end, self.crc, self.start.number + len(self.records))


def frame(payload: bytes, previous: int) -> tuple[bytes, int]:
    """A record's bytes and its CRC.

    Args:
        payload: JSON without a newline.
        previous: CRC of the record before; 0 for the first.

    Raises:
        JournalError: If the payload is longer than 8 hex digits can say.

    Example:
        >>> frame(b'{"event":"Alive"}', 0)
        (b'00000011 bcdc640b {"event":"Alive"}\\n', 3168560139)
    """
    if len(payload) > LONGEST:
        raise JournalError(f"a record of {len(payload)} bytes", expected=f"at most {LONGEST}")
    crc = zlib.crc32(payload, previous)
    return b"%08x %08x %b\n" % (len(payload), crc, payload), crc


def scan(data: bytes, source: str, start: Mark = START) -> Scan:
    """All records in a journal's bytes.

    Args:
        data: From ``start`` on; may end inside a record.
        source: The file, for messages.
        start: Where in the file the bytes begin.

    Raises:
        JournalDamaged: If anything but an unterminated last record is not as it was written.
    """
    records: list[Stored] = []
    offset, previous = 0, start.crc
    while (end := data.find(b"\n", offset)) >= 0:
        number = start.number + len(records) + 1
        record = _record(data[offset:end], start.offset + offset, previous, source, number)
        records.append(record)
        offset, previous = end + 1, record.crc
    torn, at = data[offset:], start.offset + offset
    if _longer_than_said(torn):
        number = start.number + len(records) + 1
        raise damaged(number, at, source, expected="a newline at its end", got=repr(torn[-1:]))
    return Scan(tuple(records), at, len(torn), start)


def damaged(number: int, offset: int, source: str, *, expected: str, got: str) -> JournalDamaged:
    """The error for one record, naming file and byte."""
    problem = f"record {number} of the journal is damaged; nothing after it can be trusted"
    return JournalDamaged(problem, expected=expected, got=got, where=f"{source}, byte {offset}", fix=RESTORE)


def _record(line: bytes, offset: int, previous: int, source: str, number: int) -> Stored:
    header = HEADER.match(line)
    if header is None:
        raise damaged(
            number, offset, source, expected="8 hex digits of length, 8 of checksum", got=repr(line[:HEADER_BYTES])
        )
    payload = line[HEADER_BYTES:]
    length, crc = int(header[1], 16), int(header[2], 16)
    if length != len(payload):
        raise damaged(number, offset, source, expected=f"{length} bytes of JSON", got=f"{len(payload)}")
    found = zlib.crc32(payload, previous)
    if crc != found:
        raise damaged(number, offset, source, expected=f"checksum {crc:08x}", got=f"{found:08x}")
    return Stored(offset, crc, payload)


def _longer_than_said(tail: bytes) -> bool:
    """Whether a tail without a newline is more than a write cut short: its newline was altered."""
    header = HEADER.match(tail)
    return header is not None and len(tail) > HEADER_BYTES + int(header[1], 16)
