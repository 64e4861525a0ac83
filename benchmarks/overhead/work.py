"""What every attempt of this benchmark does, for flopwise and for its peers alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

WIDTH = 64


def matmul(config: Mapping[str, Any] | None = None) -> float:
    """One matrix product: the least that shows torch to be there."""
    return float((torch.ones(WIDTH, WIDTH) @ torch.ones(WIDTH, WIDTH)).sum())


def adamw(config: Mapping[str, Any] | None = None) -> float:
    """One real training step of a small model: forward, backward, AdamW."""
    model = torch.nn.Sequential(torch.nn.Linear(WIDTH, 4 * WIDTH), torch.nn.GELU(), torch.nn.Linear(4 * WIDTH, WIDTH))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    loss = torch.nn.functional.mse_loss(model(torch.randn(16, WIDTH)), torch.zeros(16, WIDTH))
    loss.backward()
    optimizer.step()
    return loss.item()


WORK = {"matmul": matmul, "adamw": adamw}
