"""Documents: read from files, one after the other, and kept outside of memory while they are cut into tokens.

A plain text file is one document, a line of JSON lines is one, a row of a parquet file is one.
"""

from __future__ import annotations

import json
import mmap
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from flopwise.errors import WorkloadError
from flopwise.registry import resolve
from flopwise.workloads.language_model.files import Found

TEXT_FIELD = "text"
JSON_LINES = (".jsonl", ".ndjson")
PARQUET = ".parquet"
NOT_TEXT = {
    **dict.fromkeys((".gz", ".zst", ".xz", ".bz2", ".zip", ".tar", ".7z", ".lz4"), "unpack it"),
    **dict.fromkeys((".bin",), "say source: bin for shards of tokens"),
    **dict.fromkeys((".arrow", ".npy", ".npz", ".pt", ".pdf"), "convert it to .txt, .jsonl or .parquet"),
}
"""Endings that no text has, and what to do."""
PARQUET_READER = "flopwise.workloads.language_model.parquet:texts"


def documents(found: Sequence[Found], text_field: str | None, utf8: bool) -> Iterator[bytes]:
    """The documents of files, empty ones left out.

    Args:
        found: The files.
        text_field: Key of JSON lines, column of parquet; None for ``text``.
        utf8: Whether plain text has to be UTF-8; a tokenizer of bytes takes any.

    Raises:
        WorkloadError: If a file is not what its name says, or holds nothing although it was named.
    """
    for each in found:
        empty = True
        for document in _read(each.path, text_field, utf8):
            empty = False
            yield document
        if empty and (each.named or _is_structured(each.path)):
            raise _empty(each.path)


def empty_files(found: Sequence[Found]) -> int:
    """Plain files without a byte: patterns over source trees match them, and they are left out."""
    return sum(each.path.stat().st_size == 0 for each in found)


class Spool:
    """Documents in a temporary file: any of them can be had, and none is in memory.

    Args:
        source: The documents.
        folder: Where the file is made; it has no name and disappears by itself.

    Attributes:
        lengths: Bytes of each document.
    """

    def __init__(self, source: Iterable[bytes], folder: Path) -> None:
        self.lengths: list[int] = []
        self._begins: list[int] = []
        size = 0
        with tempfile.TemporaryFile(dir=folder) as file:
            for document in source:
                file.write(document)
                self.lengths.append(len(document))
                self._begins.append(size)
                size += len(document)
            file.flush()
            self._map = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) if size else b""

    def __len__(self) -> int:
        return len(self.lengths)

    def document(self, index: int) -> bytes:
        """One of them, by its place in the source."""
        begin = self._begins[index]
        return self._map[begin : begin + self.lengths[index]]


def _read(path: Path, text_field: str | None, utf8: bool) -> Iterator[bytes]:
    suffix = path.suffix.lower()
    if suffix in NOT_TEXT:
        raise WorkloadError(
            f"a file that ends in {suffix} is not text",
            expected="plain text (.txt, .md, .py, …), .jsonl or .parquet",
            where=str(path),
            fix=NOT_TEXT[suffix],
        )
    if suffix in JSON_LINES:
        yield from _json_lines(path, text_field or TEXT_FIELD)
    elif suffix == PARQUET:
        yield from _parquet(path, text_field or TEXT_FIELD)
    else:
        text = path.read_bytes()
        if utf8:
            _insist_on_utf8(text, path, 0)
        if text:
            yield text


def _json_lines(path: Path, field: str) -> Iterator[bytes]:
    offset = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            _insist_on_utf8(line, path, offset)
            offset += len(line)
            if line.strip():
                text = _field(line, field, f"{path}, line {number}")
                if text:
                    yield text


def _field(line: bytes, field: str, where: str) -> bytes:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise WorkloadError(
            "a line is not JSON", expected="one JSON object a line", got=str(error), where=where
        ) from error
    text = row.get(field) if isinstance(row, dict) else None
    if not isinstance(text, str):
        keys = ", ".join(map(repr, list(row)[:10])) if isinstance(row, dict) else type(row).__name__
        raise WorkloadError(
            f"a line has no text under {field!r}",
            expected=f'an object such as {{"{field}": "…"}}',
            got=f"the keys {keys}" if isinstance(row, dict) else keys,
            where=where,
            fix="name the key in data.text_field",
        )
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise WorkloadError(
            "a text holds half of a surrogate pair, which no UTF-8 has",
            got=ascii(text[error.start : error.end]),
            where=f"{where}, character {error.start}",
            fix="write the file again without it",
        ) from error


def _parquet(path: Path, column: str) -> Iterator[bytes]:
    try:
        texts = resolve(PARQUET_READER)
    except ImportError as error:
        raise WorkloadError(
            "reading parquet needs the package pyarrow",
            got=str(error),
            where=str(path),
            fix="pip install 'flopwise[parquet]', or convert the file to .jsonl",
        ) from error
    yield from (text.encode() for text in texts(path, column) if text)


def _insist_on_utf8(text: bytes, path: Path, offset: int) -> None:
    try:
        text.decode()
    except UnicodeDecodeError as error:
        raise WorkloadError(
            "the text is not UTF-8",
            expected="UTF-8, which every tokenizer but byte needs",
            got=f"byte 0x{text[error.start]:02x} ({error.reason})",
            where=f"{path}, offset {offset + error.start}",
            fix="convert the file (iconv -t utf-8), or say tokenizer: byte",
        ) from error


def _is_structured(path: Path) -> bool:
    return path.suffix.lower() in (*JSON_LINES, PARQUET)


def _empty(path: Path) -> WorkloadError:
    size = os.stat(path).st_size  # noqa: PTH116
    what = "0 bytes" if not size else "no document that is not empty"
    return WorkloadError("a file of the text is empty", expected="text", got=what, where=str(path), fix="leave it out")
