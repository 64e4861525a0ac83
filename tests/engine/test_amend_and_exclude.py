"""What the user may change in a run: limits, policies, and which slots it uses; journaled, in order, for good."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import flopwise
from flopwise.engine.amend import amend
from flopwise.engine.verify import verify
from flopwise.errors import InputError, RunError, StillPaused, StudyError
from flopwise.events import Amended, AttemptStarted, PauseAccepted
from flopwise.journal.log import read_events
from flopwise.paths import RunFolder
from flopwise.report.view import choose_view


def crashing(config: dict[str, Any]) -> dict[str, float]:
    if config["x"] > 0.6:
        raise RuntimeError("out of luck")
    return {"loss": 1.0 + (config["x"] - 0.2) ** 2}


def study(root: Path, **sections: Any) -> flopwise.Study:
    return flopwise.Study(
        name="amended",
        space={"x": flopwise.Float(0.0, 1.0)},
        objective=crashing,
        base={"x": 0.5},
        evaluations=24,
        runs=root / "runs",
        confirm={"top": 1, "seeds": 2},
        execution={"executor": "simulated", "slots": 3, "options": {"seconds": 30.0}},
        **sections,
    )


@pytest.fixture
def paused(tmp_path: Path) -> RunFolder:
    done = study(tmp_path).run(quiet=True)
    assert done.reason == "paused"
    return RunFolder(done.folder)


def change(folder: RunFolder, *assignments: str) -> list[dict[str, Any]]:
    return amend(folder, assignments, choose_view(Console(), quiet=True, runs=folder.root.parent))


def events(folder: RunFolder, kind: type) -> list[Any]:
    return [event for event in read_events(folder.journal)[0] if isinstance(event, kind)]


def test_a_policy_that_bears_more_lets_the_run_go_on(paused: RunFolder, tmp_path: Path) -> None:
    done = change(paused, "policies.crash_rate.pause_above=0.9", "limits.price=$2")
    assert done == [
        {"key": "policies.crash_rate", "before": {"pause_above": 0.1}, "after": {"pause_above": 0.9}},
        {"key": "limits.price", "before": None, "after": 2.0},
    ]
    assert [event.changes for event in events(paused, Amended)] == [done]
    assert study(tmp_path).run(quiet=True).reason == "finished"
    assert events(paused, PauseAccepted) == []
    assert verify(paused) == []
    report = json.loads(paused.report_json.read_text())
    assert report["amended"] == done
    assert report["limits"]["price"] == 2.0


def test_a_policy_that_still_finds_too_many_pauses_again_at_once(paused: RunFolder, tmp_path: Path) -> None:
    before = len(events(paused, AttemptStarted))
    change(paused, "policies.crash_rate.pause_above=0.11")
    again = study(tmp_path).run(quiet=True)
    assert again.reason == "paused"
    assert len(events(paused, AttemptStarted)) == before
    with pytest.raises(StillPaused):
        study(tmp_path).run(quiet=True)
    assert verify(paused) == []


def test_a_change_of_something_else_answers_no_pause(paused: RunFolder, tmp_path: Path) -> None:
    change(paused, "limits.price=2", "policies.patience=false")
    with pytest.raises(StillPaused, match="crash_rate"):
        study(tmp_path).run(quiet=True)


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        ("space.x.high=2", "the search has learned in this space"),
        ("base.x=0.1", "the baseline was measured"),
        ("evaluation.seeds=2", "would not be comparable"),
        ("objective.metric=acc", "were measured by it"),
        ("search.seed=1", "what was and will be proposed"),
        ("execution.price_per_hour=1", "were measured with it"),
        ("limts.price=1", "did you mean 'limits'"),
        ("limits=1", "name what changes in it"),
        ("limits.prise=1", "did you mean 'price'"),
        ("limits.price=-1", "limits.price"),
        ("policies.crash_rat=false", "did you mean 'crash_rate'"),
        ("policies.crash_rate.pause_above=7", "policies.crash_rate.pause_above"),
    ],
)
def test_what_results_depend_on_and_what_no_study_may_hold_is_refused(
    assignment: str, said: str, paused: RunFolder
) -> None:
    before = paused.journal.read_bytes()
    with pytest.raises(StudyError, match=said):
        change(paused, "limits.wall_clock=1h", assignment)
    assert paused.journal.read_bytes() == before


def test_an_assignment_without_a_value_is_none(paused: RunFolder) -> None:
    with pytest.raises(InputError, match="not a change"):
        change(paused, "limits.price")


def test_what_was_so_already_is_no_change(paused: RunFolder) -> None:
    assert change(paused, "policies.crash_rate.pause_above=0.1") == []
    assert events(paused, Amended) == []


def test_a_finished_run_stays_as_it_is(tmp_path: Path) -> None:
    done = study(tmp_path, policies={"crash_rate": False, "crash_loop": False}).run(quiet=True)
    assert done.reason in ("finished", "stopped")
    with pytest.raises(RunError, match="is finished"):
        change(RunFolder(done.folder), "limits.price=1")
    again = study(tmp_path, policies={"crash_rate": False, "crash_loop": False})
    assert again.run(quiet=True).folder != done.folder


def test_an_altered_amendment_is_noticed(paused: RunFolder, tmp_path: Path) -> None:
    change(paused, "policies.crash_rate.pause_above=0.9")
    study(tmp_path).run(quiet=True)
    data = paused.journal.read_bytes()
    paused.journal.write_bytes(data.replace(b'"pause_above":0.9', b'"pause_above":0.8', 1))
    assert verify(paused)
