"""docs/command.md tells the truth: its files and its commands work, and it names every setting."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flopwise.errors import StudyError
from flopwise.study import load_study
from flopwise.workloads.command.arguments import unfit_variable
from flopwise.workloads.command.config import CommandConfig, Switch
from flopwise.workloads.command.placeholders import BUILT_IN

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "command.md").read_text()
FILES = dict(re.findall(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```", PAGE, re.DOTALL))
CONSOLES = [
    re.findall(r"^\$ (.+)$", block, re.MULTILINE) for block in re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page's files, and a ``flopwise`` to call."""
    folder = tmp_path_factory.mktemp("page")
    for name, text in FILES.items():  # without what only takes time: each of its programs imports scikit-learn
        (folder / name).write_text(text.replace("{seeds: 2}", "{seeds: 2, signal: false, knobs: false}"))
    shutil.copytree(ROOT / "examples", folder / "examples")
    (folder / "bin").mkdir()
    program = folder / "bin" / "flopwise"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m flopwise.cli "$@"\n')
    program.chmod(0o700)
    return folder


def enter(folder: Path, *lines: str) -> str:
    """Type lines of the page; returns what they print."""
    path = os.pathsep.join([str(folder / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-euc", "\n".join(lines)],
        cwd=folder,
        env={**os.environ, "PATH": path, "NO_COLOR": "1", "COLUMNS": "120"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    assert done.returncode == 0, f"{lines}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def report(folder: Path, run: str) -> dict[str, Any]:
    return dict(json.loads((folder / "runs" / run / "report.json").read_text()))


def test_the_scikit_learn_script_is_measured_as_the_page_says(folder: Path) -> None:
    enter(folder, CONSOLES[0][0], "flopwise plan digits.yaml --runs planned")
    assert "digits.py --alpha=" in enter(folder, "flopwise logs digits 0 --runs planned")
    baseline = json.loads((folder / "planned/digits/attempts/t0000.s0.a1/summary.json").read_text())
    assert 0.8 < baseline["metrics"]["accuracy"] <= 1.0


@pytest.mark.slow
def test_the_scikit_learn_script_is_tuned_as_the_page_says(folder: Path) -> None:
    printed = enter(folder, *CONSOLES[0])
    found = report(folder, "digits")
    assert found["verdict"]["verdict"] in printed
    assert 0.8 < found["winner"]["mean"] <= 1.0
    assert "digits.py --alpha=" in printed


@pytest.mark.parametrize(
    "program", [["bash", "measure.sh"], ["python", "measure.py"], ["Rscript", "measure.R"]], ids=lambda argv: argv[0]
)
def test_five_lines_report_rows_and_result_in_every_language(program: list[str], folder: Path) -> None:
    assert len([line for line in FILES[program[1]].splitlines() if line]) <= 5
    if shutil.which(program[0]) is None:
        assert program[0] == "Rscript", "only R may be missing"
        assert 'Sys.getenv("FLOPWISE_METRICS"), append = TRUE' in FILES[program[1]]
        return
    text = FILES["measure.yaml"].replace("[bash, measure.sh]", f"[{', '.join(program)}]")
    (folder / "measure.yaml").write_text(text.replace("name: measure", f"name: measure-{program[0]}"))
    enter(folder, *CONSOLES[1])
    found = report(folder, f"measure-{program[0]}")
    assert found["baseline"]["mean"] == pytest.approx(0.75)
    summary = json.loads((folder / f"runs/measure-{program[0]}/attempts/t0000.s0.a1/summary.json").read_text())
    assert [(row["step"], row["values"]["loss"]) for row in summary["curve"]] == [
        (step, pytest.approx(0.5 + 1 / step, rel=1e-5)) for step in (1, 2, 3)
    ]


def test_the_script_for_a_shell_is_run(folder: Path) -> None:
    enter(folder, *CONSOLES[2])
    assert report(folder, "pipe")["baseline"]["mean"] == 0.25


def test_the_training_script_that_only_prints_is_a_valid_study(folder: Path) -> None:
    study = load_study(folder / "examples" / "nano_gpt" / "study.yaml")
    assert study.canonical["base"]["metrics_from"] == "stdout"
    assert "flopwise" not in re.sub(
        r'""".*?"""', "", (folder / "examples/nano_gpt/train.py").read_text(), flags=re.DOTALL
    )
    assert CONSOLES[3] == ["cd examples/nano_gpt", "flopwise run study.yaml --tier tiny"]


def test_the_training_script_that_only_prints_is_measured_by_its_last_loss(folder: Path) -> None:
    example = folder / "examples" / "nano_gpt"
    text = (example / "study.yaml").read_text().replace("steps: 60", "steps: 4").replace("nano-gpt", "four-steps")
    (example / "short.yaml").write_text(text + "calibration: {seeds: 2, signal: false, knobs: false}\n")
    enter(folder, "cd examples/nano_gpt", "flopwise plan short.yaml")
    attempt = example / "runs" / "four-steps" / "attempts" / "t0000.s0.a1"
    printed = re.findall(r"^step (\d+): val loss ([\d.]+)", (attempt / "stdout").read_text(), re.MULTILINE)
    assert [step for step, _ in printed] == ["0", "4"]
    assert json.loads((attempt / "summary.json").read_text())["metrics"] == {"val_loss": float(printed[-1][1])}


@pytest.mark.slow
def test_the_training_script_that_only_prints_is_tuned(folder: Path) -> None:
    enter(folder, *CONSOLES[3])
    found = report(folder / "examples" / "nano_gpt", "nano-gpt")
    assert found["verdict"] is not None and 1.0 < found["baseline"]["mean"] < 4.5


def test_every_file_and_every_command_is_used_here() -> None:
    assert set(FILES) == {
        "digits.py",
        "digits.yaml",
        "measure.sh",
        "measure.py",
        "measure.R",
        "measure.yaml",
        "pipe.yaml",
    }
    assert len(CONSOLES) == 4


def test_every_setting_stands_in_the_table_with_its_default() -> None:
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| ([^|]+) \|", PAGE.split("## All settings")[1], re.MULTILINE)
    defaults = CommandConfig.model_validate({"argv": ["p"]}).model_dump()
    assert [name for name, _ in rows] == list(CommandConfig.model_fields)
    for name, said in rows:
        default = defaults[name]
        expected = "required" if name == "argv" else "none" if default is None else f"`{default}`"
        assert said == expected.replace("False", "false"), name


def test_every_placeholder_variable_and_switch_is_explained() -> None:
    for name in BUILT_IN:
        assert f"`{{{name}}}`" in PAGE
    for name in ("SEED", "THREADS", "STOP", "STOP_UNIT", "FOLDER", "CONFIG", "RESULT", "METRICS", "FD"):
        assert f"`FLOPWISE_{name}`" in PAGE
    assert all(f"{name}:" in PAGE for name in Switch.model_fields)
    assert all(unfit_variable(name) for name in ("PATH", "LD_X", "PYTHONX", "FLOPWISE_X"))


def test_the_refusals_of_the_page_are_refusals(tmp_path: Path) -> None:
    study = FILES["pipe.yaml"].replace("rate: 0.5", "rate: high").replace("{rate}", '"{rate}"')
    study = study.replace("{type: float, low: 0.1, high: 1.0}", "{type: categorical, choices: [high, low]}")
    (tmp_path / "study.yaml").write_text(study)
    with pytest.raises(StudyError, match="drop those quotes"):
        load_study(tmp_path / "study.yaml")
