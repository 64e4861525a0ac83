"""Trials as JSON lines: every value exactly as the journal has it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from flopwise.events import Event
from flopwise.paths import RunFolder
from flopwise.report.exports.table import records
from flopwise.report.write import replace_file


def write(folder: RunFolder, events: Sequence[Event], target: Path | None) -> str:
    """Write one JSON object a trial and a line each, ASCII only.

    Args:
        folder: The run folder; not used.
        events: Its whole journal.
        target: A new file; None to return the text.

    Returns:
        The text, or what was written where.
    """
    lines = [json.dumps(record, allow_nan=False) for record in records(events)]
    text = "".join(f"{line}\n" for line in lines)
    if target is None:
        return text
    replace_file(target, text.encode())
    return f"wrote {len(lines):,} trials to {target}"
