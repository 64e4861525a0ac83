"""Cores and accelerators are leased for the whole machine: no two studies on it use the same one.

A lease is an *abstract* Unix socket whose name says what is leased: the kernel gives a name to one process
only, and takes it back when the last process that holds the socket is gone, however it went. There is no
file to leave behind, to plant, or to forbid, and it works between users. Nobody ever connects to one, so a
holder that is stopped or hangs hinders nobody. A second name, with which a holder introduces itself, is for
people.

The coordinator and its keeper's guard hold the sockets; attempts never do. Processes see the same leases if
they share a network namespace (containers usually have one each) and the value of ``FLOPWISE_MACHINE``.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from flopwise.errors import ExecutorError
from flopwise.executors.environment import MACHINE
from flopwise.executors.slots import Share, leased, make_slots
from flopwise.executors.topology import Topology, format_ranges, parse_ranges
from flopwise.wire import Slot

SOCKETS = Path("/proc/net/unix")
LONGEST = 107
"""Bytes of a name, without the zero byte that makes it abstract."""

LONGEST_RUN = 30
_LINE = re.compile(r".* @flopwise/([0-9a-f]{12})/(core|device|holder)/(\S+)")
_SPAN = r"\d{1,4}(?:-\d{1,4})?"
_HOLDER = re.compile(rf"([0-9]{{1,9}})/([0-9]{{1,10}})/([A-Za-z0-9_.-]*)/((?:{_SPAN}(?:,{_SPAN})*)?)/([0-9]{{0,4}})")


@dataclass(frozen=True)
class Holder:
    """A process that holds leases, as it introduced itself.

    Args:
        pid: Of the coordinator.
        since: Wall time in seconds since 1970.
        run: Name of the run.
        cores: That it holds; empty where they are too scattered to be told in a name.
        accelerators: How many it holds.
    """

    pid: int
    since: int
    run: str
    cores: tuple[int, ...]
    accelerators: int

    @property
    def is_gone(self) -> bool:
        """Whether its coordinator is dead, and only the keeper's guard still holds what it had."""
        return not Path(f"/proc/{self.pid}").exists()

    def __str__(self) -> str:
        since = time.strftime("%Y-%m-%d %H:%M", time.localtime(self.since))
        parts = [f"cores {format_ranges(self.cores)}" if self.cores else "cores"]
        if self.accelerators:
            parts.append(f"{self.accelerators} accelerator{'s' * (self.accelerators > 1)}")
        gone = ", which is gone and whose attempts are just being ended" if self.is_gone else ""
        return f"{' and '.join(parts)}: process {self.pid}{gone}, run {self.run or 'without a name'}, since {since}"


@dataclass(frozen=True)
class Held:
    """What is leased at a moment, by whomever.

    Args:
        cores: Numbers.
        devices: Names of accelerators.
        holders: Those who introduced themselves.
    """

    cores: frozenset[int] = frozenset()
    devices: frozenset[str] = frozenset()
    holders: tuple[Holder, ...] = ()

    def free_of(self, machine: Topology) -> Topology:
        """What of a machine nobody holds."""
        return replace(
            machine,
            cores=tuple(core for core in machine.cores if core.number not in self.cores),
            beyond=machine.beyond - self.cores,
            accelerators=tuple(each for each in machine.accelerators if each.name not in self.devices),
        )

    def with_taken(self, core: int | None, device: str | None) -> Held:
        """The same with one more, that was taken meanwhile."""
        cores = self.cores if core is None else self.cores | {core}
        return replace(self, cores=cores, devices=self.devices if device is None else self.devices | {device})


class Taken(Exception):
    """Another process holds one of the leases asked for.

    Args:
        core: Its number, or None.
        device: The accelerator's name, or None.
    """

    def __init__(self, core: int | None, device: str | None) -> None:
        self.core = core
        self.device = device
        super().__init__(f"core {core}" if device is None else f"accelerator {device}")


def _unleased(error: OSError, fix: str) -> ExecutorError:
    return ExecutorError("cores cannot be leased", expected="Linux's abstract Unix sockets", got=str(error), fix=fix)


