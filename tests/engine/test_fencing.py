"""Late, repeated and unknown messages: noted, charged where they took time, never counted, and nothing breaks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flopwise.budget.ledger import Ledger
from flopwise.clock import SimulatedClock
from flopwise.engine.attempts import KEEPER_RESTARTS, Attempts
from flopwise.engine.desk import Desk
from flopwise.errors import ExecutorError
from flopwise.events import (
    FORMAT,
    AttemptEnded,
    Event,
    LateResult,
    Measured,
    RunCreated,
    SessionOpened,
    SlotQuarantined,
    TrialProposed,
)
from flopwise.executors.executor import Traits
from flopwise.journal.replay import RunState
from flopwise.paths import RunFolder
from flopwise.wire import Ended, Hello, Job, KeeperLost, Measurement, Reported, Slot, Started

STUDY: dict[str, Any] = {
    "workload": "function",
    "base": {},
    "space": {"x": {"type": "float", "low": 0.0, "high": 1.0, "scale": "linear"}},
    "objective": {"metric": "loss", "direction": "minimize"},
    "evaluation": {"timeout": 60.0, "progress_timeout": 30.0},
    "execution": {"retries": 2, "price_per_hour": 7200.0, "output_limit": 8192.0},
}
SLOTS = tuple(Slot(index, (index,), 1) for index in range(3))
A1 = "t0001.s0.a1"


class Memory:
    """The record, without a file."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.state, self.ledger = RunState(), Ledger()

    def add(self, *events: Event) -> None:
        for event in events:
            self.events.append(event)
            self.state.apply(event)
            self.ledger.apply(event)

    def commit(self) -> None:
        """Nothing is durable here."""

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


class Silent:
    """An executor that runs nothing and a view that remembers what it was told."""

    slots = SLOTS
    traits = Traits()

    def __init__(self) -> None:
        self.opened = 0
        self.told: list[str] = []

    def open(self, hello: Hello) -> None:
        self.opened += 1

    def start(self, job: Job) -> None:
        """It does not."""

    def message(self, text: str) -> None:
        self.told.append(text)


class Bench:
    """Attempts on a table, fed by hand."""

    def __init__(self, folder: Path) -> None:
        self.record, self.outside = Memory(), Silent()
        there = [{"index": slot.index, "cores": list(slot.cores), "threads": 1} for slot in SLOTS]
        self.record.add(
            RunCreated(FORMAT, "r", "ab", STUDY, "h", "k", "python", {}, "2026"),
            SessionOpened(1, 1, "host", "boot", "wall", {}, there, "flopwise run", 0.0),
            *(TrialProposed(number, "search", {"x": 0.5}, {}, [7], [0.5]) for number in range(1, 30)),
        )
        parts = dict.fromkeys(("signals", "guard", "probes", "has_data", "choose_tier", "make_search"))
        desk = Desk(
            study=STUDY,
            folder=RunFolder(folder),
            record=self.record,  # type: ignore[arg-type]
            executor=self.outside,  # type: ignore[arg-type]
            hello=Hello("ab", "stamps"),
            view=self.outside,  # type: ignore[arg-type]
            clock=SimulatedClock(),
            session=1,
            **parts,  # type: ignore[arg-type]
        )
        self.attempts = Attempts(desk)

    def start(self, trial: int, slot: int = 0) -> Job:
        job = self.attempts.intend(self.record.state.trials[trial], 0, SLOTS[slot], 60.0)
        self.attempts.hear(Started(job.attempt, 99, 10.0))
        return job

    def end(self, name: str, at: float = 20.0, **more: Any) -> None:
        self.attempts.hear(Ended(name, 10.0, at, 0, None, "exit", **more))

    def ran(self, trial: int, slot: int = 0, loss: float = 1.0) -> str:
        name = self.start(trial, slot).attempt
        self.attempts.hear(Reported(name, "ok", {"loss": loss}))
        self.end(name)
        return name


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    (tmp_path / "attempts").mkdir()
    return Bench(tmp_path)


