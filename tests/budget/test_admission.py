"""Admission: nothing starts that cannot end inside the limits, and what is reserved suffices."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flopwise.budget.admission import NOTHING, Admission, Commitment, Committed, admit
from flopwise.budget.limits import Limits, Spent
from flopwise.budget.pricing import Rates
from flopwise.trial import Phase

FREE = Limits()
ONE_HOUR = Limits(device_hours=1.0)


def ask(limits: Limits, spent: Spent = NOTHING, running: list[Commitment] | None = None, **given: float) -> Admission:
    return admit(limits, spent, running or [], **{"estimate_s": 10.0, "timeout_s": None, **given})  # type: ignore[arg-type]


def test_without_limits_only_the_time_out_counts() -> None:
    assert ask(FREE) == Admission(None)
    assert ask(FREE, timeout_s=7.0) == Admission(7.0)
    assert ask(FREE, Spent(10**6, 1e9, 1e9, 1e9)) == Admission(None)


@pytest.mark.parametrize(
    ("estimate_s", "timeout_s", "limit_s"),
    [(10.0, None, 40.0), (10.0, 25.0, 25.0), (10.0, 600.0, 40.0), (1.0, None, 30.0), (1000.0, None, 3600.0)],
)
def test_an_attempt_may_take_four_times_its_estimate(estimate_s: float, timeout_s: float, limit_s: float) -> None:
    assert ask(ONE_HOUR, estimate_s=estimate_s, timeout_s=timeout_s).limit_s == limit_s


@pytest.mark.parametrize(
    ("limits", "spent", "name"),
    [
        (Limits(device_hours=1.0), Spent(device_s=3586.0), "limits.device_hours"),
        (Limits(wall_clock_s=100.0), Spent(wall_s=86.0), "limits.wall_clock"),
        (Limits(price=1.0, price_per_hour=3600.0), Spent(price=1.0), "limits.price"),
        (Limits(evaluations=5), Spent(evaluations=5), "limits.evaluations"),
    ],
)
def test_too_little_left_is_refused_naming_the_limit(limits: Limits, spent: Spent, name: str) -> None:
    refused = ask(limits, spent)
    assert refused.limit_s is None
    assert name in (refused.refused or "")
    assert not refused.wait


def test_what_is_left_shortens_the_time_out() -> None:
    assert ask(Limits(wall_clock_s=100.0), Spent(wall_s=80.0)).limit_s == 20.0
    assert ask(Limits(price=2.0, price_per_hour=360.0)).limit_s == pytest.approx(20.0)
    assert ask(ONE_HOUR, Spent(device_s=3570.0)).limit_s == 30.0
    assert ask(ONE_HOUR, Spent(device_s=3500.0), reserve=Spent(device_s=80.0)).limit_s == 20.0


def test_running_attempts_are_committed_for_their_whole_time_out() -> None:
    running = [Commitment(40.0), Commitment(40.0)]
    assert ask(ONE_HOUR, Spent(device_s=3500.0), running).limit_s == 20.0
    assert ask(Limits(wall_clock_s=100.0), Spent(wall_s=80.0), running).limit_s == 20.0


def test_it_says_when_waiting_for_running_attempts_would_help() -> None:
    running = [Commitment(40.0)]
    assert ask(ONE_HOUR, Spent(device_s=3550.0), running).wait
    assert not ask(ONE_HOUR, Spent(device_s=3590.0), running).wait
    assert ask(ONE_HOUR, Spent(), [Commitment(None)]).wait


def test_running_evaluations_count_but_retries_count_once() -> None:
    limits = Limits(evaluations=5)
    assert ask(limits, Spent(evaluations=3), [Commitment(None)]).refused is None
    assert ask(limits, Spent(evaluations=3), [Commitment(None), Commitment(None)]).wait
    assert ask(limits, Spent(evaluations=4), [Commitment(None, retry=True)]).refused is None
    assert ask(limits, Spent(evaluations=5), retry=True).refused is None
    assert ask(limits, Spent(evaluations=3), reserve=Spent(evaluations=2)).refused


def test_before_calibration_all_that_is_left_may_be_used() -> None:
    assert ask(ONE_HOUR, Spent(device_s=3500.0), estimate_s=None).limit_s == 100.0
    assert ask(ONE_HOUR, Spent(device_s=3600.0), estimate_s=None).refused


def test_attempts_that_start_together_share_the_device_time() -> None:
    assert ask(ONE_HOUR, Spent(device_s=3510.0), estimate_s=None, starting=3).limit_s == 30.0
    assert ask(ONE_HOUR, Spent(device_s=3570.0), starting=2).limit_s == 15.0


@dataclass
class Machine:
    """Slots, a clock and an account: runs evaluations as admission allows."""

    limits: Limits
    slots: int
    spent: Spent = field(default_factory=Spent)
    running: list[tuple[float, Commitment, float]] = field(default_factory=list)

    def run(self, durations: list[float], estimate_s: float | None, reserve: Spent = NOTHING) -> int:
        """Start what may start, in order; returns how many were started."""
        waiting = list(durations)
        while True:
            while waiting and len(self.running) < self.slots:
                starting = min(self.slots - len(self.running), len(waiting))
                answer = admit(
                    self.limits, self.spent, [c for _, c, _ in self.running], reserve=reserve,
                    estimate_s=estimate_s, timeout_s=None, starting=starting,
                )  # fmt: skip
                if answer.refused is not None:
                    break
                used = min(waiting.pop(0), answer.limit_s if answer.limit_s is not None else 1e9)
                self.running.append((self.spent.wall_s + used, Commitment(answer.limit_s), used))
            if not self.running:
                assert not waiting or not answer.wait
                return len(durations) - len(waiting)
            self.end_first()

    def end_first(self) -> None:
        self.running.sort(key=lambda entry: entry[0])
        end, _, used = self.running.pop(0)
        price = self.limits.price_per_hour / 3600.0 * end
        self.spent = Spent(self.spent.evaluations + 1, self.spent.device_s + used, end, price)
        self.check()

    def check(self) -> None:
        allowed = (
            (self.limits.evaluations, self.spent.evaluations),
            (self.limits.device_hours, self.spent.device_s / 3600.0),
            (self.limits.wall_clock_s, self.spent.wall_s),
            (self.limits.price, self.spent.price),
        )
        for limit, amount in allowed:
            assert limit is None or amount <= limit * (1 + 1e-9) + 1e-9


limits_drawn = st.builds(
    Limits,
    evaluations=st.none() | st.integers(0, 40),
    device_hours=st.none() | st.floats(0.0, 0.2),
    wall_clock_s=st.none() | st.floats(0.0, 300.0),
    price=st.none() | st.floats(0.0, 1.0),
    price_per_hour=st.floats(0.1, 20.0),
)


@settings(deadline=None)
@given(
    limits_drawn,
    st.integers(1, 6),
    st.lists(st.floats(0.0, 200.0), max_size=40),
    st.none() | st.floats(0.1, 60.0),
)
def test_no_sequence_of_attempts_ever_passes_a_limit(
    limits: Limits, slots: int, durations: list[float], estimate_s: float | None
) -> None:
    Machine(limits, slots).run(durations, estimate_s)


@settings(deadline=None)
@given(
    slots=st.integers(1, 6),
    choose=st.integers(1, 8),
    decide=st.integers(6, 40),
    estimate_s=st.floats(0.5, 60.0),
    stretch=st.floats(1.0, 3.0),
    kinds=st.sets(st.sampled_from(["evaluations", "device_hours", "wall_clock_s", "price"]), min_size=1),
)
def test_what_is_reserved_pays_for_the_whole_confirmation(
    slots: int, choose: int, decide: int, estimate_s: float, stretch: float, kinds: set[str]
) -> None:
    rates = Rates(estimate_s, slots, 3.0)
    need = rates.batches(8) + rates.head_room() + rates.reserve(Phase.SEARCH, choose, decide)
    amounts = {
        "evaluations": need.evaluations,
        "device_hours": stretch * need.device_s / 3600.0,
        "wall_clock_s": stretch * need.wall_s,
        "price": stretch * need.price,
    }
    limits = Limits(price_per_hour=3.0, **{kind: amounts[kind] for kind in kinds})  # type: ignore[arg-type]
    machine = Machine(limits, slots)
    assert machine.run([estimate_s] * 500, estimate_s, rates.reserve(Phase.SEARCH, choose, decide)) >= 8
    assert machine.run([estimate_s] * choose, estimate_s, rates.reserve(Phase.CHOOSE, choose, decide)) == choose
    assert machine.run([estimate_s] * decide, estimate_s, rates.reserve(Phase.DECIDE, choose, decide)) == decide


@pytest.mark.parametrize("limit_s", [None, 30.0])
def test_running_attempts_may_be_given_one_by_one_or_added_up(limit_s: float | None) -> None:
    limits = Limits(evaluations=12, device_hours=0.2)
    running = [Commitment(10.0), Commitment(limit_s, retry=True), Commitment(25.0)]
    added = Committed()
    for attempt in running:
        added = added.and_(attempt)
    assert added == Committed.of(running)
    spent = Spent(evaluations=3, device_s=400.0)
    one_by_one = admit(limits, spent, running, estimate_s=20.0, timeout_s=60.0, starting=2)
    assert admit(limits, spent, added, estimate_s=20.0, timeout_s=60.0, starting=2) == one_by_one
    assert (one_by_one.refused is None) == (limit_s is not None)
