"""Retries, lost attempts, quarantines and late results: what the rules give passes, anything else is named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from flopwise.engine.quarantine import quarantine
from flopwise.engine.verify import Difference, verify
from flopwise.engine.verify.charges import check_charges, spend
from flopwise.engine.verify.lifecycles import check_lifecycles
from flopwise.engine.verify.records import Record
from flopwise.engine.verify.run import fold
from flopwise.events import (
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
    SlotQuarantined,
    TrialProposed,
)
from flopwise.journal.replay import RunState
from flopwise.paths import RunFolder

STUDY: dict[str, Any] = {
    "objective": {"metric": "loss", "direction": "minimize"},
    "evaluation": {"timeout": None},
    "limits": {"device_hours": None, "wall_clock": None, "price": None},
    "execution": {"retries": 2, "price_per_hour": 7200.0},
}


class Tale:
    """Events told attempt by attempt on three slots, with the engine's own state beside them."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.state = RunState()
        self.now = 10.0
        there = [{"index": index, "cores": [index], "threads": 1} for index in range(3)]
        self.say(
            RunCreated(1, "r", "ab", STUDY, "h", "k", "python", {}, "2026"),
            SessionOpened(1, 1, "host", "boot", "wall", {"cores": 3}, there, "flopwise run", 5.0),
            *(TrialProposed(number, "search", {"x": 1.0}, {}, [7], [0.5]) for number in range(20)),
        )

    def say(self, *events: Event) -> None:
        for event in events:
            self.events.append(event)
            self.state.apply(event)

    def start(self, trial: int, slot: int) -> str:
        name = str(self.state.trials[trial].next_attempt(0))
        self.say(AttemptStarted(name, 7, slot, None, 1))
        return name

    def end(self, name: str, outcome: str, **more: Any) -> None:
        self.now += 1.0
        metrics = {"loss": 1.0} if outcome == "ok" else {}
        self.say(AttemptEnded(name, outcome, metrics, {}, self.now - 1.0, self.now, 1.0, 2.0 / 3, **more))

    def ran(self, trial: int, slot: int, outcome: str, **more: Any) -> None:
        self.end(self.start(trial, slot), outcome, **more)

    def sick_slot(self) -> SlotQuarantined:
        """Trials 1 to 3 fail on slot 0, five others do well elsewhere; the last failure's trial is tried again."""
        for trial in (1, 2, 3):
            self.ran(trial, 0, "error")
        for trial in (4, 5, 6, 7, 8, 9):
            self.ran(trial, 1 + trial % 2, "ok")
        found = quarantine(self.state.slots, 0, 1)
        assert found is not None
        return found


def records(events: list[Event]) -> list[Record]:
    return [Record(number, 0, event) for number, event in enumerate(events, start=1)]


def problems(events: list[Event]) -> list[Difference]:
    run, contradictions = fold(records(events))
    return [*contradictions, *check_lifecycles(run)]


def whats(events: list[Event]) -> list[str]:
    return [each.what for each in problems(events)]


def test_a_quarantine_that_the_ends_speak_for_holds() -> None:
    tale = Tale()
    tale.say(tale.sick_slot())
    for trial in (2, 3):
        tale.ran(trial, 1, "ok")
    assert problems(tale.events) == []
    run, _ = fold(records(tale.events))
    values = {number: trial.loss() for number, trial in run.trials.items()}
    assert values == {number: trial.loss(tale.state.objective) for number, trial in tale.state.trials.items()}
    assert (values[1], values[2]) == (None, 1.0)


def test_nothing_is_started_on_a_quarantined_slot() -> None:
    tale = Tale()
    tale.say(tale.sick_slot())
    tale.ran(10, 0, "ok")
    assert whats(tale.events) == ["slot"]


@pytest.mark.parametrize("key", ["trials", "attempts", "elsewhere", "failed_elsewhere", "ended", "chance"])
def test_evidence_that_is_not_so_is_named(key: str) -> None:
    tale = Tale()
    event = tale.sick_slot()
    wrong = [*event.evidence[key], 99] if isinstance(event.evidence[key], list) else event.evidence[key] + 1
    tale.say(replace(event, evidence={**event.evidence, key: wrong}))
    assert any(key in what for what in whats(tale.events))


@pytest.mark.parametrize(("slot", "session"), [(7, 1), (0, 2)])
def test_a_quarantine_of_nothing_is_named(slot: int, session: int) -> None:
    tale = Tale()
    tale.say(replace(tale.sick_slot(), slot=slot, session=session))
    assert "slot" in whats(tale.events)


