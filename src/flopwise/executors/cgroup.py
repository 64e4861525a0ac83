"""Control groups, where the keeper may make them: the kernel's own list of a run's processes, and their memory.

::

    <group of the coordinator>/flopwise-<run id>/keeper        the keeper, and every attempt without a limit
                                                /1, 2, …       an attempt with one

All is below the group that the coordinator was started in, so no limit set from outside is escaped. Used is the
memory controller's hierarchy (version 1), or else the unified one (version 2).
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

PROC = Path("/proc")
HELD = {
    1: re.compile(r"^total_(?:rss|shmem|swap) (\d+)$", re.MULTILINE),
    2: re.compile(r"^(?:anon|shmem) (\d+)$", re.MULTILINE),
}
OOM_KILLS = re.compile(r"^oom_kill (\d+)$", re.MULTILINE)


@dataclass(frozen=True)
class Hierarchy:
    """One tree of groups.

    Args:
        version: 1 (with the memory controller) or 2.
        top: Where it is mounted.
        own: Folder of the group that this process is in.
    """

    version: int
    top: Path
    own: Path


def hierarchies(proc: Path = PROC) -> list[Hierarchy]:
    """Those of use here, the one that limits memory first.

    Args:
        proc: Where procfs is mounted.
    """
    groups = {names: path for _, names, path in (line.split(":", 2) for line in _lines(proc / "self" / "cgroup"))}
    found = []
    for root, top, kind, options in _mounts(proc):
        names = next((n for n in groups if "memory" in n.split(",")), None) if kind == "cgroup" else ""
        if names not in groups or (kind == "cgroup" and "memory" not in options):
            continue
        with contextlib.suppress(ValueError):
            inside = PurePosixPath(groups[names]).relative_to(root)
            found.append(Hierarchy(1 if kind == "cgroup" else 2, top, top / inside))
    return sorted(found, key=lambda hierarchy: hierarchy.version)


def _mounts(proc: Path) -> Iterator[tuple[str, Path, str, list[str]]]:
    """Of every mounted hierarchy: its root there, where, ``cgroup`` or ``cgroup2``, and its controllers."""
    for line in _lines(proc / "self" / "mountinfo"):
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ")[:3]
        if kind in ("cgroup", "cgroup2"):
            root, top = before.split(" ")[3:5]
            yield root, Path(top), kind, options.split(",")


class Groups:
    """The groups of one run; made by :func:`join`.

    Args:
        hierarchy: Where they are.
        run: Folder of the run's group.
    """

    def __init__(self, hierarchy: Hierarchy, run: Path) -> None:
        self._hierarchy = hierarchy
        self._run = run
        self._made = 0
        self._limits = hierarchy.version == 1 or _enable_memory(hierarchy.own, run)

    def make(self, limit_bytes: int) -> Group | None:
        """A group for one attempt, which its worker is to enter first of all.

        Args:
            limit_bytes: Memory of the group.

        Returns:
            None where that cannot be had.
        """
        if not self._limits:
            return None
        self._made += 1
        folder = self._run / str(self._made)
        try:
            folder.mkdir(mode=0o755)
            _limit(folder, self._hierarchy.version, limit_bytes)
        except OSError:
            with contextlib.suppress(OSError):
                folder.rmdir()
            return None
        return Group(folder, self._hierarchy.version)


class Group:
    """An attempt's group; a :class:`~flopwise.executors.memory.Memory`.

    Counted is all that its processes touched first: not the pages that they share with the keeper, and of
    files only what memory has no better use for.

    Args:
        folder: Of the group.
        version: Of its hierarchy.
    """

    def __init__(self, folder: Path, version: int) -> None:
        self._folder = folder
        self._version = version
        self.peak_bytes = 0

    def open_door(self) -> int:
        """A descriptor; a process that writes 0 to it is in the group, and so is whatever it starts.

        Raises:
            OSError: If there is none to be had.
        """
        return os.open(self._folder / "cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)

    def is_exceeded(self) -> bool:
        """Whether the kernel had to kill in it."""
        held = sum(map(int, HELD[self._version].findall(_read(self._folder / "memory.stat"))))
        self.peak_bytes = max(self.peak_bytes, held)
        name = "memory.oom_control" if self._version == 1 else "memory.events"
        kills = OOM_KILLS.search(_read(self._folder / name))
        return kills is not None and int(kills[1]) > 0

    def close(self) -> None:
        """Its last process is gone; one that hangs in the kernel keeps it, until the run's groups are cleared."""
        with contextlib.suppress(OSError):
            self._folder.rmdir()


