"""Looking at real runs through the command line: results, compare, report --html, export, watch, and the key q."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from flopwise.cli.verbs import VERBS
from flopwise.journal.log import read_events

DOC = (Path(__file__).parents[2] / "docs" / "report.md").read_text()
FLOPWISE = [sys.executable, "-m", "flopwise.cli"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, plain_text: str, call_flopwise: Any) -> Path:
    """A folder with two finished runs of one study of three knobs, ``pilot`` and ``pilot-2``."""
    found = tmp_path_factory.mktemp("reports")
    text = plain_text.replace("name: toy", "name: pilot")
    text = text.replace("params: {lr: 3e-3}", "params: {lr: 3e-3, a: 0.5, b: 0}")
    text = text.replace(" + 1 + ", " + 1 + {a} + {b} / 9 + ").replace("trials: 6", "trials: 12")
    row = r'''echo "{{\"step\": $step, \"val_loss\": $loss}}" >> "$FLOPWISE_METRICS"'''
    text = text.replace('      echo "', f'      for step in 10 20; do {row}; done\n      echo "')
    text = text.replace(
        "\nobjective:",
        "\n  params.a: {type: float, low: 0, high: 1}\n  params.b: {type: int, low: 0, high: 3}\nobjective:",
    )
    (found / "pilot.yaml").write_text(text)
    for _ in range(2):
        done = call_flopwise(found, "run", "pilot.yaml", "--quiet")
        assert done.returncode == 0, done.stderr
    return found


def commands() -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", DOC, re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.startswith("flopwise ")]


def python_blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", DOC, re.DOTALL)


def test_the_page_of_documentation_tells_every_verb_it_is_about() -> None:
    told = {shlex.split(command)[1] for command in commands()}
    assert told == {"watch", "results", "compare", "report", "export"}


def test_every_documented_command_works(folder: Path, call_flopwise: Any) -> None:
    for command in commands():
        done = call_flopwise(folder, *shlex.split(command)[1:])
        assert done.returncode == 0, (command, done.stderr)
        if "--json" in command:
            json.loads(done.stdout)
    for code in python_blocks():
        ran = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stderr
    assert (folder / "runs" / "pilot" / "report.html").read_text().count("data:image/png;base64,") >= 5


def test_optuna_sees_the_same_trials_as_the_report(folder: Path, call_flopwise: Any) -> None:
    assert call_flopwise(folder, "export", "pilot", "--format", "optuna").returncode == 0
    storage = JournalStorage(JournalFileBackend(str(folder / "runs" / "pilot" / "optuna.log")))
    study = optuna.load_study(study_name="pilot", storage=storage)
    report = json.loads((folder / "runs" / "pilot" / "report.json").read_text())
    searched = [t for t in report["trials"] if t["phase"] in ("calibrate", "search")]
    assert [(t.number, t.value, t.params) for t in study.trials] == [
        (t["number"], t["value"], t["config"]) for t in searched
    ]


def test_results_and_compare_know_both_runs(folder: Path, call_flopwise: Any) -> None:
    results = json.loads(call_flopwise(folder, "results", "--json").stdout)
    assert {result["run"] for result in results} == {"pilot", "pilot-2"}
    assert len({result["best"] for result in results}) == 1
    text = call_flopwise(folder, "compare", "pilot", "pilot-2").stdout
    assert "minimize val_loss" in text and "differs" not in text
    refused = call_flopwise(folder, "compare", "pilot", "pilot")
    assert refused.returncode == 2 and "two different runs" in refused.stderr


def test_an_export_never_replaces_what_it_did_not_make(folder: Path, call_flopwise: Any) -> None:
    (folder / "mine.csv").write_text("mine")
    refused = call_flopwise(folder, "export", "pilot", "-o", "mine.csv")
    assert refused.returncode == 2 and "--force" in refused.stderr
    assert (folder / "mine.csv").read_text() == "mine"
    assert call_flopwise(folder, "export", "pilot", "-o", "mine.csv", "--force").returncode == 0
    before = (folder / "runs" / "pilot" / "journal.log").read_bytes()
    refused = call_flopwise(folder, "export", "pilot", "-o", "runs/pilot/journal.log", "--force")
    assert refused.returncode == 2
    assert (folder / "runs" / "pilot" / "journal.log").read_bytes() == before
    assert call_flopwise(folder, "export", "pilot", "--format", "cvs").stderr.count("did you mean 'csv'") == 1


def test_without_the_extra_the_page_says_how_to_get_it(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "matplotlib.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'matplotlib'\", name='matplotlib')"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [*FLOPWISE, "report", "pilot-2", "--html"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "matplotlib" in done.stderr and "pip install 'flopwise[report]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_reading_runs_starts_nothing_and_imports_no_torch(folder: Path) -> None:
    code = (
        "import sys, flopwise.cli\nsys.argv = ['flopwise', 'results']\n"
        "try:\n    flopwise.cli.main()\nexcept SystemExit:\n    pass\n"
        "print([name for name in ('torch', 'ray', 'matplotlib', 'optuna', 'scipy.special') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_help_knows_every_verb_and_a_slip_is_answered(call_flopwise: Any, tmp_path: Path) -> None:
    text = call_flopwise(tmp_path, "--help").stdout
    assert [verb for verb in VERBS if f" {verb} " not in text] == []
    assert "Did you mean 'results'" in call_flopwise(tmp_path, "result").stderr


def test_q_leaves_a_watcher_and_stops_a_run(terminal: Any, tmp_path: Path, plain_text: str) -> None:
    long = plain_text.replace("trials: 6", "trials: 150").replace("stop: {steps: 20}", "stop: {steps: 250}")
    long += "policies: {patience: false}\n"
    (tmp_path / "toy.yaml").write_text(long)
    run = terminal([*FLOPWISE, "run", "toy.yaml", "--yes"])
    run.until("search: ", 90)
    assert not run.cooked
    watcher = terminal([*FLOPWISE, "watch", "toy"])
    watcher.until("CPU ", 90, beside=run)
    watcher.until("q leaves; the run goes on", 90, beside=run)
    watcher.type("q")
    assert watcher.wait() == 0
    assert watcher.cooked and "running in phase search" in watcher.shown
    run.type("q")
    run.until("nothing new is started")
    assert run.wait() == 130
    assert run.cooked and "flopwise resume" in run.shown
    events, _ = read_events(tmp_path / "runs" / "toy" / "journal.log")
    assert type(events[-1]).__name__ == "SessionClosed" and events[-1].reason == "interrupted"  # type: ignore[attr-defined]
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", run.shown)
    assert max(len(line.rstrip()) for line in re.split(r"[\r\n]+", plain)) <= 80
