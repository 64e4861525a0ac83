"""What the coordinator keeps of a run, and what it lets go: the journal has everything, memory what is needed."""

from __future__ import annotations

import gc
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import flopwise
from flopwise.engine.assemble import run as run_study
from flopwise.engine.phases import Search
from flopwise.engine.record import Record
from flopwise.engine.request import Request
from flopwise.events import (
    AttemptEnded,
    AttemptStarted,
    Event,
    LateResult,
    Measured,
    PhaseStarted,
    RunCreated,
    TrialProposed,
)
from flopwise.journal.log import Journal
from flopwise.journal.read import read_events
from flopwise.journal.replay import RunState
from flopwise.paths import RunFolder
from flopwise.report.view import SilentView
from flopwise.searchers.qmc import QuasiRandom
from flopwise.space import Float, Space
from flopwise.study import study_from_mapping
from flopwise.trial import Phase

MOST_BYTES = 1_500
"""A trial may cost the coordinator: 150 MB for 100,000 of them."""

STUDY: dict[str, Any] = {
    "objective": {"metric": "loss", "direction": "minimize"},
    "execution": {"retries": 0, "price_per_hour": 0.0},
    "evaluation": {"stop": {}, "seeds": 1},
    "search": {"seed": 0},
}


def record(folder: Path, *events: Event) -> Record:
    run = RunFolder(folder / "run")
    with Journal.create(run) as journal:
        journal.append([RunCreated(1, "run", "ab", STUDY, "", "", "python", {}, ""), *events])
        journal.commit()
    return Record(Journal.open(run), SilentView())


def ended(number: int) -> list[Event]:
    name = f"t{number:04d}.s0.a1"
    rows = [{"step": 1, "elapsed_s": 1.0, "values": {"loss": 2.0}}]
    end = AttemptEnded(name, "ok", {"loss": 1.0}, {}, 0.0, 1.0, 1.0, 0.0)
    return [AttemptStarted(name, 7, 0, None, 1), Measured(name, rows), end]


def proposed(number: int) -> TrialProposed:
    return TrialProposed(number, Phase.SEARCH, {"x": 0.5}, {}, [7], [0.5])


def test_a_curve_is_let_go_at_the_end_of_its_attempt_and_stays_in_the_journal(tmp_path: Path) -> None:
    run = record(tmp_path, PhaseStarted(Phase.SEARCH), proposed(1))
    started, measured, end = ended(1)
    run.add(started, measured)
    assert len(run.state.attempt("t0001.s0.a1").rows) == 1
    run.add(end)
    assert run.state.attempt("t0001.s0.a1").rows == ()
    run.commit()
    assert measured in run.events


def test_events_are_those_of_the_journal_and_those_on_their_way_there(tmp_path: Path) -> None:
    run = record(tmp_path, PhaseStarted(Phase.SEARCH))
    run.add(proposed(1))
    assert run.events[-1] == proposed(1)
    assert read_events(tmp_path / "run/journal.log")[0] == run.events[:-1]
    run.commit()
    assert read_events(tmp_path / "run/journal.log")[0] == run.events


def test_points_are_let_go_once_they_are_told_and_a_resumed_search_proposes_the_same(tmp_path: Path) -> None:
    space = Space({"x": Float(0.0, 1.0)})
    tier = {"trials": 6}

    def search() -> Search:
        return Search(QuasiRandom(space, 0, QuasiRandom.Options(), {"x": 0.5}, None), STUDY, tier, slots=2)

    baseline = TrialProposed(0, Phase.CALIBRATE, {"x": 0.5}, {}, [7])
    run, live = record(tmp_path, baseline, PhaseStarted(Phase.SEARCH)), search()
    for first in (1, 3):
        run.add(*live.propose(run.state))
        run.add(*ended(first), *ended(first + 1))
    run.commit()
    following = live.propose(run.state)
    assert [run.state.trials[number].trial.point for number in (1, 4)] == [None, None]
    run._journal.close()
    again = Record(Journal.open(RunFolder(tmp_path / "run")), SilentView())
    assert search().propose(again.state) == following


