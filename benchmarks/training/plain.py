"""The peer: a training loop as one writes it by hand, after nanoGPT, with nothing between model and optimizer.

The same shapes as in flopwise (RMSNorm, rotary positions, SwiGLU, untied head; style `nanogpt` is LayerNorm, learned
positions and GELU instead), fused attention, fused AdamW, fused cross-entropy, and no look at a loss in between.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from benchmarks.training.shape import Shape
from torch import Tensor, nn


class Block(nn.Module):
    """Attention and feed-forward block."""

    def __init__(self, shape: Shape, style: str) -> None:
        super().__init__()
        d, self.heads, self.style = shape.width, shape.heads, style
        norm = nn.RMSNorm if style == "modern" else lambda width: nn.LayerNorm(width, bias=False)
        self.ln_1, self.ln_2 = norm(d), norm(d)
        self.c_attn, self.c_proj = nn.Linear(d, 3 * d, bias=False), nn.Linear(d, d, bias=False)
        hidden = shape.hidden if style == "modern" else 4 * d
        self.c_fc, self.c_out = nn.Linear(d, hidden, bias=False), nn.Linear(hidden, d, bias=False)
        self.c_gate = nn.Linear(d, hidden, bias=False) if style == "modern" else None

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        b, t, d = x.shape
        q, k, v = (
            each.view(b, t, self.heads, d // self.heads).transpose(1, 2)
            for each in self.c_attn(self.ln_1(x)).split(d, dim=2)
        )
        if self.style == "modern":
            q, k = rotated(q, cos, sin), rotated(k, cos, sin)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.c_proj(y.transpose(1, 2).contiguous().view(b, t, d))
        h = self.ln_2(x)
        h = F.gelu(self.c_fc(h)) if self.c_gate is None else F.silu(self.c_gate(h)) * self.c_fc(h)
        return x + self.c_out(h)  # type: ignore[no-any-return]


class PlainGPT(nn.Module):
    """The model; returns the mean loss."""

    cos: Tensor
    sin: Tensor

    def __init__(self, shape: Shape, style: str) -> None:
        super().__init__()
        self.style = style
        self.wte = nn.Embedding(shape.vocabulary, shape.width)
        self.wpe = nn.Embedding(shape.length, shape.width) if style == "nanogpt" else None
        self.h = nn.ModuleList(Block(shape, style) for _ in range(shape.layers))
        self.ln_f = nn.RMSNorm(shape.width) if style == "modern" else nn.LayerNorm(shape.width, bias=False)
        self.lm_head = nn.Linear(shape.width, shape.vocabulary, bias=False)
        half = shape.width // shape.heads // 2
        angles = torch.outer(torch.arange(shape.length), 10000.0 ** (-torch.arange(half) / half))
        self.register_buffer("cos", angles.cos())
        self.register_buffer("sin", angles.sin())
        for parameter in self.parameters():
            if parameter.ndim == 2:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, idx: Tensor, targets: Tensor) -> Tensor:
        x = self.wte(idx)
        if self.wpe is not None:
            x = x + self.wpe.weight[: idx.shape[1]]
        for block in self.h:
            x = block(x, self.cos, self.sin)
        logits = self.lm_head(self.ln_f(x))
        return F.cross_entropy(logits.view(-1, logits.shape[-1]), targets.reshape(-1))


def rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions, as they are usually written."""
    x1, x2 = x.chunk(2, dim=-1)
    cos, sin = cos[: x.shape[2]].to(x.dtype), sin[: x.shape[2]].to(x.dtype)
    return torch.cat((x1 * cos - x2 * sin, x2 * cos + x1 * sin), dim=-1)


def steps_of(shape: Shape, tokens: np.ndarray, device: str, style: str, compiled: bool) -> Callable[[int], None]:
    """A function that makes so many optimizer steps."""
    torch.manual_seed(0)
    model = PlainGPT(shape, style).to(device)
    run = torch.compile(model) if compiled else model
    groups = [
        {"params": [p for p in model.parameters() if p.ndim >= 2], "weight_decay": 0.1},
        {"params": [p for p in model.parameters() if p.ndim < 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=3e-4, betas=(0.9, 0.95), fused=True)
    generator = np.random.default_rng(0)

    def batch() -> Tensor:
        starts = generator.integers(len(tokens) - shape.length - 1, size=shape.batch)
        found = torch.from_numpy(tokens[starts[:, None] + np.arange(shape.length + 1)].astype(np.int64))
        return found.pin_memory().to(device, non_blocking=True) if device == "cuda" else found

    def steps(count: int) -> None:
        for _ in range(count):
            whole = batch()
            optimizer.zero_grad(set_to_none=True)
            for piece in whole.split(shape.micro):
                with torch.autocast(device, dtype=torch.bfloat16, enabled=device == "cuda"):
                    loss = run(piece[:, :-1], piece[:, 1:])
                (loss * (len(piece) / shape.batch)).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()

    return steps
