"""Packing on a made-up machine: waves that end early, money, deaths, signals and limits, on a simulated clock."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from flopwise.budget.packing import Pair, candidates
from flopwise.clock import SimulatedClock
from flopwise.engine.desk import Closing, Desk
from flopwise.engine.ground import Ground
from flopwise.engine.packing import PACKED, Packing
from flopwise.engine.record import Record
from flopwise.engine.recover import recover
from flopwise.engine.signals import Signals
from flopwise.errors import ExecutorError
from flopwise.events import (
    FORMAT,
    PackingChosen,
    PackingMeasured,
    PackingStarted,
    RunCreated,
    SessionLost,
    SessionOpened,
)
from flopwise.journal.log import Journal
from flopwise.paths import RunFolder
from flopwise.report.view import SilentView
from flopwise.study import parse_study
from flopwise.trial import Outcome
from flopwise.wire import Ended, Hello, Job, KeeperLost, Message, Ready, Reported, Slot, Started

GIB = 2**30
CORES = 16

Fate = tuple[float, str]
"""Seconds and outcome of an evaluation."""


def steady(job: Job, wave: int) -> Fate:
    """Ten seconds whatever the threads: most slots are best."""
    return 10.0, Outcome.OK


@dataclass
class Bench:
    """An executor whose evaluations take as long as their fate says."""

    clock: SimulatedClock
    fate: Callable[[Job, int], Fate] = steady
    peak_bytes: int = GIB
    dies_at: float | None = None
    slots: tuple[Slot, ...] = ()
    opened: int = 0
    jobs: list[Job] = field(default_factory=list)
    running: dict[str, tuple[float, float, str]] = field(default_factory=dict)
    said: list[Message] = field(default_factory=list)

    def open(self, hello: Hello) -> Ready:
        self.opened += 1
        return Ready(1, 0.0)

    def start(self, job: Job) -> None:
        assert Path(job.folder).is_dir()
        now = self.clock.monotonic()
        seconds, outcome = self.fate(job, int(job.attempt.split(".")[2]))
        if job.timeout_s is not None and seconds > job.timeout_s:
            seconds, outcome = job.timeout_s, Outcome.TIMEOUT
        self.jobs.append(job)
        self.running[job.attempt] = (now, now + seconds, outcome)
        self.said.append(Started(job.attempt, 1, now))

    def stop(self, attempt: str, reason: str, grace_s: float) -> None:
        if attempt not in self.running:
            return
        began, _, _ = self.running.pop(attempt)
        self.said.append(Ended(attempt, began, self.clock.monotonic(), None, 9, "stopped"))

    def poll(self, timeout_s: float, wake: int | None = None) -> list[Message]:
        if not self.said:
            self.clock.advance(timeout_s)
        now = self.clock.monotonic()
        if self.dies_at is not None and now >= self.dies_at:
            self.dies_at = None
            self.running.clear()
            self.said.append(KeeperLost("killed", now))
        for name, (began, ends, outcome) in list(self.running.items()):
            if ends <= now:
                del self.running[name]
                self.said += self._end(name, began, ends, outcome)
        said, self.said = self.said, []
        return said

    def _end(self, name: str, began: float, ends: float, outcome: str) -> Iterator[Message]:
        if outcome == Outcome.TIMEOUT:
            yield Ended(name, began, ends, None, 9, "timeout", peak_rss_bytes=self.peak_bytes)
            return
        yield Reported(name, outcome, {"val_loss": 1.0}, {}, "" if outcome == Outcome.OK else "made up")
        yield Ended(name, began, ends, 0, None, "exit", peak_rss_bytes=self.peak_bytes)

    def close(self) -> None:
        """Nothing to close."""


def cut(pair: Pair) -> tuple[Slot, ...]:
    each = pair.threads
    return tuple(Slot(i, tuple(range(i * each, (i + 1) * each)), each) for i in range(pair.slots))


class Machine:
    """A run on a made-up machine of 16 cores, session after session."""

    def __init__(self, folder: Path, study: Mapping[str, Any], signals: Signals) -> None:
        self.folder = RunFolder(folder)
        self.folder.root.mkdir()
        self.folder.attempts.mkdir()
        self.clock = SimulatedClock(100.0)
        self.bench = Bench(self.clock)
        self.signals = signals
        self.study = dict(study)
        self.record = Record(Journal.create(self.folder), SilentView())
        self.record.add(RunCreated(FORMAT, "toy", "c0de", self.study, "", "", "toy.yaml", {}, ""))

    def session(self, memory: int = 64 * GIB, cores: int = CORES) -> Closing:
        """Open a session on a machine of so many cores and measure."""
        number = len(self.record.state.sessions) + 1
        facts = {"cores": cores, "memory_bytes": memory}
        slots = [{"index": 0, "cores": list(range(cores)), "threads": cores}]
        now = self.clock.monotonic()
        self.record.add(SessionOpened(number, 1, "box", "boot", "", facts, slots, "", now))
        desk = Desk(
            study=self.study,
            folder=self.folder,
            record=self.record,
            executor=self.bench,
            hello=Hello("c0de", ""),
            view=SilentView(),
            signals=self.signals,
            clock=self.clock,
            guard=cast(Any, None),
            session=number,
            probes=cast(Any, None),
            has_data=False,
            choose_tier=lambda: None,
            make_search=cast(Any, None),
        )
        pairs = candidates(cores, self.study["execution"]["slots"], 100)
        return Packing(desk, Ground(pairs, cores, memory, cut)).run()

    @property
    def measured(self) -> list[PackingMeasured]:
        return [event for event in self.record.events if isinstance(event, PackingMeasured)]

    @property
    def pairs(self) -> list[str]:
        return [str(Pair(each.slots, each.threads)) for each in self.measured]

    @property
    def chosen(self) -> PackingChosen | None:
        return self.record.state.packing


@pytest.fixture
def machine(tmp_path: Path, toy_text: str) -> Iterator[Machine]:
    study = parse_study(toy_text.replace("slots: 2", "slots: auto, threads: auto")).canonical
    with Signals() as signals:
        yield Machine(tmp_path / "run", study, signals)


def limited(machine: Machine, **limits: float) -> None:
    machine.study["limits"] = {**machine.study["limits"], **limits}


def test_evaluations_run_at_once_on_cores_of_their_own_with_the_studys_seed(machine: Machine) -> None:
    assert machine.session().reason == PACKED
    first = machine.bench.jobs[:4]
    assert [job.attempt for job in first] == [f"packing.1.1.{slot}" for slot in range(4)]
    assert [job.slot.cores for job in first] == [tuple(range(4 * i, 4 * i + 4)) for i in range(4)]
    assert len({job.seed for job in machine.bench.jobs}) == 1
    assert machine.pairs == ["4 × 4", "8 × 2", "16 × 1"]
    assert machine.chosen == PackingChosen(16, 1, CORES, "5,760 evaluations an hour, the most of 3 tried")


def test_the_rate_is_that_of_slots_which_never_wait_for_each_other(machine: Machine) -> None:
    machine.bench.fate = lambda job, wave: (5.0 + job.slot.index, Outcome.OK)
    machine.session()
    first = machine.measured[0]
    assert first.seconds == [5.0, 6.0, 7.0, 8.0]
    assert first.evaluations_per_hour == pytest.approx(4 * 3600 / 6.5)


def test_every_second_is_charged_at_its_slots_share_of_the_price(machine: Machine) -> None:
    machine.session()
    for each in machine.measured:
        assert each.device_s == pytest.approx(sum(each.seconds)) == 10.0 * each.slots
        assert each.price == pytest.approx(0.20 / 3600 * 10.0)
    spent = machine.record.ledger.phases["packing"]
    assert spent.price == pytest.approx(3 * 0.20 / 3600 * 10.0)
    assert machine.record.ledger.total.evaluations == 0


def test_a_pair_that_cannot_win_is_cut_short_and_charged_until_then(machine: Machine) -> None:
    """With 4 × 4 at 10 s each, 8 × 2 has to do one in 21 s; 60 s are not waited for."""
    machine.bench.fate = lambda job, wave: ({1: 10.0, 2: 60.0, 3: 60.0}[wave], Outcome.OK)
    machine.session()
    assert machine.pairs == ["4 × 4", "8 × 2", "2 × 8"]
    cut_short, later = machine.measured[1:]
    assert cut_short.cause.startswith("slower: at most 1,3") and cut_short.evaluations_per_hour == 0
    assert cut_short.seconds == [pytest.approx(21.25)] * 8
    assert later.seconds == [pytest.approx(5.5)] * 2
    assert machine.chosen is not None and machine.chosen.slots == 4


def test_memory_that_cannot_fit_is_not_tried(machine: Machine) -> None:
    machine.bench.peak_bytes = 8 * GIB
    machine.session(memory=64 * GIB)
    assert [job.attempt.split(".")[2] for job in machine.bench.jobs] == ["1"] * 4 + ["2"] * 7
    assert machine.pairs == ["4 × 4", "7 × 2", "8 × 2"]
    assert machine.measured[2].cause == "memory: 8 × 8.0 GiB, and 57.6 GiB are free to use"
    assert machine.measured[2].device_s == 0 and machine.measured[2].seconds == []
    assert machine.chosen is not None and (machine.chosen.slots, machine.chosen.threads) == (7, 2)


def test_evaluations_that_run_out_of_memory_leave_the_pair_to_fewer_slots(machine: Machine) -> None:
    def greedy(job: Job, wave: int) -> Fate:
        return (3.0, Outcome.OOM) if wave == 1 else (10.0, Outcome.OK)

    machine.bench.fate = greedy
    machine.session()
    assert machine.pairs == ["4 × 4", "8 × 2", "2 × 8", "1 × 16"]
    assert [each.cause.split(":")[0] for each in machine.measured] == ["memory", "memory", "", "slower"]
    assert len(machine.bench.jobs) == 4 + 2 + 1
    assert machine.chosen is not None and machine.chosen.slots == 2


def test_a_baseline_that_fails_ends_the_session_at_once(machine: Machine) -> None:
    machine.bench.fate = lambda job, wave: (1.0, Outcome.NAN)
    assert machine.session() == Closing("failed", "the baseline itself ended as nan: made up")
    assert len(machine.bench.jobs) == 4 and machine.chosen is None


def test_a_baseline_too_slow_for_its_time_out_everywhere_fails_with_every_cause(machine: Machine) -> None:
    machine.bench.fate = lambda job, wave: (70.0, Outcome.OK)
    closing = machine.session()
    assert closing.reason == "failed"
    assert "4 × 4: timeout: not finished after 60 s" in closing.detail


def test_a_dead_keeper_costs_what_it_cost_and_the_pair_is_measured_again(machine: Machine) -> None:
    machine.bench.dies_at = 104.0
    assert machine.session().reason == PACKED
    assert machine.pairs == ["4 × 4", "4 × 4", "8 × 2", "16 × 1"]
    died, again = machine.measured[:2]
    assert died.cause == "interrupted: its keeper died: killed"
    assert died.seconds == [4.0] * 4 and died.device_s == 16.0
    assert again.cause == "" and machine.bench.opened == 1
    assert machine.record.ledger.phases["packing"].device_s == 16 + 40 + 80 + 160


def test_a_keeper_that_keeps_dying_is_an_error(machine: Machine) -> None:
    def fatal(job: Job, wave: int) -> Fate:
        machine.bench.dies_at = machine.clock.monotonic() + 1.0
        return 10.0, Outcome.OK

    machine.bench.fate = fatal
    with pytest.raises(ExecutorError, match=r"set `execution\.threads` to a number"):
        machine.session()


def test_a_signal_ends_the_wave_and_the_next_session_measures_what_is_missing(machine: Machine) -> None:
    def told_off(job: Job, wave: int) -> Fate:
        if wave == 2:
            machine.signals.ask("SIGINT")
        return 10.0, Outcome.OK

    machine.bench.fate = told_off
    assert machine.session() == Closing("interrupted", "SIGINT")
    assert machine.measured[-1].cause == "interrupted: SIGINT" and machine.chosen is None
    machine.signals.count = 0
    machine.bench.fate = steady
    assert machine.session().reason == PACKED
    assert machine.pairs == ["4 × 4", "8 × 2", "8 × 2", "16 × 1"]


def test_a_real_signal_is_heard(machine: Machine) -> None:
    def raising(job: Job, wave: int) -> Fate:
        signal.raise_signal(signal.SIGTERM)
        return 10.0, Outcome.OK

    machine.bench.fate = raising
    assert machine.session() == Closing("interrupted", "SIGTERM")


def test_what_a_dead_coordinator_left_is_settled_and_measured_again(machine: Machine) -> None:
    def dying(job: Job, wave: int) -> Fate:
        if wave == 2:
            raise KeyboardInterrupt
        return 10.0, Outcome.OK

    machine.bench.fate = dying
    with pytest.raises(KeyboardInterrupt):
        machine.session()
    assert isinstance(machine.record.events[-1], PackingStarted)
    machine.record.add(*recover(machine.folder, machine.record.state, machine.record.events))
    assert isinstance(machine.record.events[-1], SessionLost)
    machine.bench.fate, machine.bench.running = steady, {}
    assert machine.session().reason == PACKED
    assert machine.pairs == ["4 × 4", "8 × 2", "8 × 2", "16 × 1"]
    assert machine.measured[1].cause and not machine.measured[2].cause


def test_another_machine_is_measured_anew_and_the_first_not_again(machine: Machine) -> None:
    machine.session()
    machine.session(cores=4)
    assert machine.pairs[3:] == ["2 × 2", "4 × 1"]
    count = len(machine.bench.jobs)
    machine.session()
    assert len(machine.bench.jobs) == count, "all that is known of it is in the journal"
    assert machine.chosen is not None and machine.chosen.slots == 16


def test_limits_leave_packing_a_fifth(machine: Machine) -> None:
    """Of 0.06 device hours 43 s: enough for 4 × 10 s, and not for 8 more."""
    limited(machine, device_hours=0.06)
    machine.session()
    assert [job.timeout_s for job in machine.bench.jobs[:4]] == [pytest.approx(10.8)] * 4
    first, second, third = machine.measured
    assert first.cause == ""
    assert second.cause == "limits: they leave 0.4 s for one evaluation, which takes 10 s at least"
    assert third.cause == "limits: they leave 1.6 s for one evaluation, which takes 5 s at least"
    assert len(machine.bench.jobs) == 4
    assert machine.record.ledger.phases["packing"].device_s <= 0.2 * 0.06 * 3600 + 1e-6
    assert machine.chosen is not None and machine.chosen.slots == 4


def test_where_limits_leave_too_little_it_says_so_and_takes_what_a_study_without_auto_has(machine: Machine) -> None:
    limited(machine, wall_clock=1.0)
    machine.session()
    assert [each.cause for each in machine.measured] == [
        "limits: not finished in 0.2 s, which is what they leave for it"
    ]
    assert machine.chosen is not None
    assert (machine.chosen.slots, machine.chosen.threads) == (16, 1)
    assert machine.chosen.reason.startswith("not measured, because the limits leave too little")


@pytest.mark.parametrize("wave", [1, 2])
def test_folders_of_waves_never_meet(machine: Machine, wave: int) -> None:
    machine.session()
    names: Sequence[str] = [job.attempt for job in machine.bench.jobs]
    assert len(set(names)) == len(names)
    assert all((machine.folder.attempts / name).is_dir() for name in names)
    assert sum(name.startswith(f"packing.1.{wave}.") for name in names) == 4 * wave
