"""The keeper's own record of starts and ends: what a later coordinator charges by if this one dies.

JSON lines, each one write, appended; never synced, because it is read after a death of processes, not of
the machine (its times are ``CLOCK_MONOTONIC`` seconds and mean nothing after a reboot). Events:
``keeper`` (pid, boot_id), ``start`` and ``end`` of an attempt, ``coordinator_gone``.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
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


def read_stamps(path: Path, boot_id: str | None = None) -> list[dict[str, Any]]:
    """Stamps in order; lines that a kill or a full disk cut short are left out.

    Args:
        path: Of the file; none there is no stamps.
        boot_id: Only those of keepers of this boot, because times of different boots do not compare;
            None for all.
    """
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
    return stamps if boot_id is None else list(_of_boot(stamps, boot_id))


def _of_boot(stamps: list[dict[str, Any]], boot_id: str) -> Iterator[dict[str, Any]]:
    """Each keeper begins with a stamp that says which boot it lives in."""
    current = None
    for stamp in stamps:
        if stamp["event"] == "keeper":
            current = stamp.get("boot_id")
        if current == boot_id:
            yield stamp
