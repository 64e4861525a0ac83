"""The few Linux calls that Python has no name for, and what to do where they are missing."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

from flopwise.errors import ExecutorError

_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_MADV_COLLAPSE = 25
_HUGE_PAGE = 2 << 20
_PUNCH_HOLE = 0x01 | 0x02
"""``FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE``."""
_CHILDREN = Path("/proc/thread-self/children")


def require_linux() -> None:
    """Check that this machine has what the keeper needs.

    Raises:
        ExecutorError: Naming what is missing.
    """
    lacking = _lacking()
    if lacking:
        raise ExecutorError(
            f"executor local needs {' and '.join(lacking)}",
            expected="Linux 5.3 or later with /proc mounted",
            got=f"{sys.platform} {os.uname().release}",
            fix="use `execution: {executor: inline}`: one attempt at a time, in this process, without time-outs",
        )


def _lacking() -> list[str]:
    if sys.platform != "linux":
        return ["Linux"]
    lacking = []
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError:
        lacking.append("pidfd_open")
    if not _CHILDREN.exists():
        lacking.append(str(_CHILDREN))
    return lacking


def adopt_orphans() -> None:
    """Make this process the parent of every descendant whose own parent dies (a child subreaper)."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when ``parent`` dies; at once if it is dead already."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(128 + signal.SIGKILL)


def _prctl(option: int, value: int) -> None:
    if _LIBC.prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl({option}): {os.strerror(number)}")


def children() -> list[int]:
    """Direct children of this single-threaded process, dead ones that were not waited for included."""
    return [int(pid) for pid in _CHILDREN.read_text().split()]


def tree(pid: int) -> list[int]:
    """A process and all that descend from it, as far as they still are."""
    found = [pid]
    for parent in found:
        for thread in _listed(Path("/proc") / str(parent) / "task"):
            found += _numbers(thread / "children")
    return found


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _numbers(path: Path) -> list[int]:
    try:
        return [int(word) for word in path.read_text().split()]
    except OSError:
        return []


def threads() -> int:
    """How many threads this process has."""
    return len(list(Path("/proc/self/task").iterdir()))


def send_group(pid: int, number: int) -> None:
    """Signal a process group that we lead by a child of ours, or the child alone before it has its group."""
    for send in (os.killpg, os.kill):
        try:
            send(pid, number)
            return
        except ProcessLookupError:
            continue


def kill_marked(pid: int, marker: bytes) -> bool:
    """Kill a process if, and only if, its environment holds ``marker``; True when it was killed.

    The pidfd is opened before the environment is read, so the process that is killed is the one that
    was read: a number that is used again in between cannot be hit.
    """
    try:
        pidfd = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        if not has_marker(pid, marker):
            return False
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        return True
    except ProcessLookupError:
        return False
    finally:
        os.close(pidfd)


def has_marker(pid: int, marker: bytes) -> bool:
    """Whether a process of this user started with ``marker`` (``NAME=value``) in its environment."""
    folder = Path("/proc") / str(pid)
    try:
        return folder.stat().st_uid == os.getuid() and marker in (folder / "environ").read_bytes().split(b"\0")
    except OSError:
        return False


def punch_hole(fd: int, start: int, end: int) -> bool:
    """Give the disk space of part of a file back; its size stays, and what was there reads as zeros.

    Args:
        fd: Open for writing.
        start: First byte.
        end: Byte after the last.

    Returns:
        Whether this file system can.
    """
    offset, length = ctypes.c_int64(start), ctypes.c_int64(end - start)
    return bool(_LIBC.fallocate64(fd, _PUNCH_HOLE, offset, length) == 0)


def collapse_heap() -> int:
    """Back this process's heap by huge pages, as far as the kernel (6.1 or later) is willing.

    A fork copies one entry of the page table a page, so a heap in pages of 2 MiB instead of 4 KiB
    makes a fork of a process with torch loaded two to three times as fast. Writing in a child copies
    4 KiB as before.

    Returns:
        Regions that were collapsed; 0 where the kernel cannot.
    """
    done = 0
    for start, end in _heap_regions():
        size = ctypes.c_size_t(end - start)
        done += _LIBC.madvise(ctypes.c_void_p(start), size, _MADV_COLLAPSE) == 0
    return done


def _heap_regions() -> Iterator[tuple[int, int]]:
    """Whole huge pages inside private, writable, anonymous mappings."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        found = re.fullmatch(r"([0-9a-f]+)-([0-9a-f]+) rw-p \S+ \S+ 0 *(\[heap\]|\[anon:.*\])?", line)
        if found is None:
            continue
        start = -(-int(found[1], 16) // _HUGE_PAGE) * _HUGE_PAGE
        end = int(found[2], 16) // _HUGE_PAGE * _HUGE_PAGE
        if end > start:
            yield start, end
