"""The course of a learning curve: the same figures however its rows come in."""

from __future__ import annotations

import math
import random

import pytest

from flopwise.journal.course import Course


def rows(*values: float, name: str = "train_loss", **more: float) -> list[dict[str, object]]:
    return [{"step": step, "values": {"lr": 0.1, name: value, **more}} for step, value in enumerate(values, 1)]


def test_rows_in_portions_give_the_same_as_all_at_once() -> None:
    draw = random.Random(1)
    curve = rows(*(9.0 / step + draw.random() for step in range(1, 60)))
    whole, parts = Course("val_loss", 1.0), Course("val_loss", 1.0)
    whole.add(curve)
    for first in range(0, len(curve), 7):
        parts.add(curve[first : first + 7])
    assert whole == parts
    values = [row["values"]["train_loss"] for row in curve]  # type: ignore[index]
    means = [sum(values[at : at + 5]) / 5 for at in range(len(values) - 4)]
    assert (whole.head, whole.low, whole.tail) == (means[0], min(means), means[-1])


def test_the_metric_itself_is_followed_with_its_sign_where_it_is_reported() -> None:
    course = Course("reward", -1.0)
    course.add(rows(1.0, 2.0, 3.0, 4.0, 5.0, name="reward"))
    assert (course.name, course.head) == ("reward", -3.0)


def test_gradient_lengths_and_what_is_no_number() -> None:
    course = Course("val_loss", 1.0)
    course.add([*rows(1.0, 1.0, grad_norm=2.0), *rows(1.0, grad_norm=8.0), *rows(math.nan), {"values": {"lr": 1.0}}])
    assert (course.lengths, course.longest, course.count) == (3, 8.0, 3)
    assert math.exp(course.log_length / 3) == pytest.approx(2.0 * 4.0 ** (1 / 3))
    assert math.isnan(course.tail)
