"""JSON lines that a running program writes: cut, checked, and numbered for messages."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

from flopwise.errors import ProgramFailed

LONGEST_LINE = 64 * 1024
"""Bytes of one line."""

SPELT_OUT = {"nan": math.nan, "inf": math.inf, "infinity": math.inf, "-inf": -math.inf, "-infinity": -math.inf}
"""Texts that stand for numbers, because JSON has no form for these (in lower case)."""


class Lines:
    """Cuts a byte stream into JSON objects, one a line.

    Args:
        source: What the stream is called in messages.

    Example:
        >>> lines = Lines("metrics.jsonl")
        >>> list(lines.feed(b'{"step": 1, "loss": 2}\\n{"st'))
        [{'step': 1, 'loss': 2}]
    """

    def __init__(self, source: str) -> None:
        self._source = source
        self._rest = bytearray()
        self.number = 0

    def feed(self, data: bytes) -> Iterator[dict[str, Any]]:
        """Add bytes; yield the object of every line that is now whole.

        Raises:
            ProgramFailed: On a line that is no JSON object, or too long.
        """
        self._rest += data
        while (end := self._rest.find(b"\n")) >= 0:
            line = bytes(self._rest[:end])
            del self._rest[: end + 1]
            yield from self._read(line)
        if len(self._rest) > LONGEST_LINE:
            self.number += 1
            raise self.wrong(f"is longer than {LONGEST_LINE} bytes", bytes(self._rest))

    def finish(self) -> Iterator[dict[str, Any]]:
        """The object of a last line without an end."""
        line = bytes(self._rest)
        self._rest.clear()
        if line:
            yield from self._read(line)

    def wrong(self, problem: str, line: bytes = b"") -> ProgramFailed:
        """The error for the line that was read last."""
        return ProgramFailed(
            f"line {self.number} of {self._source} {problem}",
            expected='one JSON object a line, such as {"step": 100, "val_loss": 3.2}',
            got=repr(line[:80].decode(errors="replace")) if line else None,
        )

    def _read(self, line: bytes) -> Iterator[dict[str, Any]]:
        self.number += 1
        if not line.strip():
            return
        if len(line) > LONGEST_LINE:
            raise self.wrong(f"is longer than {LONGEST_LINE} bytes", line)
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            raise self.wrong("is not JSON", line) from None
        if not isinstance(found, dict):
            raise self.wrong("is not a JSON object", line)
        yield found


def as_number(value: Any) -> float | int | None:
    """A JSON value as a number; None for anything that is none.

    Example:
        >>> as_number(1.5), as_number("-Infinity"), as_number("1.5"), as_number(True)
        (1.5, -inf, None, None)
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return value
    return SPELT_OUT.get(value.strip().lower()) if isinstance(value, str) else None
