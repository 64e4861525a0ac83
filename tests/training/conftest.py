"""A listener that remembers, and models small enough to check by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn


class Listener:
    """Remembers what it was told; asks to stop before a given step.

    Args:
        stop_before: Step (from 1) that is not made any more; None never to stop.
    """

    def __init__(self, stop_before: int | None = None) -> None:
        self.rows: list[tuple[int, dict[str, float]]] = []
        self._asked = 0
        self._stop_before = stop_before

    def report(self, step: int, **values: float) -> None:
        self.rows.append((step, values))

    def should_stop(self) -> bool:
        self._asked += 1
        return self._stop_before is not None and self._asked >= self._stop_before


class Bigram(nn.Module):
    """A table of scores of the next token."""

    def __init__(self, vocabulary: int = 7) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.table = nn.Parameter(torch.randn(vocabulary, vocabulary, generator=generator))
        self.bias = nn.Parameter(torch.zeros(vocabulary))

    def forward(self, inputs: Tensor, targets: Tensor) -> Tensor:
        scores = self.table[inputs] + self.bias
        return nn.functional.cross_entropy(scores.flatten(0, 1), targets.flatten(), reduction="sum")


@pytest.fixture
def listener() -> Listener:
    return Listener()


@pytest.fixture
def stopping_listener() -> Listener:
    """Lets three steps pass."""
    return Listener(stop_before=4)


@pytest.fixture
def bigram() -> Bigram:
    return Bigram()