def join(run_id: str, proc: Path = PROC) -> Groups | None:
    """Make a run's group and put this process, the keeper, into it.

    Args:
        run_id: Of the run.
        proc: Where procfs is mounted.

    Returns:
        None where this process may not.
    """
    for hierarchy in hierarchies(proc):
        run = hierarchy.own / name_of(run_id)
        try:
            (run / "keeper").mkdir(mode=0o755, parents=True, exist_ok=True)
            _write(run / "keeper" / "cgroup.procs", os.getpid())
        except OSError:
            _remove(run)
            continue
        return Groups(hierarchy, run)
    return None


def clear(run_id: str, limit_s: float = 20.0, proc: Path = PROC) -> int:
    """End every process in the groups of a run, wherever those are, and remove the groups.

    Args:
        run_id: Of the run, whose groups nobody else makes: its name is random.
        limit_s: How long to try.
        proc: Where procfs is mounted.

    Returns:
        How many processes were killed.
    """
    runs = [run for hierarchy in hierarchies(proc) for run in _named(hierarchy.top, name_of(run_id))]
    killed: set[int] = set()
    end = time.monotonic() + limit_s
    while runs and time.monotonic() < end:
        for run in runs:
            killed |= _kill_all(run)
            _remove(run)
        runs = [run for run in runs if run.exists()]
        time.sleep(0.005 if runs else 0.0)
    return len(killed)


def name_of(run_id: str) -> str:
    """Of a run's group."""
    return f"flopwise-{run_id}"


def _named(top: Path, name: str) -> list[Path]:
    return [Path(folder) / name for folder, inside, _ in os.walk(top) if name in inside]


def _kill_all(run: Path) -> set[int]:
    """The pidfd is opened before the list is read again: whoever is on it then is who the pidfd means."""
    pidfds = {pid: fd for pid in _pids(run) - {os.getpid()} if (fd := _pidfd(pid)) is not None}
    still = _pids(run)
    for pid, fd in pidfds.items():
        if pid in still:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(fd, signal.SIGKILL)
        os.close(fd)
    return set(pidfds) & still


def _pidfd(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None


def _pids(run: Path) -> set[int]:
    return {int(pid) for folder, _, _ in os.walk(run) for pid in _lines(Path(folder) / "cgroup.procs")}


def _remove(run: Path) -> None:
    """As much of it as is empty."""
    for folder, _, _ in os.walk(run, topdown=False):
        with contextlib.suppress(OSError):
            Path(folder).rmdir()


def _limit(folder: Path, version: int, limit_bytes: int) -> None:
    """Swap counts as memory: an attempt that swaps slows all others down."""
    if version == 1:
        _write(folder / "memory.limit_in_bytes", limit_bytes)
        swap = folder / "memory.memsw.limit_in_bytes", limit_bytes
    else:
        _write(folder / "memory.max", limit_bytes)
        _write(folder / "memory.oom.group", 1)
        swap = folder / "memory.swap.max", 0
    if swap[0].exists():
        _write(*swap)


def _enable_memory(own: Path, run: Path) -> bool:
    """Version 2: let groups below these two be limited; whether they can be.

    A group with processes of its own cannot hand its controllers down. So where nobody else is in the
    coordinator's group (``systemd-run --scope -p Delegate=yes``), those in it step aside, into a group below.
    """
    try:
        if "memory" not in _read(own / "cgroup.subtree_control").split():
            _step_aside(own)
            _write(own / "cgroup.subtree_control", "+memory")
        _write(run / "cgroup.subtree_control", "+memory")
    except OSError:
        return False
    return True


def _step_aside(own: Path) -> None:
    guard = os.getppid()
    ours = {guard, _parent(guard)}
    there = {int(pid) for pid in _lines(own / "cgroup.procs")}
    if there and there <= ours and "memory" in _read(own / "cgroup.controllers").split():
        aside = own / "flopwise-coordinator"
        aside.mkdir(mode=0o755, exist_ok=True)
        for pid in there:
            _write(aside / "cgroup.procs", pid)


def _parent(pid: int) -> int:
    fields = _read(PROC / str(pid) / "stat").rpartition(")")[2].split()
    return int(fields[1]) if len(fields) > 1 else 0


def _write(file: Path, value: int | str) -> None:
    fd = os.open(file, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, str(value).encode())
    finally:
        os.close(fd)


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""


def _lines(file: Path) -> list[str]:
    return _read(file).splitlines()
