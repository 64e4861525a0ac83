"""nGPT: Loshchilov et al., Normalized transformer with representation learning on the hypersphere, arXiv 2410.01131.

Shapes as in :mod:`flopwise.workloads.language_model.model`. Every row of embedding and head, every row of a matrix that
reads the residual stream and every column of one that writes into it has 2-norm 1, and so has the residual stream.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from flopwise.workloads.language_model.config import ModelConfig
from flopwise.workloads.language_model.rotary import rotate


class Scale(nn.Module):
    """A learned vector that starts at ``start``, held as numbers of size ``held`` (section 2.5 of the paper).

    An optimizer that changes every number by about the learning rate so changes the vector by ``start / held``
    times as much.
    """

    def __init__(self, size: int, start: float, held: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(size))
        self.start, self.held = start, held

    def forward(self) -> Tensor:
        return self.weight * (self.start / self.held)

    @torch.no_grad()
    def reset(self) -> None:
        """Back to the start."""
        self.weight.fill_(self.held)


class Residual(nn.Module):
    """``norm(h + alpha (norm(out) - h))``: a step on the sphere towards a layer's output (equations 10 and 11)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.kind, self.alpha = config.ngpt.residual, config.ngpt.alpha
        self.scale = Scale(config.n_embd, self.alpha, config.n_embd**-0.5) if self.kind == "learned" else None
        self.gate = nn.Parameter(torch.empty(config.n_embd)) if self.kind == "gated" else None

    @torch.no_grad()
    def reset(self) -> None:
        """The gate half open."""
        if self.gate is not None:
            self.gate.zero_()

    def forward(self, h_btd: Tensor, out_btd: Tensor) -> Tensor:
        target_btd = unit(out_btd)
        if self.scale is not None:
            return unit(torch.lerp(h_btd, target_btd, self.scale().abs()))
        if self.gate is not None:
            return unit(torch.lerp(h_btd, target_btd, self.alpha * torch.sigmoid(self.gate)))
        return unit(torch.lerp(h_btd, target_btd, self.alpha))


class UnitAttention(nn.Module):
    """Causal self-attention by cosines (equations 15 to 17).

    Queries and keys have one learned scale a channel. Where they meet it counts twice, so its square goes to the
    queries alone, which is the same. Without it they are scaled back to unit variance, as in a plain model.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.width = config.n_head, config.kv_heads, config.head_width
        self.qkv = nn.Linear(config.n_embd, (self.heads + 2 * self.kv_heads) * self.width, bias=False)
        self.out = nn.Linear(config.n_embd, config.n_embd, bias=False)
        self.qk_scale = Scale(config.n_embd, 1.0, config.n_embd**-0.5) if config.ngpt.qk_norm else None
        self.softmax_scale = math.sqrt(self.width) if config.ngpt.qk_norm else config.n_embd / math.sqrt(self.width)

    def forward(self, x_btd: Tensor, cos_t1h: Tensor, sin_t1h: Tensor) -> Tensor:
        qkv_btmh = self.qkv(x_btd).unflatten(-1, (-1, self.width))
        qk_btmh, v_btkh = torch.split(qkv_btmh, [self.heads + self.kv_heads, self.kv_heads], dim=2)
        qk_btmh = rotate(qk_btmh, cos_t1h, sin_t1h)
        qk_btmh = qk_btmh if self.qk_scale is None else unit(qk_btmh)
        q_btnh, k_btkh = torch.split(qk_btmh, [self.heads, self.kv_heads], dim=2)
        if self.qk_scale is not None:
            q_btnh = q_btnh * self.qk_scale().square().view(self.heads, self.width)
        y_bnth = F.scaled_dot_product_attention(
            q_btnh.transpose(1, 2).to(v_btkh.dtype),
            k_btkh.transpose(1, 2).to(v_btkh.dtype),
            v_btkh.transpose(1, 2),
            is_causal=True,
            scale=self.softmax_scale,
            enable_gqa=self.heads != self.kv_heads,
        )
        return self.out(y_bnth.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


class UnitMLP(nn.Module):
    """``out(s_u up(x) * silu(s_v sqrt(D) gate(x)))`` (equations 20 and 21), or ``out(relu(s_u sqrt(D) up(x))²)``."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        gated, width = config.mlp == "swiglu", config.hidden_width
        self.restore = math.sqrt(config.n_embd)
        self.up = nn.Linear(config.n_embd, width, bias=False)
        self.up_scale = Scale(width, 1.0, 1.0)
        self.gate = nn.Linear(config.n_embd, width, bias=False) if gated else None
        self.gate_scale = Scale(width, 1.0, 1.0) if gated else None
        self.out = nn.Linear(width, config.n_embd, bias=False)

    def forward(self, x_btd: Tensor) -> Tensor:
        if self.gate is None or self.gate_scale is None:
            u_btf = F.linear(x_btd, scaled(self.up.weight, self.up_scale() * self.restore))
            return self.out(F.relu(u_btf).square())  # type: ignore[no-any-return]
        u_btf = F.linear(x_btd, scaled(self.up.weight, self.up_scale()))
        v_btf = F.linear(x_btd, scaled(self.gate.weight, self.gate_scale() * self.restore))
        return self.out(F.silu(v_btf) * u_btf)  # type: ignore[no-any-return]


class UnitBlock(nn.Module):
    """Attention, then feed-forward, each a step on the sphere."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.attention, self.attention_residual = UnitAttention(config), Residual(config)
        self.mlp, self.mlp_residual = UnitMLP(config), Residual(config)

    def forward(self, h_btd: Tensor, cos_t1h: Tensor, sin_t1h: Tensor) -> Tensor:
        h_btd = self.attention_residual(h_btd, self.attention(h_btd, cos_t1h, sin_t1h))
        return self.mlp_residual(h_btd, self.mlp(h_btd))  # type: ignore[no-any-return]


def scaled(weight: Tensor, scale: Tensor) -> Tensor:
    """A matrix whose outputs are multiplied by ``scale``: fewer numbers to multiply than the outputs of all tokens."""
    return weight * scale[:, None]


def unit(x: Tensor) -> Tensor:
    """Vectors along the last dimension, scaled to 2-norm 1, in float32."""
    width = x.shape[-1]
    return F.rms_norm(x.float(), (width,), eps=1e-12) * width**-0.5  # type: ignore[no-any-return]


@torch.no_grad()
def project(model: nn.Module) -> None:
    """Scale all matrices to unit norm along the residual stream: rows, or columns of those that write into it."""
    for name, parameter in model.named_parameters():
        if parameter.ndim == 2:
            dim = 0 if name.endswith(".out.weight") else 1
            parameter.div_(torch.linalg.vector_norm(parameter, dim=dim, keepdim=True).clamp_min(1e-12))


@torch.no_grad()
def reset(model: nn.Module) -> None:
    """Start all scales and gates, and project all matrices."""
    for module in model.modules():
        if isinstance(module, Scale | Residual):
            module.reset()
    project(model)
