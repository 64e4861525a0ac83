"""The state of a run, folded from hand-made events."""

from __future__ import annotations

from typing import Any

import pytest

from flopwise.errors import JournalDamaged
from flopwise.events import (
    FORMAT,
    AttemptEnded,
    AttemptStarted,
    DataPrepared,
    Event,
    Measured,
    PauseAccepted,
    PhaseStarted,
    PolicyRaised,
    RunCreated,
    SessionClosed,
    SessionLost,
    SessionOpened,
    StudyRevised,
    TierChosen,
    TrialProposed,
    VerdictReached,
)
from flopwise.journal.replay import RunState
from flopwise.trial import AttemptId, Outcome, Phase

STUDY: dict[str, Any] = {"objective": {"metric": "loss", "direction": "minimize"}, "execution": {"retries": 2}}
CREATED = RunCreated(FORMAT, "r", "ab", STUDY, "h1", "k", "python", {}, "2026-01-01")


def opened(session: int = 1) -> SessionOpened:
    return SessionOpened(session, 10, "host", "boot", "wall", {}, [{"index": 0}], "flopwise run", 0.0)


def trial(number: int, phase: str = "search", seeds: int = 1, of: int | None = None) -> TrialProposed:
    return TrialProposed(number, phase, {"x": float(number)}, {"steps": 5}, list(range(seeds)), [0.5], of)


def start(attempt: str) -> AttemptStarted:
    return AttemptStarted(attempt, 0, 0, None, 1)


def end(attempt: str, outcome: str = "ok", loss: float = 1.0, interrupted: bool = False) -> AttemptEnded:
    metrics = {"loss": loss} if outcome == "ok" else {}
    return AttemptEnded(attempt, outcome, metrics, {}, 0.0, 1.0, 1.0, 0.0, interrupted=interrupted)


def ran(attempt: str, outcome: str = "ok", loss: float = 1.0, interrupted: bool = False) -> list[Event]:
    return [start(attempt), end(attempt, outcome, loss, interrupted)]


def state(*events: Event) -> RunState:
    return RunState([CREATED, opened(), *events])


def test_an_empty_run_knows_nothing() -> None:
    empty = RunState()
    assert (empty.created, empty.phase, empty.trials, empty.events) == (None, None, {}, 0)


def test_study_and_revision() -> None:
    revised = {**STUDY, "execution": {"retries": 0}}
    run = state(StudyRevised(revised, "h2"))
    assert run.study_hash == "h2"
    assert run.created == CREATED
    assert run.study["execution"]["retries"] == 0


def test_sessions_are_closed_or_lost_by_number() -> None:
    run = state(SessionLost(1, 5.0, "keeper"), opened(2), SessionClosed(2, "finished", "", 9.0))
    assert [type(session.closed) for session in run.sessions] == [SessionLost, SessionClosed]
    with pytest.raises(JournalDamaged, match="never opened"):
        run.apply(SessionClosed(3, "finished", "", 9.0))


def test_phases_data_and_tier() -> None:
    run = state(
        DataPrepared({"sha256": "d"}, 1.0), PhaseStarted("calibrate"), TierChosen("min", {}), PhaseStarted("search")
    )
    assert run.data == {"sha256": "d"}
    assert run.data_ready
    assert run.tier is not None
    assert run.phase is not None
    assert run.phase.phase == "search"
    assert list(run.phases) == ["calibrate", "search"]


def test_a_trial_waits_runs_and_finishes() -> None:
    run = state(trial(1))
    assert run.trials[1].waiting() == [0]
    assert run.unfinished(Phase.SEARCH) == [run.trials[1]]
    run.apply(start("t0001.s0.a1"))
    assert run.trials[1].waiting() == []
    assert [str(attempt.id) for attempt in run.running()] == ["t0001.s0.a1"]
    run.apply(end("t0001.s0.a1", loss=0.5))
    assert run.running() == []
    assert run.open == {}
    assert run.completed == [1]
    assert run.trials[1].loss(run.objective) == 0.5


def test_a_trial_of_several_seeds_needs_all_of_them() -> None:
    run = state(trial(1, seeds=2), *ran("t0001.s1.a1", loss=3.0))
    assert run.trials[1].waiting() == [0]
    assert run.trials[1].losses(run.objective) == [None, 3.0]
    assert run.trials[1].loss(run.objective) is None
    run.apply(start("t0001.s0.a1"))
    run.apply(end("t0001.s0.a1", loss=1.0))
    assert run.trials[1].finished
    assert run.trials[1].loss(run.objective) == 2.0


@pytest.mark.parametrize("outcome", ["killed", "oom"])
def test_retries_of_what_may_live_elsewhere(outcome: str) -> None:
    run = state(trial(1), *ran("t0001.s0.a1", outcome))
    assert run.trials[1].waiting() == [0]
    assert run.trials[1].next_attempt(0) == AttemptId(1, 0, 2)
    for attempt in ("t0001.s0.a2", "t0001.s0.a3"):
        assert not run.trials[1].finished
        run.apply(start(attempt))
        run.apply(end(attempt, outcome))
    assert run.trials[1].finished
    failure = run.trials[1].failure()
    assert failure is not None
    assert failure.attempt == "t0001.s0.a3"
    assert [ended.attempt for ended in run.final_ends] == ["t0001.s0.a3"]


