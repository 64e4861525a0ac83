"""Trials as CSV for spreadsheets, with nothing in it that a spreadsheet would run.

A text that begins like a formula gets an apostrophe in front, which spreadsheets take for "this is text";
numbers stay numbers. Control characters become blanks.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from flopwise.events import Event
from flopwise.paths import RunFolder
from flopwise.report.exports.table import columns, records
from flopwise.report.text import plain
from flopwise.report.write import replace_file

FORMULA = re.compile(r"[=+\-@\t\r\n＝＋－＠]")
"""What a cell must not begin with (OWASP, "CSV injection"), full-width forms included."""


def write(folder: RunFolder, events: Sequence[Event], target: Path | None) -> str:
    """Write the trials of a run as CSV (RFC 4180, UTF-8, first line names).

    Args:
        folder: The run folder; not used.
        events: Its whole journal.
        target: A new file; None to return the text.

    Returns:
        The text, or what was written where.
    """
    rows = list(records(events))
    text = as_csv(rows)
    if target is None:
        return text
    replace_file(target, text.encode())
    return f"wrote {len(rows):,} trials to {target}"


def as_csv(rows: Iterable[dict[str, Any]]) -> str:
    """Records as CSV; what a record lacks is empty."""
    known = list(rows)
    names = columns(known)
    out = io.StringIO()
    lines = csv.writer(out, lineterminator="\r\n")
    lines.writerow([cell(name) for name in names])
    lines.writerows([cell(row.get(name)) for name in names] for row in known)
    return out.getvalue()


def cell(value: Any) -> str | int | float:
    """A value for a spreadsheet's cell.

    Example:
        >>> [cell(v) for v in (-0.5, True, None, "adamw", "=1+1", "-3", " \\t@x")]
        [-0.5, 'true', '', 'adamw', "'=1+1", "'-3", "'@x"]
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return value
    text = plain(str(value))
    return f"'{text}" if FORMULA.match(text) else text
