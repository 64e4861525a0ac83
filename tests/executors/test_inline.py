"""What the inline executor cannot do, it says."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from flopwise.executors.inline import InlineExecutor
from flopwise.wire import Slot

WORKLOADS = Path(__file__).parent / "workloads_under_test"


def test_limits_of_time_that_are_not_enforced_are_said(make_bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(WORKLOADS), *sys.path])
    bench = make_bench(InlineExecutor([Slot(0, (0,), 1)]))
    bench.open()
    heard = bench.run("behave", job={"timeout_s": 60.0, "progress_s": 30.0})
    assert heard.reported.info["warning"] == "executor inline does not enforce time-outs (of 60 s and 30 s)"
    assert "warning" not in bench.run("behave").reported.info
