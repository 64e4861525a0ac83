"""Numbers and JSON out of whatever a workload hands over."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from flopwise.errors import WorkloadError
from flopwise.worker.values import describe, number, plain


@pytest.mark.parametrize(
    "value",
    [
        0.5,
        numpy.float64(0.5),
        numpy.float32(0.5),
        numpy.array(0.5),
        numpy.array([[0.5]]),
        Fraction(1, 2),
        torch.tensor(0.5),
        torch.tensor([0.5]),
        torch.tensor(0.5, requires_grad=True),
        torch.tensor(0.5).bfloat16(),
    ],
)
def test_every_form_of_one_number_is_that_number(value: Any) -> None:
    found = number("loss", value)
    assert found == 0.5 and type(found) is float


@pytest.mark.parametrize("value", [3, numpy.int64(3), torch.tensor(3)])
def test_whole_numbers_stay_whole(value: Any) -> None:
    found = number("steps", value)
    assert found == 3 and type(found) is int


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        False,
        "0.5",
        b"0.5",
        1j,
        [0.5],
        (0.5,),
        {"a": 1},
        len,
        Decimal("0.5"),
        Path("x"),
        numpy.array([1.0, 2.0]),
        numpy.bool_(True),
        numpy.str_("1"),
        torch.tensor([1.0, 2.0]),
        torch.tensor(True),
    ],
    ids=describe,
)
def test_what_is_not_one_number_is_refused_by_name(value: Any) -> None:
    with pytest.raises(WorkloadError, match="loss is not a number"):
        number("loss", value)


@given(st.integers() | st.floats() | st.integers(10**300, 10**500))
def test_numbers_never_fail_and_ints_too_large_are_infinite(value: float) -> None:
    found = number("loss", value)
    assert math.isnan(found) if value != value else (found == value or math.isinf(found) or abs(found - value) < 1e300)


def test_json_of_nested_facts() -> None:
    facts = {"path": Path("a/b"), "sizes": (1, numpy.int32(2)), "loss": float("nan"), 3: {"t": torch.tensor(1.5)}}
    expected = {"path": "a/b", "sizes": [1, 2], "loss": "nan", "3": {"t": 1.5}}
    assert plain("facts", facts) == expected == json.loads(json.dumps(plain("facts", facts), allow_nan=False))


def test_what_json_cannot_hold_is_refused_with_its_place() -> None:
    with pytest.raises(WorkloadError, match=r"facts\.deep\[1\] has no JSON form"):
        plain("facts", {"deep": [1, object()]})


def test_describing_never_fails() -> None:
    class Hostile:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    assert describe(Hostile()) == "<repr raised RuntimeError> (Hostile)"
    assert len(describe("x" * 10_000)) < 120
