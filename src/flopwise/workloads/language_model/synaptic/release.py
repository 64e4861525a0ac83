"""What one edge does in one token, with gradients worked out by hand.

Left to autograd these formulas take twice as many passes over a number for every pair of tokens, and most of the
time of a training step.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from flopwise.workloads.language_model.synaptic.config import SynapticConfig

TINY = 1e-6
"""Added under the square root, whose slope at 0 is infinite; also how far a probability stays below 1."""


def release_probability(calcium: Tensor, config: SynapticConfig) -> Tensor:
    """Probability p that a vesicle of the pool is released, for calcium c of any shape.

    ``[share c⁴/(c⁴ + syt1_kd⁴) + (1 - share) c²/(c² + syt7_kd²)] * [1 - clamp complexin_kd²/(c² + complexin_kd²)]``
    """
    return _Probability.apply(calcium, config)  # type: ignore[no-any-return,no-untyped-call]


def log_release(p: Tensor, spent: Tensor, noise: Tensor | None, config: SynapticConfig) -> Tensor:
    """``log(spontaneous + 1 - exp(-m))`` for m = p init_rrp / (1 + spent) vesicles, all of one shape.

    With noise, ``m + noise sqrt(m (1 - p))`` in place of m, and 0 where that is negative.

    Args:
        p: Release probability of a vesicle.
        spent: Vesicles that are not back in the pool, as a share of what is left of it.
        noise: In standard deviations of the number of vesicles; None for none.
        config: The knobs.
    """
    return _LogRelease.apply(p, spent, noise, config)  # type: ignore[no-any-return,no-untyped-call]


class _Probability(Function):
    """With x = c² and Q = 1 / (x + K) of each Hill function, dp/dc needs no division of its own."""

    @staticmethod
    def forward(ctx: Any, calcium: Tensor, config: SynapticConfig) -> Tensor:
        fast, slow = config.fast_share * (1 - TINY), (1 - config.fast_share) * (1 - TINY)
        clamp, lift = config.complexin_clamp, config.complexin_kd**2
        fast_k, slow_k = config.syt1_kd**4, config.syt7_kd**2
        x = calcium * calcium
        fast_q = (x * x).add_(fast_k).reciprocal_()
        slow_q = (x + slow_k).reciprocal_()
        lift_q = (x + lift).reciprocal_()
        sensed = (x * fast_q).mul_(fast).add_(slow_q, alpha=slow).mul_(x)
        lifted = (lift_q * (-clamp * lift)).add_(1)
        if ctx.needs_input_grad[0]:
            slope = (fast_q * fast_q).mul_(x).mul_(4 * fast * fast_k)
            slope.addcmul_(slow_q, slow_q, value=2 * slow * slow_k).mul_(lifted)
            slope.addcmul_(sensed, lift_q.square_(), value=2 * clamp * lift).mul_(calcium)
            ctx.save_for_backward(slope)
        return sensed.mul_(lifted)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (slope,) = ctx.saved_tensors
        return gradient * slope, None


class _LogRelease(Function):
    """With w = -m, or what noise makes of it, the release is ``spontaneous - expm1(w)``."""

    @staticmethod
    def forward(ctx: Any, p: Tensor, spent: Tensor, noise: Tensor | None, config: SynapticConfig) -> Tensor:
        left = (spent + 1).reciprocal_()
        minus = (p * left).mul_(-config.init_rrp)
        below, deviation, drawn = _draw(minus, p, noise)
        release = torch.rsub(drawn.expm1(), config.spontaneous_release)
        if any(ctx.needs_input_grad[:2]):
            sign = 1 if noise is None else -1
            slope = release.reciprocal().mul_(sign * (1 + config.spontaneous_release)).sub_(sign)
            bend = None
            if noise is not None:
                slope.mul_(drawn.sign())
                bend = (slope * noise).div_(deviation)
                slope.addcmul_(bend, below, value=-0.5)
            slope.mul_(left)
            by_spent = slope * minus
            slope.mul_(config.init_rrp)
            ctx.save_for_backward(slope if bend is None else slope.addcmul_(bend, minus, value=0.5), by_spent)
        return release.log_()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:
        by_p, by_spent = ctx.saved_tensors
        return gradient * by_p, gradient * by_spent, None, None


def _draw(minus: Tensor, p: Tensor, noise: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """p - 1, the standard deviation of the vesicles, and minus the vesicles drawn."""
    if noise is None:
        return p, minus, minus
    below = p - 1
    deviation = (minus * below).add_(TINY).sqrt_()
    return below, deviation, torch.addcmul(minus, deviation, noise, value=-1).clamp_max_(0)
