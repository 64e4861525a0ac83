"""A session's slots: what the study asks for, cut from what of this machine is free, and leased while it runs."""

from __future__ import annotations

import select
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

from flopwise.clock import Clock
from flopwise.engine.signals import Signals
from flopwise.errors import MachineBusy
from flopwise.executors.executor import Executor
from flopwise.executors.leases import Held, Leases, take
from flopwise.executors.slots import Share, is_duration, make_slots
from flopwise.executors.sweep import sweep
from flopwise.executors.topology import Topology, topology
from flopwise.registry import load
from flopwise.units import format_seconds
from flopwise.wire import Slot

LOOK_EVERY_S = 0.5
TELL_EVERY_S = 30.0

LEFTOVER_S = 3.0
"""How long the keeper of an earlier session that died is left to end its attempts, and so its leases."""

PINNED = ("memory", "accelerators", "exclusive", "wait")
"""Settings that mean something only where attempts are pinned to cores of this machine."""

Say = Callable[[str], None]


def share_of(study: Mapping[str, Any]) -> Share:
    """What a study's execution section asks for; keys that an older journal does not have are as by default."""
    execution = study["execution"]
    exclusive, memory = execution.get("exclusive"), execution.get("memory")
    return Share(
        threads=execution["threads"],
        slots=execution["slots"],
        memory_bytes=None if memory is None else int(memory),
        accelerators=_accelerators(study),
        exclusive=is_duration(study["objective"]["metric"]) if exclusive is None else exclusive,
    )


def _accelerators(study: Mapping[str, Any]) -> int | None:
    """None where it depends on whether there are any."""
    asked: int | None = study["execution"].get("accelerators")
    if asked is not None:
        return asked
    return None if load("workloads", study["workload"]).uses_accelerator(study["base"]) else 0


def slots_of(study: Mapping[str, Any]) -> tuple[Slot, ...]:
    """The slots that a study gets while nobody else uses the machine.

    Raises:
        InputError: If it asks for more than the machine has.
    """
    machine = topology()
    return make_slots(machine, share_of(study).on(machine))


def make_executor(study: Mapping[str, Any]) -> Executor:
    """The study's executor as it is while nobody else uses this machine; one that pins is not to be opened.

    Raises:
        InputError: If the study asks for more than the machine has.
        ExecutorError: If this machine lacks what the executor needs.
    """
    kind = load("executors", study["execution"]["executor"])
    return cast(Executor, kind.from_study(study["execution"], lambda: slots_of(study)))


def slot_json(slot: Slot) -> dict[str, Any]:
    """A slot as the journal holds it: what it does not limit or have is left out."""
    found: dict[str, Any] = {"index": slot.index, "cores": list(slot.cores), "threads": slot.threads}
    if slot.memory_bytes is not None:
        found["memory_bytes"] = slot.memory_bytes
    if slot.accelerators:
        found["accelerators"] = list(slot.accelerators)
    if slot.host is not None:
        found["host"] = slot.host
    return found


@contextmanager
def leased_executor(
    study: Mapping[str, Any], run: str, run_id: str, signals: Signals, clock: Clock, say: Say
) -> Iterator[Executor | None]:
    """The study's executor, not yet open, on slots that are this run's until the end of the context.

    Args:
        study: In canonical form.
        run: Name of the run.
        run_id: What an earlier session of it left running is ended first.
        signals: Ends the wait.
        clock: Measures it.
        say: Takes lines for the user.

    Yields:
        None when a signal came first.

    Raises:
        InputError: If the study asks for more than the machine has.
        MachineBusy: If others hold what it asks for longer than ``execution.wait``.
    """
    kind = load("executors", study["execution"]["executor"])
    if not kind.traits.pins:
        _say_unheeded(study["execution"], kind.traits.heeds, say)
        yield make_executor(study)
        return
    sweep(run_id, LEFTOVER_S)
    found = _await(study, run, signals, clock, say)
    if found is None:
        yield None
        return
    slots, leases = found
    try:
        yield kind.from_study(study["execution"], lambda: slots, leases.descriptors)
    finally:
        leases.release()


def _say_unheeded(execution: Mapping[str, Any], heeded: Sequence[str], say: Say) -> None:
    """No setting is ignored silently."""
    given = [f"execution.{name}" for name in PINNED if execution.get(name) is not None and name not in heeded]
    if given:
        say(f"note: executor {execution['executor']} pins and limits nothing; without effect: {', '.join(given)}")


def _await(
    study: Mapping[str, Any], run: str, signals: Signals, clock: Clock, say: Say
) -> tuple[tuple[Slot, ...], Leases] | None:
    machine = topology()
    share, wait_s = share_of(study).on(machine), study["execution"].get("wait")
    began = clock.monotonic()
    told_at: float | None = None
    while isinstance(found := take(machine, share, run), Held):
        now = clock.monotonic()
        if wait_s is not None and now - began >= wait_s:
            raise _busy(found, share, machine, now - began)
        if told_at is None or now - told_at >= TELL_EVERY_S:
            told_at = now
            say(waiting_text(found, share, now - began))
        left_s = LOOK_EVERY_S if wait_s is None else min(LOOK_EVERY_S, began + wait_s - now)
        select.select([signals.wake], [], [], left_s)
        if signals.count:
            return None
    if told_at is not None:
        say(f"the machine is free: started after {format_seconds(clock.monotonic() - began)}")
    return found


def waiting_text(found: Held, share: Share, waited_s: float) -> str:
    """What who waits is told.

    Args:
        found: What is held.
        share: What is asked for.
        waited_s: Seconds so far.
    """
    since = f" since {format_seconds(waited_s)}" if waited_s >= 1 else ""
    return "\n".join([f"waiting{since} for {_wish(share)}; Ctrl-C ends the wait. Held by others:", *_holders(found)])


def _holders(found: Held) -> list[str]:
    return [f"  {holder}" for holder in found.holders] or ["  processes that cannot be seen from here"]


def _wish(share: Share) -> str:
    """What is asked for, in words."""
    slots = f"{share.slots or 1} × " if (share.slots or 1) > 1 else ""
    kind = "core" if not share.exclusive else "physical core"
    parts = [f"{share.threads} {kind}" + ("" if share.threads == 1 else "s")]
    if share.accelerators:
        parts.append(f"{share.accelerators} accelerator" + ("" if share.accelerators == 1 else "s"))
    return slots + " and ".join(parts)


def _busy(found: Held, share: Share, machine: Topology, waited_s: float) -> MachineBusy:
    free = found.free_of(machine)
    there = f"{len(free.cores)} of {len(machine.cores)} cores"
    if machine.accelerators:
        there += f" and {len(free.accelerators)} of {len(machine.accelerators)} accelerators"
    return MachineBusy(
        f"{_wish(share)} did not become free in {format_seconds(waited_s)}",
        expected=f"{_wish(share)} that no other study holds",
        got=f"{there} free. Held by others:\n" + "\n".join(_holders(found)),
        fix="wait longer (execution.wait), ask for less (execution.slots), or end one of them with Ctrl-C",
    )
