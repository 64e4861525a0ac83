"""Trials for spreadsheets, programs and Optuna."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from flopwise.errors import InputError
from flopwise.events import Measured
from flopwise.registry import load
from flopwise.report.exports.csv import as_csv, cell

FORMULAS = ["=1+1", "+1", "-cmd|' /C calc'!A0", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "＝1", '=HYPERLINK("//x")']


def exported(folder: Any, events: list[Any], to: str, target: Path | None = None) -> str:
    return str(load("exports", to)(folder, events, target))


def test_csv_holds_every_trial_and_its_config(story: Any, run_folder: Any) -> None:
    events = story().finished().events
    rows = list(csv.DictReader(io.StringIO(exported(run_folder(events), events, "csv"))))
    assert [row["trial"] for row in rows] == [str(number) for number in range(9)]
    assert rows[3]["config.train.lr"] == "0.003" and rows[3]["value"] == "2.2" and rows[3]["phase"] == "search"
    assert rows[2]["outcome"] == "nan" and rows[2]["value"] == "" and rows[2]["cause"] == "the loss is nan at step 12"
    assert (rows[8]["of"], rows[8]["value.2"]) == ("3", "2.22")


@pytest.mark.parametrize("text", FORMULAS)
def test_no_text_of_a_csv_is_a_formula(text: str) -> None:
    record = {"trial": -1, "cause": text, f"config.{text}": text, "value": -0.5}
    head, row = csv.reader(io.StringIO(as_csv([record])))
    for found in (*head, row[head.index("cause")], row[-1]):
        assert found[:1] not in "=+-@\t\r\n＝＋－＠" or found == ""
    assert row[head.index("value")] == "-0.5" and row[0] == "-1"


def test_a_key_that_is_a_formula_is_none_in_the_header(story: Any, run_folder: Any) -> None:
    assert cell("=config") == "'=config"
    assert cell(float("-inf")) == float("-inf") and cell(True) == "true" and cell(None) == ""


def test_jsonl_is_exact(story: Any, run_folder: Any) -> None:
    events = story().finished().events
    rows = [json.loads(line) for line in exported(run_folder(events), events, "jsonl").splitlines()]
    assert rows[3]["config.train.lr"] == 0.003 and rows[3]["value"] == 2.2
    assert rows[2]["value"] is None and rows[2]["of"] is None
    assert rows[8]["seed.1"] == 1


def test_files_are_written_for_the_owner_only(story: Any, run_folder: Any, tmp_path: Path) -> None:
    events = story().finished().events
    for to in ("csv", "jsonl"):
        assert "9 trials" in exported(run_folder(events, f"run-{to}"), events, to, tmp_path / f"out.{to}")
        assert (tmp_path / f"out.{to}").stat().st_mode & 0o777 == 0o600


def loaded(target: Path, name: str = "pilot") -> optuna.Study:
    if target.suffix == ".db":
        return optuna.load_study(study_name=name, storage=f"sqlite:///{target}")
    return optuna.load_study(study_name=name, storage=JournalStorage(JournalFileBackend(str(target))))


@pytest.mark.parametrize("file", ["trials.db", "trials.log"])
def test_optuna_opens_a_finished_run(story: Any, run_folder: Any, tmp_path: Path, file: str) -> None:
    events = story().finished().events
    exported(run_folder(events), events, "optuna", tmp_path / file)
    study = loaded(tmp_path / file)
    assert study.direction.name == "MINIMIZE" and study.metric_names == ["val_loss"]
    assert [trial.number for trial in study.trials] == [0, 1, 2, 3, 4]
    assert [trial.value for trial in study.trials] == [2.51, 2.45, None, 2.2, 2.6]
    assert study.trials[3].params == {"model.n_layer": 3, "train.lr": 0.003}
    assert study.best_trial.number == 3
    assert study.trials[2].state is TrialState.FAIL
    assert study.trials[2].user_attrs["cause"] == "the loss is nan at step 12"
    assert (study.user_attrs["verdict"], study.user_attrs["winner"]) == ("GO", 3)
    first = study.trials[1]
    assert first.datetime_start is not None and first.duration is not None
    assert first.duration.total_seconds() == pytest.approx(10.0)


def test_optuna_opens_a_running_run(story: Any, run_folder: Any) -> None:
    run = story(objective={"metric": "accuracy", "direction": "maximize"}).searched()
    run.proposed(5, "search").started(5).proposed(6, "search")
    run.events.append(Measured("t0005.s0.a1", [{"step": 3, "elapsed_s": 1.0, "values": {"accuracy": 0.5}}]))
    folder = run_folder(run.events)
    assert "optuna-dashboard" in exported(folder, run.events, "optuna")
    study = loaded(folder.optuna)
    assert [trial.state for trial in study.trials[5:]] == [TrialState.RUNNING, TrialState.WAITING]
    assert study.trials[5].intermediate_values == {3: 0.5}
    assert study.trials[5].datetime_start == study.trials[4].datetime_complete, "its slot became free then"
    assert study.best_trial.number == 4


def test_an_export_is_made_anew(story: Any, run_folder: Any) -> None:
    folder = run_folder(story().searched().events)
    for events in (story().searched().events, story().finished().events):
        exported(folder, events, "optuna")
    assert len(loaded(folder.optuna).trials) == 5


def test_what_optuna_cannot_hold_is_left_out(story: Any, run_folder: Any) -> None:
    space = {
        "a": {"type": "categorical", "choices": [1, True, "1"]},
        "b": {"type": "float", "low": 0.0, "high": 1.0, "scale": "linear"},
    }
    run = story(space=space, base={"b": 7.0}).opened().phase("calibrate").proposed(0, "calibrate", a=True, b=7.0)
    run.ran(0, 2.5).phase("search").proposed(1, "search", a=True, b=0.5).ran(1, 2.4)
    folder = run_folder(run.events)
    exported(folder, run.events, "optuna")
    baseline, first = loaded(folder.optuna).trials
    assert baseline.params == {"a": "true"}
    assert first.params == {"a": "true", "b": 0.5}


def test_a_knob_that_conditions_switch_off_is_left_out(story: Any, run_folder: Any) -> None:
    gates = {"type": "int", "low": 1, "high": 9, "scale": "linear", "step": 1, "when": {"kind": ["gated"]}}
    run = story(
        space={"kind": {"type": "categorical", "choices": ["plain", "gated"]}, "gates": gates}, base={"gates": 5}
    )
    run.opened().phase("calibrate").proposed(0, "calibrate", kind="plain", gates=5).ran(0, 2.5).phase("search")
    run.proposed(1, "search", kind="gated", gates=3).ran(1, 2.4)
    folder = run_folder(run.events)
    exported(folder, run.events, "optuna")
    assert [trial.params for trial in loaded(folder.optuna).trials] == [
        {"kind": "plain"},
        {"kind": "gated", "gates": 3},
    ]


def test_a_storage_that_the_name_does_not_tell_is_refused(story: Any, run_folder: Any, tmp_path: Path) -> None:
    events = story().finished().events
    with pytest.raises(InputError, match=r"\.db, "):
        exported(run_folder(events), events, "optuna", tmp_path / "trials.xlsx")
    assert not (tmp_path / "trials.xlsx").exists()
