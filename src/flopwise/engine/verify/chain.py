"""The chain of checksums: which record was altered, and what number in it, where that can be found out."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

from flopwise.engine.verify.checksum import NUMBER, Restored, restore, states_before
from flopwise.engine.verify.difference import Difference, compare, read_json, show
from flopwise.paths import RunFolder

MOST_SEARCHES = 20
"""After so many searches for altered numbers, damaged records are only reported."""

MOST_KNOWN = 50_000
"""Numbers from the run folder that are tried in place of an altered one."""


@dataclass
class Line:
    """A record as it stands in the file; :func:`check_chain` puts its payload right where it can."""

    number: int
    offset: int
    length: int
    crc: int
    payload: bytes

    @property
    def where(self) -> str:
        content = read_json(self.payload)
        return f"{place(self.number, self.offset)} ({title(content, content.get('event', 'no event'))})"


def place(number: int, offset: int) -> str:
    """``journal.log record 3, byte 512``."""
    return f"journal.log record {number}, byte {offset}"


def title(fields: Mapping[str, Any], name: Any) -> str:
    """An event for people: ``AttemptEnded t0001.s0.a1``."""
    labels = [fields[key] for key in ("attempt", "number", "phase", "session") if key in fields]
    return " ".join([show(name), *(show(label) for label in labels[:1])])


def check_chain(lines: Sequence[Line], folder: RunFolder) -> list[Difference]:
    """Lengths and checksums; each record's checksum begins with the one written before it.

    Args:
        lines: The journal's; a payload that can be restored is.
        folder: Its files are where copies of altered numbers may be.
    """
    chain = _Chain(folder)
    found: list[Difference] = []
    before: Line | None = None
    for line in lines:
        if before is None or line.number == before.number + 1:
            found += chain.link(before, line)
        before = line
    return found


class _Chain:
    """One link after the other, and the numbers to try where one is broken."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._searches = 0
        self._before_that = 0

    def link(self, before: Line | None, line: Line) -> Iterator[Difference]:
        """What is wrong with a record, seen from the one before it."""
        previous = before.crc if before else 0
        if line.length != len(line.payload) or zlib.crc32(line.payload, previous) != line.crc:
            yield from self._explain(before, line, previous)
        self._before_that = previous

    def _explain(self, before: Line | None, line: Line, previous: int) -> Iterator[Difference]:
        """Either this record was altered, or the one before was, together with its own checksum."""
        cut = line.length != len(line.payload)
        own = self._restore(line, previous, line.crc, line.length if cut else None)
        if own is not None:
            yield from _named(line, own)
        elif cut:
            yield Difference(line.where, "length in bytes", str(line.length), str(len(line.payload)))
        else:
            yield from self._between(before, line, previous)

    def _between(self, before: Line | None, line: Line, previous: int) -> Iterator[Difference]:
        original = states_before(line.payload, line.crc)[0]
        if before is not None:
            if zlib.crc32(before.payload, self._before_that) == original:
                return  # only the checksum of the record before was altered, which has been said there
            theirs = self._restore(before, self._before_that, original)
            if theirs is not None:
                yield from _named(before, theirs)
                return
            what = "checksum that the next record continues"
            yield Difference(before.where, what, f"{original:08x}", f"{before.crc:08x}")
        what = "checksum (this record or the one before was altered, or one between them taken out)"
        yield Difference(line.where, what, f"{zlib.crc32(line.payload, previous):08x}", f"{line.crc:08x}")

    def _restore(self, line: Line, previous: int, crc: int, length: int | None = None) -> Restored | None:
        self._searches += 1
        if self._searches > MOST_SEARCHES:
            return None
        attempt = read_json(line.payload).get("attempt")
        summary = self._folder.summary(attempt) if isinstance(attempt, str) and "/" not in attempt else None
        pool = [*(_numbers([summary]) if summary else ()), *self._known]
        return restore(line.payload, previous, crc, pool, length)

    @cached_property
    def _known(self) -> list[bytes]:
        """Numbers of the run folder's files, each once: an altered one often has a copy elsewhere."""
        folder, baseline = self._folder, self._folder.summary("t0000.s0.a1")
        files = [folder.report_json, folder.stamps, folder.journal, folder.study, baseline]
        return list(islice(dict.fromkeys(_numbers(files)), MOST_KNOWN))


def _numbers(files: Iterable[Path]) -> Iterator[bytes]:
    for file in files:
        if file.is_file():
            yield from NUMBER.findall(file.read_bytes())


def _named(line: Line, restored: Restored) -> Iterator[Difference]:
    """The altered number by its path in the event; from here on the record counts as it was."""
    where, now, then = line.where, read_json(line.payload), read_json(restored.payload)
    line.payload, line.length = restored.payload, len(restored.payload)
    named = list(compare(where, then, now))
    yield from named or [Difference(where, "a number", restored.original.decode(), restored.altered.decode())]
