"""The one interface between the engine and whatever runs attempts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict

from flopwise.clock import Clock
from flopwise.wire import Hello, Job, Message, Ready, Slot


@dataclass(frozen=True)
class Traits:
    """What sets a member apart from the others, as far as anybody outside it has to know.

    Args:
        pins: Attempts are pinned to cores of this machine: they are leased for it, and the descriptors of
            the leases are given to ``from_study``.
        folders: Attempts need a folder each.
        durable: The run's journal is worth a sync.
        heeds: Settings of slots that it obeys although it pins nothing here, such as ``memory``.
        down: Numbers of slots that cannot be used at the moment: their node is gone, or not there yet.
        shares_terminal: Attempts may use the terminal, for example to debug: nothing else is drawn there.
        facts: What the machine of its runs is marked with, JSON values.
        clock: The session's time; None for the real one.
    """

    pins: bool = False
    folders: bool = True
    durable: bool = True
    heeds: tuple[str, ...] = ()
    down: frozenset[int] = frozenset()
    shares_terminal: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict)
    clock: Clock | None = None


class NoOptions(BaseModel):
    """``execution.options`` of a member that has nothing to set."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Executor(Protocol):
    """Runs jobs on slots and says what became of them.

    Attributes:
        traits: What sets it apart. On the class, what is true of all of them; an object may know more, and
            more again once it is open.
        slots: Where jobs may run; at most one job a slot at a time (the caller sees to it).

    A member that a study file can name also has ``Options``, the pydantic model of ``execution.options``
    (:class:`NoOptions` for none), and is made by ``from_study(execution, cut, leases)``: the study's section, a
    function that cuts this machine into slots, and descriptors of their leases.
    """

    traits: Traits

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
