"""A staged study, whole: questions, winners carried on, the fine grid, and every proposal derived again."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import flopwise
from flopwise.engine.phases import Search
from flopwise.engine.verify import verify
from flopwise.engine.verify.document import check_report
from flopwise.engine.verify.records import read_records
from flopwise.engine.verify.run import fold
from flopwise.engine.verify.settled import check_settled
from flopwise.errors import StudyError
from flopwise.events import Event, QuestionSettled, TrialProposed
from flopwise.journal.replay import RunState
from flopwise.paths import RunFolder
from flopwise.report.read import read_run
from flopwise.searchers.staged import Staged
from flopwise.study import baseline_config, space_of

SPACE = {
    "method": flopwise.Categorical(("cubic", "polar")),
    "lr": flopwise.Float(1e-3, 1e-1, "log"),
    "lazy": flopwise.Int(1, 20),
}
BASE = {"method": "polar", "lr": 3e-3, "lazy": 7}
QUESTIONS: dict[str, Any] = {
    "A": {"ask": "does polar pay?", "grid": {"method": ["cubic", "polar"]}, "configs": [{"lr": 3e-3}, {"lr": 1e-2}]},
    "B": {"base": {"method": {"best_of": "A"}}, "grid": {"lazy": [3, 10, 20]}},
    "C": {"base": {"method": {"best_of": "A"}, "lazy": {"best_of": "B"}}, "grid": {"lr": [5e-3, 2e-2, 5e-2]}},
}


def train(config: dict[str, Any], context: Any) -> dict[str, float]:
    """Polar is better a step, cubic steps are quicker; 0.02 is the best rate, 10 the best frequency."""
    rate = (
        4.0
        + (1.0 if config["method"] == "polar" else 0.0)
        - 40 * abs(config["lr"] - 0.02)
        - abs(config["lazy"] - 10) / 10
    )
    step_s = 0.16 if config["method"] == "polar" else 0.1
    loss = 8.0
    for step in range(0, 101, 10):
        loss = 8.0 - rate * step / 100
        context.report(step, val_loss=loss, train_s=step_s * step)
        if context.should_stop():
            break
    return {"val_loss": loss}


def study(tmp_path: Path, **more: Any) -> flopwise.Study:
    search = {"method": "staged", "questions": QUESTIONS, "refine": {"trials": 6, "top": 3, "levels": 4}}
    settings: dict[str, Any] = {
        "name": "staged",
        "space": SPACE,
        "base": BASE,
        "objective": train,
        "metric": "seconds_to_target",
        "target": {"val_loss": 5.0},
        "search": search,
        "calibration": {"seeds": 2},
        "confirm": {"top": 1, "seeds": 2},
        "execution": {"executor": "inline"},
        "policies": {"patience": False, "throughput": False},
        "runs": tmp_path / "runs",
    }
    return flopwise.Study(**{**settings, **more})


def test_the_stages_follow_each_other_and_every_proposal_is_derived_again(tmp_path: Path) -> None:
    done = study(tmp_path).run(quiet=True)
    configs = [trial["config"] for trial in done.trials if trial["phase"] == "search"]
    assert [(c["method"], c["lr"]) for c in configs[:4]] == [
        ("cubic", 3e-3), ("cubic", 1e-2), ("polar", 3e-3), ("polar", 1e-2)
    ]  # fmt: skip
    assert {c["method"] for c in configs[4:]} == {"cubic"}
    assert [c["lazy"] for c in configs[4:7]] == [3, 10, 20]
    assert {c["lazy"] for c in configs[7:10]} == {10}
    assert 10 < len(configs) <= 16
    assert done.best is not None and done.best["config"]["method"] == "cubic"
    assert verify(RunFolder(tmp_path / "runs" / "staged")) == []


def numbers(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths of all numbers inside a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from numbers(item, (*path, key))
    if isinstance(value, int | float) and not isinstance(value, bool):
        yield path


def test_every_number_of_the_answers_is_derived_again(tmp_path: Path) -> None:
    study(tmp_path).run(quiet=True)
    folder = RunFolder(tmp_path / "runs" / "staged")
    run, _ = fold(read_records(folder).records)
    report = json.loads(folder.report_json.read_text())
    assert [question["name"] for question in report["questions"]] == ["A", "B", "C"]
    found = list(numbers(report["questions"]))
    assert len(found) > 100
    for path in found[::4]:
        changed = copy.deepcopy(report)
        place = changed["questions"]
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = place[path[-1]] * 1.0001 + 1e-6
        (difference, *_) = check_report(run, json.dumps(changed).encode())
        assert difference.what.startswith("questions[") and str(path[-1]) in difference.what


WIDE: dict[str, Any] = {
    "A": {
        "grid": {"method": ["cubic", "polar"]},
        "configs": [{"lr": 0.018}, {"lr": 0.019}, {"lr": 0.02}, {"lr": 0.021}, {"lr": 0.022}],
    },
    "B": {"base": {"method": {"best_of": "A"}, "lr": 0.02}, "grid": {"lazy": [9, 10, 11]}},
}


def check_resumed(events: list[Event]) -> None:
    """A search that is resumed anywhere says and proposes what the undisturbed one did."""
    said = (QuestionSettled, TrialProposed)
    for at, event in enumerate(events):
        begins = isinstance(event, said) and not isinstance(events[at - 1], QuestionSettled)
        if not begins or (isinstance(event, TrialProposed) and event.phase != "search"):
            continue
        state = RunState(events[:at])
        study, tier = state.study, state.study["tiers"]["default"]
        options = Staged.Options(**study["search"]["options"])
        searcher = Staged(space_of(study), study["search"]["seed"], options, baseline_config(study), None)
        search = Search(searcher, study, tier, slots=1)
        found = search.settled(state) if search.complete(state) else search.propose(state)
        assert found == events[at : at + len(found)] and found


def test_what_could_not_change_an_answer_is_not_run_and_verify_knows(tmp_path: Path) -> None:
    search = {"method": "staged", "questions": WIDE, "refine": {"trials": 16, "top": 2, "levels": 4}}
    done = study(tmp_path, search=search).run(quiet=True)
    folder = RunFolder(tmp_path / "runs" / "staged")
    settled = [event for event in read_run(folder) if isinstance(event, QuestionSettled)]
    assert [(event.question, event.dropped, event.skipped) for event in settled][:1] == [("A", [1], 1)]
    methods = [trial["config"]["method"] for trial in done.trials if trial["phase"] == "search"]
    assert methods[:9] == ["cubic"] * 4 + ["polar"] * 4 + ["cubic"]
    assert verify(folder) == []
    (contrast,) = done.summary["questions"][0]["contrasts"]
    assert (contrast["pairs"], contrast["missing"], contrast["answer"]) == (4, 1, "better")
    assert "Settled early" in folder.report_md.read_text()
    check_resumed(read_run(folder))
    run, _ = fold(read_records(folder).records)
    record, event = run.settled[0]
    run.settled[0] = (record, replace(event, skipped=2))
    assert any(each.what == "skipped" for each in check_settled(run))
    run.settled.clear()
    assert any(each.what == "QuestionSettled" for each in check_settled(run))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"constraints": ["lazy <= 10"]}, "constraints: cannot be kept by a staged search"),
        ({"search": {"method": "staged"}}, "search.questions: missing"),
        (
            {
                "search": {
                    "method": "staged",
                    "questions": {"A": {"base": {"lr": {"best": "B"}}, "grid": {"lazy": [3]}}},
                }
            },
            "expected a value or {best_of: QUESTION}",
        ),
        ({"search": {"method": "staged", "questions": {"A": {}}}}, "search.questions.A: asks nothing"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_anything_runs(tmp_path: Path, more: Any, message: str) -> None:
    with pytest.raises(StudyError) as caught:
        study(tmp_path, **more)
    assert message in str(caught.value)
