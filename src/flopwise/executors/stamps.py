"""The keeper's own record of starts and ends: what a later coordinator charges by if this one dies.

JSON lines, each one write, appended; never synced, because it is read after a death of processes, not of
the machine (its times are ``CLOCK_MONOTONIC`` seconds and mean nothing after a reboot). Events:
``keeper`` (pid, boot_id), ``start`` and ``end`` of an attempt, ``coordinator_gone``.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any


class Stamps:
    """Appends stamps to a file; a half-written last line of a predecessor is closed first.

    Args:
        path: Made with mode 0600 when missing.

    Raises:
        OSError: If the file cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        size = os.fstat(self._fd).st_size
        if size and os.pread(self._fd, 1, size - 1) != b"\n":
            os.write(self._fd, b"\n")

    def fileno(self) -> int:
        return self._fd

    def add(self, event: str, at: float, **facts: Any) -> None:
        """Append one stamp; a full disk costs the stamp, not the attempts, and is said in the keeper's log."""
        line = json.dumps({"event": event, "at": at, **facts}).encode() + b"\n"
        try:
            os.write(self._fd, line)
        except OSError as error:
            print(f"stamp not written ({error}): {line.decode().strip()}", file=sys.stderr)


def read_stamps(path: Path) -> list[dict[str, Any]]:
    """All stamps in order; lines that a kill or a full disk cut short are left out."""
    if not path.exists():
        return []
    stamps = []
    for line in path.read_bytes().split(b"\n"):
        try:
            stamp = json.loads(line)
        except ValueError:
            continue
        if isinstance(stamp, dict) and "event" in stamp:
            stamps.append(stamp)
    return stamps
