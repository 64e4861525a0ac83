"""Whole studies with something wrong in them: each ends in the right pause, or in none, with the right evidence."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import pytest

import flopwise
from flopwise.engine.verify import verify
from flopwise.errors import InputError, StillPaused
from flopwise.paths import RunFolder

SPACE = {"x": flopwise.Float(0.0, 1.0), "y": flopwise.Float(0.0, 1.0)}


def value(config: dict[str, Any], seed: int) -> float:
    """A bowl with noise of its own for every config and seed."""
    noise = math.sin(1e4 * (config["x"] + 3.0 * config["y"]) + seed % 1000)
    return 1.0 + (config["x"] - 0.3) ** 2 + (config["y"] - 0.4) ** 2 + 0.005 * noise


def healthy(config: dict[str, Any], context: Any) -> dict[str, float]:
    return {"loss": value(config, context.seed)}


def crashes_in_a_region(config: dict[str, Any], context: Any) -> dict[str, float]:
    if config["x"] > 0.7:
        raise RuntimeError("out of luck")
    return {"loss": value(config, context.seed)}


def nan_in_a_region(config: dict[str, Any], context: Any) -> dict[str, float]:
    return {"loss": math.nan if config["x"] > 0.75 else value(config, context.seed)}


def nan_at_random(config: dict[str, Any], context: Any) -> dict[str, float]:
    bad = config != {"x": 0.5, "y": 0.5} and math.sin(1e5 * config["x"] + 1e4 * config["y"]) > 0.6
    return {"loss": math.nan if bad else value(config, context.seed)}


def flat(config: dict[str, Any], context: Any) -> dict[str, float]:
    return {"loss": 1.0 + 0.01 * ((context.seed % 1000) / 1000.0)}


def study(
    root: Path, objective: Any, name: str = "crafted", executor: str = "simulated", **sections: Any
) -> flopwise.Study:
    execution = {
        "executor": executor,
        **({"slots": 4, "options": {"seconds": 30.0}} if executor == "simulated" else {}),
    }
    return flopwise.Study(
        name=name,
        space=SPACE,
        objective=objective,
        search=sections.pop("search", "random"),
        evaluations=sections.pop("evaluations", 60),
        runs=root / "runs",
        base={"x": 0.5, "y": 0.5},
        confirm={"top": 1, "seeds": 2},
        execution=execution,
        **sections,
    )


def ended(done: Any) -> tuple[str, str | None]:
    """Reason, and the policy that spoke last; what the journal says holds."""
    assert verify(RunFolder(done.folder)) == []
    policies = done.summary["policies"]
    return done.reason, policies[-1]["policy"] if policies else None


def test_a_healthy_one_finishes(tmp_path: Path) -> None:
    assert ended(study(tmp_path, healthy).run(quiet=True)) == ("finished", None)


@pytest.mark.parametrize("executor", ["simulated", "inline"])
def test_one_that_crashes_in_a_region_pauses_and_names_it(executor: str, tmp_path: Path) -> None:
    done = study(tmp_path, crashes_in_a_region, executor=executor).run(quiet=True)
    assert ended(done) == ("paused", "crash_rate")
    evidence = done.summary["policies"][-1]["evidence"]
    assert evidence["outcomes"] == {"error": evidence["failed"]}
    assert evidence["rate"] > 0.1
    assert evidence["region"]["rules"][0]["knob"] == "x"
    assert "--accept crash_rate" in " ".join(str(done).split())
    assert "failed" in str(done)


def test_one_with_nan_at_random_pauses_for_nan(tmp_path: Path) -> None:
    done = study(tmp_path, nan_at_random).run(quiet=True)
    assert ended(done) == ("paused", "non_finite")
    assert done.summary["policies"][-1]["evidence"]["nan"] >= 4


@pytest.mark.parametrize("search", ["random", {"method": "cmaes", "sigma": 0.3}])
def test_one_with_nan_in_a_region_goes_on_and_reports_it(search: Any, tmp_path: Path) -> None:
    done = study(tmp_path, nan_in_a_region, search=search, evaluations=64).run(quiet=True)
    reason, _ = ended(done)
    assert reason == "finished"
    notes = [raised for raised in done.summary["policies"] if raised["action"] == "note"]
    if search == "random":
        assert notes
    for note in notes:
        assert note["evidence"]["region"]["rules"][0]["knob"] == "x"
    assert ("nan has a region: x" in (done.folder / "report.md").read_text()) == bool(notes)


def test_a_flat_one_stops_without_a_confirmation(tmp_path: Path) -> None:
    done = study(tmp_path, flat).run(quiet=True, anyway=True)
    assert ended(done) == ("stopped", "flat")
    assert done.verdict == "NO-GO"
    assert not [trial for trial in done.trials if trial["phase"] in ("choose", "decide")]
    assert "Nothing was confirmed" in str(done)


def test_a_flat_one_is_confirmed_where_nobody_asks(tmp_path: Path) -> None:
    done = study(tmp_path, flat, policies={"flat": False}).run(quiet=True, anyway=True)
    assert ended(done)[0] == "finished"
    assert [trial for trial in done.trials if trial["phase"] == "decide"]


def test_one_that_slows_down_pauses_with_the_seconds(tmp_path: Path) -> None:
    began = tmp_path / "evaluations"
    began.mkdir()

    def slows_down(config: dict[str, Any], context: Any) -> dict[str, float]:
        (began / f"{time.monotonic_ns()}").touch()
        time.sleep(1.4 if len(list(began.iterdir())) > 6 else 0.05)
        return {"loss": value(config, context.seed)}

    done = study(tmp_path, slows_down, executor="local", evaluations=40).run(quiet=True)
    assert ended(done) == ("paused", "time_drift")
    evidence = done.summary["policies"][-1]["evidence"]
    assert evidence["median_s"] > 1.3
    assert evidence["ratio"] > 2.0


def test_a_pause_waits_for_an_answer_and_the_right_one(tmp_path: Path) -> None:
    assert study(tmp_path, crashes_in_a_region).run(quiet=True).reason == "paused"
    with pytest.raises(StillPaused, match="--accept crash_rate") as refused:
        study(tmp_path, crashes_in_a_region).run(quiet=True)
    assert "evidence" in str(refused.value)
    with pytest.raises(InputError, match="not by patience"):
        study(tmp_path, crashes_in_a_region).run(quiet=True, accept="patience")
