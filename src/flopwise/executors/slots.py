"""Cuts a machine, or what is free of it, into slots.

A slot's cores lie on one NUMA node where that is possible, and fill whole physical cores where it has
several. Slots get physical cores of their own as long as there are enough. An exclusive slot takes one core
of each physical core and leaves the siblings idle.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from flopwise.errors import InputError
from flopwise.executors.accelerators import Accelerator
from flopwise.executors.topology import Topology
from flopwise.units import format_bytes
from flopwise.wire import Slot

DURATIONS = frozenset({"seconds", "second", "minutes", "hours", "time", "duration", "latency", "throughput"})
"""Words in the name of a metric that a busy neighbour would change; so would one that ends in ``_s`` or ``_ms``."""


@dataclass(frozen=True)
class Share:
    """What a study asks of a machine for each of its slots.

    Args:
        threads: Cores, and threads of every pool.
        slots: How many; None for as many as fit.
        memory_bytes: Of the attempt's whole process tree; None for no limit.
        accelerators: Devices; None for one if there are any.
        exclusive: Whether whole physical cores are taken and their siblings left idle.
    """

    threads: int = 1
    slots: int | None = None
    memory_bytes: int | None = None
    accelerators: int | None = 0
    exclusive: bool = False

    def on(self, machine: Topology) -> Share:
        """The same with the number of accelerators settled.

        Raises:
            InputError: If a slot, or that many slots, do not fit the machine even when all of it is free.
        """
        default = 1 if machine.accelerators else 0
        settled = replace(self, accelerators=default) if self.accelerators is None else self
        _check(settled, machine)
        return settled


def is_duration(metric: str) -> bool:
    """Whether a metric by its name measures time, so that a shared core would falsify it.

    Example:
        >>> is_duration("seconds_to_target"), is_duration("step_ms"), is_duration("val_loss")
        (True, True, False)
    """
    words = re.split(r"[^a-z0-9]+", metric.lower())
    return not DURATIONS.isdisjoint(words) or words[-1] in ("s", "ms")


def make_slots(free: Topology, share: Share) -> tuple[Slot, ...]:
    """As many slots as are asked for, or fit; none when what is free is not enough.

    Args:
        free: What may be used.
        share: Settled by :meth:`Share.on`.

    Example:
        >>> from flopwise.executors.topology import Core
        >>> machine = Topology(tuple(Core(n, (n,)) for n in range(5)), 1 << 30)
        >>> [slot.cores for slot in make_slots(machine, Share(threads=2))]
        [(0, 1), (2, 3)]
    """
    devices = _parts(free.accelerators, share.accelerators or 0)
    most = _most(free, share)
    for pool in _pools(free, share, share.slots or most):
        slots = _fill(pool, devices, share, most if share.slots is None else min(share.slots, most))
        if slots and (share.slots is None or len(slots) == share.slots):
            return slots
    return ()


def leased(slots: Iterable[Slot], machine: Topology, *, exclusive: bool) -> frozenset[int]:
    """Cores that nobody else may have while these slots are used: theirs, and the siblings they keep idle."""
    used = {core for slot in slots for core in slot.cores}
    if not exclusive:
        return frozenset(used)
    return frozenset(sibling for core in machine.cores if core.number in used for sibling in core.siblings)


class _Pool:
    """Physical cores by NUMA node, from which slots take what they need.

    Args:
        units: Node to the free cores of each of its physical cores.
        whole: Whether a slot takes physical cores of its own.
    """

    def __init__(self, units: Mapping[int, Sequence[tuple[int, ...]]], *, whole: bool) -> None:
        self._units = {node: list(cores) for node, cores in sorted(units.items())}
        self._whole = whole

    def take(self, count: int, near: int | None) -> tuple[int, ...] | None:
        """That many cores of one node, if possible of the one that is ``near``; None when no node has them."""
        for node in sorted(self._units, key=lambda node: node != near):
            if sum(map(len, self._units[node])) >= count:
                return self._take_of(self._units[node], count)
        return None

    def _take_of(self, units: list[tuple[int, ...]], count: int) -> tuple[int, ...]:
        taken: list[int] = []
        while len(taken) < count:
            unit = units.pop(0)
            used = unit[: count - len(taken)]
            taken += used
            if not self._whole and len(used) < len(unit):
                units.insert(0, unit[len(used) :])
        return tuple(sorted(taken))


def _pools(free: Topology, share: Share, wanted: int) -> Iterable[_Pool]:
    """Ways to cut, best first: physical cores for each slot alone, shared ones, slots across nodes.

    The first is skipped where it would give fewer than ``wanted`` slots; the last is for slots that fit no
    node, and for a number of slots that fits in no other way.
    """
    units = _physical(free, exclusive=share.exclusive)
    if _count(_Pool(units, whole=True), share, wanted) == wanted:
        yield _Pool(units, whole=True)
    yield _Pool(units, whole=False)
    yield _Pool({0: [unit for node in sorted(units) for unit in units[node]]}, whole=False)


def _count(pool: _Pool, share: Share, wanted: int) -> int:
    count = 0
    while count < wanted and pool.take(share.threads, None) is not None:
        count += 1
    return count


def _physical(free: Topology, *, exclusive: bool) -> dict[int, list[tuple[int, ...]]]:
    """Free cores of each physical core by node, wholly free ones first."""
    numbers = {core.number for core in free.cores}
    units: dict[int, dict[tuple[int, ...], tuple[int, ...]]] = {}
    for core in free.cores:
        there = tuple(sibling for sibling in core.siblings if sibling in numbers)
        is_whole = numbers.union(free.beyond).issuperset(core.siblings)
        if is_whole or not exclusive:
            units.setdefault(core.node, {})[core.siblings] = there[:1] if exclusive else there
    return {node: sorted(found.values(), key=lambda unit: (-len(unit), unit)) for node, found in units.items()}


def _parts(devices: Sequence[Accelerator], each: int) -> list[tuple[Accelerator, ...]]:
    """Devices in groups of so many, in order."""
    if not each:
        return []
    return [tuple(devices[i : i + each]) for i in range(0, len(devices) - each + 1, each)]


def _most(free: Topology, share: Share) -> int:
    """Most slots that cores, memory and accelerators allow; where they lie is another question."""
    units = _physical(free, exclusive=share.exclusive)
    fits = [sum(len(unit) for cores in units.values() for unit in cores) // share.threads]
    if share.memory_bytes:
        fits.append(free.memory_bytes // share.memory_bytes)
    if share.accelerators:
        fits.append(len(free.accelerators) // share.accelerators)
    return min(fits)


def _fill(pool: _Pool, devices: list[tuple[Accelerator, ...]], share: Share, wanted: int) -> tuple[Slot, ...]:
    slots: list[Slot] = []
    while len(slots) < wanted:
        mine = devices[len(slots)] if devices else ()
        cores = pool.take(share.threads, mine[0].node if mine else None)
        if cores is None:
            break
        names = tuple(device.name for device in mine)
        slots.append(Slot(len(slots), cores, share.threads, share.memory_bytes, names))
    return tuple(slots)


def _check(share: Share, machine: Topology) -> None:
    _at_least_one("execution.threads", share.threads)
    _check_threads(share, machine)
    _check_memory(share, machine)
    _check_accelerators(share, machine)
    if share.slots is not None:
        _at_least_one("execution.slots", share.slots)
        _check_slots(share.slots, share, machine)


def _check_threads(share: Share, machine: Topology) -> None:
    units = _physical(machine, exclusive=share.exclusive)
    fits = sum(len(unit) for cores in units.values() for unit in cores)
    if share.threads > fits:
        raise InputError(
            f"a slot of {share.threads} threads does not fit this machine",
            expected=f"execution.threads of at most {fits}, the {_kind(share)} this process may use",
            got=f"execution.threads: {share.threads}" + (", exclusive" if share.exclusive else ""),
            fix=f"set execution.threads to {fits} or less" if fits else "set execution.exclusive to false",
        )


def _check_memory(share: Share, machine: Topology) -> None:
    if share.memory_bytes is not None and share.memory_bytes > machine.memory_bytes:
        most = format_bytes(machine.memory_bytes)
        raise InputError(
            f"a slot of {format_bytes(share.memory_bytes)} does not fit this machine",
            expected=f"execution.memory of at most {most}, the memory this process may use",
            got=f"execution.memory: {format_bytes(share.memory_bytes)}",
            fix=f"set execution.memory to less than {most}, or leave it out for no limit",
        )


def _check_accelerators(share: Share, machine: Topology) -> None:
    there = len(machine.accelerators)
    if share.accelerators and share.accelerators > there:
        raise InputError(
            f"a slot with {_counted(share.accelerators, 'accelerator')} does not fit this machine",
            expected=f"execution.accelerators of at most {there}, those this process may use",
            got=f"execution.accelerators: {share.accelerators}",
            fix=f"set execution.accelerators to {there} or less; `flopwise doctor` lists what there is",
        )


def _check_slots(slots: int, share: Share, machine: Topology) -> None:
    """That many fit, all things counted."""
    fits = _most(machine, share)
    if slots > fits:
        raise InputError(
            f"{slots} slots × {_each(share)} do not fit {_whole(share, machine)} this process may use",
            expected=f"at most {fits} slots of {_each(share)}",
            got=f"execution.slots: {slots}",
            fix=f"set execution.slots to {fits}, or leave it out",
        )


def _each(share: Share) -> str:
    """A slot in words."""
    parts = [_counted(share.threads, "thread")]
    if share.memory_bytes:
        parts.append(format_bytes(share.memory_bytes))
    if share.accelerators:
        parts.append(_counted(share.accelerators, "accelerator"))
    return " and ".join(parts)


def _whole(share: Share, machine: Topology) -> str:
    """What there is of what a slot takes, in words."""
    count = machine.physical if share.exclusive else len(machine.cores)
    parts = [f"the {count} {_kind(share)}"]
    if share.memory_bytes:
        parts.append(f"the {format_bytes(machine.memory_bytes)}")
    if share.accelerators:
        parts.append(f"the {_counted(len(machine.accelerators), 'accelerator')}")
    return " and ".join(parts)


def _kind(share: Share) -> str:
    return "physical cores" if share.exclusive else "cores"


def _counted(count: int, noun: str) -> str:
    """A number and its noun, in the plural where it is not one.

    Example:
        >>> _counted(1, "slot"), _counted(2, "slot")
        ('1 slot', '2 slots')
    """
    return f"{count} {noun}" + ("" if count == 1 else "s")


def _at_least_one(key: str, value: int) -> None:
    if value < 1:
        raise InputError(f"{key} must be at least 1", got=f"{key}: {value}", fix="leave it out for the default")
