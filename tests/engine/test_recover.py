"""What a dead coordinator left open: finished work is adopted, the rest is charged and run again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flopwise.engine.recover import recover
from flopwise.events import (
    Alive,
    AttemptEnded,
    AttemptStarted,
    Event,
    PackingMeasured,
    PackingStarted,
    RunCreated,
    SessionLost,
    SessionOpened,
    TrialProposed,
)
from flopwise.journal.replay import RunState
from flopwise.journal.states import MOST_LOST
from flopwise.paths import RunFolder

STUDY: dict[str, Any] = {
    "workload": "function",
    "base": {},
    "space": {"x": {"type": "float", "low": 0.0, "high": 1.0, "scale": "linear"}},
    "search": {"seed": 0},
    "objective": {"metric": "loss", "direction": "minimize"},
    "execution": {"retries": 1, "price_per_hour": 7200.0},
}
ATTEMPT = "t0000.s0.a1"
SLOTS = [{"index": 0, "cores": [0], "threads": 1}, {"index": 1, "cores": [1], "threads": 1}]
KEEPER = {"event": "keeper", "at": 99.0, "pid": 1, "boot_id": "boot"}
OPEN: list[Event] = [
    RunCreated(1, "r", "ab", STUDY, "h", "k", "python", {}, "2026"),
    SessionOpened(1, 1, "host", "boot", "2026", {}, SLOTS, "cmd", 100.0),
    TrialProposed(0, "calibrate", {"x": 1.0}, {}, [7]),
    AttemptStarted(ATTEMPT, 7, 0, None, 1),
    Alive(105.0),
]


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    run = RunFolder(tmp_path)
    run.attempt(ATTEMPT).mkdir(parents=True)
    return run


def stamp(folder: RunFolder, *stamps: dict[str, Any]) -> None:
    folder.stamps.write_text("".join(json.dumps(s) + "\n" for s in stamps))


def settled(folder: RunFolder) -> tuple[AttemptEnded, SessionLost]:
    ended, lost = recover(folder, RunState(OPEN), OPEN)
    assert isinstance(ended, AttemptEnded) and isinstance(lost, SessionLost)
    return ended, lost


def test_an_unfinished_attempt_is_charged_by_the_keepers_stamps(folder: RunFolder) -> None:
    stamp(
        folder,
        {"event": "keeper", "at": 99.0, "pid": 1, "boot_id": "boot"},
        {"event": "start", "at": 101.0, "attempt": ATTEMPT},
        {"event": "coordinator_gone", "at": 106.0},
        {"event": "end", "at": 106.25, "attempt": ATTEMPT, "cpu_s": 5.0},
        {"event": "keeper", "at": 200.0, "pid": 2, "boot_id": "boot"},
    )
    ended, lost = settled(folder)
    assert (ended.outcome, ended.interrupted, ended.stamp) == ("killed", True, "keeper")
    assert (ended.device_s, ended.price) == (5.25, 7200 / 3600 * 5.25 / 2)
    assert (lost.t, lost.source) == (106.25, "keeper")


def test_stamps_of_another_boot_do_not_count(folder: RunFolder) -> None:
    stamp(
        folder,
        {"event": "keeper", "at": 9000.0, "pid": 1, "boot_id": "an earlier one"},
        {"event": "coordinator_gone", "at": 9001.0},
        {"event": "keeper", "at": 99.0, "pid": 1, "boot_id": "boot"},
        {"event": "start", "at": 101.0, "attempt": ATTEMPT},
    )
    _, lost = settled(folder)
    assert (lost.t, lost.source) == (110.0, "journal")


def test_without_stamps_the_last_heartbeat_and_one_interval_count(folder: RunFolder) -> None:
    stamp(folder, KEEPER, {"event": "start", "at": 101.0, "attempt": ATTEMPT})
    ended, lost = settled(folder)
    assert (ended.device_s, ended.stamp) == (9.0, "heartbeat")
    assert (lost.t, lost.source) == (110.0, "journal")


def test_an_attempt_that_was_never_forked_costs_nothing(folder: RunFolder) -> None:
    ended, _ = settled(folder)
    assert (ended.device_s, ended.price, ended.interrupted) == (0.0, 0.0, True)


def test_a_finished_attempt_is_adopted(folder: RunFolder) -> None:
    stamp(
        folder, {"event": "start", "at": 101.0, "attempt": ATTEMPT}, {"event": "end", "at": 102.0, "attempt": ATTEMPT}
    )
    summary = {"attempt": ATTEMPT, "outcome": "ok", "metrics": {"loss": 0.5}, "info": {"steps": 3}, "cause": ""}
    folder.summary(ATTEMPT).write_text(json.dumps(summary))
    ended, _ = settled(folder)
    assert (ended.outcome, ended.metrics, ended.info, ended.interrupted) == ("ok", {"loss": 0.5}, {"steps": 3}, False)


@pytest.mark.parametrize("text", ["", "{", '{"attempt": "t0000.s0.a2", "outcome": "ok"}', '{"outcome": "ok"}', "[]"])
def test_a_summary_that_is_not_this_attempts_is_not_believed(folder: RunFolder, text: str) -> None:
    folder.summary(ATTEMPT).write_text(text)
    assert settled(folder)[0].interrupted


def test_a_session_that_closed_in_order_leaves_nothing(folder: RunFolder) -> None:
    ended, lost = recover(folder, RunState(OPEN), OPEN)
    events = [*OPEN, ended, lost]
    assert recover(folder, RunState(events), events) == []


def test_what_the_keeper_saw_is_kept(folder: RunFolder) -> None:
    seen = {"cpu_s": 1.5, "peak_rss_bytes": 4096, "contention": 0.4, "switches": [3, 9]}
    end = {"event": "end", "at": 103.0, "attempt": ATTEMPT, **seen}
    stamp(folder, KEEPER, {"event": "start", "at": 101.0, "attempt": ATTEMPT}, end)
    ended, _ = settled(folder)
    assert {name: getattr(ended, name) for name in seen} == seen
    assert ended.lost == "coordinator"


def test_an_evaluation_that_is_lost_again_and_again_has_failed(folder: RunFolder) -> None:
    events: list[Event] = OPEN[:3]
    for number in range(1, MOST_LOST):
        name = f"t0000.s0.a{number}"
        events = [*events, AttemptStarted(name, 7, 0, None, 1)]
        events.append(AttemptEnded(name, "killed", {}, {}, 1.0, 2.0, 1.0, 0.0, interrupted=True, lost="coordinator"))
    events = [*events, AttemptStarted(f"t0000.s0.a{MOST_LOST}", 7, 0, None, 1)]
    ended, _ = recover(folder, RunState(events), events)
    assert isinstance(ended, AttemptEnded)
    assert (ended.interrupted, ended.lost) == (False, "coordinator")
    assert "not for the first time" in ended.cause
    assert RunState([*events, ended]).trials[0].final(0) == ended


def test_a_wave_that_was_cut_off_is_charged_by_the_stamps_of_its_evaluations(folder: RunFolder) -> None:
    events: list[Event] = [*OPEN[:2], PackingStarted(2, 1, 1, 100.5)]
    stamp(
        folder,
        KEEPER,
        {"event": "start", "at": 101.0, "attempt": "packing.1.1.0"},
        {"event": "start", "at": 101.5, "attempt": "packing.1.1.1"},
        {"event": "end", "at": 104.0, "attempt": "packing.1.1.0"},
        {"event": "coordinator_gone", "at": 105.0},
        {"event": "end", "at": 105.25, "attempt": "packing.1.1.1"},
    )
    measured, lost = recover(folder, RunState(events), events)
    assert isinstance(measured, PackingMeasured) and isinstance(lost, SessionLost)
    assert measured.seconds == [3.0, 3.75]
    assert (measured.device_s, measured.price) == (6.75, 7200 / 3600 * 6.75 / 2)
    assert measured.cause.startswith("interrupted") and measured.evaluations_per_hour == 0.0
    assert lost.t == 105.25
