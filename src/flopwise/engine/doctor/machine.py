"""The machine: cores, memory, accelerators, how they would be cut into slots, and who uses them already."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

from flopwise.engine.doctor.finding import Finding
from flopwise.errors import ExecutorError
from flopwise.executors.accelerators import NVIDIA, VISIBLE, Accelerator, installed
from flopwise.executors.leases import held
from flopwise.executors.slots import Share, make_slots
from flopwise.executors.topology import Topology, allowed_cores, cpu_name, cpu_quota, memory_limit
from flopwise.report.headline import counted
from flopwise.units import format_bytes
from flopwise.wire import Slot

LITTLE_MEMORY_BYTES = 1 << 30
"""A slot's share below this is worth a word: a process with torch takes a third of it."""

BUSY = 0.25
"""Share of the usable cores that others may keep busy without a word."""


def default_slots(machine: Topology) -> tuple[Slot, ...]:
    """What a study that says nothing about it gets, while nobody else uses the machine."""
    return make_slots(machine, Share(accelerators=None).on(machine))


def examine_machine(machine: Topology, slots: tuple[Slot, ...]) -> Iterator[Finding]:
    """Everything about the machine itself.

    Args:
        machine: What this process may use of it.
        slots: From :func:`default_slots`.
    """
    yield _cores(machine)
    yield from _fewer_cores(machine)
    yield _memory(machine, slots)
    yield from _accelerators(machine)
    yield _slots(machine, slots)
    yield _leases(machine)
    yield from _load(machine)


def _cores(machine: Topology) -> Finding:
    cores = counted(len(machine.cores), "core")
    if machine.physical < len(machine.cores):
        cores = f"{counted(machine.physical, 'physical core')} with {len(machine.cores)} hardware threads"
    return Finding("ok", "cores", f"{cores} on {counted(len(machine.nodes), 'NUMA node')}: {cpu_name()}")


def _fewer_cores(machine: Topology) -> Iterator[Finding]:
    """Why not all of them."""
    all_of_them, allowed, quota = os.cpu_count() or 1, len(allowed_cores()), cpu_quota()
    if allowed < all_of_them:
        yield Finding("ok", "affinity", f"{allowed} of the machine's {all_of_them} cores may be used (cpuset, taskset)")
    if quota is not None and quota < allowed:
        text = f"a cgroup pays for {quota:g} of {allowed} cores: {counted(len(machine.cores), 'whole core')} used"
        wasted = quota - len(machine.cores) > 0.05 or quota < 1
        fix = "ask for a whole number of cores (--cpus, cpu.max); a part of one cannot be a slot" if wasted else ""
        yield Finding("note" if wasted else "ok", "quota", text, fix)


def _memory(machine: Topology, slots: tuple[Slot, ...]) -> Finding:
    each = machine.memory_bytes // max(1, len(slots))
    limited = ", a cgroup's limit" if memory_limit() == machine.memory_bytes else ""
    text = f"{format_bytes(machine.memory_bytes)}{limited}, {format_bytes(each)} a slot"
    if each < LITTLE_MEMORY_BYTES:
        return Finding("note", "memory", text, "set execution.slots to less, or execution.memory to what one needs")
    return Finding("ok", "memory", text)


def _accelerators(machine: Topology) -> Iterator[Finding]:
    try:
        there = installed(shutil.which("nvidia-smi"))
    except ExecutorError as error:
        yield Finding("problem", "accelerators", f"{error.problem}: {error.got}", error.fix or "")
        return
    hidden = len(there) - len(machine.accelerators)
    if hidden > 0:
        text = f"{counted(hidden, 'accelerator')} hidden by {VISIBLE}={os.environ.get(VISIBLE, '')!r}"
        yield Finding("note", "accelerators", text, f"unset {VISIBLE} to use all")
    if not machine.accelerators:
        yield _none_there(hidden)
        return
    for model in dict.fromkeys(each.model for each in machine.accelerators):
        alike = [each for each in machine.accelerators if each.model == model]
        yield Finding("ok", "accelerators", f"{len(alike)} × {model}{_sizes(alike)}")


def _none_there(hidden: int) -> Finding:
    if NVIDIA.exists() and not hidden:
        text = "NVIDIA's driver is loaded, and lists no GPU"
        return Finding("problem", "accelerators", text, "run nvidia-smi; in a container, start it with --gpus all")
    return Finding("ok", "accelerators", "none that flopwise could give to a slot")


def _sizes(alike: list[Accelerator]) -> str:
    sizes = {each.memory_bytes for each in alike}
    size = next(iter(sizes))
    return f", {format_bytes(size)} each" if len(sizes) == 1 and size else ""


def _slots(machine: Topology, slots: tuple[Slot, ...]) -> Finding:
    text = f"{counted(len(slots), 'evaluation')} at a time, of {counted(slots[0].threads, 'thread')} each"
    if not machine.accelerators:
        return Finding("ok", "slots", f"{text}: one a core. `execution.threads: auto` measures what runs most")
    fewer = len(slots) < len(machine.cores)
    why = ": one an accelerator" + (", if the workload can use one" if fewer else "")
    return Finding("ok", "slots", f"{text}{why}. `execution.accelerators: 0` makes it one a core")


def _leases(machine: Topology) -> Finding:
    now = held()
    taken = [core for core in machine.cores if core.number in now.cores]
    if not taken and not now.devices:
        return Finding("ok", "leases", "no other study holds cores or accelerators")
    free = now.free_of(machine)
    text = f"{len(free.cores)} of {counted(len(machine.cores), 'core')} free"
    if machine.accelerators:
        text += f", {len(free.accelerators)} of {counted(len(machine.accelerators), 'accelerator')}"
    who = "; ".join(map(str, now.holders)) or "processes that cannot be seen from here"
    fix = "" if make_slots(free, Share(accelerators=None).on(machine)) else "a study started now waits for them"
    return Finding("note" if fix else "ok", "leases", f"{text}; held: {who}", fix)


def _load(machine: Topology) -> Iterator[Finding]:
    """Processes that lease nothing make times wrong."""
    busy = os.getloadavg()[0] - len(held().cores)
    if busy > BUSY * len(machine.cores):
        text = f"{busy:.1f} processes on average want to run beside what is leased (load of the last minute)"
        yield Finding("note", "load", text, "times measured now are not those of an idle machine")