def test_the_study_says_how_long_an_attempt_may_be_silent_and_how_much_it_may_write(bench: Bench) -> None:
    job = bench.start(1)
    assert (job.timeout_s, job.progress_s, job.output_bytes) == (60.0, 30.0, 8192)


def test_contention_and_switches_are_journaled(bench: Bench) -> None:
    name = bench.start(1).attempt
    bench.end(name, contention=0.25, switches=(3, 40))
    (end,) = bench.record.of(AttemptEnded)
    assert (end.contention, end.switches) == (0.25, [3, 40])


def test_a_result_that_comes_after_its_attempt_was_replaced_is_charged_and_not_counted(bench: Bench) -> None:
    """A machine was cut off, its attempt given up and run again; then it comes back with a result."""
    bench.start(1)
    bench.attempts.hear(KeeperLost("no route to host", 15.0))
    assert bench.ran(1, slot=1, loss=3.0) == "t0001.s0.a2"
    bench.attempts.hear(Measurement(A1, 5, 100.0, {"loss": -1.0}))
    bench.attempts.hear(Reported(A1, "ok", {"loss": -1.0}))
    bench.end(A1, at=310.0)
    (late,) = bench.record.of(LateResult)
    assert (late.attempt, late.outcome, late.metrics) == (A1, "ok", {"loss": -1.0})
    assert late.device_s == pytest.approx(295.0)
    assert late.price == pytest.approx(7200 / 3600 * 295.0 / 3)
    trial = bench.record.state.trials[1]
    assert trial.loss(bench.record.state.objective) == 3.0
    assert bench.record.ledger.total.device_s == pytest.approx(5.0 + 10.0 + 295.0)
    assert bench.record.ledger.total.evaluations == 1
    assert any(A1 in text and "not counted" in text for text in bench.outside.told)


def test_a_second_late_end_is_charged_only_for_what_is_new(bench: Bench) -> None:
    name = bench.ran(1)
    bench.end(name, at=25.0)
    bench.end(name, at=25.0)
    bench.end(name, at=27.0)
    assert [late.device_s for late in bench.record.of(LateResult)] == [5.0, 2.0]
    assert bench.record.ledger.total.device_s == 17.0


def test_repetitions_change_nothing(bench: Bench) -> None:
    name = bench.ran(1, loss=2.0)
    before = len(bench.record.events)
    for _ in range(3):
        bench.attempts.hear(Started(name, 99, 10.0))
        bench.end(name)
    assert len(bench.record.events) == before
    assert bench.record.state.trials[1].loss(bench.record.state.objective) == 2.0


def test_the_first_result_of_an_attempt_is_its_result(bench: Bench) -> None:
    name = bench.start(1).attempt
    bench.attempts.hear(Reported(name, "ok", {"loss": 2.0}))
    bench.attempts.hear(Reported(name, "ok", {"loss": -9.0}))
    bench.end(name)
    (end,) = bench.record.of(AttemptEnded)
    assert end.metrics == {"loss": 2.0}


@pytest.mark.parametrize("name", ["t0001.s0.a7", "t0999.s0.a1", "prepare", "../../etc", "", "t0001.s0.a1\n"])
def test_nobody_knows_that_attempt(bench: Bench, name: str) -> None:
    before = len(bench.record.events)
    bench.attempts.hear(Started(name, 1, 1.0))
    bench.attempts.hear(Measurement(name, 1, 0.1, {"loss": 1.0}))
    bench.attempts.hear(Reported(name, "ok", {"loss": -1.0}))
    bench.end(name)
    bench.attempts.flush_rows()
    assert len(bench.record.events) == before
    assert len(bench.outside.told) == 4


def test_a_flood_from_an_attempt_that_is_over_is_noted_once(bench: Bench) -> None:
    name = bench.ran(1)
    before = len(bench.record.events)
    for step in range(10_000):
        bench.attempts.hear(Measurement(name, step, float(step), {"loss": 1.0}))
    bench.attempts.flush_rows()
    assert len(bench.record.events) == before
    assert len(bench.outside.told) == 1


