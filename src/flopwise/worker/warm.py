"""First-use costs of torch, where it is loaded anyway, paid once before the forks and not in each of them."""

from __future__ import annotations

import importlib
import sys
from typing import Any


def warm_torch() -> None:
    """Load what torch loads at its first optimizer step, and take one, on the CPU; nothing without torch.

    The first step of a fresh process takes about 0.7 s, nearly all of it importing ``torch._dynamo``. A torch
    that was built for an accelerator only gets that import: a backward pass would start its device
    threads, and forked children could not use it any more.
    """
    torch: Any = sys.modules.get("torch")
    if torch is None or not hasattr(torch, "nn"):
        return
    importlib.import_module("torch._dynamo")
    if any(getattr(torch.version, kind, None) is not None for kind in ("cuda", "hip", "xpu")):
        return
    torch.set_num_threads(1)
    torch.manual_seed(0)
    layer = torch.nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(layer.parameters(), lr=0.0)
    layer(torch.zeros(1, 2)).sum().backward()
    optimizer.step()
