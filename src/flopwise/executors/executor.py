"""The one interface between the engine and whatever runs attempts."""

from __future__ import annotations

from typing import Protocol

from flopwise.wire import Hello, Job, Message, Ready, Slot


class Executor(Protocol):
    """Runs jobs on slots and says what became of them.

    Attributes:
        slots: Where jobs may run; at most one job a slot at a time (the caller sees to it).

    A member is made from its slots. One whose class has ``pins = True`` pins attempts to cores of this machine:
    they are leased for it, and it is made from slots and the descriptors of the leases.
    """

    @property
    def slots(self) -> tuple[Slot, ...]: ...

    def open(self, hello: Hello) -> Ready:
        """Start; may be called again after ``KeeperLost``. Ends what an earlier process of this run left behind.

        Raises:
            ExecutorError: If it cannot start.
        """
        ...

    def start(self, job: Job) -> None:
        """Run a job. ``Started``, its reports and one ``Ended`` follow from :meth:`poll`.

        Raises:
            ExecutorError: If it is not open, or the job cannot be sent.
        """
        ...

    def stop(self, attempt: str, reason: str, grace_s: float) -> None:
        """End an attempt: ask it, and end its whole process tree after ``grace_s`` seconds."""
        ...

    def poll(self, timeout_s: float, wake: int | None = None) -> list[Message]:
        """What happened, in order.

        Args:
            timeout_s: Longest wait in seconds; returns as soon as there is a message.
            wake: File descriptor that ends the wait when it becomes readable.
        """
        ...

    def close(self) -> None:
        """End everything and wait until it is gone. May be called at any time, and twice."""
        ...
