"""YAML into plain values, safely, remembering the line of every key.

Values are built here from the parser's events, one at a time, so that a hostile file is refused while
it is read: nothing is constructed but mappings, lists, text, numbers, booleans and null. YAML 1.2, so
``1e-4`` is a number and ``yes`` is a text.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)
from ruamel.yaml.nodes import ScalarNode
from ruamel.yaml.reader import ReaderError

from flopwise.errors import InputError, Problem, StudyError

MAX_BYTES = 256 * 1024
"""Longest study file."""
MAX_LINE = 16 * 1024
"""Longest line: the parser needs quadratic time for some."""
MAX_DEPTH = 64
"""Deepest nesting, aliases expanded."""
MAX_VALUES = 10_000
"""Most keys and values in a file, aliases expanded."""
MOST = 100
"""Most problems reported."""
MAX_KEY = 200
"""Longest key."""
MAX_INT = 2**63
"""Whole numbers stay below this in size."""

_SCALARS = YAML(typ="safe", pure=True)
_NUMBERS = {"tag:yaml.org,2002:int", "tag:yaml.org,2002:float", "tag:yaml.org,2002:bool", "tag:yaml.org,2002:null"}


@dataclass
class Document:
    """A file's values.

    Args:
        data: Plain values; None for an empty file.
        lines: Dotted key to line number, from 1.
        problems: What may not stand in a study file (duplicate keys, NaN, …), all found.
        lost: Dotted keys whose value could not be kept; it is None.
    """

    data: Any
    lines: dict[str, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)


def read_file(path: Path) -> str:
    """The text of a study file.

    Raises:
        InputError: If it is missing, not a file or unreadable.
        StudyError: If it is too long or not UTF-8.
    """
    if not path.is_file():
        raise InputError(f"no study file {path}", expected="a YAML file", fix="write one with `flopwise init`")
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError(f"cannot read {path}", got=str(error)) from None
    if len(raw) > MAX_BYTES:
        raise _too_long(str(path))
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise _fatal("this is not UTF-8 text", str(path), line) from None


def read_yaml(text: str, source: str) -> Document:
    """Plain values of a YAML text.

    Args:
        text: One YAML document.
        source: File name for messages.

    Raises:
        StudyError: If the text is not YAML, too long, too deep, holds too many values, several
            documents, or a tag such as ``!!python/object``.
    """
    if len(text) > MAX_BYTES:
        raise _too_long(source)
    _check_lines(text, source)
    try:
        return _Composer(text, source).document()
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        message = " ".join(str(part) for part in (error.context, error.problem) if part)
        raise _fatal(message, source, mark.line + 1 if mark else 1) from None
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise _fatal("a character here may not stand in YAML", source, line) from None
    except (YAMLError, ValueError, LookupError, TypeError, AttributeError, AssertionError) as error:
        # The parser is not ours, and meets broken texts now and then with an error that is not its own.
        raise _fatal(f"the parser gave up ({type(error).__name__}: {error})", source, 1) from None


class _Composer:
    """Builds values from the parser's events, counting as it goes."""

    def __init__(self, text: str, source: str) -> None:
        self._events: Iterator[Event] = iter(YAML(typ="safe", pure=True).parse(text))
        self._source = source
        self._values = 0
        self._anchors: dict[str, tuple[Any, int, int]] = {}
        self._document = Document(None)

    def document(self) -> Document:
        """The whole text; see :func:`read_yaml`."""
        started = False
        for event in self._events:
            line = event.start_mark.line + 1
            if isinstance(event, DocumentStartEvent):
                self._start(event, started, line)
                started = True
            elif isinstance(event, NodeEvent):
                self._document.data, _ = self._value(event, "", 1)
            elif isinstance(event, StreamEndEvent):
                break
        return self._document

    def _start(self, event: DocumentStartEvent, started: bool, line: int) -> None:
        if started:
            raise _fatal("a second document begins here; a study file is one document", self._source, line)
        if event.version not in (None, (1, 2)):
            raise _fatal(f"YAML {event.version} is not read; drop the %YAML line (1.2 is meant)", self._source, line)

    def _value(self, event: Event, key: str, depth: int) -> tuple[Any, int]:
        """The value that begins with an event, and its height (1 for a scalar)."""
        line = event.start_mark.line + 1
        self._count(1, depth, line)
        if isinstance(event, AliasEvent):
            return self._alias(event, key, depth, line)
        tag = getattr(event, "tag", None)
        if tag is not None:
            raise _fatal(
                f"the tag {str(tag)[:60]!r} is refused: a study file holds plain values only", self._source, line
            )
        before = self._values
        value, height = self._plain(event, key, depth, line)
        anchor = getattr(event, "anchor", None)
        if anchor:
            self._anchors[anchor] = (value, self._values - before + 1, height)
        return value, height

    def _plain(self, event: Event, key: str, depth: int, line: int) -> tuple[Any, int]:
        if isinstance(event, MappingStartEvent):
            return self._mapping(key, depth)
        if isinstance(event, SequenceStartEvent):
            return self._sequence(key, depth)
        assert isinstance(event, ScalarEvent)
        return self._scalar(event, key, line), 1

    def _alias(self, event: AliasEvent, key: str, depth: int, line: int) -> tuple[Any, int]:
        if event.anchor not in self._anchors:
            raise _fatal(f"the alias *{event.anchor} has no finished anchor &{event.anchor}", self._source, line)
        value, size, height = self._anchors[event.anchor]
        self._count(size, depth + height - 1, line)
        return _copy(value), height

    def _mapping(self, key: str, depth: int) -> tuple[dict[str, Any], int]:
        found: dict[str, Any] = {}
        height = 0
        while not isinstance(event := next(self._events), MappingEndEvent):
            line = event.start_mark.line + 1
            name = self._key(event, key, depth, line)
            below = _join(key, name or "?")
            if name in found:
                self._complain(below, f"stands twice, first in line {self._document.lines[below]}", line)
            elif name is not None:
                self._document.lines[below] = line
            value, inner = self._value(next(self._events), below, depth + 1)
            height = max(height, inner)
            if name is not None:
                found.setdefault(name, value)
        return found, height + 1

    def _key(self, event: Event, inside: str, depth: int, line: int) -> str | None:
        """A mapping's key; None when it cannot be one (its value is read and dropped)."""
        value, _ = self._value(event, _join(inside, "?"), depth + 1)
        if not isinstance(value, str):
            self._complain(inside or "file", f"keys are texts, got {_short(value)}; put it in quotes", line)
            return None
        if value == "<<":
            self._complain(inside or "file", "the merge key << is not part of YAML 1.2; write the keys out", line)
            return None
        if not value.isprintable() or not 0 < len(value) <= MAX_KEY:
            wanted = f"keys are 1 to {MAX_KEY} printable characters"
            self._complain(inside or "file", f"{wanted}, got {_short(value)}", line)
            return None
        return value

    def _sequence(self, key: str, depth: int) -> tuple[list[Any], int]:
        found: list[Any] = []
        height = 0
        while not isinstance(event := next(self._events), SequenceEndEvent):
            below = _join(key, str(len(found)))
            self._document.lines[below] = event.start_mark.line + 1
            value, inner = self._value(event, below, depth + 1)
            height = max(height, inner)
            found.append(value)
        return found, height + 1

    def _scalar(self, event: ScalarEvent, key: str, line: int) -> Any:
        value = _scalar(event)
        complaint = unfit_scalar(value)
        if complaint:
            self._complain(key, complaint, line)
            self._document.lost.append(key)
            return None
        return value

    def _count(self, values: int, depth: int, line: int) -> None:
        self._values += values
        if self._values > MAX_VALUES:
            raise _fatal(f"more than {MAX_VALUES} values (aliases expanded)", self._source, line)
        if depth > MAX_DEPTH:
            raise _fatal(f"nested deeper than {MAX_DEPTH} levels", self._source, line)

    def _complain(self, key: str, message: str, line: int) -> None:
        if len(self._document.problems) < MOST:
            self._document.problems.append(Problem(key or "file", message, f"{self._source}:{line}"))


