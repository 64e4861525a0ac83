"""Studies that run to a target: fallback, tightening, censored runs, targets read afterwards, contended slots."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import flopwise
from flopwise.contention import is_contended
from flopwise.engine.verify import verify
from flopwise.engine.verify.records import read_records
from flopwise.engine.verify.run import fold
from flopwise.engine.verify.timing import check_timing
from flopwise.errors import InputError, StudyError
from flopwise.events import (
    AttemptEnded,
    AttemptStarted,
    Event,
    Measured,
    RunCreated,
    TargetChosen,
    TrialProposed,
)
from flopwise.journal.replay import RunState
from flopwise.paths import RunFolder
from flopwise.report.read import read_run
from flopwise.report.targets import ladder
from flopwise.study import parse_study
from flopwise.target import Target

STEPS = 100


def train(config: dict[str, Any], context: Any) -> dict[str, float]:
    """A loss that falls from 8 by ``rate`` in 100 steps of 0.1 s, a little differently with each seed."""
    loss = 8.0
    for step in range(0, STEPS + 1, 10):
        loss = 8.0 - config["rate"] * step / STEPS + (context.seed % 7) * 0.01
        context.report(step, val_loss=loss, train_s=0.1 * step)
        if context.should_stop():
            break
    return {"val_loss": loss}


def study(tmp_path: Path, low: float, high: float, **target: Any) -> flopwise.Study:
    return flopwise.Study(
        name="timed",
        space={"rate": flopwise.Float(low, high)},
        objective=train,
        metric="seconds_to_target",
        target={"val_loss": 5.0, **target},
        search="qmc",
        evaluations=6,
        base={"rate": (low + high) / 2},
        calibration={"seeds": 2},
        confirm={"top": 2, "seeds": 5},
        execution={"executor": "inline"},
        policies={"patience": False, "throughput": False},
        runs=tmp_path / "runs",
    )


def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "runs" / "timed")


def ends(tmp_path: Path) -> list[AttemptEnded]:
    return [event for event in read_run(folder(tmp_path)) if isinstance(event, AttemptEnded)]


def test_the_fastest_to_the_target_wins_and_what_never_gets_there_is_censored(tmp_path: Path) -> None:
    done = study(tmp_path, 1.0, 9.0).run(quiet=True)
    assert done.verdict == "GO"
    assert done.best is not None and done.best["config"]["rate"] > 6.0
    assert {end.outcome for end in ends(tmp_path)} == {"ok"}
    reached = [end for end in ends(tmp_path) if end.info["reached_target"]]
    censored = [end for end in ends(tmp_path) if not end.info["reached_target"]]
    assert reached and censored
    for end in reached:
        assert end.metrics["seconds_to_target"] == end.info["time_to_target"] > 0
        assert end.info["final_step"] <= STEPS
    assert min(end.info["final_step"] for end in reached) < STEPS
    for end in censored:
        assert "seconds_to_target" not in end.metrics and end.info["time_to_target"] is None
        assert end.info["last_validation"][:2] == [STEPS, 10.0]
    assert verify(folder(tmp_path)) == []


def test_a_target_that_nobody_reaches_falls_back_without_running_again(tmp_path: Path) -> None:
    done = study(tmp_path, 0.5, 2.0, fallback=[6.5, 7.0], tighten=[4.5]).run(quiet=True)
    chosen = [event for event in read_run(folder(tmp_path)) if isinstance(event, TargetChosen)]
    assert [event.value for event in chosen] == [6.5]
    assert chosen[0].reason.startswith("No config reached 5;")
    assert done.verdict == "GO"
    assert done.best is not None and done.best["mean"] is not None
    assert verify(folder(tmp_path)) == []


def test_a_target_that_all_reach_alike_is_tightened_and_trainings_had_gone_on(tmp_path: Path) -> None:
    study(tmp_path, 250.0, 256.0, tighten=[-100.0, -243.0]).run(quiet=True)
    chosen = [event for event in read_run(folder(tmp_path)) if isinstance(event, TargetChosen)]
    assert [event.value for event in chosen] == [-243.0]
    assert verify(folder(tmp_path)) == []


def test_any_other_target_is_read_from_the_same_journal(tmp_path: Path) -> None:
    study(tmp_path, 1.0, 9.0, tighten=[3.0]).run(quiet=True)
    events = read_run(folder(tmp_path))
    found = ladder(events, [6.0, 4.0, 7.0])
    assert [each.value for each in found.rungs] == [7.0, 6.0, 4.0]
    counts = [each.reached for each in found.rungs]
    assert counts == sorted(counts, reverse=True) and counts[0] > counts[-1] > 0
    rows = [row for event in events if isinstance(event, Measured) for row in event.rows]
    assert all("val_loss" in row["values"] for row in rows)
    assert found.ended_at == 3.0
    with pytest.raises(InputError, match="no curve beyond 3"):
        ladder(events, [2.0])
    assert 5.0 in [each.value for each in ladder(events).rungs]
    json.dumps(ladder(events).to_json())


def test_verify_re_derives_the_seconds_and_the_choice(tmp_path: Path) -> None:
    study(tmp_path, 0.5, 2.0, fallback=[6.5]).run(quiet=True)
    run, _ = fold(read_records(folder(tmp_path)).records)
    assert list(check_timing(run)) == []
    record, event = run.aims[0]
    run.aims[0] = (record, TargetChosen(7.0, event.reason, event.counts))
    assert [each.what for each in check_timing(run)] == ["TargetChosen"]


def test_a_training_that_reports_nothing_is_an_error(tmp_path: Path) -> None:
    silent = flopwise.Study(
        name="timed",
        space={"rate": flopwise.Float(0.0, 1.0)},
        objective=lambda config: {"val_loss": 1.0},
        metric="seconds_to_target",
        target={"val_loss": 5.0},
        evaluations=2,
        execution={"executor": "inline"},
        runs=tmp_path / "runs",
    )
    done = silent.run(quiet=True)
    assert done.reason == "failed" and "no row of the learning curve has val_loss" in done.detail


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"metric": "seconds_to_target"}, "objective.target: missing"),
        ({"metric": "loss", "target": {"val_loss": 5.0}}, "means nothing with metric: loss"),
        ({"direction": "maximize", "target": {"val_loss": 5.0}}, "objective.direction: expected minimize"),
        ({"target": {"val_loss": 5.0, "fallback": [4.0]}}, "fallback: expected more than 5, which is easier, got 4"),
        ({"target": {"val_loss": 5.0, "tighten": [5.5]}}, "tighten: expected less than 5, which is harder, got 5.5"),
        ({"target": {"accuracy": 0.5, "direction": "maximize", "tighten": [0.4]}}, "expected more than 0.5"),
        ({"target": {"val_loss": 5.0, "loss": 3.0}}, "expected one metric and its value, got val_loss, loss"),
        ({"target": {"fallback": [5.0]}}, "expected one metric and its value, got none"),
        ({"target": {"val_loss": "low"}}, "objective.target.val_loss: expected a number, got 'low'"),
        ({"target": {"val_loss": 5.0}, "evaluation": {"validate_every": 5}}, "decides itself when it validates"),
        ({"target": {"val_loss": 5.0}, "execution": {"executor": "simulated"}}, "simulated seconds measure nothing"),
    ],
)
def test_targets_that_make_no_sense_are_refused(settings: dict[str, Any], message: str) -> None:
    given = {"metric": "seconds_to_target", **settings}
    with pytest.raises(StudyError) as caught:
        flopwise.Study(name="bad", space={"rate": flopwise.Float(0.0, 1.0)}, objective=train, **given)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("objective", "evaluation", "message"),
    [
        ("{metric: seconds_to_target, target: {train_loss: 5}}", "{stop: {steps: 9}, validate_every: 3}", "val_loss"),
        ("{metric: seconds_to_target, target: {val_loss: 5}}", "{stop: {steps: 9}}", "validate_every: missing"),
        ("{metric: val_loss}", "{stop: {steps: 9}, count_validation: true}", "means nothing without validate_every"),
    ],
)
def test_a_language_model_has_to_validate_what_is_its_target(objective: str, evaluation: str, message: str) -> None:
    text = (
        "name: lm\nworkload: language_model\nspace: {train.lr: {type: float, low: 1e-4, high: 1e-2}}\n"
        f"objective: {objective}\nevaluation: {evaluation}\n"
    )
    with pytest.raises(StudyError, match=message):
        parse_study(text)


def spin(config: dict[str, Any], context: Any) -> dict[str, float]:
    """Busy for half a CPU second: contention of less is not known."""
    until = time.process_time() + 0.5
    while time.process_time() < until:
        pass
    context.report(1, val_loss=4.0)
    return {"val_loss": 4.0}


def test_on_a_contended_slot_attempts_are_marked_and_repeated_at_most_twice(tmp_path: Path) -> None:
    hog = "import os, sys\nos.sched_setaffinity(0, {int(sys.argv[1])})\nwhile True: pass"
    commands = [[sys.executable, "-c", hog, str(core)] for core in os.sched_getaffinity(0)]
    hogs = [subprocess.Popen(command, start_new_session=True) for command in commands]  # full shares of the cores
    try:
        flopwise.Study(
            name="timed",
            space={"rate": flopwise.Float(0.0, 1.0)},
            objective=spin,
            metric="seconds_to_target",
            target={"val_loss": 5.0},
            evaluations=1,
            calibration={"seeds": 2},
            limits={"evaluations": 3},
            execution={"slots": 1},
            runs=tmp_path / "runs",
        ).run(quiet=True)
    finally:
        for process in hogs:
            process.kill()
            process.wait()
    found = ends(tmp_path)
    marked = [end for end in found if is_contended(end.contention)]
    assert len(marked) > 3
    assert {end.attempt.rpartition(".a")[0] for end in marked} <= {"t0000.s0", "t0000.s1", "t0001.s0"}
    assert max(int(end.attempt.rpartition(".a")[2]) for end in found) == 3
    assert {end.outcome for end in found} == {"ok"}
    assert verify(folder(tmp_path)) == []


def test_an_undisturbed_attempt_ends_the_repeating_and_other_studies_do_not_repeat() -> None:
    for timed, contentions, tries in ((True, [0.5, 0.02], 2), (True, [0.5] * 5, 3), (False, [0.5], 1)):
        state = RunState(contended_attempts(contentions[:tries], timed=timed))
        assert state.trials[0].finished
        assert [attempt.disturbed for attempt in state.trials[0].attempts] == [timed and c > 0.1 for c in contentions][
            :tries
        ]
        if tries > 1:
            assert not RunState(contended_attempts(contentions[: tries - 1], timed=timed)).trials[0].finished


def contended_attempts(contentions: list[float], *, timed: bool) -> list[Event]:
    """One evaluation, tried again and again."""
    objective: dict[str, Any] = {"metric": "seconds_to_target", "direction": "minimize"}
    if timed:
        objective["target"] = Target("val_loss", 5.0).to_json()
    study = {"objective": objective, "execution": {"retries": 2}}
    info = {"targets": [[5.0, 3.0]], "last_validation": [9, 3.0, 4.0]}
    events: list[Event] = [
        RunCreated(1, "r", "0", study, "", "", "", {}, ""),
        TrialProposed(0, "calibrate", {}, {}, [1]),
    ]
    for number, contention in enumerate(contentions, start=1):
        name = f"t0000.s0.a{number}"
        events.append(AttemptStarted(name, 1, 0, None, 1))
        events.append(
            AttemptEnded(name, "ok", {"seconds_to_target": 3.0}, info, 0.0, 4.0, 4.0, 0.0, contention=contention)
        )
    return events