class Leases:
    """Cores and accelerators, from construction to :meth:`release`.

    Args:
        cores: Numbers.
        devices: Names of accelerators.
        run: Name of the run, for others to read.
        environ: Where ``FLOPWISE_MACHINE`` is looked up.

    Raises:
        Taken: If another process, or another study of this one, holds one of them; then none is held.
        ExecutorError: If the system has no abstract sockets.
    """

    def __init__(
        self, cores: Iterable[int], devices: Iterable[str], run: str, environ: Mapping[str, str] = os.environ
    ) -> None:
        self.cores = frozenset(cores)
        self.devices = frozenset(devices)
        self._sockets: list[socket.socket] = []
        book = _book(environ)
        try:
            for core in sorted(self.cores):
                self._bind(f"{book}/core/{core}", Taken(core, None))
            for device in sorted(self.devices):
                self._bind(f"{book}/device/{_short(device)}", Taken(None, device))
            self._introduce(book, run)
        except BaseException:
            self.release()
            raise

    @property
    def descriptors(self) -> tuple[int, ...]:
        """Of the sockets: whoever inherits them holds the leases too."""
        return tuple(each.fileno() for each in self._sockets)

    def release(self) -> None:
        """Let go; a second call does nothing. Another process that inherited them holds them on."""
        while self._sockets:
            self._sockets.pop().close()

    def _bind(self, name: str, taken: Taken) -> None:
        """A socket that is bound and does not listen: nobody can connect to it."""
        # Python's sockets are close-on-exec, so programs started from here do not inherit them.
        try:
            made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        except OSError as error:
            raise _unleased(error, "allow more open files (`ulimit -n`): a lease takes one a core") from None
        try:
            made.bind(f"\0{name}")
        except OSError as error:
            made.close()
            if error.errno == errno.EADDRINUSE:
                raise taken from None
            raise _unleased(error, "use `execution: {executor: inline}`, which pins nothing") from None
        self._sockets.append(made)

    def _introduce(self, book: str, run: str) -> None:
        """Under a name that is free: this process may hold leases for another study already."""
        name = re.sub(r"[^A-Za-z0-9_.-]", "_", run)[:LONGEST_RUN]
        start, end = f"{book}/holder/{os.getpid()}", f"/{len(self.devices) or ''}"
        for since in range(int(time.time()), int(time.time()) + 100):
            whole = f"{start}/{since}/{name}/{format_ranges(self.cores)}{end}"
            taken = Taken(None, None)
            try:
                self._bind(whole if len(whole) <= LONGEST else f"{start}/{since}/{name}/{end}", taken)
                return
            except Taken:
                continue


def take(machine: Topology, share: Share, run: str) -> tuple[tuple[Slot, ...], Leases] | Held:
    """Slots of what is free, leased; or what is held, when that leaves too little.

    Args:
        machine: All that this process may use.
        share: Settled on this machine.
        run: Name of the run.

    Raises:
        ExecutorError: As :class:`Leases`.
    """
    now = held()
    while slots := make_slots(now.free_of(machine), share):
        cores = leased(slots, machine, exclusive=share.exclusive)
        try:
            return slots, Leases(cores, [name for slot in slots for name in slot.accelerators], run)
        except Taken as taken:
            now = now.with_taken(taken.core, taken.device)
    return now


def held(environ: Mapping[str, str] = os.environ, sockets: Path = SOCKETS) -> Held:
    """What is leased right now; nothing where the system does not tell.

    Args:
        environ: Where ``FLOPWISE_MACHINE`` is looked up.
        sockets: The kernel's list of Unix sockets.
    """
    found: dict[str, list[str]] = {"core": [], "device": [], "holder": []}
    for kind, rest in _names(_book(environ), sockets):
        found[kind].append(rest)
    return Held(
        cores=frozenset(int(number) for number in found["core"] if number.isdecimal()),
        devices=frozenset(found["device"]),
        holders=tuple(sorted(_holders(found["holder"]), key=lambda holder: (holder.since, holder.pid))),
    )


def _names(book: str, sockets: Path) -> Iterator[tuple[str, str]]:
    """Kind and rest of every name in a book. Anybody may bind any name, so nothing else is believed."""
    try:
        lines = sockets.read_text(errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        match = _LINE.fullmatch(line)
        if match and f"flopwise/{match[1]}" == book:
            yield match[2], match[3]


def _holders(names: Iterable[str]) -> Iterator[Holder]:
    for name in names:
        match = _HOLDER.fullmatch(name)
        if match:
            pid, since, run, cores, devices = match.groups()
            yield Holder(int(pid), int(since), run, parse_ranges(cores), int(devices or 0))


def _book(environ: Mapping[str, str]) -> str:
    """Beginning of all names of one set of leases."""
    return f"flopwise/{hashlib.sha256(environ.get(MACHINE, '').encode()).hexdigest()[:12]}"


def _short(device: str) -> str:
    """A device's name as part of a socket's; all that exist are short and plain."""
    return re.sub(r"[^A-Za-z0-9_.:-]", "_", device)[:64]
