"""``flopwise.Study``: functions in hand, without a study file and without a main guard."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import flopwise
from flopwise.engine.verify import verify
from flopwise.errors import InputError, RunError, StillPaused, StudyError
from flopwise.journal.log import Journal
from flopwise.paths import RunFolder

SPACE = {"x": flopwise.Float(-10.0, 10.0), "n": flopwise.Int(1, 5)}
FEW = {"confirm": {"top": 2, "seeds": 2}, "calibration": {"seeds": 2}}

SCRIPT = """\
import flopwise, json, sys

def parabola(config, context):
    return {"loss": (config["x"] - 3) ** 2 + config["n"]}

done = flopwise.Study(
    name="parabola",
    space={"x": flopwise.Float(-10.0, 10.0), "n": flopwise.Int(1, 5)},
    objective=parabola,
    search="cmaes",
    evaluations=24,
    slots=2,
    confirm={"top": 2, "seeds": 2},
).run(quiet=True)
print(json.dumps({"verdict": done.verdict, "best": done.best["config"], "trials": len(done.trials)}))
"""


def study(tmp_path: Path, objective: Any, **more: Any) -> flopwise.Study:
    settings = {"name": "f", "space": SPACE, "objective": objective, "evaluations": 8, "slots": 2, **FEW, **more}
    return flopwise.Study(runs=tmp_path / "runs", **settings)


def run_script(tmp_path: Path, text: str) -> Any:
    (tmp_path / "script.py").write_text(text)
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_a_script_without_a_main_guard(tmp_path: Path) -> None:
    first = run_script(tmp_path, SCRIPT)
    assert first["verdict"] == "GO"
    assert abs(first["best"]["x"] - 3) < 3 and first["best"]["n"] < 3
    assert first == run_script(tmp_path, SCRIPT)
    assert sorted(p.name for p in (tmp_path / "runs").iterdir()) == ["parabola", "parabola-2"]
    assert verify(RunFolder(tmp_path / "runs" / "parabola")) == []


def test_lambda_and_closure(tmp_path: Path) -> None:
    shift = 3.0
    done = study(tmp_path, lambda config: {"loss": (config["x"] - shift) ** 2}).run(quiet=True)
    assert done.reason == "finished"
    assert done.verdict == "GO"
    assert done.best is not None and done.best["mean"] < 9.0


def test_failures_have_their_own_outcome_and_the_study_goes_on(tmp_path: Path) -> None:
    def sometimes(config: dict[str, Any], context: Any) -> Any:
        match config["n"]:
            case 1:
                raise ValueError("no such thing")
            case 2:
                return {"loss": float("nan")}
            case 4:
                return {"loss": "low"}
            case 5:
                os.kill(os.getpid(), 9)
        return {"loss": abs(config["x"])}

    calm = {"crash_rate": False, "crash_loop": False}
    done = study(tmp_path, sometimes, evaluations=16, policies=calm, execution={"retries": 0}).run(quiet=True)
    outcomes = {t["config"]["n"]: t["outcome"] for t in done.trials if t["phase"] == "search"}
    expected = {1: "error", 2: "nan", 3: "ok", 4: "error", 5: "killed"}
    assert outcomes == {n: expected[n] for n in outcomes} and len(outcomes) >= 4
    causes = {failure["outcome"]: failure["example_cause"] for failure in done.summary["failures"]}
    assert "signal 9" in causes["killed"]
    assert verify(RunFolder(done.folder)) == []


def test_a_crashing_function_pauses_the_study(tmp_path: Path) -> None:
    def crashes(config: dict[str, Any]) -> dict[str, float]:
        if config["x"] != 0.0:
            raise RuntimeError("out of luck")
        return {"loss": 1.0}

    done = study(tmp_path, crashes, evaluations=40).run(quiet=True)
    assert done.reason == "paused"
    assert done.summary["policies"][-1]["policy"] in {"crash_rate", "crash_loop"}
    assert len(done.trials) < 20


def test_run_goes_on_after_a_pause(tmp_path: Path) -> None:
    flag = tmp_path / "mended"

    def crashes_at_first(config: dict[str, Any]) -> dict[str, float]:
        if config["x"] != 0.0 and not flag.exists():
            raise RuntimeError("out of luck")
        return {"loss": config["x"] ** 2 + 1}

    paused = study(tmp_path, crashes_at_first, evaluations=16).run(quiet=True)
    flag.touch()
    policy = paused.summary["policies"][-1]["policy"]
    with pytest.raises(StillPaused, match=f"paused by {policy}"):
        study(tmp_path, crashes_at_first, evaluations=16).run(quiet=True)
    done = study(tmp_path, crashes_at_first, evaluations=16).run(quiet=True, accept=policy)
    assert (paused.reason, done.reason) == ("paused", "finished")
    assert done.folder == paused.folder
    assert verify(RunFolder(done.folder)) == []


def test_maximise(tmp_path: Path) -> None:
    done = study(
        tmp_path, lambda config: {"score": 10 - abs(config["x"] - 2)}, metric="score", direction="maximize"
    ).run(quiet=True)
    values = [t["value"] for t in done.trials if t["phase"] == "search"]
    assert done.best is not None and done.summary["best_so_far"][-1]["value"] == max([*values, 8.0])


def test_limits_end_the_search_and_keep_the_confirmation(tmp_path: Path) -> None:
    few = {"evaluations": 20}
    done = study(tmp_path, lambda c: {"loss": c["x"] ** 2 + 1}, evaluations=30, limits=few).run(quiet=True)
    assert done.reason == "finished"
    assert done.summary["spend"]["evaluations"] <= 20
    assert {t["phase"] for t in done.trials} == {"calibrate", "search", "choose", "decide"}


def test_plan_prices_without_searching(tmp_path: Path) -> None:
    calls = tmp_path / "calls"

    def counted(config: dict[str, Any]) -> dict[str, float]:
        with calls.open("a") as log:
            log.write("x")
        return {"loss": config["x"] ** 2}

    priced = study(tmp_path, counted).plan()
    assert priced["tiers"][0]["trials"] == 8
    again = study(tmp_path, counted).plan()
    assert again["seconds_per_evaluation"] == priced["seconds_per_evaluation"]
    assert calls.read_text() == "xx"


def test_inline_executor_gives_the_same_values(tmp_path: Path) -> None:
    def f(config: dict[str, Any], context: Any) -> dict[str, float]:
        return {"loss": config["x"] ** 2 + context.seed % 7}

    apart = study(tmp_path, f, name="apart").run(quiet=True)
    inside = study(tmp_path, f, name="inside", slots=None, execution={"executor": "inline"}).run(quiet=True)
    assert [t["values"] for t in apart.trials] == [t["values"] for t in inside.trials]


def test_mistakes_are_told_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="cmaes"):
        study(tmp_path, lambda c: 1.0, search="cmaess")
    with pytest.raises(InputError, match="function"):
        study(tmp_path, None).run(quiet=True)
    assert not (tmp_path / "runs").exists()


def test_another_coordinator_is_refused(tmp_path: Path) -> None:
    def crashes(config: dict[str, Any]) -> float:
        return 1 / 0 if config["x"] else 1.0

    paused = study(tmp_path, crashes, evaluations=40).run(quiet=True)
    with Journal.open(RunFolder(paused.folder)), pytest.raises(RunError, match=str(os.getpid())):
        study(tmp_path, crashes, evaluations=40).run(quiet=True)
