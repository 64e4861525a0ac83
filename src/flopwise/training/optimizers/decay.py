"""Decoupled weight decay, plain or cautious."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def decay_(params: Sequence[Tensor], updates: Sequence[Tensor], amount: float, cautious: bool) -> None:
    """Shrink params in place by a share of themselves.

    Args:
        params: What decays.
        updates: What will be subtracted from each, up to a positive factor.
        amount: Share that is lost: learning rate times weight decay.
        cautious: Shrink only numbers whose update does not pull the other way: where update and param have
            the same sign (Chen et al., Cautious weight decay, arXiv 2510.12402, 2025).
    """
    if amount == 0.0 or not params:
        return
    if not cautious:
        torch._foreach_mul_(list(params), 1.0 - amount)
        return
    for param, update in zip(params, updates, strict=True):
        param.sub_(param * (param * update >= 0), alpha=amount)
