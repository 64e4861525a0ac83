"""Rotary positions: Su et al., RoFormer: enhanced transformer with rotary position embedding, 2021."""

from __future__ import annotations

import torch
from torch import Tensor


def rotary_tables(sequence_length: int, head_width: int, theta: float) -> tuple[Tensor, Tensor]:
    """Cosines and sines of the rotary positions, each of shape (T, 1, H).

    The sines of the first half are negative, so that :func:`rotate` needs no sign of its own.
    """
    frequencies = theta ** (-torch.arange(0, head_width, 2, dtype=torch.float64) / head_width)
    angles_th = torch.outer(torch.arange(sequence_length, dtype=torch.float64), frequencies)
    cos_th, sin_th = angles_th.cos().float(), angles_th.sin().float()
    return torch.cat((cos_th, cos_th), dim=1)[:, None], torch.cat((-sin_th, sin_th), dim=1)[:, None]


def rotate(x_btmh: Tensor, cos_t1h: Tensor, sin_t1h: Tensor) -> Tensor:
    """Rotate pairs (i, i + H/2) of each head by their position."""
    half = x_btmh.shape[-1] // 2
    return torch.addcmul(x_btmh * cos_t1h, x_btmh.roll(half, dims=-1), sin_t1h)
