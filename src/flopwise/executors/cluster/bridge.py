"""The bridge: a Ray driver beside the coordinator, and the only program of ours that loads Ray.

``python -m flopwise.executors.cluster.bridge FD`` where FD is one end of a socket pair; the other is the
coordinator's. It finds the cluster, asks every node whether it can run attempts, has a host on each seat, and passes
on what they say, with stamps by the coordinator's clock. When the coordinator goes, so does the bridge, and with it
every host, keeper and attempt.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import socket
import sys
import time
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

from flopwise.errors import ExecutorError
from flopwise.executors.cluster import code, probe
from flopwise.executors.cluster.guest import LEAVE_S
from flopwise.executors.cluster.joining import join
from flopwise.executors.cluster.messages import Connect, Note, Surveyed
from flopwise.executors.cluster.options import Options
from flopwise.executors.cluster.ray_calls import alive, brief, free_of, on_node, parts, waited
from flopwise.executors.cluster.seats import Wish, settle, spread
from flopwise.executors.cluster.sitting import Sitting
from flopwise.executors.cluster.watch import until_gone
from flopwise.executors.stamps import Stamps
from flopwise.executors.topology import boot_id
from flopwise.wire import Frames, Hello, Job, Message, Ready, Shutdown, StopAttempt, encode

READ_BYTES = 1 << 20
PROBE_S = 60.0
"""How long a node may take to start a process of Python that answers."""

HAVE_ALL_S = 20.0
"""How long seats on nodes that are there may take before the study begins without them; others are not waited for."""

PART_BYTES = 16 << 20


class Bridge:
    """Serves one coordinator.

    Args:
        ray: The package.
        connect: What is asked for.
        writer: Towards the coordinator.
    """

    def __init__(self, ray: Any, connect: Connect, writer: asyncio.StreamWriter) -> None:
        self.ray = ray
        self.wish = Wish(**connect.wish)
        self.options = Options(**connect.options)
        self._wait_s = connect.wait_s
        self._seats = connect.seats
        self.is_open = False
        self.ours = {"python": sys.version_info[:3], "flopwise": connect.flopwise, "digest": connect.digest}
        self.hello = Hello("", "")
        self.code: Any = None
        self.paths: tuple[str, ...] = ()
        self.jobs: dict[str, Job] = {}
        self.nodes: dict[str, Mapping[str, Any]] = {}
        self._refused: dict[str, str] = {}
        self._stamps: Stamps | None = None
        self._writer = writer
        self._sittings: list[Sitting] = []
        self._stored: dict[str, list[Any]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    # Before the study

    async def survey(self) -> Surveyed:
        """Ask every node, and spread the slots over all that those have that can run them, whoever uses it now.

        What others use, or what is left of a session that died, is waited for by the seats there.
        """
        notes = await self.look()
        nodes = {n["NodeID"]: n["Resources"] for n in alive(self.ray) if n["NodeID"] in self.nodes}
        places = settle(self.wish, self._seats, nodes) if self._seats else spread(self.wish, nodes)
        firsts = itertools.accumulate((place.slots for place in places), initial=0)
        self._sittings = [
            Sitting(self, n, place, first) for n, (place, first) in enumerate(zip(places, firsts, strict=False))
        ]
        if not places or (not self.nodes and self._refused):
            return Surveyed(notes=tuple(notes), problem=self._no_room(), fix=self._fix())
        cpus = tuple(sorted({str(found["cpu"]) for found in self.nodes.values()}))
        return Surveyed(tuple(place.slots for place in places), cpus, tuple(notes))

    async def look(self) -> list[str]:
        """Ask the nodes that have not been asked; what to tell the user about those that get no work."""
        new = [n for n in alive(self.ray) if n["NodeID"] not in self.nodes and n["NodeID"] not in self._refused]
        notes = []
        for node, found in zip(new, await asyncio.gather(*map(self._ask, new)), strict=True):
            name = f"{found.get('host', node['NodeManagerHostname'])} ({node['NodeManagerAddress']})"
            refusal = probe.refusal(found, name, self.ours)
            if refusal is None:
                self.nodes[node["NodeID"]] = {**found, "name": name}
            else:
                self._refused[node["NodeID"]] = refusal
                notes.append(refusal)
        return notes

    async def _ask(self, node: Mapping[str, Any]) -> dict[str, Any]:
        task = self.ray.remote(num_cpus=0, max_retries=0)(probe.look)
        ref = task.options(scheduling_strategy=on_node(node["NodeID"])).remote()
        try:
            return dict(await asyncio.wait_for(waited(ref), PROBE_S))
        except Exception as error:
            return {"problem": brief(error) or f"no answer in {PROBE_S:g} s"}

    def _no_room(self) -> str:
        if self._refused:
            return "no node of the cluster can run attempts:\n" + "\n".join(self._refused.values())
        wanted = ", ".join(f"{name} {amount:g}" for name, amount in self.wish.of(1).items())
        return f"no node of the cluster has room for a slot ({wanted})"

    def _fix(self) -> str:
        if self._refused:
            return "mend a node as said, then start again"
        return "wait until others are done, ask for less, or, if nodes are started on demand, set execution.slots"

    # The study

    async def open(self, hello: Hello) -> None:
        """Bring up hosts; say ``Ready`` when those on nodes that are there have come up, or have had their time."""
        began = time.monotonic()
        self.hello = hello
        self._stamps = Stamps(Path(hello.stamps))
        self.stamps.add("keeper", began, pid=os.getpid(), boot_id=boot_id())
        packed = code.pack(Path(hello.folder), hello.sys_path, self.options.ship)
        self.code, self.paths = self.ray.put(packed.archive), packed.paths
        for note in packed.notes:
            self.say(Note(note))
        there = [sitting.up.wait() for sitting in self._sittings if sitting.node is not None]
        for sitting in self._sittings:
            self.spawn(sitting.sit())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*there), HAVE_ALL_S)
        if not self._is_up and self._wait_s is not None:
            self.spawn(self._give_up(self._wait_s))
        problems = dict.fromkeys(problem for sitting in self._sittings for problem in sitting.problems)
        self.is_open = True
        self.say(Ready(os.getpid(), time.monotonic() - began, tuple(problems)))

    @property
    def _is_up(self) -> bool:
        return any(sitting.up.is_set() for sitting in self._sittings)

    async def _give_up(self, wait_s: float) -> None:
        await asyncio.sleep(wait_s)
        if not self._is_up:
            self.say(Surveyed(problem=f"{self._no_room()} in {wait_s:g} s (execution.wait)", fix=self._fix()))

    @property
    def stamps(self) -> Stamps:
        """Where starts and ends are recorded, once it is open."""
        assert self._stamps is not None
        return self._stamps

    def obey(self, message: Message) -> None:
        """Do what the coordinator says."""
        match message:
            case Job():
                self.jobs[message.attempt] = message
                self._of_slot(message.slot.index).start(message)
            case StopAttempt() if message.attempt in self.jobs:
                self._of_slot(self.jobs[message.attempt].slot.index).stop(message)

    def _of_slot(self, slot: int) -> Sitting:
        return next(sitting for sitting in self._sittings if slot in sitting.slots)

    def stored(self, job: Job) -> dict[str, list[Any]]:
        """Prepared files that a job's data names by hash, in the cluster's object store; each is put there once."""
        hashes = [value for value in job.data.values() if isinstance(value, str) and len(value) == 64]
        paths = [p for p in Path(job.cache).glob("*") if any(value in p.name for value in hashes)] if hashes else []
        for path in paths:
            if path.name not in self._stored and not path.name.startswith("."):
                with path.open("rb") as file:
                    parts = iter(lambda: file.read(PART_BYTES), b"")
                    self._stored[path.name] = [self.ray.put(part) for part in parts]
        return {path.name: self._stored[path.name] for path in paths if path.name in self._stored}

    def find_place(self, last: str | None, slots: int) -> str | None:
        """A node with room for a seat: the one it had last, if that has; None to leave it to the cluster.

        Args:
            last: Id of the node it had last.
            slots: Of the seat.
        """
        room, needed = free_of(self.ray), self.wish.of(slots)
        there = {node["NodeID"] for node in alive(self.ray)} & set(self.nodes)
        fits = [n for n in sorted(there) if all(room.get(n, {}).get(k, 0.0) >= v for k, v in needed.items())]
        return last if last in fits else next(iter(fits), None)

    async def fit(self, node: str) -> str:
        """The name of a node, which is asked first if it is new.

        Raises:
            ExecutorError: If it cannot run attempts.
        """
        if node not in self.nodes:
            await self.look()
        if node in self._refused:
            raise ExecutorError(self._refused[node])
        return str(self.nodes[node]["name"])

    async def leave(self) -> None:
        """End every host and what it runs."""
        if self._stamps is not None:
            self._stamps.add("coordinator_gone", time.monotonic())
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*(sitting.leave(LEAVE_S) for sitting in self._sittings), return_exceptions=True)

    def watch(self, end: Callable[[], None]) -> None:
        """Call ``end`` when the head, or this machine's part of Ray, is gone: a driver is of no use without them."""
        for what, address, patience_s in parts(self.ray, self.options.address):
            self.spawn(self._watch(what, address, patience_s, end))

    async def _watch(self, what: str, address: str, patience_s: float, end: Callable[[], None]) -> None:
        await until_gone(address, patience_s)
        print(f"{what} at {address} is gone", file=sys.stderr, flush=True)
        end()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something beside everything else."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def say(self, message: Message) -> None:
        """To the coordinator."""
        self.say_frame(encode(message))

    def say_frame(self, frame: bytes) -> None:
        """To the coordinator, what is a frame already."""
        self._writer.write(frame)


