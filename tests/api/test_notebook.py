"""In a notebook: functions of cells, progress that is replaced in place, a kernel that is interrupted."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from flopwise.engine.verify import verify
from flopwise.paths import RunFolder

CELLS = {
    "define": """
import flopwise

SCALE = 2.0
SPACE = {"x": flopwise.Float(-10.0, 10.0)}

def f(config):
    return {"loss": SCALE * (config["x"] - 3) ** 2 + 1}
""",
    "function": """
study = flopwise.Study(name="cell", space=SPACE, objective=f, search="qmc", evaluations=30, slots=2)
study.run()
""",
    "lambda": """
flopwise.Study(name="lambda", space=SPACE, objective=lambda c: f(c), evaluations=4, slots=2).run(quiet=True).reason
""",
    "table": "study.trials_dataframe()[['number', 'params_x', 'value']].head(3)",
    "ask and tell": """
own = flopwise.Study(name="own", space=SPACE, search="cmaes", evaluations=16)
with own.asking() as asking:
    while trial := asking.ask():
        asking.tell(trial, f(trial.config))
own.verdict
""",
    "failures": """
def fails(config):
    if config["x"] != 0:
        raise RuntimeError("out of luck")
    return 1.0

never = {"crash_rate": False, "crash_loop": False}
many = flopwise.Study(name="fails", space=SPACE, objective=fails, evaluations=40, slots=2, policies=never)
many.run().reason
""",
    "coroutine": """
async def main():
    return flopwise.Study(name="coroutine", space=SPACE, objective=f, evaluations=4, slots=2).run(quiet=True).reason

await main()
""",
    "interrupt": """
import os, signal, threading, time
from pathlib import Path

def interrupt():
    while not list(Path("runs").glob("slow/attempts/t0003.*/summary.json")):
        time.sleep(0.02)
    os.kill(os.getpid(), signal.SIGINT)

def slow(config):
    time.sleep(0.05)
    return config["x"] ** 2 + 1

threading.Thread(target=interrupt).start()
flopwise.Study(name="slow", space=SPACE, objective=slow, evaluations=1000, slots=2).run().reason
""",
    "after": "1 + 1",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("notebook")


@pytest.fixture(scope="module")
def outputs(folder: Path) -> dict[str, list[Any]]:
    """What every cell shows in the end."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in CELLS.values()])
    NotebookClient(notebook, timeout=100, kernel_name="python3", resources={"metadata": {"path": folder}}).execute()
    return {name: cell.outputs for name, cell in zip(CELLS, notebook.cells, strict=True)}


def text(output: Any) -> str:
    return str(output["data"]["text/plain"])


@pytest.mark.parametrize(
    ("cell", "result"),
    [
        ("function", "Done(reason='finished'"),
        ("lambda", "'finished'"),
        ("ask and tell", "'GO'"),
        ("failures", "'finished'"),
        ("coroutine", "'finished'"),
        ("interrupt", "'interrupted'"),
        ("after", "2"),
    ],
)
def test_every_cell_gives_its_result(outputs: dict[str, list[Any]], cell: str, result: str) -> None:
    assert text(outputs[cell][-1]).startswith(result)


@pytest.mark.parametrize("cell", ["function", "ask and tell", "failures", "interrupt"])
def test_a_study_shows_one_output_of_bounded_length(outputs: dict[str, list[Any]], cell: str) -> None:
    shown, _ = outputs[cell]
    assert shown.output_type == "display_data"
    assert len(text(shown).splitlines()) < 65
    assert shown["data"]["text/html"].startswith("<pre") and "\x1b" not in text(shown)


@pytest.mark.parametrize("cell", ["lambda", "coroutine"])
def test_a_quiet_study_shows_nothing(outputs: dict[str, list[Any]], cell: str) -> None:
    assert [output.output_type for output in outputs[cell]] == ["execute_result"]


def test_what_is_left_is_the_plan_and_the_verdict(outputs: dict[str, list[Any]]) -> None:
    shown = text(outputs["function"][0])
    assert "plan of cell" in shown and re.search(r"^.*GO  trial \d+ beats the baseline", shown, re.MULTILINE)
    assert "out of luck" in text(outputs["failures"][0]) and "lines before" in text(outputs["failures"][0])
    assert "interrupted (SIGINT); run it again to go on" in text(outputs["interrupt"][0])


def test_the_table_is_a_table(outputs: dict[str, list[Any]]) -> None:
    (table,) = outputs["table"]
    assert "params_x" in table["data"]["text/html"] and "<table" in table["data"]["text/html"]


@pytest.mark.parametrize("run", ["cell", "lambda", "own", "coroutine", "slow"])
def test_the_runs_hold(outputs: dict[str, list[Any]], folder: Path, run: str) -> None:
    assert verify(RunFolder(folder / "runs" / run)) == []
