"""Exactly one outcome for whatever a workload returned or raised."""

from __future__ import annotations

from typing import Any

import numpy
import pytest
import torch

from flopwise.errors import NonFinite, WorkloadError
from flopwise.trial import Outcome
from flopwise.worker.outcome import LONGEST_CAUSE, failure, judge, judge_pin, one_line


def raised(action: Any) -> BaseException:
    try:
        action()
    except BaseException as error:
        return error
    raise AssertionError("it did not raise")


def fail(error: BaseException) -> Any:
    def action() -> None:
        raise error

    return raised(action)


def test_torch_running_out_of_memory_on_the_cpu_is_oom() -> None:
    error = raised(lambda: torch.empty(1 << 50))
    assert isinstance(error, RuntimeError)
    assert failure(error, {}, stopped=False).outcome == Outcome.OOM


def test_numpy_running_out_of_memory_is_oom() -> None:
    assert failure(raised(lambda: numpy.empty(1 << 58)), {}, stopped=False).outcome == Outcome.OOM


def test_torch_running_out_of_device_memory_is_oom() -> None:
    assert failure(fail(torch.OutOfMemoryError("CUDA out of memory")), {}, stopped=False).outcome == Outcome.OOM


@pytest.mark.parametrize("error", [NonFinite("loss is nan"), FloatingPointError("overflow in exp")])
def test_non_finite_errors_are_nan(error: Exception) -> None:
    assert failure(fail(error), {}, stopped=False).outcome == Outcome.NAN


@pytest.mark.parametrize("error", [ValueError("x"), RuntimeError("shapes differ"), WorkloadError("no"), SystemExit(3)])
def test_other_errors_are_errors_with_a_place(error: BaseException) -> None:
    result = failure(fail(error), {"tokens": 3}, stopped=False)
    assert result.outcome == Outcome.ERROR
    assert "test_worker_outcome.py:" in result.cause
    assert result.info == {"tokens": 3}


def test_an_error_after_a_stop_is_the_stops() -> None:
    result = failure(fail(MemoryError()), {}, stopped=True)
    assert result.outcome == Outcome.KILLED and "MemoryError" in result.cause


def test_a_cause_is_one_short_line_even_of_a_hostile_error() -> None:
    class Hostile(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no")

    assert "Hostile" in one_line(fail(Hostile()))
    long = one_line(fail(ValueError("a\nb" * 100_000)))
    assert "\n" not in long and len(long) < LONGEST_CAUSE + 100


def test_no_metric_is_needed_where_the_study_names_none() -> None:
    result = judge({"loss": 1.0, "done": True}, "", {}, stopped=False)
    assert (result.outcome, result.metrics, result.info) == (Outcome.OK, {"loss": 1.0}, {"done": True})


def test_a_stopped_result_is_not_a_metric() -> None:
    result = judge({"loss": 1.0}, "loss", {}, stopped=True)
    assert (result.outcome, result.metrics) == (Outcome.KILLED, {})
    assert result.info == {"partial": {"loss": 1.0}}


def test_a_pin_is_json() -> None:
    assert judge_pin({"sha256": "ab", "bytes": numpy.int64(7)}, {}).info == {"pin": {"sha256": "ab", "bytes": 7}}
    for value in (None, "ab", [1]):
        with pytest.raises(WorkloadError, match="must return a pin"):
            judge_pin(value, {})
