"""One writer per run: a lock that the kernel drops when its owner dies, and a note of who that is.

The lock is ``flock`` on ``journal.lock``, held for the coordinator's life. A dead owner's lock (killed,
machine restarted) is free at once, so nothing ever waits for one to expire. The file's content only
serves people: whom to ask, or what to end.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from flopwise.errors import RunError

PATIENCE_S = 1.0
"""How long a lock whose note does not fit a living process is asked for again: its owner is just
coming or going, or a reader is looking (:func:`holder`)."""

ASK_AGAIN_S = 0.02


@dataclass(frozen=True)
class Holder:
    """Who holds a run.

    Args:
        pid: Process number on ``host``.
        host: Machine name.
        started: When it took the run, ISO 8601 wall time.
        start_ticks: When the process began, in clock ticks since boot: tells it from a later process
            of the same number. None where the system does not say.
    """

    pid: int
    host: str
    started: str
    start_ticks: int | None


class WriterLock:
    """The lock, held from construction to :meth:`release`.

    Args:
        path: ``journal.lock``; made when missing, readable by its owner only.

    Raises:
        RunError: If another process holds it (names pid, host and start), the file cannot be opened,
            or its file system has no locks. Never later than ``PATIENCE_S`` and a bit.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        # Python opens files close-on-exec: keeper and attempts do not inherit the lock.
        self._fd = _open(path, os.O_RDWR | os.O_CREAT)
        try:
            self._take()
        except BaseException:
            os.close(self._fd)
            raise
        self._write(json.dumps(asdict(_myself())).encode())

    def release(self) -> None:
        """Give the lock back; a second call does nothing."""
        if self._fd < 0:
            return
        self._write(b"")
        os.close(self._fd)
        self._fd = -1

    def _take(self) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not _try(self._fd, fcntl.LOCK_EX, self._path):
            found = _read(self._fd)
            if (found is not None and _may_live(found)) or time.monotonic() >= deadline:
                raise _held(self._path, found)
            time.sleep(ASK_AGAIN_S)

    def _write(self, content: bytes) -> None:
        """Replace the note; a full disk costs the note, not the lock."""
        try:
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, content, 0)
        except OSError:
            return


def holder(path: Path) -> Holder | None:
    """Who holds the lock right now; None when nobody does.

    Args:
        path: ``journal.lock``; need not exist.

    Raises:
        RunError: If the file cannot be opened or its file system has no locks.
    """
    if not path.exists():
        return None
    fd = _open(path, os.O_RDONLY)
    try:
        if _try(fd, fcntl.LOCK_SH, path):
            return None
        return _read(fd) or Holder(0, "an unknown host", "an unknown time", None)
    finally:
        os.close(fd)


def start_ticks(pid: int) -> int | None:
    """When a living process began, in clock ticks since boot; None when there is none or no ``/proc``."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (OSError, UnicodeDecodeError):
        return None
    return int(stat.rpartition(")")[2].split()[19])  # field 22 of proc(5); the name before may hold anything


def _open(path: Path, flags: int) -> int:
    try:
        return os.open(path, flags | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise RunError("the run's lock cannot be opened", got=str(error), where=str(path)) from None


def _try(fd: int, kind: int, path: Path) -> bool:
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EINTR):
            return False
        raise RunError(
            "the run folder's file system has no locks, so two writers could not be kept apart",
            got=str(error),
            where=str(path),
            fix="put the runs on a local disk",
        ) from None
    return True


def _read(fd: int) -> Holder | None:
    """The note, or None when it is empty or half-written."""
    try:
        return Holder(**json.loads(os.pread(fd, 4096, 0)))
    except (ValueError, TypeError, OSError):
        return None


def _may_live(found: Holder) -> bool:
    """Whether a note may be the present owner's; processes of other machines get the benefit of the doubt."""
    return found.host != socket.gethostname() or start_ticks(found.pid) == found.start_ticks


def _myself() -> Holder:
    pid = os.getpid()
    return Holder(pid, socket.gethostname(), datetime.now(UTC).isoformat(timespec="seconds"), start_ticks(pid))


def _held(path: Path, found: Holder | None) -> RunError:
    who = f"process {found.pid} on {found.host} since {found.started}" if found else "a process that left no note"
    return RunError(
        "another process is working on this run",
        expected="one coordinator at a time",
        got=who,
        where=str(path.parent),
        fix="wait for it, or end it with one Ctrl-C in its terminal"
        + (f" (`kill {found.pid}` on {found.host})" if found else ""),
    )
