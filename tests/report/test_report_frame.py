"""Trials as a DataFrame."""

from __future__ import annotations

import sys
from typing import Any

import pandas
import pytest

from flopwise.errors import InputError
from flopwise.report.frame import trials_frame


def test_a_row_a_trial_with_its_knobs(story: Any) -> None:
    run = story().opened().calibrated(2.5, 2.7).phase("search")
    run.proposed(1, "search", lr=0.1).ran(1, 2.0)
    run.proposed(2, "search", lr=0.3).ran(2, None, cause="ValueError: too high")
    frame = trials_frame(run.events)
    assert list(frame["number"]) == [0, 1, 2]
    assert list(frame["outcome"]) == ["ok", "ok", "error"]
    assert list(frame["params_lr"])[1:] == [0.1, 0.3]
    assert frame["value"][0] == pytest.approx(2.6) and frame["value"][1] == 2.0 and pandas.isna(frame["value"][2])
    assert frame["values"][0] == [2.5, 2.7] and len(frame["seeds"][0]) == 2
    assert frame["cause"][2] == "ValueError: too high"
    assert pandas.isna(frame["of"][1])
    assert [str(frame[name].dtype) for name in ("number", "of", "attempts")] == ["Int64"] * 3


def test_columns_are_in_order(story: Any) -> None:
    frame = trials_frame(story().finished().events)
    names = list(frame.columns)
    assert names[:8] == ["number", "value", "phase", "of", "outcome", "cause", "seconds", "attempts"]
    assert names[-2:] == ["seeds", "values"]
    assert names[8:-2] and all(name.startswith("params_") for name in names[8:-2])


def test_a_run_that_has_only_begun(story: Any) -> None:
    assert len(trials_frame(story().opened().events)) == 0


def test_without_pandas_it_says_what_to_install(story: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(InputError, match=r"pip install 'flopwise\[pandas\]'"):
        trials_frame(story().opened().events)
