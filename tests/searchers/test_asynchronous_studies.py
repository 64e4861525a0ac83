"""``search.asynchronous``: no slot waits for the end of a generation, and everything can still be derived again."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

import flopwise
from flopwise.engine.verify import verify
from flopwise.errors import StudyError
from flopwise.events import AttemptEnded, TrialProposed
from flopwise.journal.log import read_events
from flopwise.paths import RunFolder
from flopwise.study import parse_study, yaml_text

TEXT = """
name: free
workload: function
space: {x: {type: float, low: 0, high: 1}}
objective: {metric: loss}
"""


def uneven(config: dict[str, Any]) -> float:
    """Some take five times as long as others."""
    time.sleep(0.02 if config["x"] < 0.6 else 0.1)
    return (config["x"] - 0.3) ** 2 + (config["y"] - 0.7) ** 2


def run(root: Path, **search: Any) -> RunFolder:
    done = flopwise.Study(
        name="free",
        space={"x": flopwise.Float(0, 1), "y": flopwise.Float(0, 1)},
        base={"x": 0.9, "y": 0.1},
        objective=uneven,
        search={"method": "cmaes", **search},
        tiers={"only": {"population": 5, "generations": 4}},
        slots=2,
        runs=root,
        policies={"patience": False},
        calibration={"seeds": 2},
        confirm={"top": 1, "seeds": 2},
    ).run(quiet=True)
    return RunFolder(done.folder)


def overlapping(folder: RunFolder) -> int:
    """Search trials that were proposed while an earlier one ran."""
    ended: set[int] = set()
    proposed: list[int] = []
    count = 0
    for event in read_events(folder.journal)[0]:
        if isinstance(event, TrialProposed) and event.phase == "search":
            count += bool(set(proposed) - ended) and event.visible % 5 == 0 and len(proposed) % 5 != 0
            proposed.append(event.number)
        elif isinstance(event, AttemptEnded):
            ended.add(int(event.attempt[1:5]))
    return count


def test_cma_es_without_waiting_is_derived_again_by_verify(tmp_path: Path) -> None:
    folder = run(tmp_path, asynchronous=True)
    proposals = [e for e in read_events(folder.journal)[0] if isinstance(e, TrialProposed) and e.phase == "search"]
    assert len(proposals) == 20
    assert {event.visible for event in proposals} <= {0, 5, 10, 15}
    assert max(event.visible for event in proposals) >= 10
    assert overlapping(folder) > 5
    assert verify(folder) == []


def test_a_searcher_that_needs_whole_generations_names_those_that_do_not() -> None:
    with pytest.raises(StudyError, match=r"search.asynchronous: nsga2 .* those that can: random, cmaes, tpe"):
        parse_study(TEXT + "search: {method: nsga2, asynchronous: true}\n")


def test_the_setting_survives_the_file_and_leaves_other_hashes_alone() -> None:
    plain = parse_study(TEXT + "search: {method: tpe}\n")
    assert parse_study(TEXT + "search: {method: tpe, asynchronous: false}\n").hash == plain.hash
    free = parse_study(TEXT + "search: {method: tpe, asynchronous: true}\n")
    assert free.canonical["search"]["asynchronous"] is True
    assert parse_study(yaml_text(free.canonical)).hash == free.hash
