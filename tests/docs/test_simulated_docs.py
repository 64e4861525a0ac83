"""docs/executors.md, Inline and Simulated: the commands and the script run, and every option is explained."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flopwise.executors.simulation import Failures, Options

ROOT = Path(__file__).parents[2]
DOC = (ROOT / "docs" / "executors.md").read_text()
SIMULATED = DOC.split("## Simulated\n")[1].split("\n## ")[0]
FILES = dict(re.findall(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```", DOC, re.DOTALL))


def test_the_rehearsal_runs_and_says_that_it_is_one(tmp_path: Path, call_flopwise: Any) -> None:
    (tmp_path / "rehearsal.yaml").write_text(FILES["rehearsal.yaml"])
    commands = re.findall(r"^\$ flopwise (.+)$", SIMULATED, re.MULTILINE)
    assert [command.split()[0] for command in commands] == ["check", "run", "verify"]
    for command in commands:
        done = call_flopwise(tmp_path, *shlex.split(command))
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    assert "Simulated: " in (tmp_path / "runs/rehearsal/report.md").read_text()


def test_options_of_one_executor_are_not_dropped_for_another(tmp_path: Path, call_flopwise: Any) -> None:
    (tmp_path / "rehearsal.yaml").write_text(FILES["rehearsal.yaml"])
    done = call_flopwise(tmp_path, "run", "rehearsal.yaml", "--executor", "local")
    assert done.returncode == 2
    assert "options for executor simulated" in done.stderr
    assert not (tmp_path / "runs").exists()


def test_every_option_is_in_the_table_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+?) \|", SIMULATED, re.MULTILINE))
    assert list(rows) == list(Options.model_fields)
    for name, value in Options().model_dump().items():
        if name != "failures":
            assert rows[name] in (f"{value:g}" if isinstance(value, float | int) else "", f"`{value}`"), name
    assert all(f"`{kind}`" in SIMULATED for kind in Failures.model_fields)


def test_the_debugged_script_stops_where_the_page_says(terminal: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "parabola.py").write_text(FILES["parabola.py"])
    shell = terminal([sys.executable, "parabola.py"], tmp_path)
    shell.until("(Pdb)")
    shell.type("p config, value\n")
    shell.until("({'x': 0.5}, 0.0625)")
    shell.until("(Pdb)")
    shell.type("c\n")
    shell.until("(Pdb)")
    shell.type("\x03")
    shell.type("c\n")
    assert shell.wait() == 0
    report = json.loads((tmp_path / "runs/parabola/report.json").read_text())
    assert (report["state"], report["spend"]["evaluations"]) == ("interrupted", 2)


def test_the_benchmark_of_the_coordinator_runs(tmp_path: Path) -> None:
    (line,) = re.findall(r"^python (-m benchmarks.*)$", SIMULATED, re.MULTILINE)
    command = [sys.executable, *shlex.split(line), "--folder", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "cycles/s" in done.stdout and "Optuna journal" in done.stdout
