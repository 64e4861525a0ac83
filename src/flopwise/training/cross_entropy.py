"""Cross-entropy of a linear head that never holds the scores of all tokens at once.

With many different tokens the scores of a batch are its largest tensor by far: 16,384 x 50,304 float32 take 3.3 GB, and
as much again for their gradient. Here they are made for a few tokens at a time, and the gradients with them, so
nothing is computed twice (as in Liger Kernel: Hsu et al., arXiv 2410.10989, 2024).
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

AT_ONCE = {"cpu": 1 << 24}
ELSEWHERE = 1 << 28
"""Scores that are held at once, by type of device."""


def linear_cross_entropy(x_nd: Tensor, weight_vd: Tensor, targets_n: Tensor) -> Tensor:
    """Sum of the cross-entropy of ``x weight^T`` over all targets, in nats; in pieces when they are many.

    Args:
        x_nd: Features, shape (N, D).
        weight_vd: Of the head, shape (V, D).
        targets_n: Shape (N,), from 0 to V - 1.
    """
    most = AT_ONCE.get(x_nd.device.type, ELSEWHERE)
    if x_nd.shape[0] * weight_vd.shape[0] <= 2 * most:
        return F.cross_entropy(F.linear(x_nd, weight_vd), targets_n, reduction="sum")
    return in_pieces(x_nd, weight_vd, targets_n, max(1, most // weight_vd.shape[0]))


def in_pieces(x_nd: Tensor, weight_vd: Tensor, targets_n: Tensor, tokens: int) -> Tensor:
    """The same, ``tokens`` targets at a time."""
    return _InPieces.apply(x_nd, weight_vd, targets_n, tokens)  # type: ignore[no-untyped-call,no-any-return]


class _InPieces(torch.autograd.Function):
    """Computes its gradients in the forward pass; the backward pass multiplies them."""

    @staticmethod
    def forward(ctx: Any, x_nd: Tensor, weight_vd: Tensor, targets_n: Tensor, tokens: int) -> Tensor:
        kind = x_nd.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x_nd.dtype
        with torch.autocast(kind, enabled=False):
            loss, gradients = _forward(
                x_nd.to(dtype), weight_vd.to(dtype), targets_n, tokens, any(ctx.needs_input_grad)
            )
        if gradients is not None:
            ctx.save_for_backward(gradients[0].to(x_nd.dtype), gradients[1].to(weight_vd.dtype))
        return loss

    @staticmethod
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor, Tensor, None, None]:
        x_grad, weight_grad = ctx.saved_tensors
        return x_grad * outputs[0], weight_grad * outputs[0], None, None


def _forward(
    x_nd: Tensor, weight_vd: Tensor, targets_n: Tensor, tokens: int, with_gradients: bool
) -> tuple[Tensor, tuple[Tensor, Tensor] | None]:
    """The loss and, if wanted, its gradients."""
    loss = x_nd.new_zeros((), dtype=torch.float32)
    x_grads = []
    weight_grad = torch.zeros_like(weight_vd, dtype=torch.float32) if with_gradients else None
    for x_cd, targets_c1 in zip(torch.split(x_nd, tokens), torch.split(targets_n[:, None], tokens), strict=True):
        scores_cv = (x_cd @ weight_vd.T).float()
        total_c1 = scores_cv.logsumexp(1, keepdim=True)
        loss += (total_c1 - scores_cv.gather(1, targets_c1)).sum()
        if weight_grad is not None:
            chances_cv = scores_cv.sub_(total_c1).exp_()
            chances_cv.scatter_add_(1, targets_c1, torch.full_like(total_c1, -1.0))
            error_cv = chances_cv.to(x_cd.dtype)
            x_grads.append(error_cv @ weight_vd)
            weight_grad += error_cv.T @ x_cd
    return loss, None if weight_grad is None else (torch.cat(x_grads), weight_grad)
