"""Parameters, steps and FLOPs of a config, in closed form. No torch here.

One rule for every model: a matmul of ``(n, k)`` by ``(k, m)`` is ``2 n k m`` FLOPs; embedding look-ups,
norms and activations are free; a backward pass costs two forward passes; attention is counted over the
full square although it is causal, as ``torch.utils.flop_counter`` does. Per token and forward pass:

    blocks      2 * n_layer * (n_embd * (n_head + 2 n_kv_head) * head + n_embd^2 + m * n_embd * hidden)
    attention   4 * n_layer * n_embd * sequence_length          (scores and values)
    head        2 * n_embd * vocabulary

with ``m`` = 3 matrices for swiglu and 2 for relu2. Training costs three times that; measuring the
held-out loss is not counted. What ``model.kind: synaptic`` adds is in :mod:`.synaptic.counts`.
"""

from __future__ import annotations

import math

from flopwise.trial import Fidelity
from flopwise.workloads.language_model.config import DataConfig, LanguageModelConfig, ModelConfig
from flopwise.workloads.language_model.ngpt import counts as ngpt_counts
from flopwise.workloads.language_model.synaptic import counts as synaptic_counts

VOCABULARY = {"byte": 256, "bpe": 4096, "gpt2": 50257, "ids": 65536}
"""Tokens of each tokenizer, where the config does not say."""

MLP_MATRICES = {"swiglu": 3, "relu2": 2}


def different_tokens(data: DataConfig) -> int:
    """How many different tokens the text is made of."""
    return VOCABULARY[data.tokenizer] if data.vocabulary is None else data.vocabulary


def vocabulary(config: LanguageModelConfig) -> int:
    """Rows of embedding and head: the different tokens, rounded up to ``model.vocabulary_multiple``.

    Example:
        >>> vocabulary(LanguageModelConfig.model_validate(
        ...     {"data": {"tokenizer": "gpt2"}, "model": {"vocabulary_multiple": 64}}))
        50304
    """
    multiple = config.model.vocabulary_multiple
    return math.ceil(different_tokens(config.data) / multiple) * multiple


def tokens_per_step(config: LanguageModelConfig) -> int:
    """Training tokens of one optimizer step."""
    return config.train.batch_size * config.train.sequence_length


def flops_per_step(config: LanguageModelConfig) -> int:
    """Training FLOPs of one optimizer step: forward and backward, head and attention included."""
    model = config.model
    attention = 4 * model.n_layer * model.n_embd * config.train.sequence_length
    forward = 2 * (_block_matrices(model) + model.n_embd * vocabulary(config)) + attention
    return 3 * forward * tokens_per_step(config) + config.train.batch_size * _synapse_flops(config)


def parameters(config: LanguageModelConfig) -> int:
    """Trained numbers of the model."""
    model = config.model
    embedding = model.n_embd * vocabulary(config) * (1 if model.tied_head else 2)
    return embedding + _norms_and_scales(config) + _block_matrices(model) + _synapse_parameters(model)


def steps(config: LanguageModelConfig, stop: Fidelity) -> int | None:
    """Whole optimizer steps that ``stop`` buys; None for a stop by the clock.

    Rounded down, but what buys more than half a step buys one: as near as an evaluation can come to it.
    """
    if stop.unit in ("flops", "tokens"):
        one = flops_per_step(config) if stop.unit == "flops" else tokens_per_step(config)
        return math.floor(stop.amount / one) or round(stop.amount / one)
    return math.floor(stop.amount) if stop.unit == "steps" else None


def _block_matrices(model: ModelConfig) -> int:
    """Numbers in the matrices of all blocks."""
    qkv = model.n_embd * (model.n_head + 2 * model.kv_heads) * model.head_width
    output = model.n_embd * model.n_embd
    mlp = MLP_MATRICES[model.mlp] * model.n_embd * model.hidden_width
    return model.n_layer * (qkv + output + mlp)


def _norms_and_scales(config: LanguageModelConfig) -> int:
    """Trained numbers outside matrices and synapses."""
    model = config.model
    if model.kind == "ngpt":
        gated = model.mlp == "swiglu"
        rows = vocabulary(config)
        return ngpt_counts.parameters(model.ngpt, model.n_layer, model.n_embd, model.hidden_width, gated, rows)
    return model.n_embd * (2 * model.n_layer + 1)


def _synapse_flops(config: LanguageModelConfig) -> int:
    """Training FLOPs of all synapses for one sequence; none in a plain model."""
    model = config.model
    if model.kind != "synaptic":
        return 0
    length = config.train.sequence_length
    return model.n_layer * synaptic_counts.train_flops(model.synaptic, model.n_embd, model.n_head, length)


def _synapse_parameters(model: ModelConfig) -> int:
    """Trained numbers of all synapses; none in a plain model."""
    if model.kind != "synaptic":
        return 0
    return model.n_layer * synaptic_counts.parameters(model.synaptic, model.n_embd)
