"""What an attempt leaves on disk is whole or absent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flopwise.trial import Outcome, Result
from flopwise.wire import Job, Slot
from flopwise.worker import summary

ROWS = [{"step": n, "elapsed_s": 0.1 * n, "values": {"loss": 1.0 / (n + 1)}} for n in range(25)]


def job(folder: Path) -> Job:
    config = {"model": {"n_layer": 2}, "train": {"lr": 1e-3}}
    slot = Slot(0, (1,), 1)
    return Job("t0003.s1.a1", "evaluate", "language_model", config, {"flops": 1e9}, 7, slot, str(folder), "/cache")


def test_everything_needed_to_read_it_alone(tmp_path: Path) -> None:
    result = Result(Outcome.OK, {"val_loss": 1.25}, {"tokens": 512})
    assert summary.write(job(tmp_path), result, ROWS, 2.5) == result
    content = json.loads((tmp_path / "summary.json").read_text())
    assert content["metrics"] == {"val_loss": 1.25} and content["info"] == {"tokens": 512}
    assert content["config"] == {"model": {"n_layer": 2}, "train": {"lr": 1e-3}}
    assert content["curve"] == ROWS and content["wall_s"] == 2.5
    assert {"python", "flopwise"} <= set(content["versions"])
    page = (tmp_path / "run.md").read_text()
    assert page.startswith("# t0003.s1.a1: ok")
    assert "| train.lr | 0.001 |" in page and "| val_loss | 1.25 |" in page
    assert "step 24" in page and page.count("- step") <= 10


def test_a_failure_names_its_cause(tmp_path: Path) -> None:
    summary.write(job(tmp_path), Result(Outcome.ERROR, cause="ValueError: bad"), [], 0.1)
    assert (tmp_path / "run.md").read_text().startswith("# t0003.s1.a1: error: ValueError: bad")


@pytest.mark.parametrize("broken", ["fsync", "rename"])
def test_a_disk_that_fails_leaves_no_summary_and_the_result_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(summary.os, "fsync", fail) if broken == "fsync" else monkeypatch.setattr(Path, "rename", fail)
    result = summary.write(job(tmp_path), Result(Outcome.OK, {"val_loss": 1.0}), ROWS, 1.0)
    assert not (tmp_path / "summary.json").exists()
    assert (result.outcome, result.metrics) == (Outcome.OK, {"val_loss": 1.0})
    assert "No space left" in result.info["not_written"]


def test_files_are_for_this_user_only(tmp_path: Path) -> None:
    summary.write(job(tmp_path), Result(Outcome.OK, {"val_loss": 1.0}), ROWS, 1.0)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}
