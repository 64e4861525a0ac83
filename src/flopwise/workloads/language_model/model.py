"""A decoder-only transformer: RMSNorm, rotary positions, grouped-query attention, SwiGLU or ReLU².

Shapes: B sequences, T tokens, D width of the residual stream, N query heads, K key and value heads,
H width of a head, F hidden width of the feed-forward block, V vocabulary; ``x_btd`` has shape (B, T, D).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from flopwise.seeds import derive
from flopwise.training.cross_entropy import linear_cross_entropy
from flopwise.workloads.language_model.config import ModelConfig
from flopwise.workloads.language_model.ngpt.block import Scale, UnitBlock, reset, unit
from flopwise.workloads.language_model.rotary import rotary_tables, rotate
from flopwise.workloads.language_model.synaptic.attention import SynapticAttention
from flopwise.workloads.language_model.synaptic.presynapse import ReleaseNoise

HEAD_STD = 0.02


class Attention(nn.Module):
    """Causal self-attention; each key and value head serves ``N / K`` query heads (Ainslie et al., GQA, 2023)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.width = config.n_head, config.kv_heads, config.head_width
        self.qkv = nn.Linear(config.n_embd, (self.heads + 2 * self.kv_heads) * self.width, bias=False)
        self.out = nn.Linear(config.n_embd, config.n_embd, bias=False)

    def forward(self, x_btd: Tensor, cos_t1h: Tensor, sin_t1h: Tensor) -> Tensor:
        qkv_btmh = self.qkv(x_btd).unflatten(-1, (-1, self.width))
        qk_btmh, v_btkh = torch.split(qkv_btmh, [self.heads + self.kv_heads, self.kv_heads], dim=2)
        q_btnh, k_btkh = torch.split(rotate(qk_btmh, cos_t1h, sin_t1h), [self.heads, self.kv_heads], dim=2)
        y_bnth = F.scaled_dot_product_attention(
            q_btnh.transpose(1, 2),
            k_btkh.transpose(1, 2),
            v_btkh.transpose(1, 2),
            is_causal=True,
            enable_gqa=self.heads != self.kv_heads,
        )
        return self.out(y_bnth.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


class SwiGLU(nn.Module):
    """``down(silu(gate(x)) * up(x))`` (Shazeer, GLU variants improve transformer, 2020)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.gate = nn.Linear(config.n_embd, config.hidden_width, bias=False)
        self.up = nn.Linear(config.n_embd, config.hidden_width, bias=False)
        self.out = nn.Linear(config.hidden_width, config.n_embd, bias=False)

    def forward(self, x_btd: Tensor) -> Tensor:
        return self.out(F.silu(self.gate(x_btd)) * self.up(x_btd))  # type: ignore[no-any-return]


class ReLU2(nn.Module):
    """``down(relu(up(x))²)`` (So et al., Primer, 2021)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.up = nn.Linear(config.n_embd, config.hidden_width, bias=False)
        self.out = nn.Linear(config.hidden_width, config.n_embd, bias=False)

    def forward(self, x_btd: Tensor) -> Tensor:
        return self.out(F.relu(self.up(x_btd)).square())  # type: ignore[no-any-return]


MLP = {"swiglu": SwiGLU, "relu2": ReLU2}


class Block(nn.Module):
    """Attention, then feed-forward, each behind a norm and added to the residual stream."""

    def __init__(self, config: ModelConfig, sequence_length: int) -> None:
        super().__init__()
        synaptic = config.kind == "synaptic"
        self.attention_norm = nn.RMSNorm(config.n_embd, config.norm_eps)
        self.attention = SynapticAttention(config, sequence_length) if synaptic else Attention(config)
        self.mlp_norm = nn.RMSNorm(config.n_embd, config.norm_eps)
        self.mlp = MLP[config.mlp](config)

    def forward(self, x_btd: Tensor, cos_t1h: Tensor, sin_t1h: Tensor) -> Tensor:
        x_btd = x_btd + self.attention(self.attention_norm(x_btd), cos_t1h, sin_t1h)
        return x_btd + self.mlp(self.mlp_norm(x_btd))  # type: ignore[no-any-return]


class GPT(nn.Module):
    """The whole model; :func:`build` makes one with initialised params.

    Args:
        config: The architecture.
        vocabulary: V.
        sequence_length: Longest sequence it will see.
    """

    cos_t1h: Tensor
    sin_t1h: Tensor

    def __init__(self, config: ModelConfig, vocabulary: int, sequence_length: int) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(vocabulary, config.n_embd)
        self.on_sphere = config.kind == "ngpt"
        self.blocks = nn.ModuleList(
            UnitBlock(config) if self.on_sphere else Block(config, sequence_length) for _ in range(config.n_layer)
        )
        self.norm = nn.Identity() if self.on_sphere else nn.RMSNorm(config.n_embd, config.norm_eps)
        self.head = None if config.tied_head else nn.Linear(config.n_embd, vocabulary, bias=False)
        learned = self.on_sphere and config.ngpt.learn_logit_scale
        self.logit_scale = Scale(vocabulary, config.ngpt.logit_scale, config.n_embd**-0.5) if learned else None
        cos_t1h, sin_t1h = rotary_tables(sequence_length, config.head_width, config.rope_theta)
        self.register_buffer("cos_t1h", cos_t1h, persistent=False)
        self.register_buffer("sin_t1h", sin_t1h, persistent=False)

    def features(self, inputs_bt: Tensor) -> Tensor:
        """What the head sees, shape (B, T, D)."""
        time = inputs_bt.shape[1]
        cos_t1h, sin_t1h = self.cos_t1h[:time], self.sin_t1h[:time]
        x_btd = self.embedding(inputs_bt)
        x_btd = unit(x_btd) if self.on_sphere else x_btd * math.sqrt(self.config.n_embd)
        for block in self.blocks:
            x_btd = block(x_btd, cos_t1h, sin_t1h)
        return self.norm(x_btd)  # type: ignore[no-any-return]

    def head_weight(self) -> Tensor:
        """What features are multiplied by to give logits, shape (V, D)."""
        weight_vd = self.embedding.weight if self.head is None else self.head.weight
        if self.logit_scale is not None:
            return weight_vd * self.logit_scale()[:, None]  # type: ignore[no-any-return]
        return weight_vd * self.config.ngpt.logit_scale if self.on_sphere else weight_vd

    def logits(self, inputs_bt: Tensor) -> Tensor:
        """Scores of the next token at every place, shape (B, T, V)."""
        return F.linear(self.features(inputs_bt), self.head_weight())

    def forward(self, inputs_bt: Tensor, targets_bt: Tensor) -> Tensor:
        """Sum of the cross-entropy over all targets, in nats."""
        return linear_cross_entropy(self.features(inputs_bt).flatten(0, 1), self.head_weight(), targets_bt.flatten())

    def hidden(self) -> Iterator[tuple[nn.Parameter, tuple[int, ...]]]:
        """Matrices inside the blocks, each with the rows of the matrices that it is made of."""
        q, k = self.config.n_embd, self.config.kv_heads * self.config.head_width
        for name, parameter in self.blocks.named_parameters():
            if parameter.ndim == 2:
                yield parameter, (q, k, k) if name.endswith(".qkv.weight") else (parameter.shape[0],)

    def noises(self) -> list[ReleaseNoise]:
        """Of its synapses, from the first block to the last, where their release is random."""
        synapses = [module for module in self.modules() if isinstance(module, SynapticAttention)]
        return [attention.noise for attention in synapses if attention.noise is not None]

    @torch.no_grad()
    def initialise(self, seed: int) -> None:
        """Draw all params anew, from ``seed`` alone.

        The embedding is normal with deviation 1 / sqrt(D), and look-ups are multiplied by sqrt(D)
        (Vaswani et al., 2017), so that the residual stream starts with unit variance and a tied head
        works; an untied head has 0.02. Other matrices have 1 / sqrt(inputs), and those that write into
        the residual stream are divided by sqrt(2 * n_layer) (Radford et al., GPT-2, 2019). Those of a
        normalised transformer are then scaled to unit norm.
        """
        generator = torch.Generator().manual_seed(derive(seed, "initialise"))
        for name, parameter in self.named_parameters():
            if parameter.ndim < 2:
                parameter.fill_(1.0)
                continue
            deviation = 1 / math.sqrt(parameter.shape[1])
            if name == "head.weight":
                deviation = HEAD_STD
            elif name.endswith(".out.weight"):
                deviation /= math.sqrt(2 * self.config.n_layer)
            parameter.copy_(torch.empty(parameter.shape).normal_(0.0, deviation, generator=generator))
        if self.on_sphere:
            reset(self)


def build(config: ModelConfig, vocabulary: int, sequence_length: int, seed: int) -> GPT:
    """A model on the CPU, initialised from ``seed``; the global random state is neither read nor moved."""
    with torch.device("meta"):
        model = GPT(config, vocabulary, sequence_length)
    model.to_empty(device="cpu")
    model.cos_t1h, model.sin_t1h = rotary_tables(sequence_length, config.head_width, config.rope_theta)
    synapses = [module for module in model.modules() if isinstance(module, SynapticAttention)]
    for layer, attention in enumerate(synapses):
        attention.set_up(derive(seed, "release", layer))
    model.initialise(seed)
    return model
