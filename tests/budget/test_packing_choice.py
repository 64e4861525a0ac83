"""Which pair is measured next and which one is taken, on made-up machines."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopwise.budget.limits import Limits, Spent
from flopwise.budget.packing import (
    LET_FINISH_S,
    MEMORY,
    TIE,
    Choice,
    Pair,
    allowance,
    candidates,
    choose,
    evaluations_per_hour,
    hopeless,
    next_pair,
    over_memory,
    too_big,
)
from flopwise.events import PackingMeasured

GIB = 2**30
PLENTY = 1000 * GIB

Law = Callable[[Pair], float]
"""Seconds of one evaluation when all slots of a pair run."""


def measured(pair: Pair, seconds: float, peak: int | None = None, cause: str = "") -> PackingMeasured:
    each = [seconds] * pair.slots
    rate = 0.0 if cause else evaluations_per_hour(pair.slots, each)
    return PackingMeasured(pair.slots, pair.threads, each, rate, peak, cause, sum(each), 0.0, 0.0)


def explore(
    pairs: tuple[Pair, ...], law: Law, peak: int | None = None, memory: int = PLENTY
) -> tuple[Choice, list[Pair]]:
    """What is taken in the end, and what was measured for it, in order."""
    settled: dict[Pair, PackingMeasured] = {}
    ran = []
    while (pair := next_pair(pairs, settled, memory)) is not None:
        assert pair not in settled
        cause = too_big(pair, settled, memory)
        if not cause:
            ran.append(pair)
            cause = over_memory(pair, peak, memory)
        settled[pair] = measured(pair, law(pair), peak, cause)
    choice = choose(pairs, settled)
    assert choice is not None
    return choice, ran


@given(st.integers(1, 300), st.none() | st.integers(1, 40), st.integers(1, 500), st.integers(1, 8))
def test_a_pair_never_needs_more_cores_than_there_are(cores: int, slots: int | None, most: int, nodes: int) -> None:
    if slots is not None and slots > cores:
        return
    pairs = candidates(cores, slots, most, nodes)
    assert len(set(pairs)) == len(pairs) <= 18
    assert all(pair.slots * pair.threads <= cores for pair in pairs)
    assert all(pair.slots <= max(most, 1) for pair in pairs) or slots is not None
    assert all(pair.slots == slots for pair in pairs) or slots is None
    assert pairs[0].slots == (slots or 1)


def test_two_cores_have_two_pairs_and_one_core_has_one() -> None:
    assert candidates(2, None, most=9) == (Pair(1, 2), Pair(2, 1))
    assert candidates(1, None, most=9) == (Pair(1, 1),)


def test_no_more_slots_than_the_search_can_fill() -> None:
    assert [pair.slots for pair in candidates(128, None, most=12)] == [1, 3, 6, 12]
    assert candidates(128, None, most=12)[-1].threads == 10


def test_slots_stay_inside_memory_nodes() -> None:
    """96 cores on two nodes of 48: three slots of 32 threads would have one that lies on both."""
    assert [pair.threads for pair in candidates(96, None, 500, nodes=2)] == [96, 48, 16, 8, 4, 2, 1]
    assert 32 in [pair.threads for pair in candidates(96, None, 500)]


def test_two_cores_as_measured_with_torch() -> None:
    """Four trials took 12.1 s one by one on two threads and 9.2 s two by two on one thread."""
    seconds = {Pair(1, 2): 12.1 / 4, Pair(2, 1): 9.2 / 2}
    choice, ran = explore(candidates(2, None, 9), seconds.__getitem__)
    assert choice == Choice(Pair(2, 1), "1,565 evaluations an hour, the most of 2 tried")
    assert ran == [Pair(2, 1), Pair(1, 2)]


def amdahl(serial: float) -> Law:
    """680 s on one thread, of which a share does not run in parallel."""
    return lambda pair: 680 * (serial + (1 - serial) / pair.threads)


def test_128_cores_and_an_evaluation_that_one_thread_does_best() -> None:
    """Neuroevolution in tiny tensors: threads do not help, so every core gets an evaluation of its own."""
    choice, ran = explore(candidates(128, None, 300, nodes=2), amdahl(serial=0.95))
    assert choice.pair == Pair(128, 1)
    assert ran == [Pair(16, 8), Pair(32, 4), Pair(64, 2), Pair(128, 1)]


def test_128_cores_and_100_trials_never_end_as_three_workers_of_64_threads() -> None:
    """3 × 64 threads are more than there are cores, and 15 × 6 leaves 38 of them idle; neither is a candidate."""
    pairs = candidates(128, None, 300, nodes=2)
    assert all(pair.slots * pair.threads == 128 for pair in pairs)
    seconds = amdahl(serial=0.1)
    choice, _ = explore(pairs, seconds)
    three, fifteen = 3 * 3600 / seconds(Pair(3, 42)), 15 * 3600 / seconds(Pair(15, 6))
    assert evaluations_per_hour(choice.pair.slots, [seconds(choice.pair)]) > max(2 * fifteen, 5 * three)


def test_perfect_scaling_takes_the_whole_machine_for_one_evaluation_and_wastes_little_on_finding_out() -> None:
    choice, ran = explore(candidates(128, None, 300), amdahl(serial=0.0))
    assert choice.pair == Pair(1, 128)
    assert Pair(128, 1) not in ran and Pair(64, 2) not in ran


def test_equals_go_to_fewer_slots_and_say_so() -> None:
    seconds = {Pair(1, 4): 1.03, Pair(2, 2): 2.0, Pair(4, 1): 4.2}
    choice, _ = explore(candidates(4, None, 9), seconds.__getitem__)
    assert choice.pair == Pair(1, 4)
    assert choice.reason.endswith("as good as 2 × 2 (3,600), and each evaluation is done sooner")


def test_with_the_number_of_slots_given_equals_go_to_fewer_threads() -> None:
    seconds = {1: 20.0, 2: 10.3, 4: 10.0, 8: 10.0}
    choice, ran = explore(candidates(16, 2, 9), lambda pair: seconds[pair.threads])
    assert choice == Choice(Pair(2, 2), "699 evaluations an hour, as good as 2 × 4 (720), and fewer cores are taken")
    assert ran == [Pair(2, 4), Pair(2, 8), Pair(2, 2), Pair(2, 1)]


@given(st.integers(2, 256), st.floats(0, 1), st.floats(0, 0.2))
def test_what_is_found_is_as_good_as_trying_everything(cores: int, serial: float, crowding: float) -> None:
    """Where rates rise to one best pair and fall again, as Amdahl's law and a shared memory bus make them."""

    def law(pair: Pair) -> float:
        return amdahl(serial)(pair) * (1 + crowding * pair.slots)

    pairs = candidates(cores, None, 1000)
    choice, _ = explore(pairs, law)
    rate = {pair: pair.slots / law(pair) for pair in pairs}
    assert rate[choice.pair] >= (1 - TIE) ** 2 * max(rate.values())


