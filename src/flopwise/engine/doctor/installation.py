"""The installation: packages, what the executor needs of the system, and the limits it sets."""

from __future__ import annotations

import os
import platform
import resource
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path

from flopwise.engine.doctor.finding import Finding
from flopwise.errors import ExecutorError
from flopwise.executors import cgroup
from flopwise.executors.linux import require_linux
from flopwise.executors.topology import PROC, Topology, groups
from flopwise.wire import Slot

NEEDED = ("cloudpickle", "cmaes", "numpy", "optuna", "psutil", "pydantic", "rich", "ruamel.yaml", "scipy")
"""Distributions without which no study runs."""

EXTRAS: Mapping[str, tuple[str, str]] = {
    "torch": ("train", "the workload language_model"),
    "tokenizers": ("train", "byte-pair tokens in language_model"),
    "pyarrow": ("parquet", "data in Parquet files"),
    "matplotlib": ("report", "the report's pictures"),
    "ray": ("cluster", "the executor ray"),
}
"""Distribution to the extra that brings it, and what it is for."""

OPEN_FILES = 256
"""Descriptors that coordinator and keeper need beside those for cores and slots."""

FILES_A_SLOT = 8
PROCESSES_A_SLOT = 8
"""Beside its threads: a data loader's, a shell's, a compiler's."""


def examine_installation(machine: Topology, slots: tuple[Slot, ...]) -> Iterator[Finding]:
    """Everything about this Python and this system.

    Args:
        machine: What this process may use.
        slots: That a study would have.
    """
    yield Finding("ok", "python", f"{platform.python_version()} on {platform.platform()}")
    yield _needed()
    for name, (extra, purpose) in EXTRAS.items():
        yield _extra(name, extra, purpose)
    yield from _torch(machine)
    yield _executor()
    yield _memory_limits()
    yield _open_files(machine, slots)
    yield _processes(slots)


def version(name: str) -> str | None:
    """Of an installed distribution, which is not imported."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _needed() -> Finding:
    found = {name: version(name) for name in ("flopwise", *NEEDED)}
    missing = [name for name, installed in found.items() if installed is None and name != "flopwise"]
    if missing:
        return Finding("problem", "packages", f"{', '.join(missing)} not installed", "pip install flopwise")
    return Finding("ok", "packages", ", ".join(f"{name} {number}" for name, number in found.items() if number))


def _extra(name: str, extra: str, purpose: str) -> Finding:
    number = version(name)
    if number is None:
        fix = f"pip install 'flopwise[{extra}]', if you want that"
        return Finding("note", name, f"not installed; needed for {purpose}", fix)
    warning = "; a cluster runs whatever whoever reaches it sends: keep its ports closed" if name == "ray" else ""
    return Finding("ok", name, f"{number}, for {purpose}{warning}")


def _torch(machine: Topology) -> Iterator[Finding]:
    """A torch that was built for the CPU leaves every GPU idle without a word."""
    if (version("torch") or "").endswith("+cpu") and machine.accelerators:
        text = f"{version('torch')} cannot use the machine's accelerators"
        yield Finding("problem", "torch", text, "install a torch with CUDA: https://pytorch.org/get-started")


def _executor() -> Finding:
    try:
        require_linux()
    except ExecutorError as error:
        return Finding("problem", "processes", f"{error.problem}, got {error.got}", error.fix or "")
    return Finding("ok", "processes", "isolated, pinned and ended with all they start (pidfd, subreaper)")


def _memory_limits() -> Finding:
    """Who holds ``execution.memory``."""
    if any(_may_limit(found) for found in cgroup.hierarchies()):
        return Finding("ok", "limits", "execution.memory is held by the kernel, in control groups")
    text = "execution.memory is watched a few times a second: this process may not make control groups"
    return Finding("note", "limits", text, "for the kernel to hold it: systemd-run --user --scope -p Delegate=yes …")


def _may_limit(found: cgroup.Hierarchy) -> bool:
    if not os.access(found.own, os.W_OK):
        return False
    return found.version == 1 or "memory" in _read(found.own / "cgroup.controllers").split()


def _open_files(machine: Topology, slots: tuple[Slot, ...]) -> Finding:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES + len(machine.cores) + len(machine.accelerators)
    if 0 <= soft < wanted or 0 <= hard < wanted + FILES_A_SLOT * len(slots):
        wanted += FILES_A_SLOT * len(slots)
        fix = f"allow {wanted}: ulimit -n {wanted}, or nofile in /etc/security/limits.conf"
        return Finding("problem", "files", f"a process may open {soft}, at most {hard}", fix)
    return Finding("ok", "files", f"a process may open {_amount(soft)}, its keeper {_amount(hard)}")


def _processes(slots: tuple[Slot, ...]) -> Finding:
    wanted = sum(slot.threads + PROCESSES_A_SLOT for slot in slots)
    room = [_room_of_user(), *_rooms_of_groups()]
    least = min((left for left in room if left is not None), default=None)
    if least is not None and least < wanted:
        fix = f"allow {wanted - least} more: ulimit -u, or the container's limit of pids"
        return Finding("problem", "pids", f"{max(0, least)} more processes and threads are allowed", fix)
    return Finding("ok", "pids", f"{_amount(-1 if least is None else least)} more processes and threads are allowed")


def _room_of_user() -> int | None:
    """What RLIMIT_NPROC leaves; None without a limit, and for root, whom it does not bind."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    if soft == resource.RLIM_INFINITY or os.geteuid() == 0:
        return None
    return soft - sum(_threads(folder) for folder in PROC.glob("[0-9]*"))


def _threads(folder: Path) -> int:
    """Threads of one of this user's processes."""
    try:
        return len(list((folder / "task").iterdir())) if folder.stat().st_uid == os.getuid() else 0
    except OSError:
        return 0


def _rooms_of_groups() -> Iterator[int]:
    for controller in ("", "pids"):
        for folder in groups(controller):
            most, now = _read(folder / "pids.max").strip(), _read(folder / "pids.current").strip()
            if most.isdigit() and now.isdigit():
                yield int(most) - int(now)


def _amount(limit: int) -> str:
    return "any number" if limit < 0 or limit >= 1 << 40 else f"{limit:,}"


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""
