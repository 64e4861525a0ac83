"""The report on disk: ``report.md`` for people, ``report.json`` for programs, both from the same events."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from flopwise.events import Event
from flopwise.paths import RunFolder
from flopwise.report.document import render_markdown
from flopwise.report.summary import summarise


def write_report(folder: RunFolder, events: Iterable[Event]) -> dict[str, Any]:
    """Write both files anew; the same events give the same bytes.

    Each file is whole at every moment: it is written beside its place and renamed.

    Args:
        folder: The run folder; it exists.
        events: The whole journal, in order.

    Returns:
        What ``report.json`` holds.

    Raises:
        RunError: If the journal holds no run.
        OSError: If the folder cannot be written.
    """
    summary = summarise(events)
    replace_file(folder.report_json, (json.dumps(summary, indent=2, allow_nan=False) + "\n").encode())
    replace_file(folder.report_md, render_markdown(summary).encode())
    return summary


def replace_file(path: Path, content: bytes) -> None:
    """Put ``content`` at ``path``, readable by its owner only, whole at every moment.

    Raises:
        OSError: If the folder cannot be written.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
