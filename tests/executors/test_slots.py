"""Slots never share a core and never ask for more than there is; they lie well on the machine."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopwise.errors import InputError
from flopwise.executors.accelerators import Accelerator
from flopwise.executors.slots import Share, is_duration, leased, make_slots
from flopwise.executors.topology import Core, Topology
from flopwise.wire import Slot

GIB = 1 << 30


def machine(physical: int, ways: int = 1, nodes: int = 1, gpus: int = 0) -> Topology:
    """Cores numbered as Linux does it: first one of every physical core, then the siblings."""
    siblings = [tuple(core + way * physical for way in range(ways)) for core in range(physical)]
    cores = (Core(n, siblings[n % physical], n % physical * nodes // physical) for n in range(physical * ways))
    devices = (Accelerator(n, f"GPU-{n}", "H200", 141 * GIB, n * nodes // gpus) for n in range(gpus))
    return Topology(tuple(cores), 2 * physical * GIB, tuple(devices))


def flat(numbers: Iterable[int]) -> Topology:
    """Every core alone, all on one node."""
    return Topology(tuple(Core(number, (number,)) for number in numbers), 64 * GIB)


def cores_of(slots: Iterable[Slot]) -> list[tuple[int, ...]]:
    return [slot.cores for slot in slots]


core_sets = st.sets(st.integers(0, 255), min_size=1, max_size=64).map(sorted)


@given(core_sets, st.none() | st.integers(1, 70), st.integers(1, 70))
def test_slots_fit_or_are_refused(cores: list[int], slots: int | None, threads: int) -> None:
    share = Share(threads, slots)
    if threads > len(cores) or (slots or 1) * threads > len(cores):
        with pytest.raises(InputError):
            share.on(flat(cores))
        return
    made = make_slots(flat(cores), share.on(flat(cores)))
    used = [core for slot in made for core in slot.cores]
    assert len(made) == (slots or len(cores) // threads)
    assert [slot.index for slot in made] == list(range(len(made)))
    assert all(len(slot.cores) == slot.threads == threads for slot in made)
    assert len(used) == len(set(used)) and set(used) <= set(cores)


@given(
    st.builds(machine, st.integers(1, 32), st.integers(1, 2), st.integers(1, 4), st.integers(0, 8)),
    st.sets(st.integers(0, 63)),
    st.builds(
        Share,
        threads=st.integers(1, 20),
        slots=st.none() | st.integers(1, 40),
        accelerators=st.none() | st.integers(0, 3),
        exclusive=st.booleans(),
    ),
)
def test_whatever_is_free_slots_have_what_they_ask_for_alone(whole: Topology, held: set[int], share: Share) -> None:
    try:
        share = share.on(whole)
    except InputError:
        return
    free = replace(whole, cores=tuple(core for core in whole.cores if core.number not in held))
    made = make_slots(free, share)
    used = [core for slot in made for core in slot.cores]
    names = [name for slot in made for name in slot.accelerators]
    assert len(made) in ((0, share.slots) if share.slots else range(100))
    assert all(len(slot.cores) == share.threads for slot in made)
    assert all(len(slot.accelerators) == share.accelerators for slot in made)
    assert len(set(used)) == len(used) and len(set(names)) == len(names)
    assert not held.intersection(leased(made, whole, exclusive=share.exclusive))


def test_the_error_names_the_largest_number_that_fits() -> None:
    with pytest.raises(InputError, match=r"set execution\.slots to 2"):
        Share(2, 3).on(flat(range(5)))


def test_too_many_threads_name_the_number_of_cores() -> None:
    with pytest.raises(InputError, match=r"set execution\.threads to 2"):
        Share(3).on(flat(range(2)))


@pytest.mark.parametrize(("slots", "threads"), [(0, 1), (-1, 1), (1, 0), (None, -2)])
def test_zero_and_less_are_refused(slots: int | None, threads: int) -> None:
    with pytest.raises(InputError, match="at least 1"):
        Share(threads, slots).on(flat(range(2)))


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (Share(memory_bytes=200 * GIB), r"execution\.memory of at most 128\.0 GiB"),
        (Share(slots=3, memory_bytes=50 * GIB), r"at most 2 slots of 1 thread and 50\.0 GiB"),
        (Share(accelerators=9), r"execution\.accelerators of at most 8"),
        (Share(slots=5, accelerators=2), r"at most 4 slots of 1 thread and 2 accelerators"),
        (Share(threads=65, exclusive=True), r"at most 64, the physical cores"),
        (Share(slots=65, exclusive=True), r"set execution\.slots to 64"),
    ],
)
def test_what_is_bigger_than_the_machine_is_refused(share: Share, said: str) -> None:
    with pytest.raises(InputError, match=said):
        share.on(machine(64, 2, 2, gpus=8))


def test_a_slot_fills_whole_physical_cores() -> None:
    assert cores_of(make_slots(machine(4, 2), Share(2))) == [(0, 4), (1, 5), (2, 6), (3, 7)]


def test_few_slots_do_not_share_a_physical_core() -> None:
    assert cores_of(make_slots(machine(4, 2), Share(1, 4))) == [(0,), (1,), (2,), (3,)]
    assert cores_of(make_slots(machine(4, 2), Share(3))) == [(0, 1, 4), (2, 3, 6)]


def test_many_slots_use_the_siblings_too() -> None:
    made = cores_of(make_slots(machine(4, 2), Share(1)))
    assert sorted(made) == [(n,) for n in range(8)] and made[:2] == [(0,), (4,)]


def test_an_exclusive_slot_leaves_siblings_idle_and_leases_them() -> None:
    whole = machine(4, 2)
    made = make_slots(whole, Share(2, exclusive=True).on(whole))
    assert cores_of(made) == [(0, 1), (2, 3)]
    assert leased(made, whole, exclusive=True) == frozenset(range(8))


def test_an_exclusive_slot_takes_no_core_whose_sibling_is_held() -> None:
    whole = machine(4, 2)
    free = replace(whole, cores=tuple(core for core in whole.cores if core.number != 4))
    assert cores_of(make_slots(free, Share(1, exclusive=True))) == [(1,), (2,), (3,)]
    assert cores_of(make_slots(free, Share(1, 1))) == [(1,)]


def test_a_sibling_that_this_process_may_not_use_is_leased_all_the_same() -> None:
    whole = machine(2, 2)
    half = replace(whole, cores=whole.cores[:2], beyond=frozenset({2, 3}))
    made = make_slots(half, Share(1, exclusive=True))
    assert cores_of(made) == [(0,), (1,)]
    assert leased(made, half, exclusive=True) == frozenset({0, 1, 2, 3})


def test_slots_do_not_straddle_nodes_when_it_can_be_avoided() -> None:
    two = machine(10, nodes=2)
    assert cores_of(make_slots(two, Share(3))) == [(0, 1, 2), (5, 6, 7)]
    assert cores_of(make_slots(two, Share(3, 3))) == [(0, 1, 2), (3, 4, 5), (6, 7, 8)]
    assert cores_of(make_slots(two, Share(7))) == [(0, 1, 2, 3, 4, 5, 6)]


def test_one_accelerator_a_slot_and_cores_near_it() -> None:
    whole = machine(64, 2, 2, gpus=8)
    made = make_slots(whole, Share(threads=4, accelerators=None).on(whole))
    assert [slot.accelerators for slot in made] == [(f"GPU-{n}",) for n in range(8)]
    nodes = {core.number: core.node for core in whole.cores}
    assert [{nodes[core] for core in slot.cores} for slot in made] == [{0}] * 4 + [{1}] * 4


def test_memory_limits_how_many_slots_fit() -> None:
    made = make_slots(machine(8), Share(memory_bytes=5 * GIB))
    assert [slot.memory_bytes for slot in made] == [5 * GIB] * 3


def test_what_is_free_may_be_too_little() -> None:
    assert make_slots(flat([1]), Share(2)) == ()
    assert make_slots(flat([1]), Share(1, 2)) == ()
    assert make_slots(flat([]), Share(1)) == ()


@pytest.mark.parametrize("metric", ["seconds_to_target", "wall_s", "step_ms", "latency", "train.time"])
def test_durations_are_known_by_their_names(metric: str) -> None:
    assert is_duration(metric)


@pytest.mark.parametrize("metric", ["val_loss", "accuracy", "loss", "bits_per_byte", "s", "timeless"])
def test_other_metrics_are_no_durations(metric: str) -> None:
    assert is_duration(metric) == (metric == "s")