@pytest.mark.parametrize("outcome", ["nan", "error", "timeout", "pruned"])
def test_no_retry_of_what_would_fail_again(outcome: str) -> None:
    run = state(trial(1), *ran("t0001.s0.a1", outcome))
    assert run.completed == [1]
    assert run.trials[1].loss(run.objective) is None
    assert run.trials[1].losses(run.objective) == [None]


def test_a_retry_may_still_succeed() -> None:
    run = state(trial(1), *ran("t0001.s0.a1", "killed"), *ran("t0001.s0.a2", loss=7.0))
    assert run.trials[1].loss(run.objective) == 7.0
    assert run.trials[1].failure() is None
    assert len(list(run.ended())) == 2


def test_interrupted_attempts_cost_no_retry() -> None:
    interruptions = [event for n in range(1, 6) for event in ran(f"t0001.s0.a{n}", "killed", interrupted=True)]
    run = state(trial(1), *interruptions)
    assert run.trials[1].waiting() == [0]
    assert run.trials[1].next_attempt(0) == AttemptId(1, 0, 6)
    assert list(run.final_ends) == []


def test_a_missing_or_non_finite_metric_has_no_loss() -> None:
    gone = AttemptEnded("t0001.s0.a1", "ok", {"other": 1.0}, {}, 0.0, 1.0, 1.0, 0.0)
    run = state(trial(1), start("t0001.s0.a1"), gone)
    assert run.trials[1].finished
    assert run.trials[1].loss(run.objective) is None


def test_told_follows_the_order_of_finishing_and_leaves_other_phases_out() -> None:
    run = state(trial(0, "calibrate"), *(trial(n) for n in (1, 2, 3)), trial(4, "choose", of=2))
    for name, outcome in (("t0003", "ok"), ("t0000", "ok"), ("t0001", "nan"), ("t0004", "ok"), ("t0002", "ok")):
        for event in ran(f"{name}.s0.a1", outcome, loss=float(name[-1])):
            run.apply(event)
    told = run.told()
    assert [(each.number, each.loss) for each in told] == [(3, 3.0), (1, None), (2, 2.0)]
    assert told[0].config == {"x": 3.0}
    assert told[0].point == (0.5,)
    assert run.told(2) == told[2:]


def test_maximised_metrics_turn_into_losses_once() -> None:
    study = {**STUDY, "objective": {"metric": "loss", "direction": "maximize"}}
    run = RunState([RunCreated(**{**vars(CREATED), "study": study}), trial(1), *ran("t0001.s0.a1", loss=2.0)])
    assert run.told()[0].loss == -2.0


def test_trials_by_phase_and_measurements_by_attempt() -> None:
    rows = [{"step": 1, "elapsed_s": 0.5, "values": {"loss": 2.0}}]
    run = state(trial(0, "calibrate"), trial(1), start("t0001.s0.a1"), Measured("t0001.s0.a1", rows))
    run.apply(Measured("t0001.s0.a1", rows))
    assert [each.trial.number for each in run.by_phase(Phase.SEARCH, Phase.CALIBRATE)] == [1, 0]
    assert run.attempt("t0001.s0.a1").rows == rows * 2
    assert run.attempt("t0001.s0.a1").outcome is None
    run.apply(end("t0001.s0.a1", "nan"))
    assert run.attempt("t0001.s0.a1").outcome is Outcome.NAN


def test_pauses_policies_and_verdict() -> None:
    pause = PolicyRaised("crash_rate", "pause", "too many", {})
    run = state(trial(1), *ran("t0001.s0.a1"), pause)
    assert run.paused == pause
    run.apply(PauseAccepted("crash_rate"))
    assert run.paused is None
    assert run.accepted_at == {"crash_rate": 1}
    run.apply(PolicyRaised("patience", "end_search", "enough", {}))
    assert run.paused is None
    assert len(run.raised) == 2
    run.apply(VerdictReached("GO", 1, [], {}))
    assert run.verdict is not None


@pytest.mark.parametrize(
    ("events", "message"),
    [
        ([trial(1), trial(1)], "proposed twice"),
        ([start("t0001.s0.a1")], "belongs to no trial"),
        ([trial(1), start("t0001.s0.a1"), start("t0001.s0.a1")], "started twice"),
        ([trial(1), end("t0001.s0.a1")], "never started"),
        ([trial(1), *ran("t0001.s0.a1"), end("t0001.s0.a1")], "ended twice"),
        ([Measured("t0001.s0.a1", [])], "never started"),
    ],
)
def test_events_that_contradict_each_other_are_damage(events: list[Event], message: str) -> None:
    with pytest.raises(JournalDamaged, match=message):
        state(*events)
