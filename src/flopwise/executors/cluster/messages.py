"""What coordinator and bridge say to each other beyond the wire's own messages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flopwise.wire import Message


@dataclass(frozen=True)
class Connect(Message):
    """First message to a bridge: find the cluster, and see what it has for a study.

    Args:
        wish: Of a slot and of all, a :class:`~flopwise.executors.cluster.seats.Wish` as JSON.
        options: As in the study, JSON.
        wait_s: Longest wait for room; None for ever.
        flopwise: Version of the coordinator's.
        digest: Of its sources.
        seats: Number of slots of every seat of a session that goes on; none for a new one.
    """

    wish: Mapping[str, Any]
    options: Mapping[str, Any]
    wait_s: float | None
    flopwise: str
    digest: str
    seats: tuple[int, ...] = ()


@dataclass(frozen=True)
class Surveyed(Message):
    """What the bridge found.

    Args:
        seats: Number of slots of every seat; none after a problem.
        cpus: What the nodes' processors call themselves.
        notes: About nodes that are refused, and other things to know.
        problem: Why there is nothing to run on; empty if there is.
        fix: What to do about that.
    """

    seats: tuple[int, ...] = ()
    cpus: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    problem: str = ""
    fix: str = ""


@dataclass(frozen=True)
class SeatUp(Message):
    """A seat's slots can be used."""

    seat: int
    node: str


@dataclass(frozen=True)
class SeatDown(Message):
    """What ran on a seat is lost, and its slots cannot be used for now.

    Args:
        seat: Number of the seat.
        node: Where it was.
        detail: Why.
        at: Monotonic seconds of the coordinator's machine.
        attempts: That were running there.
    """

    seat: int
    node: str
    detail: str
    at: float
    attempts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Note(Message):
    """A line for the user."""

    text: str
    facts: Mapping[str, Any] = field(default_factory=dict)
