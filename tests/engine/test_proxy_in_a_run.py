"""A search by a cheap stop: agreement in the plan, rechecks in the search, and a pause when the two fall out."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import flopwise
from flopwise.engine.verify import verify
from flopwise.errors import StudyError
from flopwise.events import TrialProposed
from flopwise.journal.log import read_events
from flopwise.paths import RunFolder

CHEAP, FULL = {"steps": 30.0}, {"steps": 300.0}


def gauss(*parts: Any) -> float:
    return random.Random(json.dumps(parts)).gauss(0, 1)


def honest(config: Any, context: Any) -> float:
    """The cheap score is the full one, a little higher and a little noisier."""
    amount = context.fidelity.amount
    luck = 0.02 * gauss(context.seed, config["x"], amount) * (300 / amount) ** 0.5
    return float(2.0 + (config["x"] - 0.3) ** 2 + 3.0 / amount + luck)


def misleading(config: Any, context: Any) -> float:
    """The cheap score is best where the full one is worst."""
    x, cheap = config["x"], context.fidelity.amount < 100
    value = (x - 0.3) ** 2
    return 4.0 + (-4.0 * value if cheap else value) + 0.001 * gauss(context.seed, x)


def study(folder: Path, objective: Callable[..., Any] = honest, **sections: Any) -> flopwise.Study:
    execution = {"executor": "simulated", "slots": 4, "price_per_hour": 1.0, "options": {"seconds": 1.0}}
    return flopwise.Study(
        **{
            "name": "proxied",
            "runs": folder,
            "space": {"x": flopwise.Float(0.0, 1.0), "y": flopwise.Float(0.0, 1.0)},
            "base": {"x": 0.9, "y": 0.5},
            "objective": objective,
            "search": "cmaes",
            "tiers": {"only": {"population": 6, "generations": 4}},
            "evaluation": {"stop": FULL},
            "proxy": {"stop": CHEAP, "recheck": 2},
            "confirm": {"seeds": 3},
            "execution": execution,
            **sections,
        }
    )


def trials(folder: Path, phase: str) -> list[TrialProposed]:
    events = read_events(folder / "journal.log")[0]
    return [event for event in events if isinstance(event, TrialProposed) and event.phase == phase]


@pytest.mark.parametrize(
    ("method", "tier"), [("cmaes", {"population": 6, "generations": 4}), ("random", {"trials": 20})]
)
def test_the_search_is_cheap_and_its_best_are_rechecked(method: str, tier: dict[str, int], tmp_path: Path) -> None:
    done = study(tmp_path, search=method, tiers={"only": tier}).run(quiet=True)
    assert done.reason == "finished" and done.verdict == "GO"
    searched, again = trials(done.folder, "search"), trials(done.folder, "recheck")
    assert {trial.stop["steps"] for trial in searched} == {30.0}
    assert {trial.stop["steps"] for trial in again} == {300.0}
    plan = done.summary["plan"]
    (priced,) = plan["tiers"]
    assert (priced["search_evaluations"], priced["recheck_evaluations"]) == (len(searched), len(again))
    assert len(again) == (8 if method == "cmaes" else 6)
    rows = {row["number"]: row for row in done.summary["trials"]}
    size = tier.get("population", 8)
    for start in range(0, len(searched), size):
        batch = sorted(searched[start : start + size], key=lambda trial: rows[trial.number]["value"])
        assert {trial.number for trial in batch[:2]} <= {trial.of for trial in again}
    best = min(again, key=lambda trial: rows[trial.number]["value"])
    assert done.summary["best_so_far"][-1]["trial"] == best.of
    assert best.of in [trial.of for trial in trials(done.folder, "choose")]
    assert verify(RunFolder(done.folder)) == []


def test_the_plan_says_how_far_the_proxy_can_be_trusted(tmp_path: Path) -> None:
    plan = study(tmp_path).plan()
    proxy = plan["probed"]["proxy"]
    found = proxy["agreement"]
    assert found["configs"] == 8 and found["spearman"] > 0.8
    assert found["spearman_lower"] <= found["spearman"] <= found["spearman_upper"]
    assert found["regret_top"] <= found["regret"]
    assert len(trials(tmp_path / "proxied", "proxy")) == 9


def test_a_proxy_that_misleads_pauses_the_search_with_its_evidence(tmp_path: Path) -> None:
    done = study(tmp_path, misleading).run(quiet=True)
    assert done.reason == "paused"
    raised = done.summary["policies"][-1]
    assert raised["policy"] == "proxy_agreement" and "Spearman correlation" in raised["cause"]
    assert verify(RunFolder(done.folder)) == []
    again = study(tmp_path, misleading).run(quiet=True, accept="proxy_agreement")
    assert again.folder == done.folder


@pytest.mark.parametrize(
    ("stop", "words"),
    [
        ({"tokens": 5}, "unit of evaluation.stop"),
        ({"steps": 300}, "less than"),
        ({"steps": 3, "tokens": 5}, "exactly one"),
    ],
)
def test_a_proxy_that_is_none_is_a_mistake(stop: dict[str, int], words: str, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=words):
        study(tmp_path, proxy={"stop": stop})