def test_a_trial_that_was_told_is_packed_and_says_the_same(tmp_path: Path) -> None:
    again = {**STUDY, "execution": {"retries": 1, "price_per_hour": 0.0}}
    run = record(tmp_path, RunCreated(1, "run", "ab", again, "", "", "python", {}, ""), PhaseStarted(Phase.SEARCH))
    run.add(proposed(1), AttemptStarted("t0001.s0.a1", 7, 3, 2.5, 1))
    lost = AttemptEnded("t0001.s0.a1", "killed", {}, {"steps": 3}, 0.0, 1.0, 1.0, 0.1, cause="signal 9 ü", tail="a\nb")
    run.add(lost, AttemptStarted("t0001.s0.a2", 7, 1, None, 1))
    end = AttemptEnded("t0001.s0.a2", "ok", {"loss": 0.1 + 0.2}, {}, 1.0, 2.5, 1.5, 0.2, 1.25, 99, 0.0, [1, 2])
    run.add(end)
    trial = run.state.trials[1]
    before = list(trial.attempts)
    known = trial.trial
    run.state.let_go(points=[1])
    assert trial.trial == replace(known, point=None) and trial.trial.config == {"x": 0.5}
    assert list(trial.attempts) == before and trial.attempts[0] is not before[0]
    assert (trial.finished, trial.final(0), list(run.state.final_ends)) == (True, end, [end])
    assert list(run.state.ended()) == [lost, end]
    late = LateResult("t0001.s0.a1", "ok", {"loss": 5.0}, 2.0, 0.5, 9.0)
    run.add(late)
    assert run.state.attempt("t0001.s0.a1").device_s == 3.0 and trial.final(0) == end
    run.state.let_go(points=[1])
    assert run.state.attempt("t0001.s0.a1").late == (late,)


def test_waiting_evaluations_come_by_trial_and_seed_whatever_ended_before(tmp_path: Path) -> None:
    again = {**STUDY, "execution": {"retries": 2, "price_per_hour": 0.0}}
    run = record(tmp_path, RunCreated(1, "run", "ab", again, "", "", "python", {}, ""), PhaseStarted(Phase.SEARCH))
    run.add(*(TrialProposed(number, Phase.SEARCH, {"x": 0.5}, {}, [7, 8], [0.5]) for number in (1, 2, 3)))

    def waiting() -> list[tuple[int, int]]:
        return [(trial.trial.number, index) for trial, index in run.state.waiting(Phase.SEARCH)]

    def expected() -> list[tuple[int, int]]:
        trials = run.state.unfinished(Phase.SEARCH)
        return [(trial.trial.number, index) for trial in trials for index in trial.waiting()]

    assert waiting() == expected() == [(1, 0), (1, 1), (2, 0), (2, 1), (3, 0), (3, 1)]
    run.add(*(AttemptStarted(f"t{n:04d}.s{s}.a1", 7, 0, None, 1) for n, s in ((1, 0), (1, 1), (2, 0))))
    assert waiting() == expected() == [(2, 1), (3, 0), (3, 1)]
    run.add(AttemptEnded("t0001.s1.a1", "killed", {}, {}, 0.0, 1.0, 1.0, 0.0))
    run.add(AttemptEnded("t0001.s0.a1", "ok", {"loss": 1.0}, {}, 0.0, 1.0, 1.0, 0.0))
    run.add(AttemptEnded("t0002.s0.a1", "error", {}, {}, 0.0, 1.0, 1.0, 0.0))
    assert waiting() == expected() == [(1, 1), (2, 1), (3, 0), (3, 1)]


def test_thousands_of_slots_are_filled_and_emptied(tmp_path: Path) -> None:
    options = {"values": "surface", "durability": "none", "round_s": 100.0}
    done = flopwise.Study(
        name="wide",
        space={"x": flopwise.Float(0.0, 1.0)},
        objective=len,
        evaluations=3_000,
        policies={"patience": False},
        execution={"executor": "simulated", "slots": 3_000, "options": options},
        runs=tmp_path,
    ).run(quiet=True)
    assert done.reason == "finished"
    assert {trial["outcome"] for trial in done.trials} == {"ok"} and len(done.trials) > 3_000
    began = {event.slot for event in read_events(done.folder / "journal.log")[0] if isinstance(event, AttemptStarted)}
    assert began == set(range(3_000))


def test_a_finished_trial_takes_little_memory(tmp_path: Path) -> None:
    """All that the coordinator keeps of one with one metric and three parameters: state, ledger, policies, searcher."""

    class Scale(SilentView):
        def __init__(self) -> None:
            self.ended = 0
            self.weighed: dict[int, int] = {}

        def event(self, event: Event, state: RunState) -> None:
            self.ended += isinstance(event, AttemptEnded)
            if self.ended in (200, 700) and self.ended not in self.weighed:
                gc.collect()
                self.weighed[self.ended] = tracemalloc.get_traced_memory()[0]

    scale, options = Scale(), {"values": "surface", "durability": "none", "round_s": 0.2, "seconds": 1.0}
    study = study_from_mapping(
        {
            "name": "weighed",
            "workload": "function",
            "space": {f"x{axis}": {"type": "float", "low": 0.0, "high": 1.0} for axis in range(3)},
            "objective": {"metric": "loss"},
            "search": {"method": "random"},
            "tiers": {"only": {"trials": 720}},
            "policies": {"patience": {"generations": 720}},
            "execution": {"executor": "simulated", "slots": 16, "options": options},
        }
    )
    tracemalloc.start()
    try:
        run_study(
            study, Request(tmp_path, scale, "test", objective="import:math:fsum", objective_id="import:math:fsum")
        )
    finally:
        tracemalloc.stop()
    assert 300 < (scale.weighed[700] - scale.weighed[200]) / 500 < MOST_BYTES
