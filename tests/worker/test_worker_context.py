"""What an attempt says while it runs: little over the wire, all of it on disk, nothing that is not a number."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopwise.errors import WorkloadError
from flopwise.trial import Fidelity
from flopwise.wire import Job, Measurement, Message, Progress, Slot
from flopwise.worker import context as module
from flopwise.worker.context import AttemptContext
from flopwise.worker.curve import Curve
from flopwise.worker.outlet import Outlet


class Said(Outlet):
    """A wire that keeps what is said, and may be full."""

    def __init__(self, messages: list[Message], room: bool) -> None:
        self.messages = messages
        self.room = room

    def has_room(self) -> bool:
        return self.room

    def send(self, message: Message) -> None:
        self.messages.append(message)


def make(
    said: list[Message],
    *,
    room: bool = True,
    outlet: Said | None = None,
    job: dict[str, Any] | None = None,
    **fields: Any,
) -> AttemptContext:
    asked_for = Job(
        attempt="t0001.s0.a1",
        kind="evaluate",
        workload="function",
        config={},
        stop={"tokens": 100.0},
        seed=5,
        slot=Slot(0, (), 3),
        folder="/attempt",
        cache="/cache",
        data={"sha256": "ab"},
        metric="loss",
        **(job or {}),
    )
    return AttemptContext(asked_for, outlet or Said(said, room), None, **{"asked": lambda: False, **fields})


def test_it_shows_what_the_job_says() -> None:
    context = make([])
    assert (context.seed, context.threads, context.metric) == (5, 3, "loss")
    assert context.fidelity == Fidelity("tokens", 100.0)
    assert (context.folder, context.cache) == (Path("/attempt"), Path("/cache"))
    assert context.data == {"sha256": "ab"}


def test_of_a_validated_study_every_validation_is_sent_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SEND_EVERY_S", 1e9)
    said: list[Message] = []
    context = make(said, job={"validate_every": 2})
    for step in range(6):
        context.report(step, train_loss=1.0)
        if step % 2:
            context.report(step, loss=float(step))
    context.flush()
    rows = [(m.step, set(m.values)) for m in said if isinstance(m, Measurement)]
    assert rows == [(0, {"train_loss"}), (1, {"loss"}), (3, {"loss"}), (5, {"loss"})]
    assert [row["step"] for row in context.validations] == [1, 3, 5]


def test_validations_wait_for_room_and_nothing_overtakes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SEND_EVERY_S", 0.0)
    said: list[Message] = []
    wire = Said(said, room=False)
    context = make(said, job={"validate_every": 1}, outlet=wire)
    context.report(1, loss=1.0)
    context.report(2, loss=2.0)
    context.report(2, train_loss=2.5)
    assert said == []
    wire.room = True
    context.report(3, train_loss=3.5)
    assert [m.step for m in said if isinstance(m, Measurement)] == [1, 2, 3]


def test_after_very_many_validations_only_some_are_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SEND_EVERY_S", 1e9)
    monkeypatch.setattr(module, "MOST_KEPT", 3)
    said: list[Message] = []
    context = make(said, job={"validate_every": 1})
    for step in range(9):
        context.report(step, loss=1.0)
    assert len(said) == len(context.validations) == 3


def test_the_first_row_goes_at_once_and_the_last_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SEND_EVERY_S", 1e9)
    said: list[Message] = []
    context = make(said)
    for step in range(5):
        context.report(step, loss=float(step))
    context.progress("reading", 1, 3)
    context.progress("reading", 3, 3)
    assert [type(m) for m in said] == [Measurement, Progress]
    context.flush()
    assert [m.step for m in said if isinstance(m, Measurement)] == [0, 4]
    assert [m.done for m in said if isinstance(m, Progress)] == [1, 3]
    assert [row["step"] for row in context.rows()] == [0, 1, 2, 3, 4]
    context.flush()
    assert len(said) == 4


def test_a_coordinator_that_does_not_read_holds_nobody_up() -> None:
    said: list[Any] = []
    context = make(said, room=False)
    for step in range(100):
        context.report(step, loss=1.0)
    assert said == []
    context.flush()
    assert [m.step for m in said] == [99]
    assert len(context.rows()) == 100


def test_a_full_pipe_has_no_room() -> None:
    read, write = os.pipe()
    os.set_blocking(write, False)
    outlet = Outlet(write)
    assert outlet.has_room()
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(write, bytes(4096))
    assert not outlet.has_room()
    os.close(read)
    os.close(write)


def test_without_a_throttle_every_row_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SEND_EVERY_S", 0.0)
    said: list[Message] = []
    context = make(said)
    for step in range(50):
        context.report(step, loss=1.0)
    assert len(said) == 50


def test_non_finite_values_are_text() -> None:
    said: list[Any] = []
    make(said).report(1, loss=float("nan"), grad=float("-inf"), fine=1.5)
    assert said[0].values == {"loss": "nan", "grad": "-inf", "fine": 1.5}


@pytest.mark.parametrize("value", ["low", None, True, [1.0], 1j])
def test_rows_hold_numbers_only(value: Any) -> None:
    with pytest.raises(WorkloadError, match="loss is not a number"):
        make([]).report(1, loss=value)


@pytest.mark.parametrize("step", [1.5, "1", None])
def test_a_step_is_an_int(step: Any) -> None:
    with pytest.raises(WorkloadError, match="step"):
        make([]).report(step, loss=1.0)


def test_notes_add_up() -> None:
    context = make([])
    context.note(tokens=1, flops=2.0)
    context.note(tokens=3)
    assert context.facts == {"tokens": 3, "flops": 2.0}


def test_being_told_to_stop_is_remembered() -> None:
    answers = iter([False, True])
    context = make([], asked=lambda: next(answers))
    assert not context.should_stop() and not context.told_to_stop
    assert context.should_stop() and context.told_to_stop
    assert context.should_stop()


@given(st.integers(0, 3000), st.integers(2, 50))
def test_a_curve_keeps_both_ends_and_stays_small(count: int, longest: int) -> None:
    curve = Curve(longest)
    for step in range(count):
        curve.add(step, float(step), {})
    steps = [row["step"] for row in curve.rows()]
    assert steps == sorted(set(steps)) and len(steps) <= longest + 1
    assert steps[:1] + steps[-1:] == ([0, count - 1] if count else [])
