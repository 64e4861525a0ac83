"""What a run folder keeps, and the command in its report, give the same study again."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from flopwise.journal.log import read_events
from flopwise.journal.replay import RunState
from flopwise.study import load_study

STUDY = """\
name: small
workload: command
base:
  argv: [python, -c, 'import os; print("loss", float(os.environ["A"]) + float(os.environ["B"]))']
  env: {A: "{a}", B: "{b}"}
  params: {a: 0.5, b: 0.5}
  metrics_from: stdout
  stdout_regex: {loss: 'loss (\\S+)'}
space:   # as it was given
  params.a: {type: float, low: 0.0, high: 1.0}
  params.b: {type: float, low: 0.0, high: 1.0}
groups: {first: [params.a]}
objective: {metric: loss}
tiers: {little: {trials: 1}, more: {trials: 2}}
calibration: {seeds: 2, signal: false, knobs: false}
confirm: {top: 1, seeds: 2}
"""


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(STUDY)
    return path


def state(folder: Path) -> RunState:
    return RunState(read_events(folder / "journal.log")[0])


def command(folder: Path) -> str:
    """From the report, which prints it too."""
    found = str(json.loads((folder / "report.json").read_text())["command"])
    assert f"```sh\n{found}\n```" in (folder / "report.md").read_text()
    return found


def configs(folder: Path) -> list[Any]:
    return [dict(trial.trial.config) for _, trial in sorted(state(folder).trials.items())]


@pytest.mark.parametrize(
    ("options", "searched"),
    [
        (["--group", "first"], ["params.a"]),
        (["--freeze", "params.a", "--slots", "1"], ["params.b"]),
        (["--freeze", "first", "--executor", "inline"], ["params.b"]),
    ],
)
def test_options_are_in_the_study_that_is_kept(
    options: list[str], searched: list[str], small: Path, tmp_path: Path, flopwise: Any
) -> None:
    done = flopwise("run", "small.yaml", *options, "--tier", "more")
    assert done.returncode == 0, done.stderr
    first, again = tmp_path / "runs" / "small", tmp_path / "runs" / "small-2"
    kept = load_study(first / "study.yaml")
    assert kept.hash == state(first).study_hash
    assert list(kept.canonical["space"]) == searched
    head = (first / "study.yaml").read_text().splitlines()[0]
    assert head.startswith("# small.yaml as `") and all(option in head for option in options)
    typed = command(first)
    assert typed == "flopwise run runs/small/study.yaml --tier more"
    small.write_text("name: another\n")
    done = flopwise(*shlex.split(typed)[1:])
    assert done.returncode == 0, done.stderr
    assert state(again).study_hash == state(first).study_hash
    assert configs(again) == configs(first)
    assert command(again) == "flopwise run runs/small-2/study.yaml --tier more"


def test_without_options_the_file_is_kept_as_it_was_given(small: Path, tmp_path: Path, flopwise: Any) -> None:
    assert flopwise("plan", "small.yaml").returncode == 0
    assert (tmp_path / "runs" / "small" / "study.yaml").read_text() == STUDY


def test_a_study_that_changed_after_its_plan_is_kept_as_it_ran(small: Path, tmp_path: Path, flopwise: Any) -> None:
    assert flopwise("plan", "small.yaml", "--runs", "mine").returncode == 0
    small.write_text(STUDY.replace("more: {trials: 2}", "more: {trials: 3}"))
    assert flopwise("run", "small.yaml", "--runs", "mine", "--tier", "more").returncode == 0
    folder = tmp_path / "mine" / "small"
    assert load_study(folder / "study.yaml").hash == state(folder).study_hash
    assert command(folder) == "flopwise run mine/small/study.yaml --runs mine --tier more"


def test_a_resumed_run_still_says_how_it_was_started(small: Path, tmp_path: Path, flopwise: Any) -> None:
    assert flopwise("plan", "small.yaml").returncode == 0
    assert flopwise("resume", "small", "--tier", "more").returncode == 0
    assert command(tmp_path / "runs" / "small") == "flopwise run runs/small/study.yaml --tier more"