def test_memory_ends_the_way_up_at_the_most_slots_that_fit() -> None:
    """20 GiB each: 0.9 of 512 GiB hold 23, which is neither of the candidates 16 and 32."""
    choice, ran = explore(candidates(128, None, 300), amdahl(serial=0.95), peak=20 * GIB, memory=512 * GIB)
    assert choice.pair == Pair(23, 5)
    assert ran == [Pair(16, 8), Pair(23, 5)]


def test_a_pair_that_ran_out_of_memory_rules_out_all_with_more_slots() -> None:
    settled = {Pair(16, 8): measured(Pair(16, 8), 9, cause=f"{MEMORY}: killed")}
    assert too_big(Pair(32, 4), settled, PLENTY) == "memory: 16 × 8 has been too much already"
    assert too_big(Pair(8, 16), settled, PLENTY) == ""
    settled[Pair(32, 4)] = measured(Pair(32, 4), 9, cause=f"{MEMORY}: 16 × 8 has been too much already")
    assert next_pair(candidates(128, None, 300), settled, PLENTY) == Pair(8, 16)


def test_a_wave_is_given_up_when_its_mean_can_no_longer_be_good_enough() -> None:
    settled = {Pair(16, 8): measured(Pair(16, 8), 60.0)}
    assert hopeless(8, [31.0] * 8, settled) == ""
    assert hopeless(8, [32.0] * 8, settled).startswith("slower: at most 900 evaluations an hour")
    assert hopeless(8, [40.0] + [30.0] * 7, settled) == "", "one straggler does not decide"
    assert hopeless(8, [32.0] * 8, {}) == ""
    quick = {Pair(2, 1): measured(Pair(2, 1), 1.0)}
    assert hopeless(1, [LET_FINISH_S - 0.1], quick) == ""
    assert hopeless(1, [LET_FINISH_S], quick)


def test_nothing_is_chosen_while_nothing_counts() -> None:
    pairs = candidates(4, None, 9)
    assert choose(pairs, {}) is None
    assert choose(pairs, {pairs[0]: measured(pairs[0], 1.0, cause="timeout: not finished after 1 s")}) is None


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        (Limits(), (float("inf"), float("inf"))),
        (Limits(device_hours=1.0), (720.0, float("inf"))),
        (Limits(wall_clock_s=100.0, price=1.0, price_per_hour=3600.0), (float("inf"), 0.2)),
    ],
)
def test_packing_may_use_a_fifth_of_what_is_left(limits: Limits, expected: tuple[float, float]) -> None:
    assert allowance(limits, Spent()) == pytest.approx(expected)
