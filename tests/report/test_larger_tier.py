"""A larger tier is offered after a search that was stable and still getting better, and not otherwise."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import flopwise
from flopwise.engine.verify import verify
from flopwise.paths import RunFolder
from flopwise.report.offer import offer_command, offer_sentences


def noise(config: dict[str, Any], seed: int) -> float:
    return 0.002 * math.sin(1e4 * config["x"] + seed % 1000)


def slope(config: dict[str, Any], context: Any) -> dict[str, float]:
    """Better and better towards the edge."""
    return {"loss": 1.0 + config["x"] + config["y"] + noise(config, context.seed)}


def cliff(config: dict[str, Any], context: Any) -> dict[str, float]:
    """One step down, and then nothing more."""
    return {"loss": (1.0 if config["x"] < 0.85 else 1.5) + noise(config, context.seed)}


def judged(root: Path, objective: Any, tier: str = "small") -> Any:
    done = flopwise.Study(
        name="tiers",
        space={"x": flopwise.Float(0.0, 1.0), "y": flopwise.Float(0.0, 1.0)},
        objective=objective,
        base={"x": 0.9, "y": 0.9},
        search={"method": "cmaes", "sigma": 0.1},
        tiers={"small": {"population": 8, "generations": 4}, "large": {"population": 8, "generations": 20}},
        confirm={"top": 1, "seeds": 3},
        execution={"executor": "simulated", "slots": 4, "options": {"seconds": 60.0}, "price_per_hour": 1.0},
        runs=root / "runs",
    ).run(quiet=True, tier=tier)
    assert verify(RunFolder(done.folder)) == []
    return done


def test_it_is_offered_with_evidence_and_price_while_the_search_improves(tmp_path: Path) -> None:
    done = judged(tmp_path, slope)
    found = done.summary["larger_tier"]
    assert (found["tier"], found["offered"], found["stable"], found["improving"]) == ("large", True, True, True)
    assert found["evaluations"] == 24
    assert found["gain"] > found["noise"]
    (sentence,) = offer_sentences(done.summary)
    assert sentence.startswith("Tier large (")
    assert "is worth its price: 0 of the last 24 evaluations failed" in sentence
    assert "Tier large" in str(done).replace("\n", " ")
    assert "## Larger tier" in (done.folder / "report.md").read_text()


def test_it_is_not_where_the_search_has_stopped_improving(tmp_path: Path) -> None:
    done = judged(tmp_path, cliff)
    found = done.summary["larger_tier"]
    assert found["offered"] is False
    assert "is not recommended" in offer_sentences(done.summary)[0]
    assert offer_command(done.summary) == ""


def test_after_the_largest_there_is_none(tmp_path: Path) -> None:
    done = judged(tmp_path, slope, "large")
    assert done.summary["larger_tier"] is None
    assert offer_sentences(done.summary) == []


def test_the_command_names_the_study_and_the_tier() -> None:
    found = {"tier": "max", "offered": True}
    command = "flopwise run runs/pilot/study.yaml --runs mine --tier min"
    summary = {"larger_tier": found, "command": command, "name": "pilot", "verdict": {"verdict": "GO"}}
    plain = "flopwise run runs/pilot/study.yaml --runs mine --tier max"
    assert offer_command(summary) == f"{plain} --after pilot"
    assert offer_command({**summary, "verdict": {"verdict": "INCONCLUSIVE"}}) == plain
    assert offer_command({**summary, "larger_tier": {**found, "offered": False}}) == ""
    assert offer_command({**summary, "command": "python study.py"}) == ""
