"""Causal self-attention with synapses: release biases its logits, Hebbian weights add to its output."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from flopwise.workloads.language_model.config import ModelConfig
from flopwise.workloads.language_model.rotary import rotate
from flopwise.workloads.language_model.synaptic.config import SynapticConfig
from flopwise.workloads.language_model.synaptic.postsynapse import Postsynapse
from flopwise.workloads.language_model.synaptic.presynapse import Presynapse, ReleaseNoise
from flopwise.workloads.language_model.synaptic.recurrence import Recurrence

CACHED = 1 << 18
"""Pairs of tokens (queries, keys and heads) of which all numbers stay near a CPU's core."""


class SynapticAttention(nn.Module):
    """``softmax(s + lambda_loge log(release) - barrier_strength distance / longest) v``, and what Hebbian weights add.

    Shapes as in :mod:`flopwise.workloads.language_model.model`; I queries and J keys are both T tokens.

    Args:
        config: The architecture.
        longest: Most tokens there will be; distances are shares of it.
    """

    nearness_j: Tensor

    def __init__(self, config: ModelConfig, longest: int) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.width = config.n_head, config.kv_heads, config.head_width
        self.synapse, self.longest = config.synaptic, longest
        self.qkv = nn.Linear(config.n_embd, (self.heads + 2 * self.kv_heads) * self.width, bias=False)
        self.out = nn.Linear(config.n_embd, config.n_embd, bias=False)
        self.presynapse = Presynapse(config.synaptic, longest)
        self.postsynapse = Postsynapse(config.synaptic, config.n_embd, longest)
        self.noise = _noise(config.synaptic, seed=0)
        self.register_buffer("nearness_j", self._nearness(), persistent=False)

    def set_up(self, seed: int) -> None:
        """Fill the tables of constants, and draw random release from ``seed`` from now on."""
        self.nearness_j = self._nearness()
        for module in self.modules():
            if isinstance(module, Recurrence):
                module.fill_tables()
        self.noise = _noise(self.synapse, seed)

    def forward(self, x_btd: Tensor, cos_t1h: Tensor, sin_t1h: Tensor) -> Tensor:
        qkv_btmh = self.qkv(x_btd).unflatten(-1, (-1, self.width))
        qk_btmh, v_btkh = torch.split(qkv_btmh, [self.heads + self.kv_heads, self.kv_heads], dim=2)
        q_btnh, k_btkh = torch.split(rotate(qk_btmh, cos_t1h, sin_t1h), [self.heads, self.kv_heads], dim=2)
        q_bnih, k_bnjh, v_bnjh = (self._heads(each) for each in (q_btnh, k_btkh, v_btkh))
        pieces = zip(*(torch.split(each, self.together(x_btd)) for each in (q_bnih, k_bnjh, v_bnjh)), strict=True)
        a_bnih = torch.cat([torch.matmul(self.logits(q, k).softmax(-1), v) for q, k, v in pieces])
        a_btd = a_bnih.transpose(1, 2).flatten(2)
        return self.out(a_btd) + self.postsynapse(x_btd, a_btd)  # type: ignore[no-any-return]

    def together(self, x_btd: Tensor) -> int:
        """Sequences computed at a time: on a CPU as many as leave the numbers for all pairs of tokens in its cache."""
        sequences, tokens = x_btd.shape[:2]
        if x_btd.device.type != "cpu" or torch.compiler.is_compiling():
            return sequences
        return max(1, min(sequences, CACHED // (self.heads * tokens**2)))

    def logits(self, q_bnih: Tensor, k_bnjh: Tensor) -> Tensor:
        """Attention logits with release and barrier, up to a number for each query, which softmax does not see.

        The barrier loses ``barrier_strength (i - j) / longest``; up to such a number that is ``nearness_j``.
        """
        tokens = q_bnih.shape[-2]
        future_ij = torch.full((tokens, tokens), -math.inf, dtype=q_bnih.dtype, device=q_bnih.device).triu(1)
        q, k = q_bnih.flatten(0, 1) * self.width**-0.5, k_bnjh.flatten(0, 1)
        scores = torch.baddbmm(future_ij, q, k.transpose(1, 2))
        scores_bnij = scores.to(self.nearness_j.dtype).view(*q_bnih.shape[:2], tokens, tokens)
        noise_bnij = self.noise.draw(scores_bnij) if self.noise is not None and self.training else None
        log_release_bnij = self.presynapse(scores_bnij, noise_bnij)
        logits_bnij = torch.add(scores_bnij, log_release_bnij, alpha=self.synapse.lambda_loge)
        return logits_bnij + self.nearness_j[:tokens]

    def _heads(self, x_btmh: Tensor) -> Tensor:
        """(B, N, T, H): heads before time, each key and value head once for every query head that it serves."""
        x_bmth, serves = x_btmh.transpose(1, 2), self.heads // x_btmh.shape[2]
        return x_bmth if serves == 1 else x_bmth.repeat_interleave(serves, dim=1)

    def _nearness(self) -> Tensor:
        return torch.arange(self.longest) * (self.synapse.barrier_strength / self.longest)


def _noise(synapse: SynapticConfig, seed: int) -> ReleaseNoise | None:
    """Where release is never random, None."""
    return ReleaseNoise(synapse.stochastic_train_frac, seed) if synapse.stochastic_train_frac > 0 else None