async def serve(control: socket.socket) -> None:
    """Be the bridge of the coordinator at the other end of ``control``."""
    reader, writer = await asyncio.open_connection(sock=control)
    frames, bridge = Frames(), None
    while data := await reader.read(READ_BYTES):
        for message in frames.feed(data):
            if isinstance(message, Connect):
                bridge = await _surveyed(message, reader, writer)
            elif isinstance(message, Shutdown):
                data = b""
            elif bridge is not None and isinstance(message, Hello):
                bridge.spawn(_opened(bridge, message))
            elif bridge is not None:
                bridge.obey(message)
        if not data:
            break
    if bridge is not None:
        await bridge.leave()


async def _surveyed(connect: Connect, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Bridge | None:
    ray = await join(connect, writer)
    if ray is None:
        return None
    bridge = Bridge(ray, connect, writer)
    bridge.watch(reader.feed_eof)
    bridge.say(await bridge.survey())
    return bridge


async def _opened(bridge: Bridge, hello: Hello) -> None:
    try:
        await bridge.open(hello)
    except Exception as error:
        bridge.say(Surveyed(problem=str(error)))


def main(arguments: list[str]) -> int:
    """The program.

    Args:
        arguments: The number of the inherited socket.
    """
    control = socket.socket(fileno=int(arguments[0]))
    os.set_inheritable(control.fileno(), False)
    asyncio.run(serve(control))
    return 0


if __name__ == "__main__":
    main(sys.argv[1:])
    os._exit(0)
