"""One seat over time: the host that sits there, and who takes its place when it is gone."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from flopwise.executors.cluster.guest import LEAVE_S, Guest
from flopwise.executors.cluster.messages import Note, SeatDown, SeatUp
from flopwise.executors.cluster.ray_calls import brief
from flopwise.executors.cluster.seats import Place
from flopwise.wire import Job, StopAttempt

if TYPE_CHECKING:
    from flopwise.executors.cluster.bridge import Bridge

AGAIN_S = (0.5, 2.0, 5.0, 10.0, 30.0)
"""Before a seat is tried again, first to fifth time and later."""

TELL_AFTER_S = 10.0
TELL_EVERY_S = 60.0


class Sitting:
    """A seat.

    Args:
        bridge: What all seats share.
        number: 0, 1, …
        place: How large, and where at first.
        first: Number of its first slot.

    Attributes:
        up: Its slots can be used.
        slots: Their numbers.
        node: Where it is, or was last.
        problems: What its host noticed when it came up.
    """

    def __init__(self, bridge: Bridge, number: int, place: Place, first: int) -> None:
        self.up = asyncio.Event()
        self.number = number
        self.slots = tuple(range(first, first + place.slots))
        self.node = place.node
        self.problems: tuple[str, ...] = ()
        self._bridge = bridge
        self._guest: Guest | None = None
        self._tried = 0

    def start(self, job: Job) -> None:
        """Pass a job on; one for a seat that has just gone down is lost with it."""
        if self._guest is None:
            self._bridge.say(SeatDown(self.number, "", "it had just gone down", time.monotonic(), (job.attempt,)))
        else:
            self._guest.start(job)

    def stop(self, message: StopAttempt) -> None:
        """Pass it on."""
        if self._guest is not None:
            self._guest.stop(message)

    async def sit(self) -> None:
        """Have a host here, for as long as the bridge lives."""
        failures = 0
        while True:
            try:
                guest = await self._seat()
            except Exception as error:
                self._bridge.say(Note(f"no host for slots {self._names()}: {brief(error)}"))
                await asyncio.sleep(AGAIN_S[min(failures, len(AGAIN_S) - 1)])
                failures += 1
                continue
            failures = 0
            await self._serve(guest)

    async def _seat(self) -> Guest:
        bridge = self._bridge
        node = self.node if self._tried == 0 else bridge.find_place(self.node, len(self.slots))
        guest = Guest(bridge, f"{self.number}.{self._tried}", self.slots, node)
        self._tried += 1
        telling = asyncio.ensure_future(self._tell())
        try:
            await guest.settle()
        except Exception:
            bridge.spawn(guest.leave(LEAVE_S))
            raise
        except BaseException:
            guest.dismiss()
            raise
        finally:
            telling.cancel()
        self.node, self.problems = guest.node, guest.problems
        return guest

    async def _serve(self, guest: Guest) -> None:
        bridge = self._bridge
        self._guest = guest
        self.up.set()
        bridge.say(SeatUp(self.number, guest.name))
        for problem in guest.problems if bridge.is_open else ():
            bridge.say(Note(problem))
        detail = await guest.serve()
        self._guest = None
        self.up.clear()
        bridge.say(SeatDown(self.number, guest.name, detail, time.monotonic(), tuple(guest.running)))

    async def _tell(self) -> None:
        """Say now and then that the cluster has no room."""
        await asyncio.sleep(TELL_AFTER_S)
        while True:
            needed = self._bridge.wish.of(len(self.slots))
            text = ", ".join(f"{name} {amount:g}" for name, amount in needed.items())
            self._bridge.say(Note(f"slots {self._names()} wait for a node with {text}"))
            await asyncio.sleep(TELL_EVERY_S)

    def _names(self) -> str:
        first, last = self.slots[0], self.slots[-1]
        return str(first) if first == last else f"{first}-{last}"

    async def leave(self, limit_s: float) -> None:
        """End what runs here."""
        if self._guest is not None:
            await self._guest.leave(limit_s)
