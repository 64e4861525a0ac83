"""AdamW: Loshchilov and Hutter, Decoupled weight decay regularization, 2019."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

FUSED = frozenset({"cpu", "cuda"})
"""Devices with a fused step; on one CPU core it takes a third of the time of the others."""


@dataclass(frozen=True)
class AdamWOptions:
    """Numbers of the algorithm.

    Args:
        lr: Peak learning rate.
        beta1: Decay of the mean of gradients.
        beta2: Decay of the mean of squared gradients.
        eps: Added to the root of the mean square.
        weight_decay: Decay of matrices, times the learning rate, each step.
    """

    lr: float
    beta1: float = 0.9
    beta2: float = 0.95
    eps: float = 1e-8
    weight_decay: float = 0.1


def adamw(model: nn.Module, options: AdamWOptions) -> torch.optim.AdamW:
    """AdamW over all params of a model; only matrices decay, norms and other vectors do not."""
    return adamw_over(list(model.parameters()), options)


def adamw_over(params: Sequence[nn.Parameter], options: AdamWOptions, lr_ratio: float = 1.0) -> torch.optim.AdamW:
    """AdamW over some params; only matrices decay.

    Args:
        params: Those without gradients are left out.
        options: Numbers of the algorithm.
        lr_ratio: What the loop's learning rate is multiplied by.
    """
    groups = decayed_groups(params, options.weight_decay)
    if lr_ratio != 1.0:
        groups = [{**group, "lr_ratio": lr_ratio} for group in groups]
    return torch.optim.AdamW(
        groups,
        lr=options.lr,
        betas=(options.beta1, options.beta2),
        eps=options.eps,
        fused=all(p.device.type in FUSED for group in groups for p in group["params"]),
    )


def decayed_groups(params: Sequence[nn.Parameter], weight_decay: float) -> list[dict[str, Any]]:
    """Groups of trained params: matrices with the decay, vectors without; no empty group."""
    trained = [p for p in params if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]
