"""The host: an actor that has a keeper on its node, and relays between it and the bridge.

It never forks. The keeper is a program of its own, started clean, in which Ray was never loaded; when the actor goes,
however it goes, the keeper's socket comes to its end, and with it all attempts.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from flopwise.executors.cluster import code, luggage
from flopwise.executors.cluster.scratch import Scratch
from flopwise.executors.cluster.seats import Wish
from flopwise.executors.leases import Held, Leases, take
from flopwise.executors.local import LocalExecutor
from flopwise.executors.slots import Share
from flopwise.executors.topology import Topology, topology
from flopwise.registry import resolve
from flopwise.trial import Outcome
from flopwise.wire import Ended, Frames, Hello, Job, Message, Reported, Slot, StopAttempt, encode

LEFTOVER_S = 3.0
"""How long an earlier keeper of this machine is left to end its attempts, and so its leases."""

LOOK_EVERY_S = 0.1
EXIT_S = 0.5
"""Between the answer that everything has ended and the actor's own end."""

Parcel = tuple[bytes, list[luggage.File]]
"""A message as a frame, and the files that belong to it."""


class Host:
    """One seat's slots, on one node."""

    def __init__(self) -> None:
        self._scratch = Scratch()
        self._root = self._scratch.root
        self._keeper: LocalExecutor | None = None
        self._leases: Leases | None = None
        self._slots: dict[int, Slot] = {}
        self._turn = threading.Lock()
        self._mail = threading.Lock()
        self._early: dict[int, bytes] = {}
        self._orders: list[Message] = []
        self._next = 0
        self._leaving = False
        self._is_actor = False
        self._path = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
        self._wake, self._waker = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def where(self) -> str:
        """Id of the node; the answer comes when the actor has a place. From then on it ends with what started it there.

        Ray leaves an actor alone whose raylet was killed, and nobody would end its attempts.
        """
        self._is_actor = True
        threading.Thread(target=_end_with, args=(os.pidfd_open(os.getppid()),), daemon=True).start()
        return str(resolve("ray:get_runtime_context")().get_node_id())

    def open(
        self,
        hello: bytes,
        wish: Mapping[str, Any],
        slots: Sequence[int],
        environment: Mapping[str, str],
        paths: Sequence[str],
        archive: bytes,
    ) -> tuple[bytes, float, list[str]]:
        """Start a keeper; again after its death.

        Args:
            hello: For the keeper, as a frame; its paths are the coordinator's.
            wish: A :class:`~flopwise.executors.cluster.seats.Wish` as JSON.
            slots: Numbers of the slots of this seat.
            environment: What ``execution.pass_env`` passes, from the coordinator's environment.
            paths: ``sys.path`` entries in the archive.
            archive: The user's code.

        Returns:
            The keeper's ``Ready`` as a frame, this node's monotonic seconds, notes for the user.
        """
        with self._turn:
            began = time.monotonic()
            (message,) = Frames().feed(hello)
            assert isinstance(message, Hello)
            notes = [] if self._slots else self._settle(Wish(**wish), slots, message.run_id)
            home = self._unpack(archive)
            os.environ.update(environment)
            os.environ["PYTHONPATH"] = os.pathsep.join([*(str(home / path) for path in paths), *self._path])
            if self._keeper is not None:
                self._keeper.close()
            self._keeper = LocalExecutor(tuple(self._slots.values()), self._leases.descriptors if self._leases else ())
            stamps = str(self._root / "keeper.jsonl")
            ready = self._keeper.open(replace(message, stamps=stamps, sys_path=(), folder=str(home / "0")))
            return encode(ready), began, notes

    def _unpack(self, archive: bytes) -> Path:
        home = self._root / "code"
        if not home.exists():
            home.mkdir(mode=0o700)
            code.unpack(archive, home)
        return home

    def _settle(self, wish: Wish, numbers: Sequence[int], run: str) -> list[str]:
        """Which cores and devices the slots have here: leased, as every study's on this machine are."""
        machine = topology()
        share = Share(wish.threads, len(numbers), wish.memory_bytes, wish.accelerators, wish.exclusive)
        found, notes = _lease(machine, share, run)
        if found is None:
            cut = _unpinned(machine, share)
        else:
            cut, self._leases = found
        self._slots = dict(zip(numbers, cut, strict=True))
        return notes

    def send(self, number: int, frame: bytes) -> None:
        """Take an order; Ray may deliver them in another order than they were sent in.

        Args:
            number: 0, 1, … in the order of sending.
            frame: ``Job`` or ``StopAttempt``.
        """
        with self._mail:
            self._early[number] = frame
            while self._next in self._early:
                self._orders += Frames().feed(self._early.pop(self._next))
                self._next += 1
        os.write(self._waker, b"!")

    def keep(self, name: str, *parts: bytes) -> None:
        """Put a prepared file into this node's cache, whole or not at all."""
        cache = self._root / "cache"
        cache.mkdir(mode=0o700, exist_ok=True)
        beside = cache / f".{name}.part"
        with beside.open("wb") as file:
            for part in parts:
                file.write(part)
        beside.rename(cache / name)

    def listen(self, limit_s: float) -> list[Parcel]:
        """What happened, in order; empty when nothing did for ``limit_s`` seconds."""
        end = time.monotonic() + limit_s
        parcels: list[Parcel] = []
        with self._turn:
            while not parcels and not self._leaving and (left_s := end - time.monotonic()) > 0:
                parcels += self._obey()
                if self._keeper is None:
                    return parcels
                for message in self._keeper.poll(0.0 if parcels else left_s, self._wake):
                    parcels.append(self._parcel(message))
                with contextlib.suppress(BlockingIOError):
                    os.read(self._wake, 4096)
        return parcels

    def close(self) -> None:
        """End everything, and leave nothing behind; an actor ends too, since a cluster without a head ends none."""
        self._leaving = True
        os.write(self._waker, b"!")
        with self._turn:
            keeper, self._keeper = self._keeper, None
            if keeper is not None:
                keeper.close()
            if self._leases is not None:
                self._leases.release()
                self._leases = None
            self._scratch.remove()
        if self._is_actor:
            threading.Timer(EXIT_S, os._exit, (0,)).start()

    def _obey(self) -> list[Parcel]:
        with self._mail:
            orders, self._orders = self._orders, []
        refused: list[Parcel] = []
        for order in orders:
            if isinstance(order, Job):
                refused += self._begin(order)
            elif isinstance(order, StopAttempt) and self._keeper is not None:
                self._keeper.stop(order.attempt, order.reason, order.grace_s)
        return refused

    def _begin(self, job: Job) -> list[Parcel]:
        """Start an attempt with this node's slot and paths in place of the coordinator's."""
        assert self._keeper is not None
        folder = self._root / "attempts" / job.attempt
        try:
            folder.mkdir(mode=0o700, parents=True)
            (self._root / "cache").mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            now = time.monotonic()
            cause = f"no folder could be made on the node: {error}"
            reported = Reported(job.attempt, Outcome.KILLED, cause=cause)
            return [(encode(m), []) for m in (reported, Ended(job.attempt, now, now, None, None, "exit"))]
        slot = replace(self._slots[job.slot.index], index=job.slot.index)
        home, cache = str(self._root / "code/0"), str(self._root / "cache")
        self._keeper.start(replace(job, slot=slot, folder=str(folder), cache=cache, started_in=home))
        return []

    def _parcel(self, message: Message) -> Parcel:
        """With an attempt's end goes all that it left."""
        if not isinstance(message, Ended):
            return encode(message), []
        folder = self._root / "attempts" / message.attempt
        files = luggage.pack(folder)
        shutil.rmtree(folder, ignore_errors=True)
        return encode(message), files


