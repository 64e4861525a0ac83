"""One host as the bridge sees it: an actor, its clock, and what runs there."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from flopwise.executors.cluster import luggage
from flopwise.executors.cluster.clocks import NodeClock
from flopwise.executors.cluster.host import Host, Parcel
from flopwise.executors.cluster.messages import Note
from flopwise.executors.cluster.ray_calls import brief, on_node, waited
from flopwise.wire import Ended, Frames, Job, KeeperLost, Message, Ready, Started, StopAttempt, encode

if TYPE_CHECKING:
    from flopwise.executors.cluster.bridge import Bridge

LISTEN_S = 2.0
"""A host that nothing happens to says so as often."""

LEAVE_S = 10.0
"""How long a host may take to end everything."""

AT_ONCE = 8
"""Calls that a host works on at a time: one that listens, others that bring something."""


class Guest:
    """A host, from its actor's start to its end.

    Args:
        bridge: What all share.
        mark: Tells it from all other hosts of the run.
        slots: Numbers of its slots.
        node: Id of the node it has to be on; None for any.

    Attributes:
        node: Where it is.
        name: Of that, for people.
        problems: What to tell the user about it.
        running: Attempts that were given to it and have not ended.
    """

    def __init__(self, bridge: Bridge, mark: str, slots: tuple[int, ...], node: str | None) -> None:
        self.node = node
        self.name = ""
        self.problems: tuple[str, ...] = ()
        self.running: dict[str, Job] = {}
        self._bridge = bridge
        self._mark = mark
        self._slots = slots
        self._clock = NodeClock()
        self._sent: dict[str, float] = {}
        self._orders: asyncio.Queue[Job | StopAttempt] = asyncio.Queue()
        self._number = 0
        self._given_up = False
        self._kept: set[str] = set()
        where = {"scheduling_strategy": on_node(node) if node else "SPREAD"}
        needed = bridge.wish.of(len(slots))
        amounts = {"num_cpus": needed.pop("CPU"), "num_gpus": needed.pop("GPU", 0.0)}
        if "memory" in needed:
            amounts["memory"] = needed.pop("memory")
        kind = bridge.ray.remote(**amounts, resources=needed, max_concurrency=AT_ONCE, **where)(Host)
        self._host = kind.remote()

    async def settle(self) -> None:
        """Wait until the actor has a place and its keeper is ready.

        Raises:
            Exception: Whatever Ray or the host says when it cannot be, or its node is not fit.
        """
        bridge = self._bridge
        self.node = str(await waited(self._host.where.remote()))
        self.name = await bridge.fit(self.node)
        hello = replace(bridge.hello, run_id=f"{bridge.hello.run_id}.{self._mark}")
        passed = {name: os.environ[name] for name in hello.pass_env if name in os.environ}
        sent_at = time.monotonic()
        frame, there, notes = await waited(
            self._host.open.remote(encode(hello), asdict(bridge.wish), self._slots, passed, bridge.paths, bridge.code)
        )
        self._clock.heard(sent_at, there)
        (ready,) = Frames().feed(frame)
        assert isinstance(ready, Ready)
        self.problems = tuple(f"{self.name}: {text}" for text in (*notes, *ready.problems))

    def start(self, job: Job) -> None:
        """Give it a job."""
        self.running[job.attempt] = job
        self._orders.put_nowait(job)

    def stop(self, message: StopAttempt) -> None:
        """End one of its attempts."""
        self._orders.put_nowait(message)

    async def serve(self) -> str:
        """Pass on what it says until it is gone; returns why. What runs there is lost then, or may come too late."""
        delivering = asyncio.ensure_future(self._deliver())
        try:
            return await self._listen(LISTEN_S + self._bridge.options.lost_after)
        finally:
            delivering.cancel()

    async def leave(self, limit_s: float) -> None:
        """End everything there, in so many seconds or by force."""
        with contextlib.suppress(Exception):
            await asyncio.wait_for(waited(self._host.close.remote()), limit_s)
        self.dismiss()

    def dismiss(self) -> None:
        """End the actor, and with it all that it started."""
        self._bridge.ray.kill(self._host)

    # Towards the node

    async def _deliver(self) -> None:
        while True:
            order = await self._orders.get()
            if isinstance(order, Job):
                await self._supply(order)
                self._sent[order.attempt] = time.monotonic()
            self._host.send.remote(self._number, encode(order))
            self._number += 1

    async def _supply(self, job: Job) -> None:
        """Bring prepared data before the first attempt that needs it."""
        for name, parts in self._bridge.stored(job).items():
            if name not in self._kept:
                await waited(self._host.keep.remote(name, *parts))
                self._kept.add(name)

    # From the node

    async def _listen(self, patience_s: float) -> str:
        ref = self._next()
        while True:
            done, _ = await asyncio.wait({ref}, timeout=patience_s)
            if not done:
                self._given_up = True
                self._bridge.spawn(self._outlast(ref))
                return f"no word from it for {self._bridge.options.lost_after:g} s"
            try:
                parcels = ref.result()
                ref = self._next()
                for parcel in parcels:
                    lost = await self._pass_on(parcel)
                    if lost is not None:
                        self._bridge.spawn(self.leave(LEAVE_S))
                        return lost
            except Exception as error:
                self._bridge.spawn(self.leave(LEAVE_S))
                return f"{type(error).__name__}: {brief(error)}"

    def _next(self) -> asyncio.Future[list[Parcel]]:
        return asyncio.ensure_future(waited(self._host.listen.remote(LISTEN_S)))

    async def _pass_on(self, parcel: Parcel) -> str | None:
        """To the coordinator; returns how the keeper ended if it did."""
        frame, files = parcel
        (message,) = Frames().feed(frame)
        match message:
            case KeeperLost():
                return f"its keeper died: {message.detail}"
            case Started():
                self._bridge.say(self._started(message))
            case Ended():
                await self._bring_home(message.attempt, files)
                self._bridge.say(self._ended(message))
            case _:
                self._bridge.say_frame(frame)
        return None

    def _started(self, message: Started) -> Message:
        at = self._clock.start(message.attempt, message.at, self._sent.pop(message.attempt, -float("inf")))
        self._bridge.stamps.add("start", at, attempt=message.attempt, pid=message.pid, node=self.name)
        return replace(message, at=at)

    def _ended(self, message: Ended) -> Message:
        began, ended = self._clock.end(message.attempt, message.started_at, message.ended_at, time.monotonic())
        self.running.pop(message.attempt, None)
        facts = asdict(message)
        for name in ("started_at", "ended_at", "tail"):
            del facts[name]
        event = "late_end" if self._given_up else "end"
        self._bridge.stamps.add(event, ended, node=self.name, **facts)
        return replace(message, started_at=began, ended_at=ended)

    async def _bring_home(self, attempt: str, files: list[luggage.File]) -> None:
        job = self.running.get(attempt)
        if job is None or not files:
            return
        try:
            await asyncio.to_thread(luggage.unpack, files, Path(job.folder))
        except (OSError, ValueError) as error:
            self._bridge.say(Note(f"what {attempt} left could not be brought home: {error}"))

    async def _outlast(self, ref: asyncio.Future[list[Parcel]]) -> None:
        """It was given up, and may come back: what it says then is passed on, and counts for nobody else."""
        try:
            for parcel in await ref:
                await self._pass_on(parcel)
            for attempt in list(self.running):
                self._host.send.remote(self._number, encode(StopAttempt(attempt, "replaced", 0.0)))
                self._number += 1
            while self.running:
                for parcel in await self._next():
                    if await self._pass_on(parcel) is not None:
                        return
        except Exception:
            return
        finally:
            await self.leave(LEAVE_S)
