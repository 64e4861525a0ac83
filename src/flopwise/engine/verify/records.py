"""The journal read by code of its own: framing, checksum chain and event schema, record by record.

Nothing is shared with the journal's own reader, and nothing stops at the first fault: where a record is
damaged, the altered number is named if it can be (see :mod:`flopwise.engine.verify.checksum`), and the
other checks go on with the record as it was.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from flopwise.engine.verify.chain import Line, check_chain, place, title
from flopwise.engine.verify.difference import Difference, read_json, show
from flopwise.errors import JournalDamaged
from flopwise.events import Event, field_values, from_json
from flopwise.paths import RunFolder

LINE = re.compile(rb"(?P<length>[0-9a-f]{8}) (?P<crc>[0-9a-f]{8}) (?P<payload>.*)", re.DOTALL)


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
        return f"{place(self.number, self.offset)} ({title(field_values(self.event), type(self.event).__name__)})"


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


def read_records(folder: RunFolder) -> Reading:
    """All records of a journal, and what is wrong with them."""
    reading = Reading()
    lines = _lines(folder.journal.read_bytes(), reading)
    reading.differences += check_chain(lines, folder)
    for line in lines:
        _decode(line, reading)
    return reading


def _lines(data: bytes, reading: Reading) -> list[Line]:
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
            lines.append(Line(number, offset, int(found["length"], 16), int(found["crc"], 16), found["payload"]))
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


def _decode(line: Line, reading: Reading) -> None:
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
    for name, value in field_values(event).items():
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