def test_rows_of_a_running_attempt_are_journaled_before_its_end(bench: Bench) -> None:
    name = bench.start(1).attempt
    for step in range(3):
        bench.attempts.hear(Measurement(name, step, 0.1 * step, {"loss": 1.0}))
    bench.attempts.flush_rows()
    bench.attempts.hear(Measurement(name, 3, 0.3, {"loss": 0.5}))
    bench.end(name)
    rows = [row["step"] for event in bench.record.of(Measured) for row in event.rows]
    assert rows == [0, 1, 2, 3]
    assert isinstance(bench.record.events[-1], AttemptEnded)


def test_a_slot_that_fails_alone_is_quarantined(bench: Bench) -> None:
    for trial in (1, 2, 3):
        bench.end(bench.start(trial, slot=2).attempt)
    for trial in range(4, 10):
        assert bench.record.of(SlotQuarantined) == []
        bench.ran(trial, slot=trial % 2)
    (found,) = bench.record.of(SlotQuarantined)
    assert (found.slot, found.session) == (2, 1)
    assert [slot.index for slot in bench.attempts.free_slots()] == [0, 1]


def test_an_evaluation_that_kills_every_keeper_is_found_out_and_the_others_go_on(bench: Bench) -> None:
    deaths = 0
    while not bench.record.state.trials[1].finished:
        waiting = [(bench.record.state.trials[number], 0) for number in (1, 2)]
        waiting = [each for each in waiting if not each[0].finished]
        for slot, (trial, _) in enumerate(list(bench.attempts.next_up(waiting))):
            bench.start(trial.trial.number, slot)
        deaths += 1
        bench.attempts.hear(KeeperLost("signal 11", 12.0))
    assert deaths == 4 <= KEEPER_RESTARTS
    assert bench.outside.opened == deaths
    final = bench.record.state.trials[1].final(0)
    assert final is not None and (final.outcome, final.lost, final.interrupted) == ("killed", "keeper", False)
    assert not bench.record.state.trials[2].finished
    bench.ran(2)
    assert bench.record.state.trials[2].finished


def test_a_keeper_that_dies_whatever_runs_ends_the_session(bench: Bench) -> None:
    with pytest.raises(ExecutorError, match=f"died {KEEPER_RESTARTS + 1} times"):
        for trial in range(1, 30):
            bench.start(trial)
            bench.attempts.hear(KeeperLost("signal 9", 12.0))


def test_nothing_said_by_a_lost_attempt_counts_for_the_next(bench: Bench) -> None:
    name = bench.start(1).attempt
    bench.attempts.hear(Reported(name, "ok", {"loss": -1.0}))
    bench.attempts.hear(KeeperLost("signal 9", 12.0))
    again = bench.start(1).attempt
    bench.end(again)
    first, second = bench.record.of(AttemptEnded)
    assert (first.outcome, first.metrics, first.lost) == ("killed", {}, "keeper")
    assert (second.attempt, second.outcome) == (again, "error")


def test_a_run_folder_that_is_gone_ends_the_session_with_one_error(bench: Bench, tmp_path: Path) -> None:
    job = bench.start(1)
    (tmp_path / "attempts").rmdir()
    with pytest.raises(ExecutorError, match=f"no folder can be made for attempt {job.attempt}") as raised:
        bench.attempts.start([job])
    assert raised.value.where == str(RunFolder(tmp_path).attempt(job.attempt))


def test_a_lost_node_takes_its_own_attempts_only_and_opens_nothing(bench: Bench) -> None:
    one, other = bench.start(1, slot=0).attempt, bench.start(2, slot=1).attempt
    bench.outside.traits = Traits(down=frozenset({0}))
    bench.attempts.hear(KeeperLost("node a: gone", 15.0, (one,)))
    (end,) = bench.record.of(AttemptEnded)
    assert (end.attempt, end.lost, end.interrupted, end.device_s) == (one, "node", True, 5.0)
    assert "node a: gone" in end.cause and bench.outside.opened == 0 and bench.attempts.running == 1
    assert [slot.index for slot in bench.attempts.free_slots()] == [2]
    bench.attempts.hear(Reported(other, "ok", {"loss": 1.0}))
    bench.end(other)
    bench.outside.traits = Traits()
    assert [slot.index for slot in bench.attempts.free_slots()] == [0, 1, 2]
