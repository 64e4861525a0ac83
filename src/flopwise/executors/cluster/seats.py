"""How a study's slots are spread over nodes. A *seat* is a group of slots on one node: they come and go together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from flopwise.wire import Slot


@dataclass(frozen=True)
class Wish:
    """What a study asks for.

    Args:
        slots: How many; None for as many as there is room for.
        threads: Cores of a slot.
        memory_bytes: Of a slot; None for no limit.
        accelerators: Of a slot, whole.
        exclusive: Whether a slot's physical cores are its own.
        resources: Custom resources of a slot.
        per_node: Most slots of a seat; None for as many as fit.
    """

    slots: int | None = None
    threads: int = 1
    memory_bytes: int | None = None
    accelerators: int = 0
    exclusive: bool = False
    resources: Mapping[str, float] = field(default_factory=dict)
    per_node: int | None = None

    def of(self, slots: int) -> dict[str, float]:
        """What so many slots take of a node, by Ray's names."""
        found = {"CPU": float(self.threads * slots)}
        if self.accelerators:
            found["GPU"] = float(self.accelerators * slots)
        if self.memory_bytes is not None:
            found["memory"] = float(self.memory_bytes * slots)
        return {**found, **{name: amount * slots for name, amount in self.resources.items()}}

    def fit(self, free: Mapping[str, float]) -> int:
        """How many slots a node has room for.

        Example:
            >>> Wish(threads=2, accelerators=1).fit({"CPU": 7.0, "GPU": 4.0})
            3
        """
        room = min(int(free.get(name, 0.0) / amount + 1e-9) for name, amount in self.of(1).items())
        return room if self.per_node is None else min(room, self.per_node)


@dataclass(frozen=True)
class Place:
    """A seat before anybody sits there.

    Args:
        slots: How many.
        node: Id of the node; None for one that the cluster has yet to provide.
    """

    slots: int
    node: str | None


def spread(wish: Wish, nodes: Mapping[str, Mapping[str, float]]) -> list[Place]:
    """Seats for a study: as few nodes as do, the roomiest first; what does not fit waits for new nodes.

    Args:
        wish: What is asked for.
        nodes: Id of every node that may be used, to what is free there.

    Example:
        >>> spread(Wish(slots=5), {"a": {"CPU": 2.0}, "b": {"CPU": 2.0}})
        [Place(slots=2, node='a'), Place(slots=2, node='b'), Place(slots=1, node=None)]
    """
    room = sorted(((wish.fit(free), node) for node, free in nodes.items()), key=lambda each: (-each[0], each[1]))
    left = sum(count for count, _ in room) if wish.slots is None else wish.slots
    places = []
    for count, node in room:
        if min(count, left) > 0:
            places.append(Place(min(count, left), node))
            left -= places[-1].slots
    most = max([count for count, _ in room if count] or [wish.per_node or 1])
    while left > 0:
        places.append(Place(min(most, left), None))
        left -= places[-1].slots
    return places


def settle(wish: Wish, seats: Sequence[int], nodes: Mapping[str, Mapping[str, float]]) -> list[Place]:
    """Nodes for seats that there are already; what has no room now waits for it.

    Args:
        wish: What is asked for.
        seats: Number of slots of every seat.
        nodes: As for :func:`spread`.

    Example:
        >>> settle(Wish(), [1, 2], {"a": {"CPU": 2.0}})
        [Place(slots=1, node='a'), Place(slots=2, node=None)]
    """
    room = {node: wish.fit(free) for node, free in nodes.items()}
    places = []
    for count in seats:
        node = next((node for node in sorted(room) if room[node] >= count), None)
        places.append(Place(count, node))
        if node is not None:
            room[node] -= count
    return places


def slots_of(wish: Wish, seats: Sequence[int]) -> tuple[Slot, ...]:
    """The study's slots; which cores and devices they have is settled on the node.

    Args:
        wish: What is asked for.
        seats: Number of slots of every seat.
    """
    hosts = [seat for seat, count in enumerate(seats) for _ in range(count)]
    return tuple(Slot(index, (), wish.threads, wish.memory_bytes, host=seat) for index, seat in enumerate(hosts))
