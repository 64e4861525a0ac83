"""A run goes on only with the data it was started with."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from flopwise.engine.assemble import plan, run
from flopwise.engine.request import Request
from flopwise.errors import RunError
from flopwise.journal.log import read_events
from flopwise.report.view import SilentView
from flopwise.study import parse_study
from flopwise.workloads.language_model import corpus


def test_resuming_with_other_data_is_refused(tmp_path: Path, toy_text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    study = parse_study(toy_text.replace("slots: 2", "executor: inline").replace("timeout: 60s", "seeds: 1"))
    request = Request(tmp_path / "runs", SilentView(), "test")
    assert plan(study, request).reason == "planned"
    before, _ = read_events(tmp_path / "runs" / "toy" / "journal.log")
    shutil.rmtree(tmp_path / "runs" / ".cache")
    fewer(monkeypatch)
    with pytest.raises(RunError, match="sha256") as refused:
        run(study, request)
    assert refused.value.exit_code == 2
    after, _ = read_events(tmp_path / "runs" / "toy" / "journal.log")
    kinds = [type(event).__name__ for event in after[len(before) :]]
    assert kinds == ["SessionOpened", "SessionClosed"]


def fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The interpreter's sources as another Python would have them."""
    sources = corpus._sources
    monkeypatch.setattr(corpus, "_sources", lambda root: list(sources(root))[:-1])
