"""Slots over nodes, and stamps of nodes by the coordinator's clock."""

from __future__ import annotations

import random

from flopwise.executors.cluster.clocks import NodeClock
from flopwise.executors.cluster.seats import Place, Wish, settle, slots_of, spread


def test_the_roomiest_nodes_come_first_and_the_rest_waits_for_new_ones() -> None:
    nodes = {"a": {"CPU": 2.0}, "b": {"CPU": 5.0}, "c": {"CPU": 0.0}}
    assert spread(Wish(), nodes) == [Place(5, "b"), Place(2, "a")]
    assert spread(Wish(slots=6), nodes) == [Place(5, "b"), Place(1, "a")]
    assert spread(Wish(slots=13), nodes) == [Place(5, "b"), Place(2, "a"), Place(5, None), Place(1, None)]
    assert spread(Wish(slots=2), {}) == [Place(1, None), Place(1, None)]
    assert spread(Wish(), {}) == []


def test_a_slot_needs_all_it_asks_for() -> None:
    free = {"CPU": 64.0, "GPU": 8.0, "memory": 100.0, "fast_disk": 0.3}
    assert Wish(threads=4, accelerators=2).fit(free) == 4
    assert Wish(memory_bytes=30).fit(free) == 3
    assert Wish(resources={"fast_disk": 0.1}).fit(free) == 3
    assert Wish(resources={"licence": 1}).fit(free) == 0
    assert Wish(per_node=5).fit(free) == 5


def test_a_session_that_goes_on_keeps_its_seats() -> None:
    assert settle(Wish(threads=2), [2, 1], {"a": {"CPU": 2.0}, "b": {"CPU": 4.0}}) == [Place(2, "b"), Place(1, "a")]


def test_slots_of_a_seat_share_a_host() -> None:
    slots = slots_of(Wish(threads=3, memory_bytes=7), [2, 1])
    assert [(s.index, s.host, s.threads, s.memory_bytes) for s in slots] == [(0, 0, 3, 7), (1, 0, 3, 7), (2, 1, 3, 7)]


def test_translated_stamps_are_never_before_the_order_nor_after_the_news() -> None:
    random.seed(3)
    for ahead in (-1e6, -3.0, 0.0, 12.5, 4e5):
        clock, now = NodeClock(), 100.0
        clock.heard(now, now + random.uniform(0, 0.01) + ahead)
        for number in range(200):
            name = f"t{number:04d}.s0.a1"
            sent = now = now + random.uniform(0, 0.05)
            began = sent + random.uniform(0.0001, 0.02)
            took = random.uniform(0, 3)
            heard = began + took + random.uniform(0.0001, 0.02)
            start = clock.start(name, began + ahead, sent)
            assert sent <= start <= began + 1e-6
            again, end = clock.end(name, began + ahead, began + took + ahead, heard)
            assert again == start and end <= heard
            assert abs((end - start) - took) < 1e-6
            now = heard


def test_an_end_without_a_start_has_its_duration() -> None:
    clock = NodeClock()
    clock.heard(10.0, 1000.0)
    start, end = clock.end("t0001.s0.a1", 1001.0, 1003.0, 14.0)
    assert (end - start, end <= 14.0) == (2.0, True)
