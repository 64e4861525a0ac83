"""Throughput in whole studies on a virtual clock: a crowded machine pauses the search, resuming accepts its pace."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import flopwise
from flopwise.engine.verify import verify
from flopwise.events import PolicyRaised
from flopwise.executors.simulation import Options, fate_of
from flopwise.journal.log import read_events
from flopwise.paths import RunFolder


def quiet_calibration(crowd: dict[str, Any]) -> dict[str, Any]:
    """The first seed with which nobody is in the way of the calibration."""
    for seed in range(1000):
        options = {**crowd, "seed": seed}
        fates = [fate_of(Options(**options), f"t0000.s{index}.a1", index) for index in range(2)]
        if all(fate.contention == 0.0 for fate in fates):
            return options
    raise AssertionError("no such seed")


def simulated(root: Path, options: dict[str, Any], **sections: Any) -> flopwise.Study:
    return flopwise.Study(
        name="crowd",
        space={"x": flopwise.Float(-10.0, 10.0)},
        objective=lambda config: {"loss": (config["x"] - 3) ** 2},
        search="random",
        evaluations=60,
        runs=root / "runs",
        calibration={"seeds": 2},
        confirm={"top": 1, "seeds": 2},
        execution={"executor": "simulated", "slots": 4, "options": options},
        **sections,
    )


def raised(root: Path) -> list[PolicyRaised]:
    folder = RunFolder(root / "runs" / "crowd")
    assert verify(folder) == []
    return [event for event in read_events(folder.journal)[0] if isinstance(event, PolicyRaised)]


CROWDED = {"seconds": 30.0, "spread": 0.05, "contended": 0.9, "contention": 0.45}


def test_a_crowded_machine_pauses_the_search_and_is_named(tmp_path: Path) -> None:
    options = quiet_calibration(CROWDED)
    done = simulated(tmp_path, options).run(quiet=True)
    assert done.reason == "paused"
    (pause,) = raised(tmp_path)
    assert (pause.policy, pause.action) == ("throughput", "pause")
    assert "other processes took" in pause.cause
    assert pause.evidence["promised_per_hour"] == pytest.approx(480, rel=0.15)
    assert pause.evidence["contended"] >= 0.7 * pause.evidence["evaluations"]
    assert simulated(tmp_path, options).run(quiet=True, accept="throughput").reason == "finished"
    assert len(raised(tmp_path)) == 1


@pytest.mark.parametrize(
    "options",
    [
        {"seconds": 30.0, "spread": 0.5},
        {"seconds": 0.5, "spread": 0.05, "contended": 0.9, "contention": 0.6},
        {"seconds": 30.0, "spread": 0.1, "broken_slots": [3]},
    ],
    ids=["evaluations of many lengths", "a toy", "a quarantined slot of four"],
)
def test_it_goes_on_where_there_is_no_reason_to_pause(tmp_path: Path, options: dict[str, Any]) -> None:
    options = quiet_calibration(options)
    assert simulated(tmp_path, options).run(quiet=True).reason == "finished"
    assert raised(tmp_path) == []


def test_it_can_be_switched_off(tmp_path: Path) -> None:
    options = quiet_calibration(CROWDED)
    assert simulated(tmp_path, options, policies={"throughput": False}).run(quiet=True).reason == "finished"
