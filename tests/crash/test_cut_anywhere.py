"""A journal cut after any of its records, as a kill inside a commit leaves it: the run goes on to the same end."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

import flopwise
from flopwise.engine.verify import verify
from flopwise.events import AttemptStarted
from flopwise.journal.log import read_events
from flopwise.journal.replay import RunState
from flopwise.paths import RunFolder


def bowl(config: dict[str, Any], context: Any) -> dict[str, float]:
    return {"loss": (config["x"] - 3) ** 2 + 1 + context.seed % 13 / 50}


def finish(runs: Path, *, asynchronous: bool = False) -> RunFolder:
    done = flopwise.Study(
        name="bowl",
        runs=runs,
        space={"x": flopwise.Float(-10.0, 10.0), "n": flopwise.Int(1, 4)},
        objective=bowl,
        search={"method": "cmaes", "asynchronous": asynchronous},
        tiers={"only": {"population": 3, "generations": 2}},
        confirm={"top": 2, "seeds": 2},
        calibration={"seeds": 2},
        execution={"executor": "inline", "price_per_hour": 1.0},
    ).run(quiet=True)
    assert done.reason == "finished"
    return RunFolder(done.folder)


def cut(whole: RunFolder, runs: Path, records: int) -> None:
    """A copy of a run as it was when its journal had so many records."""
    copy = RunFolder(runs / whole.name)
    shutil.copytree(whole.root, copy.root)
    copy.root.chmod(0o700)
    lines = whole.journal.read_bytes().splitlines(keepends=True)
    copy.journal.write_bytes(b"".join(lines[:records]))
    started = {e.attempt for e in read_events(copy.journal)[0] if isinstance(e, AttemptStarted)}
    for folder in copy.attempts.iterdir():
        if folder.name not in started:
            shutil.rmtree(folder)
    copy.report_json.unlink()


def essence(folder: RunFolder) -> Any:
    state = RunState(read_events(folder.journal)[0])
    assert state.verdict is not None
    trials = [(t.trial, t.losses(state.objective)) for t in state.trials.values()]
    return trials, state.verdict.verdict, state.verdict.numbers


@pytest.mark.parametrize("asynchronous", [False, True], ids=["generations", "asynchronous"])
def test_a_run_cut_after_any_record_ends_the_same(asynchronous: bool, tmp_path: Path) -> None:
    whole = finish(tmp_path / "whole", asynchronous=asynchronous)
    expected = essence(whole)
    records = len(whole.journal.read_bytes().splitlines())
    for count in range(1, records - 2, 3 if asynchronous else 1):
        runs = tmp_path / f"cut-{count}"
        cut(whole, runs, count)
        resumed = finish(runs, asynchronous=asynchronous)
        assert resumed.name == "bowl", count
        assert essence(resumed) == expected, count
        assert verify(resumed) == [], count
