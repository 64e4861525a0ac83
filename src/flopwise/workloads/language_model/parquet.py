"""Texts from parquet files, a few rows at a time. Needs pyarrow, so it is loaded when a config names such a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from flopwise.errors import WorkloadError

ROWS = 1024
"""Read together."""


def texts(path: Path, column: str) -> Iterator[str]:
    """The texts of one column, row by row; rows without one are left out.

    Args:
        path: The file.
        column: Its name.

    Raises:
        WorkloadError: If it is no parquet file, or has no such column of texts.
    """
    try:
        with parquet.ParquetFile(path) as file:
            _insist_on_text(file.schema_arrow, column, path)
            for batch in file.iter_batches(ROWS, columns=[column], use_threads=False):
                yield from (text for text in batch.column(0).to_pylist() if text is not None)
    except (pa.ArrowInvalid, OSError) as error:
        problem = "a file is not parquet, or not a whole one"
        raise WorkloadError(problem, got=str(error), where=str(path), fix="fetch or write the file again") from error


def _insist_on_text(schema: pa.Schema, column: str, path: Path) -> None:
    kind = schema.field(column).type if column in schema.names else None
    if kind is not None and (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        return
    raise WorkloadError(
        f"the file has no column {column!r}" if kind is None else f"the column {column!r} holds no text",
        expected="a column of texts",
        got=f"the columns {', '.join(schema.names)}" if kind is None else str(kind),
        where=str(path),
        fix="name the column in data.text_field",
    )
