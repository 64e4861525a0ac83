from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from flopwise.errors import NonFinite
from flopwise.training.curve import LATE, Curve
from flopwise.training.devices import Device


def numbers(loss: float, length: float = 1.0) -> Tensor:
    return torch.tensor([loss, length])


def test_on_the_cpu_every_loss_is_reported_at_once(listener: Any) -> None:
    curve = Curve(listener, 3, Device("cpu"))
    for step in (1, 2):
        curve.add(step, numbers(float(step)), 0.1, step / 3)
        assert [row for row, _ in listener.rows] == list(range(1, step + 1))
    assert curve.first == 1.0


def test_on_an_accelerator_losses_are_read_together_and_none_is_lost(listener: Any) -> None:
    curve = Curve(listener, 20, Device("cuda"))
    for step in range(1, 21):
        curve.add(step, numbers(float(step)), 0.1, step / 20)
        assert len(listener.rows) == (LATE if step >= LATE else 0)
    curve.close()
    assert [(step, values["train_loss"]) for step, values in listener.rows] == [(n, float(n)) for n in range(1, 21)]
    assert curve.tail() == 19.5


@pytest.mark.parametrize(
    ("bad", "what"), [(numbers(math.nan), "loss is nan"), (numbers(1.0, math.inf), "length is inf")]
)
def test_what_is_not_finite_is_found_late_and_named_by_its_step(bad: Tensor, what: str, listener: Any) -> None:
    curve = Curve(listener, 20, Device("cuda"))
    for step in range(1, LATE):
        curve.add(step, bad if step == 5 else numbers(1.0), 0.1, 0.0)
    with pytest.raises(NonFinite, match=f"{what} in step 5"):
        curve.add(LATE, numbers(1.0), 0.1, 0.0)
    assert [step for step, _ in listener.rows] == [1, 2, 3, 4]
