"""What can be had back from a damaged journal: records whose damage can be undone, and which ones are lost.

Every record carries its length and a checksum that begins with the one of the record before it, so most
damage can not only be noticed but located: a flipped bit in the JSON is found by the checksum (the
difference that one bit makes to a CRC-32 depends on its place alone), one in the header by the record
behind it, a lost line end by the length. What more than that happened to is lost, and nothing is guessed.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from flopwise.journal.records import HEADER, HEADER_BYTES, frame

POLYNOMIAL = 0xEDB88320
"""Of CRC-32 (ISO-HDLC), bits reversed."""


@dataclass(frozen=True)
class Piece:
    """The bytes of one record, as far as they can be told apart.

    Args:
        offset: Where they begin in the file.
        line: Header and JSON, without the line end.
        end: What stands where the line end should; empty at the end of the file.
    """

    offset: int
    line: bytes
    end: bytes

    @property
    def payload(self) -> bytes:
        return self.line[HEADER_BYTES:]

    @property
    def crc(self) -> int | None:
        """As written; None when it cannot be read."""
        header = HEADER.match(self.line)
        return int(header[2], 16) if header else None


@dataclass(frozen=True)
class Kept:
    """A record that is as it was written, or was put right.

    Args:
        number: From 1, in the damaged file.
        offset: Where it begins there.
        payload: Its JSON.
        mended: What was put right; empty when nothing had to be.
    """

    number: int
    offset: int
    payload: bytes
    mended: str = ""


@dataclass(frozen=True)
class Lost:
    """Bytes that can no longer be read as the record they were.

    Args:
        number: From 1, in the damaged file.
        offset: Where they begin there.
        size: How many.
        why: One phrase.
    """

    number: int
    offset: int
    size: int
    why: str


@dataclass(frozen=True)
class Salvage:
    """What came of looking through a damaged journal.

    Args:
        kept: Records in order.
        lost: The others, in order.
    """

    kept: tuple[Kept, ...]
    lost: tuple[Lost, ...]

    @property
    def mended(self) -> list[Kept]:
        """Records that had to be put right."""
        return [record for record in self.kept if record.mended]

    @property
    def before_loss(self) -> tuple[Kept, ...]:
        """Records up to the first lost one: the journal as it was at that moment."""
        first = min((each.number for each in self.lost), default=len(self.kept) + 1)
        return tuple(record for record in self.kept if record.number < first)


def salvage(data: bytes) -> Salvage:
    """Look through a journal's bytes, whole or damaged.

    An unterminated last record counts as lost: nobody was told of it.

    Example:
        >>> first, crc = frame(b'{"event":"Alive","t":1.0}', 0)
        >>> second, _ = frame(b'{"event":"Alive","t":2.0}', crc)
        >>> found = salvage(first.replace(b"1.0", b"3.0") + second)
        >>> [record.payload for record in found.kept], found.kept[0].mended, found.lost
        ([b'{"event":"Alive","t":1.0}', b'{"event":"Alive","t":2.0}'], 'bit 1 of byte 39 put back', ())
    """
    kept: list[Kept] = []
    lost: list[Lost] = []
    pieces = list(_pieces(data))
    previous: int | None = 0
    for number, piece in enumerate(pieces, start=1):
        after = pieces[number] if number < len(pieces) else None
        found = _mend(number, piece, previous, after)
        if isinstance(found, Lost):
            lost.append(found)
            previous = piece.crc
        else:
            assert previous is not None
            kept.append(found)
            previous = zlib.crc32(found.payload, previous)
    return Salvage(tuple(kept), tuple(lost))


def framed(payloads: Sequence[bytes]) -> bytes:
    """A journal of these records, its chain of checksums computed anew."""
    crc, records = 0, []
    for payload in payloads:
        record, crc = frame(payload, crc)
        records.append(record)
    return b"".join(records)


def _pieces(data: bytes) -> Iterator[Piece]:
    """Cut at line ends; where a length and the header behind it agree on another place, there."""
    offset = 0
    while offset < len(data):
        end = data.find(b"\n", offset)
        end = end if end >= 0 else len(data)
        header = HEADER.match(data, offset)
        if header:
            said = offset + HEADER_BYTES + int(header[1], 16)
            end = said if _begins(data, said + 1) else end
        yield Piece(offset, data[offset:end], data[end : end + 1])
        offset = end + 1


def _begins(data: bytes, at: int) -> bool:
    """Whether a record, or the end of the file, is where one should begin."""
    return at == len(data) or (at < len(data) and HEADER.match(data, at) is not None)


def _mend(number: int, piece: Piece, previous: int | None, after: Piece | None) -> Kept | Lost:
    """One record as it was written, if that can be known."""
    payload = piece.payload
    if not piece.end:
        return _lost(number, piece, "cut short; nobody was told of it")
    if previous is None:
        return _lost(number, piece, "cannot be checked: the checksum before it is illegible")
    right = zlib.crc32(payload, previous)
    if piece.crc == right or _confirmed(right, piece, after):
        return Kept(number, piece.offset, payload, _frame_mended(piece, right))
    place = _flipped(payload, right ^ piece.crc) if piece.crc is not None else None
    if place is None:
        return _lost(number, piece, "does not fit its checksum, or the record before it is gone")
    at, bit = place
    mended = bytearray(payload)
    mended[at] ^= 1 << bit
    said = f"bit {bit} of byte {piece.offset + HEADER_BYTES + at} put back"
    return Kept(number, piece.offset, bytes(mended), said)


def _confirmed(crc: int, piece: Piece, after: Piece | None) -> bool:
    """Whether a record's JSON is right though its own checksum is not: the next one continues from it.

    Without a next one, a checksum that is a single bit away is taken for a damaged one.
    """
    if after is not None and after.crc is not None and zlib.crc32(after.payload, crc) == after.crc:
        return True
    written = piece.line[:HEADER_BYTES]
    right = b"%08x %08x " % (len(piece.payload), crc)
    return len(written) == HEADER_BYTES and _bits_between(written, right) == 1


def _bits_between(one: bytes, other: bytes) -> int:
    return sum((a ^ b).bit_count() for a, b in zip(one, other, strict=True))


def _frame_mended(piece: Piece, crc: int) -> str:
    """What was wrong around a record whose JSON is right."""
    if piece.line[:HEADER_BYTES] != b"%08x %08x " % (len(piece.payload), crc):
        return "its length and checksum written anew"
    return "" if piece.end == b"\n" else "its line end put back"


def _lost(number: int, piece: Piece, why: str) -> Lost:
    return Lost(number, piece.offset, len(piece.line) + len(piece.end), why)


def _flipped(payload: bytes, difference: int) -> tuple[int, int] | None:
    """Byte and bit whose flipping explains a difference of checksums; None when no single one does.

    The effect of a bit on a CRC is that of the same bit one byte later, driven through one more zero byte.
    """
    effects = [_drive(1 << bit) for bit in range(8)]
    for at in reversed(range(len(payload))):
        if difference in effects:
            return at, effects.index(difference)
        effects = [_drive(effect) for effect in effects]
    return None


def _drive(state: int) -> int:
    """A CRC register after one zero byte."""
    return (state >> 8) ^ _TABLE[state & 0xFF]


def _table() -> list[int]:
    table = list(range(256))
    for _ in itertools.repeat(None, 8):
        table = [(value >> 1) ^ (POLYNOMIAL if value & 1 else 0) for value in table]
    return table


_TABLE = _table()
