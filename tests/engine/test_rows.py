"""Learning-curve rows: a flood of reports leaves a small journal, with what matters in it."""

from __future__ import annotations

import itertools
import json

from flopwise.engine.rows import MOST_ROWS, Rows
from flopwise.events import Measured, to_json
from flopwise.wire import Measurement

ATTEMPT = "t0001.s0.a1"


def row(step: int, elapsed_s: float, attempt: str = ATTEMPT) -> Measurement:
    return Measurement(attempt, step, elapsed_s, {"loss": 1.0 / (1 + step), "accuracy": 0.123456789})


def test_a_million_reports_at_ten_thousand_a_second_stay_below_100_mb() -> None:
    rows, size = Rows(), 0
    for second in range(10):
        for tick in range(10_000):
            rows.add(row(10_000 * second + tick, second + tick / 10_000))
        size += len(json.dumps(to_json(Measured(ATTEMPT, rows.take(ATTEMPT)))))
    assert 10 * size < 100e6 / 10


def test_validations_are_all_kept_in_their_place_among_the_rows() -> None:
    rows = Rows(most=4, metric="val_loss")
    for step in range(100):
        rows.add(row(step, step))
        if step % 10 == 0:
            rows.add(Measurement(ATTEMPT, step, step + 0.5, {"val_loss": 1.0}))
    taken = rows.take(ATTEMPT)
    assert [each["step"] for each in taken if "val_loss" in each["values"]] == list(range(0, 100, 10))
    assert [each["elapsed_s"] for each in taken] == sorted(each["elapsed_s"] for each in taken)
    assert len(taken) <= 10 + 5 + 1


def test_few_rows_are_all_kept_and_of_many_the_first_the_last_and_an_even_choice() -> None:
    rows = Rows()
    for step in range(MOST_ROWS):
        rows.add(row(step, step))
    assert [each["step"] for each in rows.take(ATTEMPT)] == list(range(MOST_ROWS))
    for step in range(1000):
        rows.add(row(step, 1000.0 + step))
    steps = [each["step"] for each in rows.take(ATTEMPT)]
    assert (steps[0], steps[-1]) == (0, 999)
    assert MOST_ROWS // 2 <= len(steps) <= MOST_ROWS + 1
    assert len({after - before for before, after in itertools.pairwise(steps[:-1])}) == 1


def test_rows_of_attempts_do_not_mix_and_are_taken_once() -> None:
    rows = Rows()
    rows.add(row(1, 0.1))
    rows.add(row(7, 0.1, "t0002.s0.a1"))
    assert rows.attempts == [ATTEMPT, "t0002.s0.a1"]
    assert [each["step"] for each in rows.take(ATTEMPT)] == [1]
    assert rows.take(ATTEMPT) == []


def test_what_comes_out_of_order_is_left_out_even_after_a_writing() -> None:
    rows = Rows()
    rows.add(row(5, 5.0))
    rows.add(row(4, 4.0))
    rows.take(ATTEMPT)
    rows.add(row(3, 3.0))
    assert rows.take(ATTEMPT) == []
    rows.add(row(5, 5.0))
    assert [each["step"] for each in rows.take(ATTEMPT)] == [5]
    rows.forget(ATTEMPT)
    rows.add(row(0, 0.0))
    assert len(rows.take(ATTEMPT)) == 1
