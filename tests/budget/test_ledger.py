"""The ledger: every charge once, attempts and idle time make the total, whatever crashed when."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flopwise.budget.ledger import Ledger, charge
from flopwise.events import (
    Alive,
    AttemptEnded,
    AttemptStarted,
    Event,
    LateResult,
    PackingMeasured,
    PackingStarted,
    RunCreated,
    SessionClosed,
    SessionLost,
    SessionOpened,
    StudyRevised,
    TrialProposed,
)


def created(price: float = 3.6) -> RunCreated:
    return RunCreated(1, "r", "ab", {"execution": {"price_per_hour": price}}, "h", "k", "s.yaml", {}, "2026-01-01")


def opened(t: float, session: int = 1) -> SessionOpened:
    return SessionOpened(session, 1, "host", f"boot-{session}", "2026-01-01", {}, [], "flopwise run", t)


def proposed(number: int, phase: str = "search") -> TrialProposed:
    return TrialProposed(number, phase, {}, {}, [1, 2])


def started(attempt: str, session: int = 1) -> AttemptStarted:
    return AttemptStarted(attempt, 1, 0, None, session)


def ended(attempt: str, at: float, device_s: float = 10.0, price: float = 0.005, interrupted: bool = False) -> Event:
    return AttemptEnded(attempt, "ok", {}, {}, at - device_s, at, device_s, price, interrupted=interrupted)


def ledger(*events: Event) -> Ledger:
    account = Ledger()
    for event in events:
        account.apply(event)
    return account


def test_an_attempt_bears_its_slots_share_of_the_machine() -> None:
    assert charge(3600.0, 4, 0.20) == (3600.0, pytest.approx(0.05))
    assert charge(0.0, 1, 5.0) == (0.0, 0.0)
    with pytest.raises(ValueError, match="0 slots"):
        charge(1.0, 0, 1.0)
    with pytest.raises(ValueError, match="-1"):
        charge(-1.0, 1, 1.0)


def test_a_closed_session_is_paid_from_open_to_close() -> None:
    account = ledger(
        created(), opened(100.0), proposed(1), started("t0001.s0.a1"), ended("t0001.s0.a1", 150.0),
        SessionClosed(1, "finished", "", 200.0),
    )  # fmt: skip
    spent = account.spent()
    assert (spent.evaluations, spent.device_s, spent.wall_s) == (1, 10.0, 100.0)
    assert spent.price == pytest.approx(0.1)
    assert account.total.price == 0.005
    assert account.idle_price() == pytest.approx(0.095)


def test_an_open_session_counts_until_the_latest_stamp_or_until_now() -> None:
    account = ledger(created(), opened(100.0))
    assert account.wall_s() == 0.0
    for event in (Alive(130.0), started("t0001.s0.a1"), ended("t0001.s0.a1", 145.0), Alive(140.0)):
        account.apply(event)
    assert account.wall_s() == 45.0
    assert account.wall_s(now=160.0) == 60.0
    assert account.wall_s(now=120.0) == 45.0


def test_sessions_of_different_boots_add_up() -> None:
    account = ledger(
        created(), opened(9000.0), Alive(9050.0), SessionLost(1, 9060.0, "keeper"),
        opened(5.0, session=2), Alive(25.0),
    )  # fmt: skip
    assert account.wall_s() == 60.0 + 20.0
    assert account.wall_s(now=35.0) == 60.0 + 30.0


def test_now_is_the_clock_of_the_last_session_only() -> None:
    account = ledger(created(), opened(10.0), Alive(20.0), opened(5000.0, session=2))
    assert account.wall_s(now=5007.0) == 10.0 + 7.0


def test_an_attempt_of_a_lost_session_does_not_stretch_the_next_one() -> None:
    account = ledger(
        created(), opened(9000.0), started("t0001.s0.a1"), SessionLost(1, 9010.0, "journal"),
        opened(5.0, session=2), ended("t0001.s0.a1", 9020.0, interrupted=True),
    )  # fmt: skip
    assert account.wall_s() == 10.0
    assert account.total.device_s == 10.0


def test_evaluations_are_seeds_that_ended_and_were_not_interrupted() -> None:
    account = ledger(created(), opened(0.0), proposed(1))
    account.apply(ended("t0001.s0.a1", 10.0, interrupted=True))
    assert not account.evaluated(1, 0)
    assert account.spent().evaluations == 0
    for attempt in ("t0001.s0.a2", "t0001.s0.a3", "t0001.s1.a1"):
        account.apply(ended(attempt, 20.0))
    assert account.evaluated(1, 0)
    assert account.spent().evaluations == 2
    assert (account.total.attempts, account.total.device_s) == (4, 40.0)


def test_phases_have_their_own_accounts() -> None:
    account = ledger(
        created(), proposed(0, "calibrate"), proposed(1), ended("t0000.s0.a1", 1.0), ended("t0001.s0.a1", 2.0),
        ended("t0001.s1.a1", 3.0),
    )  # fmt: skip
    assert account.phases["calibrate"].evaluations == 1
    assert account.phases["search"].device_s == 20.0
    assert sum(a.price for a in account.phases.values()) == pytest.approx(account.total.price)


def test_a_revised_price_holds_for_the_open_session() -> None:
    account = ledger(
        created(3.6), opened(0.0), SessionClosed(1, "planned", "", 100.0), opened(0.0, session=2),
        StudyRevised({"execution": {"price_per_hour": 36.0}}, "h2"), SessionClosed(2, "finished", "", 100.0),
    )  # fmt: skip
    assert account.machine_price() == pytest.approx(0.1 + 1.0)


intervals = st.lists(st.tuples(st.floats(0.0, 50.0), st.floats(0.0, 60.0), st.booleans()), max_size=12)


@settings(deadline=None)
@given(intervals, st.integers(1, 8), st.floats(0.0, 100.0), st.booleans(), st.floats(0.0, 200.0))
def test_attempts_and_idle_time_make_the_total(
    attempts: list[tuple[float, float, bool]], slots: int, price: float, lost: bool, length: float
) -> None:
    account = ledger(created(price), opened(1000.0))
    for number, (start, seconds, interrupted) in enumerate(attempts):
        attempt = f"t{number:04d}.s0.a1"
        device_s, cost = charge(seconds, slots, price)
        account.apply(proposed(number))
        account.apply(started(attempt))
        account.apply(ended(attempt, 1000.0 + start + seconds, device_s, cost, interrupted))
    account.apply(
        SessionLost(1, 1000.0 + length, "keeper") if lost else SessionClosed(1, "finished", "", 1000 + length)
    )
    assert account.price() == pytest.approx(account.total.price + account.idle_price())
    assert account.idle_price() >= 0.0
    assert account.price() >= account.machine_price() - 1e-9
    assert account.total.device_s == pytest.approx(sum(seconds for _, seconds, _ in attempts))
    assert account.spent().evaluations == sum(not interrupted for *_, interrupted in attempts)
    ends = [start + seconds for start, seconds, _ in attempts]
    assert account.wall_s() == pytest.approx(max([length, *ends]))


def test_a_late_result_is_charged_beyond_the_end_and_is_no_evaluation() -> None:
    account = ledger(
        created(), opened(100.0), proposed(1), started("t0001.s0.a1"), ended("t0001.s0.a1", 150.0),
        LateResult("t0001.s0.a1", "ok", {"loss": 1.0}, 30.0, 0.015, 185.0),
    )  # fmt: skip
    assert (account.total.evaluations, account.total.attempts) == (1, 1)
    assert (account.total.device_s, account.total.price) == (40.0, pytest.approx(0.02))
    assert account.phases["search"].device_s == 40.0
    assert account.wall_s() == 85.0


def test_packing_is_charged_to_its_own_account() -> None:
    account = ledger(
        created(), opened(100.0), PackingStarted(2, 1, 1, 101.0),
        PackingMeasured(2, 1, [20.0, 22.0], 342.9, None, "", 42.0, 0.021, 124.0),
    )  # fmt: skip
    assert account.phases["packing"].device_s == account.total.device_s == 42.0
    assert (account.total.evaluations, account.total.price) == (0, 0.021)
    assert account.wall_s() == 24.0
    assert account.idle_price() == pytest.approx(0.024 - 0.021)
