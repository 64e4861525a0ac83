"""docs/python.md tells the truth: its programs and commands work, and what it names exists."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import optuna
import pytest

import flopwise
from flopwise.api import Asking
from flopwise.executors.asked import Asked
from flopwise.report.frame import AFTER, BEFORE
from flopwise.study import study_from_mapping
from flopwise.worker.context import AttemptContext

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "python.md").read_text()
FILES = dict(re.findall(r"<!-- file: (\S+) -->\n```python\n(.*?)```", PAGE, re.DOTALL))
CONSOLES = re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)
ROWS = re.findall(r"^\| (.+?) \| (.+) \|$", PAGE.split("## Coming from Optuna")[1], re.MULTILINE)[2:]


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What each command of the page prints, from top to bottom."""
    folder = tmp_path_factory.mktemp("page")
    for name, text in FILES.items():
        (folder / name).write_text(text)
    commands = [line.removeprefix("$ ") for block in CONSOLES for line in block.splitlines()]
    return {command: call(folder, command) for command in commands}


def call(folder: Path, command: str) -> str:
    program, *arguments = shlex.split(command)
    start = {"python": [sys.executable], "flopwise": [sys.executable, "-m", "flopwise.cli"]}[program]
    environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": "100"}
    done = subprocess.run(
        [*start, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_every_program_of_the_page_is_run(shown: dict[str, str]) -> None:
    assert {f"python {name}" for name in FILES} == {command for command in shown if command.startswith("python")}


@pytest.mark.parametrize("name", ["function", "loop", "several"])
def test_the_studies_end_in_a_verdict(shown: dict[str, str], name: str) -> None:
    assert shown[f"python {name}.py"].splitlines()[-1].startswith("GO {'")


@pytest.mark.parametrize("name", ["function", "loop"])
def test_the_runs_verify(shown: dict[str, str], name: str) -> None:
    assert "holds" in shown[f"flopwise verify {name}"]


def test_the_table_and_the_end_are_shown(shown: dict[str, str]) -> None:
    out = shown["python look.py"]
    assert "params_n" in out.splitlines()[0] and "beats the baseline" in out


def test_what_the_page_names_exists() -> None:
    for word in re.findall(r"`trial\.(\w+)", PAGE.split("## Coming from Optuna")[0]):
        assert hasattr(Asked, word) or word in (Asked.__doc__ or ""), word
    for word in re.findall(r"`context\.(\w+)", PAGE):
        assert (
            hasattr(AttemptContext, word)
            or f"self.{word} =" in Path(sys.modules[AttemptContext.__module__].__file__ or "").read_text()
        )
    for word in re.findall(r"study\.(\w+)", PAGE.split("## Coming from Optuna")[0]):
        assert hasattr(flopwise.Study, word), word
    for word in re.findall(r"asking\.(\w+)", PAGE):
        assert hasattr(Asking, word), word
    for word in re.findall(r"flopwise\.([A-Za-z]\w+)\b(?!\.)", PAGE):
        assert hasattr(flopwise, word), word
    for word in (*BEFORE, *AFTER):
        assert f"`{word}`" in PAGE


def test_what_it_says_of_optuna_is_so() -> None:
    """Names on the left are Optuna's."""
    left = "\n".join(row[0] for row in ROWS)
    for word in re.findall(r"study\.(\w+)", left):
        assert hasattr(optuna.Study, word), word
    for word in re.findall(r"trial\.(\w+)", left):
        assert hasattr(optuna.Trial, word), word
    assert hasattr(optuna.trial.TrialState, "FAIL") and hasattr(optuna.samplers, "TPESampler")
    assert len(ROWS) == 18


@pytest.mark.parametrize("right", [row[1] for row in ROWS if "flopwise." in row[1]])
def test_parameters_on_the_right_are_valid(right: str) -> None:
    found = eval(re.findall(r"flopwise\.\w+\(.*?\)+(?=[}`])", right)[0], {"flopwise": flopwise})
    space = {"kind": found, "other": flopwise.Float(0.0, 1.0)}
    study = {"name": "s", "workload": "function", "space": space, "objective": {"metric": "loss"}}
    assert study_from_mapping(study).space.parameters["kind"] == found


def test_limits_are_valid() -> None:
    ((text,),) = [re.findall(r'"wall_clock": "(.*?)"', row[1]) for row in ROWS if "wall_clock" in row[1]]
    more = {"limits": {"wall_clock": text, "device_hours": 1.0, "price": 1.0, "evaluations": 9}}
    study = flopwise.Study(name="s", space={"x": flopwise.Float(0.0, 1.0)}, direction="maximize", search="tpe", **more)
    assert study._checked.canonical["limits"]["wall_clock"] == 3600
