from __future__ import annotations

import pytest

from flopwise.training.schedules import warmup_cosine


def test_rises_in_a_line_and_falls_as_a_cosine() -> None:
    factors = [warmup_cosine(p / 100, 0.2, 0.1) for p in range(101)]
    assert factors[0] == 0.0
    assert factors[10] == pytest.approx(0.5)
    assert factors[20] == max(factors) == 1.0
    assert factors[60] == pytest.approx((1.0 + 0.1) / 2)
    assert factors[100] == pytest.approx(0.1)
    assert factors[20:] == sorted(factors[20:], reverse=True)


def test_without_warm_up_it_starts_at_the_peak() -> None:
    assert warmup_cosine(0.0, 0.0, 0.0) == 1.0


def test_all_warm_up_ends_at_the_peak() -> None:
    assert warmup_cosine(0.5, 1.0, 0.0) == 0.5
    assert warmup_cosine(1.0, 1.0, 0.0) == 1.0


def test_no_decay_stays_at_the_peak() -> None:
    assert {warmup_cosine(p / 10, 0.0, 1.0) for p in range(11)} == {1.0}
