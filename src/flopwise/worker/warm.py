"""First-use costs of libraries that are loaded anyway, paid once before the forks and not in each of them."""

from __future__ import annotations

import importlib
import sys
from typing import Any


def warm_up() -> None:
    """Use numpy and torch once, if they are loaded."""
    if "numpy" in sys.modules:
        importlib.import_module("numpy.random")
    warm_torch()


def warm_torch() -> None:
    """Load what torch loads at its first optimizer step, and take one, on the CPU; nothing without torch.

    The first step of a fresh process takes about 0.7 s, nearly all of it importing ``torch._dynamo``.
    """
    torch: Any = sys.modules.get("torch")
    if torch is None or not hasattr(torch, "nn"):
        return
    torch.set_num_threads(1)
    importlib.import_module("torch._dynamo")
    layer = torch.nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(layer.parameters(), lr=0.0)
    layer(torch.zeros(1, 2)).sum().backward()
    optimizer.step()