def _end_with(parent: int) -> None:
    """End this process, and with it its keeper, when a pidfd says that another one has ended."""
    select.select([parent], [], [])
    os._exit(1)


def _lease(machine: Topology, share: Share, run: str) -> tuple[tuple[tuple[Slot, ...], Leases] | None, list[str]]:
    """Slots on cores of their own; a note instead where these cannot be had."""
    needed = (share.slots or 1) * share.threads
    if needed > len(machine.cores):
        there = f"a node that lets a process use {len(machine.cores)}"
        return None, [f"{needed} cores are asked of Ray on {there}: nothing is pinned there"]
    end = time.monotonic() + LEFTOVER_S
    while isinstance(found := take(machine, share, run), Held):
        if time.monotonic() > end:
            who = "; ".join(map(str, found.holders)) or "processes that cannot be seen"
            return None, [f"cores that Ray calls free are held by {who}: nothing is pinned there"]
        time.sleep(LOOK_EVERY_S)
    return found, []


def _unpinned(machine: Topology, share: Share) -> tuple[Slot, ...]:
    """Slots without cores of their own; devices are as Ray gave them to this actor."""
    names = [device.name for device in machine.accelerators]
    per = share.accelerators or 0
    return tuple(
        Slot(index, (), share.threads, share.memory_bytes, tuple(names[index * per : (index + 1) * per]))
        for index in range(share.slots or 1)
    )