def test_a_quarantine_without_enough_failures_is_named() -> None:
    tale = Tale()
    for trial in (1, 2):
        tale.ran(trial, 0, "error")
    for trial in range(4, 12):
        tale.ran(trial, 1, "ok")
    health = tale.state.slots
    streak = health.streak(0)
    rate = max(1 / (streak.elsewhere + 2), 1 / (health.elsewhere(0)[0] + 2))
    evidence = {"trials": [1, 2], "attempts": streak.attempts, "elsewhere": 8, "failed_elsewhere": 0}
    more = {"ended": health.count, "chance": health.count * rate**2}
    tale.say(SlotQuarantined(0, 1, "I do not like it", evidence | more))
    assert whats(tale.events) == ["slot"]


def test_an_error_is_tried_again_only_where_the_slot_is_in_doubt() -> None:
    tale = Tale()
    tale.ran(1, 0, "error")
    tale.ran(2, 0, "error")
    tale.ran(2, 1, "ok")
    assert problems(tale.events) == []
    tale.ran(1, 1, "ok")
    (difference,) = problems(tale.events)
    assert "t0001.s0.a1 ended as error" in difference.expected


def test_lost_attempts_run_again_until_there_are_too_many() -> None:
    tale = Tale()
    tale.ran(1, 0, "killed", interrupted=True, lost="keeper")
    tale.ran(1, 0, "killed", interrupted=False, lost="keeper")
    assert problems(tale.events) == []
    tale.ran(2, 0, "killed", interrupted=True, lost="keeper")
    tale.ran(2, 0, "killed", interrupted=True, lost="keeper")
    assert len(whats(tale.events)) == 1 and whats(tale.events)[0].startswith("interrupted (lost 2 times, 2 with")
    tale = Tale()
    tale.ran(3, 0, "killed", interrupted=False, lost="coordinator")
    assert whats(tale.events)[0].startswith("interrupted (lost 1 times")


def test_a_lost_attempt_that_was_the_last_is_not_followed_by_another() -> None:
    tale = Tale()
    tale.ran(1, 0, "killed", interrupted=True, lost="keeper")
    tale.ran(1, 0, "killed", interrupted=False, lost="keeper")
    tale.ran(1, 0, "ok")
    assert whats(tale.events) == ["attempt"]


def test_a_wave_is_started_before_it_is_measured_and_costs_its_seconds(tmp_path: Any) -> None:
    measured = PackingMeasured(2, 1, [3.0, 4.0], 2057.1, None, "", 7.0, 7.0, 12.0)
    tale = Tale()
    tale.say(PackingStarted(2, 1, 1, 8.0), measured)
    assert problems(tale.events) == []
    run, _ = fold(records(tale.events))
    assert list(check_charges(run, RunFolder(tmp_path))) == []
    assert spend(run)["by_phase"]["packing"] == {
        "evaluations": 0,
        "device_s": 7.0,
        "price": 7.0,
        "train_flops": None,
    }
    tale.say(replace(measured, price=8.0))
    assert whats(tale.events) == ["slots and threads"]
    run, _ = fold(records(tale.events))
    assert [each.what for each in check_charges(run, RunFolder(tmp_path))] == ["price"]


# In a whole run


@pytest.fixture
def late(tell: Callable[..., Any]) -> Callable[..., list[Difference]]:
    """What verify says of a run in which an attempt that was killed came back; ``changes`` alter the late result."""

    def told(**changes: Any) -> list[Difference]:
        story = tell()
        at, end = next(
            (at, event)
            for at, event in enumerate(story.events)
            if isinstance(event, AttemptEnded) and event.outcome == "killed" and not event.interrupted
        )
        result = LateResult(end.attempt, "ok", {"score": 99.0}, 0.5, 0.2 / 3600 * 0.5 / 2, end.ended_at + 0.001)
        closed = next(
            i for i in range(at, len(story.events)) if isinstance(story.events[i], SessionClosed | SessionLost)
        )
        result = replace(result, t=story.events[closed].t)
        story.events.insert(closed, replace(result, **changes))
        if changes:
            story.report = lambda: None
        return verify(story.write())

    return told


def test_a_late_result_is_charged_and_counts_for_nothing(late: Callable[..., list[Difference]]) -> None:
    assert late() == []


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"price": 1.0}, "price"),
        ({"attempt": "t0002.s0.a9"}, "attempt"),
        ({"attempt": "t0007.s0.a1"}, "attempt"),
        ({"t": 1.0}, "t"),
    ],
)
def test_a_late_result_that_cannot_be_is_named(
    late: Callable[..., list[Difference]], changes: dict[str, Any], what: str
) -> None:
    assert what in {each.what for each in late(**changes)}
