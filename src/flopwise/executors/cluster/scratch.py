"""A host's folder on its node, and the end of those whose host was killed before it could remove its own."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
from pathlib import Path

PREFIX = "flopwise-host-"
LOCK = "alive"
"""Held by its host for as long as that lives; the kernel lets go of it however it dies."""

NEW_S = 60.0
"""A folder without the file is one that is just being made, or half removed: so long it is left alone."""


class Scratch:
    """A folder of this process alone, in the node's temporary folder (``TMPDIR``); makes away with abandoned ones.

    Attributes:
        root: The folder.
    """

    def __init__(self) -> None:
        sweep()
        self.root = Path(tempfile.mkdtemp(prefix=PREFIX))
        beside = self.root / f".{LOCK}"
        self._fd = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        beside.rename(self.root / LOCK)

    def remove(self) -> None:
        """Delete it with all that it holds. A second call does nothing."""
        if self._fd < 0:
            return
        shutil.rmtree(self.root, ignore_errors=True)
        os.close(self._fd)
        self._fd = -1


def sweep() -> list[Path]:
    """Delete the folders of this user's hosts that are dead.

    Returns:
        What was deleted.
    """
    abandoned = [path for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*") if _is_abandoned(path)]
    for path in abandoned:
        shutil.rmtree(path, ignore_errors=True)
    return abandoned


def _is_abandoned(path: Path) -> bool:
    try:
        found = path.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            return False
        fd = os.open(path / LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return path.exists() and _file_time() - path.stat().st_mtime > NEW_S
    except OSError:
        return False
    with contextlib.closing(os.fdopen(fd, "rb")):
        return _is_free(fd)


def _file_time() -> float:
    """Now, by the clock that files are dated by."""
    with tempfile.TemporaryFile() as file:
        return os.fstat(file.fileno()).st_mtime


def _is_free(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
