"""What a study computes from its searched keys stands beside them, marked as computed."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import optuna
import pytest

from flopwise.registry import load
from flopwise.report.compare import Side, compare, to_json
from flopwise.report.document import render_markdown
from flopwise.report.evidence import gather
from flopwise.report.page import render_page
from flopwise.report.summary import summarise
from flopwise.report.tables import closing_text
from flopwise.study import parse_study
from flopwise.workloads.language_model.spec import SPEC

DERIVED = {
    "model.n_embd": {"value": "32 * model.n_layer", "type": "int"},
    "train.min_lr_fraction": {"value": "1e-4 / train.lr", "type": "float"},
}


@pytest.fixture
def events(story: Any) -> list[Any]:
    return list(story(derived=DERIVED).finished().events)


def test_the_summary_computes_them_for_every_trial(events: list[Any]) -> None:
    summary = summarise(events)
    assert summary["winner"]["derived"] == {"model.n_embd": 96, "train.min_lr_fraction": pytest.approx(1 / 30)}
    assert summary["baseline"]["derived"]["model.n_embd"] == 64
    assert [trial["derived"]["model.n_embd"] for trial in summary["trials"]][:5] == [64, 32, 64, 96, 128]


def test_screen_report_and_page_show_them_beside_the_knobs(events: list[Any]) -> None:
    summary = summarise(events)
    screen = closing_text(summary, "finished", "GO", Path("runs/pilot"))
    assert "model.n_embd (derived)" in screen
    (row,) = [line.split() for line in screen.splitlines() if "n_embd" in line]
    assert row[-2:] == ["64", "96"]
    report = render_markdown(summary)
    assert "| model.n_embd (derived) | 64 | 96 |" in report.replace("  ", "")
    assert "| n_embd (derived) |" in report, "a column of the table of trials"
    assert "train.min_lr_fraction (derived)" in render_page(gather(events), {})


def test_the_winners_values_in_full_are_a_base_with_and_without_the_expressions(events: list[Any]) -> None:
    report = render_markdown(summarise(events))
    block = report.split("```yaml\n")[1].split("```")[0]
    assert "  n_embd: 96  # derived\n" in block
    study = "name: next\nworkload: language_model\nobjective: {metric: val_loss}\n"
    study += "evaluation: {stop: {steps: 20}}\nspace: {train.beta1: {type: float, low: 0.8, high: 0.99}}\n"
    study += "base:\n" + "".join(f"  {line}\n" for line in block.splitlines())
    expressions = "".join(f"  {key}: {each['value']}\n" for key, each in DERIVED.items())
    for text in (study, f"{study}derived:\n{expressions}"):
        base = parse_study(text).canonical["base"]
        assert base["model"]["n_embd"] == 96 and SPEC.config_model.model_validate(base).train.lr == 0.003


def test_runs_are_compared_by_them(events: list[Any], story: Any) -> None:
    sides = [Side.of("a", events), Side.of("b", story().finished().events)]
    found = compare(sides)
    assert ("model.n_embd (derived)", "96", "–") in found.knobs.rows
    assert to_json(sides, found)["runs"][0]["chosen"]["derived"]["model.n_embd"] == 96


def test_exports_have_them_as_columns(events: list[Any], run_folder: Any, tmp_path: Path) -> None:
    folder = run_folder(events)
    rows = list(csv.DictReader(io.StringIO(load("exports", "csv")(folder, events, None))))
    names = list(rows[0])
    assert rows[3]["derived.model.n_embd"] == "96"
    assert names.index("config.train.lr") < names.index("derived.model.n_embd") < names.index("seed.0")
    lines = [json.loads(line) for line in load("exports", "jsonl")(folder, events, None).splitlines()]
    assert lines[3]["derived.train.min_lr_fraction"] == pytest.approx(1 / 30)
    load("exports", "optuna")(folder, events, tmp_path / "trials.db")
    study = optuna.load_study(study_name="pilot", storage=f"sqlite:///{tmp_path / 'trials.db'}")
    assert study.trials[3].user_attrs["derived.model.n_embd"] == 96
