"""Whole studies on two slots, trials finishing in any order and some failing: every proposal can be derived again."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

import flopwise
from flopwise.engine.verify import verify
from flopwise.paths import RunFolder

SPACE = {"lr": flopwise.Float(1e-4, 1e-1, "log"), "depth": flopwise.Int(1, 3), "kind": flopwise.Categorical(("a", "b"))}
CONFIGS = [{"lr": 10.0**-power, "depth": depth, "kind": "b"} for power in (1, 2, 3) for depth in (1, 2, 3)]
SEARCHES: dict[str, dict[str, Any]] = {
    "tpe": {"startup": 4},
    "nsga2": {"crossover": "blx_alpha"},
    "qmc": {},
    "grid": {"points": 2},
    "fixed": {"configs": CONFIGS},
}


def train(config: dict[str, Any]) -> float:
    """Deeper takes longer and, with the larger rates, fails."""
    time.sleep(0.01 * config["depth"])
    if config["lr"] * config["depth"] > 0.1:
        raise ValueError("diverged")
    return float(config["lr"] + config["depth"] + (config["kind"] == "a"))


@pytest.mark.parametrize("method", SEARCHES)
def test_verify_derives_every_proposal_again(method: str, tmp_path: Path) -> None:
    done = flopwise.Study(
        name=method,
        space=SPACE,
        base={"lr": 1e-3, "depth": 2, "kind": "a"},
        objective=train,
        search={"method": method, **SEARCHES[method]},
        evaluations=24 if method in ("tpe", "nsga2", "qmc") else None,
        slots=2,
        runs=tmp_path,
        policies={"crash_rate": False, "crash_loop": False, "patience": False},
        calibration={"seeds": 2},
        confirm={"top": 1, "seeds": 2},
    ).run(quiet=True)
    searched = [trial for trial in done.trials if trial["phase"] == "search"]
    assert done.verdict is not None
    assert len(searched) == {"grid": 12, "fixed": 9}.get(method, 24)
    assert any(trial["value"] is None for trial in searched)
    assert verify(RunFolder(done.folder)) == []
