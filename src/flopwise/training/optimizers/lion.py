"""Lion: Chen et al., Symbolic discovery of optimization algorithms, 2023."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from flopwise.training.optimizers.adamw import decayed_groups
from flopwise.training.optimizers.decay import decay_


@dataclass(frozen=True)
class LionOptions:
    """Numbers of the algorithm.

    Args:
        lr: Peak learning rate; a third to a tenth of AdamW's.
        beta1: Weight of the momentum in the update.
        beta2: Decay of the momentum.
        weight_decay: Decay of matrices, times the learning rate, each step.
        cautious: Whether it is cautious, see :mod:`.decay`.
    """

    lr: float
    beta1: float = 0.9
    beta2: float = 0.99
    weight_decay: float = 0.1
    cautious: bool = False


class Lion(torch.optim.Optimizer):
    """The sign of a mean of gradients; only matrices decay.

    Args:
        model: Whose params to train.
        options: Numbers of the algorithm.
    """

    def __init__(self, model: nn.Module, options: LionOptions) -> None:
        self.options = options
        super().__init__(decayed_groups(list(model.parameters()), options.weight_decay), {"lr": options.lr})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One update; ``closure`` must be None."""
        assert closure is None
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            if not params:
                continue
            gradients = [p.grad for p in params]
            for p in params:
                if not self.state[p]:
                    self.state[p]["momentum"] = torch.zeros_like(p)
            momenta = [self.state[p]["momentum"] for p in params]
            updates = torch._foreach_lerp(momenta, gradients, 1.0 - self.options.beta1)
            torch._foreach_sign_(updates)
            decay_(params, updates, group["lr"] * group["weight_decay"], self.options.cautious)
            torch._foreach_add_(params, updates, alpha=-group["lr"])
            torch._foreach_lerp_(momenta, gradients, 1.0 - self.options.beta2)