def unfit_scalar(value: Any) -> str | None:
    """Why a scalar may not stand in a study: not finite, too large, not Unicode; None when it may."""
    if isinstance(value, float) and not math.isfinite(value):
        return f"expected a finite number, got {value}"
    if isinstance(value, int) and abs(value) >= MAX_INT:
        return "expected a whole number below 2**63 in size; write it as 1e20 if it is a float"
    if isinstance(value, str) and any("\ud800" <= char <= "\udfff" for char in value):
        return "not valid Unicode (half of a surrogate pair)"
    return None


def _scalar(event: ScalarEvent) -> Any:
    """Null, boolean, number or text, by the rules of YAML 1.2."""
    if event.style is not None:
        return str(event.value)
    tag = str(_SCALARS.resolver.resolve(ScalarNode, event.value, (True, False)))
    if tag not in _NUMBERS:
        return str(event.value)
    if tag.endswith(":int") and len(event.value) > 80:
        return MAX_INT
    return _SCALARS.constructor.construct_object(ScalarNode(tag, event.value))


def _copy(value: Any) -> Any:
    """A copy that shares nothing with the anchor it comes from."""
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value


def _check_lines(text: str, source: str) -> None:
    for number, line in enumerate(text.split("\n"), start=1):
        if len(line) > MAX_LINE:
            raise _fatal(f"a line of {len(line)} characters, at most {MAX_LINE}", source, number)


def _join(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."


def _too_long(source: str) -> StudyError:
    return _fatal(f"longer than {MAX_BYTES // 1024} KiB", source, 1, key="file")


def _fatal(message: str, source: str, line: int, key: str = "YAML") -> StudyError:
    return StudyError([Problem(key, message, f"{source}:{line}")], source)
