"""The journal read by code of its own: framing, checksum chain and event schema, record by record.

Nothing is shared with the journal's own reader, and nothing stops at the first fault: where a record is
damaged, the altered number is named if it can be (see :mod:`flopwise.engine.verify.checksum`), and the
other checks go on with the record as it was.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from flopwise.engine.verify.checksum import NUMBER, Restored, restore, states_before
from flopwise.engine.verify.difference import Difference, compare, read_json, show
from flopwise.errors import JournalDamaged
from flopwise.events import Event, from_json
from flopwise.paths import RunFolder

LINE = re.compile(rb"(?P<length>[0-9a-f]{8}) (?P<crc>[0-9a-f]{8}) (?P<payload>.*)", re.DOTALL)

MOST_RESTORED = 20
"""Damaged records beyond this many are reported without looking for what was altered."""


@dataclass(frozen=True)
class Record:
    """One event and its place.

    Args:
        number: From 1.
        offset: In bytes.
        event: What it holds.
    """

    number: int
    offset: int
    event: Event

    @property
    def where(self) -> str:
        return f"{place(self.number, self.offset)} ({title(vars(self.event), type(self.event).__name__)})"


@dataclass
class Reading:
    """What came of reading a journal.

    Args:
        records: Events in order, altered ones as they were where that could be found out.
        differences: Damage, in order.
        lost: Records that hold no event any more; nothing can be derived from the rest then.
    """

    records: list[Record] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    lost: int = 0


@dataclass
class _Line:
    """A record as it stands in the file; ``payload`` becomes the original where that is found."""

    number: int
    offset: int
    length: int
    crc: int
    payload: bytes

    @property
    def where(self) -> str:
        content = read_json(self.payload)
        return f"{place(self.number, self.offset)} ({title(content, content.get('event', 'no event'))})"


def read_records(folder: RunFolder) -> Reading:
    """All records of a journal, and what is wrong with them."""
    reading = Reading()
    lines = _lines(folder.journal.read_bytes(), reading)
    _check_chain(lines, folder, reading)
    for line in lines:
        _decode(line, reading)
    return reading


def place(number: int, offset: int) -> str:
    """``journal.log record 3, byte 512``."""
    return f"journal.log record {number}, byte {offset}"


def title(fields: Any, name: Any) -> str:
    """An event for people: ``AttemptEnded t0001.s0.a1``."""
    labels = [fields[key] for key in ("attempt", "number", "phase", "session") if key in fields]
    return " ".join([show(name), *(show(label) for label in labels[:1])])


def _lines(data: bytes, reading: Reading) -> list[_Line]:
    """Records by their line ends. An unterminated rest is a record that was never acknowledged, and no fault."""
    lines = []
    offset = 0
    *whole, rest = data.split(b"\n")
    for number, text in enumerate(whole, start=1):
        found = LINE.fullmatch(text)
        if found is None:
            where = place(number, offset)
            reading.differences.append(
                Difference(where, "framing", "8 hex digits, 8 hex digits, JSON", show(repr(text[:40])))
            )
            reading.lost += 1
        else:
            lines.append(_Line(number, offset, int(found["length"], 16), int(found["crc"], 16), found["payload"]))
        offset += len(text) + 1
    _check_rest(rest, len(whole) + 1, offset, reading)
    return lines


def _check_rest(rest: bytes, number: int, offset: int, reading: Reading) -> None:
    found = LINE.fullmatch(rest)
    if found is not None and len(found["payload"]) > int(found["length"], 16):
        reading.differences.append(
            Difference(place(number, offset), "framing", "a newline at its end", repr(rest[-1:]))
        )
        reading.lost += 1


def _check_chain(lines: list[_Line], folder: RunFolder, reading: Reading) -> None:
    """Lengths and checksums; each record's checksum begins with the one written before it."""
    before: _Line | None = None
    crc_before_that = 0
    pool: set[bytes] | None = None
    for line in lines:
        previous = before.crc if before else 0
        follows = line.number == (before.number if before else 0) + 1
        if follows and (line.length != len(line.payload) or zlib.crc32(line.payload, previous) != line.crc):
            pool = (_pool(folder) if len(reading.differences) < MOST_RESTORED else set()) if pool is None else pool
            reading.differences.extend(_explain(line, previous, before, crc_before_that, pool))
        crc_before_that, before = previous, line


def _explain(
    line: _Line, previous: int, before: _Line | None, crc_before_that: int, pool: set[bytes]
) -> Iterator[Difference]:
    """Which of two records was altered, and in what number."""
    own = restore(line.payload, previous, line.crc, pool, line.length)
    if own is not None:
        yield from _named(line, own)
        return
    if line.length != len(line.payload):
        yield Difference(line.where, "length in bytes", str(line.length), str(len(line.payload)))
        return
    if before is not None:
        original = states_before(line.payload, line.crc)[0]
        if zlib.crc32(before.payload, crc_before_that) == original:
            return  # the checksum of the record before was altered, which has been said there
        theirs = restore(before.payload, crc_before_that, original, pool)
        if theirs is not None:
            yield from _named(before, theirs)
            return
        yield Difference(
            before.where, "checksum that the next record continues", f"{original:08x}", f"{before.crc:08x}"
        )
    yield Difference(
        line.where,
        "checksum (this record or the one before was altered, or one between them taken out)",
        f"{zlib.crc32(line.payload, previous):08x}",
        f"{line.crc:08x}",
    )


def _named(line: _Line, restored: Restored) -> Iterator[Difference]:
    """The altered number by its path in the event; from here on the record counts as it was."""
    where, now, then = line.where, read_json(line.payload), read_json(restored.payload)
    line.payload, line.length = restored.payload, len(restored.payload)
    named = list(compare(where, then, now))
    yield from named or [Difference(where, "a number", restored.original.decode(), restored.altered.decode())]


def _pool(folder: RunFolder) -> set[bytes]:
    """Every number that the run folder's files know: an altered one often has a copy elsewhere."""
    files = [folder.journal, folder.stamps, folder.report_json, *sorted(folder.attempts.glob("*/summary.json"))]
    return {number for file in files if file.is_file() for number in NUMBER.findall(file.read_bytes())}


def _decode(line: _Line, reading: Reading) -> None:
    try:
        event = from_json(read_json(line.payload))
    except JournalDamaged as error:
        reading.differences.append(Difference(line.where, "event", "a known event with its fields", error.problem))
        reading.lost += 1
        return
    wrong = list(_misfits(event))
    reading.records.append(Record(line.number, line.offset, event))
    reading.lost += bool(wrong)
    reading.differences += [Difference(line.where, name, hint, show(value)) for name, hint, value in wrong]


def _misfits(event: Event) -> Iterator[tuple[str, str, Any]]:
    """Fields whose values are not of the declared type."""
    hints = _hints(type(event).__name__)
    for name, value in vars(event).items():
        if not _fits(value, hints[name]):
            yield name, str(hints[name]), value


@cache
def _hints(name: str) -> dict[str, Any]:
    return get_type_hints(Event.kinds[name])


def _fits(value: Any, hint: Any) -> bool:
    if hint is Any:
        return True
    arguments = get_args(hint)
    if isinstance(hint, UnionType):
        return any(_fits(value, each) for each in arguments)
    kind = get_origin(hint) or hint
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        return False
    inner: Iterable[Any] = value.values() if kind is dict else value if kind is list else ()
    return all(_fits(each, arguments[-1]) for each in inner) if arguments else True
