"""What a record said before it was altered, recovered from its checksum where one number was changed.

A CRC-32 can be run backwards: from the checksum of the whole and the text behind a number follows what
the checksum must be right behind that number. Each candidate for the number then costs the checksum
of a few bytes, and one that fits is the original but for a chance of 1 in 4 billion.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
"""A number as JSON writes it (also inside texts, such as attempt names)."""

CHARACTERS = tuple(bytes([byte]) for byte in b"0123456789.-+e")

POLYNOMIAL = 0xEDB88320
"""CRC-32 as in zlib, reflected."""


@dataclass(frozen=True)
class Restored:
    """The one change that makes the checksum fit.

    Args:
        payload: The record as it was.
        original: The number as it was.
        altered: The number as it is now.
    """

    payload: bytes
    original: bytes
    altered: bytes


def restore(
    payload: bytes, previous: int, crc: int, pool: Iterable[bytes], length: int | None = None
) -> Restored | None:
    """The record before one of its numbers was changed; None when no candidate fits.

    Args:
        payload: As found.
        previous: Checksum of the record before it.
        crc: What the original's checksum was.
        pool: Numbers worth trying besides those that differ by one character.
        length: Bytes of the original, when known.
    """
    numbers = list(NUMBER.finditer(payload))
    wanted = states_before(payload, crc)
    known = tuple(pool)
    for tries in (_near, lambda _: known):
        for number in numbers:
            start, end = number.span()
            room = None if length is None else length - len(payload) + end - start
            original = _fitting(tries(number[0]), zlib.crc32(payload[:start], previous), wanted[end], room)
            if original is not None and original != number[0]:
                return Restored(payload[:start] + original + payload[end:], original, number[0])
    return None


def states_before(payload: bytes, crc: int) -> list[int]:
    """For every position, the checksum of all before it, given the checksum of the whole.

    Example:
        >>> states_before(b"abc", zlib.crc32(b"abc"))[2] == zlib.crc32(b"ab")
        True
    """
    states = [crc]
    state = crc ^ 0xFFFFFFFF
    for byte in reversed(payload):
        index = _INVERSE[state >> 24]
        state = ((state ^ _TABLE[index]) << 8 & 0xFFFFFFFF) | (index ^ byte)
        states.append(state ^ 0xFFFFFFFF)
    return states[::-1]


def _fitting(candidates: Iterable[bytes], before: int, wanted: int, room: int | None) -> bytes | None:
    fits = (each for each in candidates if (room is None or len(each) == room) and zlib.crc32(each, before) == wanted)
    return next((each for each in fits if NUMBER.fullmatch(each)), None)


def _near(number: bytes) -> Iterator[bytes]:
    """Everything one character away from a number."""
    for at in range(len(number) + 1):
        before, here, after = number[:at], number[at : at + 1], number[at + 1 :]
        if here:
            yield before + after
        for character in CHARACTERS:
            yield before + character + here + after
            if here:
                yield before + character + after


def _table() -> Sequence[int]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (POLYNOMIAL if byte & 1 else 0)
        table.append(byte)
    return tuple(table)


_TABLE = _table()
_INVERSE = {entry >> 24: index for index, entry in enumerate(_TABLE)}
