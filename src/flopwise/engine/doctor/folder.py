"""The folder of the runs: whether it can be written, how fast, how much is left, and on what it lies."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from flopwise.engine.doctor.finding import Finding
from flopwise.executors.topology import PROC
from flopwise.units import format_bytes, format_seconds

SYNCS = 20
RECORD_BYTES = 4096
SLOW_SYNC_S = 0.02
"""From here on writing results takes a part of evaluations that last a second."""

LITTLE_BYTES = 1 << 30
TOO_LITTLE_BYTES = 100 << 20

REMOTE = ("nfs", "cifs", "smb", "9p", "fuse", "lustre", "gpfs", "ceph", "beegfs", "afs")
FLEETING = {"tmpfs": "it is gone after a reboot", "ramfs": "it is gone after a reboot"}


def examine_folder(runs: Path) -> Iterator[Finding]:
    """Everything about the place where runs are kept.

    Args:
        runs: Need not exist; then the nearest folder that does is looked at.
    """
    folder = _existing(runs)
    if not os.access(folder, os.W_OK | os.X_OK):
        fix = "name another one with --runs, or start flopwise elsewhere"
        yield Finding("problem", "folder", f"{folder} cannot be written", fix)
        return
    yield _kind(folder)
    yield from _others(folder)
    yield _space(folder)
    try:
        yield from _try_out(folder)
    except OSError as error:
        yield Finding("problem", "disk", f"writing in {folder} failed: {error}", "put the runs on another disk")


def _existing(runs: Path) -> Path:
    path = runs.absolute()
    return next(folder for folder in (path, *path.parents) if folder.is_dir())


def _kind(folder: Path) -> Finding:
    kind = file_system(folder)
    text = f"{folder}" + (f" ({kind})" if kind else "")
    if kind in FLEETING:
        return Finding("note", "folder", text, f"{FLEETING[kind]}; keep runs that matter on a disk")
    if kind.startswith(REMOTE):
        return Finding("note", "folder", text, "a network's disk; a local one is faster and its locks are surer")
    return Finding("ok", "folder", text)


def file_system(folder: Path, mounts: Path = PROC / "self/mountinfo") -> str:
    """Type of the file system that a folder lies on; empty where the system does not say.

    Args:
        folder: An absolute path.
        mounts: The kernel's list of mounts.
    """
    try:
        lines = mounts.read_text().splitlines()
    except OSError:
        return ""
    found = ("", "")
    for line in lines:
        before, _, after = line.partition(" - ")
        place = before.split()[4].replace("\\040", " ")
        inside = folder == Path(place) or Path(place) in folder.parents
        if inside and len(place) >= len(found[0]):
            found = place, after.split()[0]
    return found[1]


def _others(folder: Path) -> Iterator[Finding]:
    mode = folder.stat().st_mode
    if mode & (stat.S_IWGRP | stat.S_IWOTH) and not mode & stat.S_ISVTX:
        text = "other users may write in it, and so replace what is resumed"
        yield Finding("note", "folder", text, f"chmod go-w {folder}")


def _space(folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    text = f"{format_bytes(free)} free"
    if free < TOO_LITTLE_BYTES:
        return Finding("problem", "space", text, "free some: a study stops when its journal cannot be written")
    return Finding("note" if free < LITTLE_BYTES else "ok", "space", text, "free some" if free < LITTLE_BYTES else "")


def _try_out(folder: Path) -> Iterator[Finding]:
    """Lock, write and sync as the journal does, in a file of its own that is removed."""
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".flopwise-doctor-") as file:
        yield _locks(file.fileno())
        times = sorted(_sync(file.fileno()) for _ in range(SYNCS))
    middle, worst = statistics.median(times), times[-1]
    text = f"{format_seconds(middle)} for a result to be on disk (write and fsync), {format_seconds(worst)} at worst"
    slow = middle > SLOW_SYNC_S
    yield Finding("note" if slow else "ok", "disk", text, "results wait that long; a faster disk helps" if slow else "")


def _locks(fd: int) -> Finding:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return Finding("problem", "locks", f"files there cannot be locked: {error}", "put the runs on a local disk")
    return Finding("ok", "locks", "files there can be locked: one coordinator a run")


def _sync(fd: int) -> float:
    began = time.monotonic()
    os.write(fd, b"\n" * RECORD_BYTES)
    os.fsync(fd)
    return time.monotonic() - began
