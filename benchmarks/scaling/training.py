"""What an attempt of the training benchmark does: optimizer steps that keep a core busy, for everybody the same."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import torch

WIDTH, BATCH = 256, 128
WARM_STEPS = 20


def run(config: Mapping[str, Any]) -> float:
    """Train a small network for ``config["amount"]`` steps with AdamW, on as many threads as the process has."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(WIDTH, 4 * WIDTH), torch.nn.GELU(), torch.nn.Linear(4 * WIDTH, WIDTH))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    x, y = torch.randn(BATCH, WIDTH), torch.randn(BATCH, WIDTH)
    loss = torch.zeros(())
    for _ in range(int(config["amount"])):
        loss = torch.nn.functional.mse_loss(model(x), y)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return loss.item()


def warm() -> None:
    """The first steps of a process cost more than the others."""
    run({"amount": WARM_STEPS})


def steps_for(seconds: float) -> int:
    """How many steps last so long on one thread of this machine, when nothing else runs."""
    torch.set_num_threads(1)
    warm()
    tried = 100
    began = time.perf_counter()
    run({"amount": tried})
    return max(1, round(seconds * tried / (time.perf_counter() - began)))
