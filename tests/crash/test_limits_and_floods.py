"""Faults 16, 17 and 19: limits in the middle of a step, crash loops, and more messages than anybody asked for."""

from __future__ import annotations

import json
from typing import Any

import pytest

from flopwise.engine.verify import verify
from flopwise.events import Measured, PolicyRaised

UNGUARDED = {"crash_rate": False, "crash_loop": False}
KILL_S = 5.0
"""Between SIGTERM and SIGKILL."""


@pytest.mark.fault("F16", suite=1, long=20)
def test_a_time_limit_keeps_the_last_row(rounds: Any, valley: Any) -> None:
    def check(_: int) -> None:
        study = valley(
            base={"do": "stop_when_asked"},
            search={"method": "random", "seed": 1},
            tiers={"only": {"trials": 3}},
            evaluation={"timeout": "300ms"},
            policies=UNGUARDED,
        )
        assert study.run() == 0, study.output
        ends = [end for end in study.ends if not end.attempt.startswith("t0000")]
        assert len({end.attempt.partition(".")[0] for end in ends}) == 3 and {end.outcome for end in ends} == {
            "timeout"
        }
        for end in ends:
            rows = [row for e in study.events if isinstance(e, Measured) and e.attempt == end.attempt for row in e.rows]
            curve = json.loads(study.folder.summary(end.attempt).read_text())["curve"]
            assert rows and rows[-1] == curve[-1]
            assert 0.3 <= end.device_s < 0.3 + KILL_S
        assert verify(study.folder) == []

    rounds.each(check)


@pytest.mark.fault("F16", suite=1, long=20)
def test_a_budget_is_kept_while_attempts_run(rounds: Any, valley: Any) -> None:
    """Device time: what is charged at the end is the budget and no more than a grace for each slot."""
    budget_s = 2.0

    def check(_: int) -> None:
        study = valley(
            base={"do": "stop_when_asked"},
            search={"method": "random", "seed": 1},
            tiers={"only": {"trials": 50}},
            limits={"device_hours": budget_s / 3600},
            policies=UNGUARDED,
        )
        assert study.run() == 0, study.output
        charged_s = sum(end.device_s for end in study.ends)
        assert charged_s <= budget_s + 2 * KILL_S
        assert len([end for end in study.ends if end.outcome == "timeout"]) < 50
        assert any(isinstance(e, PolicyRaised) and e.policy == "limits" for e in study.events)
        assert verify(study.folder) == []

    rounds.each(check)


@pytest.mark.fault("F17", suite=1, long=20)
@pytest.mark.parametrize("policy", ["crash_rate", "crash_loop"])
def test_a_crash_loop_ends_within_a_twentieth_of_the_budget(rounds: Any, valley: Any, policy: str) -> None:
    def check(number: int) -> None:
        study = valley(
            base={"do": "fail_at_once"},
            search={"method": "random", "seed": number},
            tiers={"only": {"trials": 100}},
            calibration={"seeds": 3, "signal": 4 if policy == "crash_loop" else False},
            policies={name: False for name in UNGUARDED if name != policy},
        )
        assert study.run() == 3, study.output
        raised = [event for event in study.events if isinstance(event, PolicyRaised)][-1]
        assert raised.action == "pause" and raised.policy == policy and "error" in raised.cause
        failed = [end for end in study.ends if end.outcome == "error"]
        assert {end.cause.partition(" (")[0] for end in failed} == {"ValueError: no luck"}
        evaluations = {end.attempt.rpartition(".")[0] for end in failed}  # one may be tried again on another slot
        assert len(evaluations) <= 5 + 1, "a twentieth of a hundred, and what ran beside the last one"
        assert verify(study.folder) == []

    rounds.each(check)


@pytest.mark.fault("F19", suite=1, long=20)
def test_a_flood_of_reports_out_of_order_changes_nothing(rounds: Any, valley: Any, calm: Any) -> None:
    """Twenty thousand rows an attempt, each step two hundred times."""
    undisturbed = calm()

    def check(_: int) -> None:
        study = valley(base={"do": "flood"})
        assert study.run() == 0, study.output
        study.check_same_as(undisturbed)
        reports = 20_000 * len([name for name in study.ran if not name.startswith("t0000")])
        assert study.folder.journal.stat().st_size < 100e6 * reports / 1e6

    rounds.each(check)


@pytest.mark.fault("F19", suite=2, long=20)
def test_messages_that_come_twice_and_late_change_nothing(rounds: Any, valley: Any, calm: Any) -> None:
    base = {"pace_s": 0.01}
    undisturbed = calm(base=base)

    def check(_: int) -> None:
        study = valley(base=base)
        assert study.run(echo=True) == 0, study.output
        study.check_same_as(undisturbed)
        assert len({end.attempt for end in study.ends}) == len(study.ends) == len(undisturbed.ends)

    rounds.each(check)
