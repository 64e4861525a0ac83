from __future__ import annotations

import math

import pytest
import torch

from flopwise.workloads.language_model.config import ModelConfig
from flopwise.workloads.language_model.model import GPT, build, rotary_tables, rotate

KINDS = [
    ModelConfig(n_layer=2, n_head=4, n_embd=32),
    ModelConfig(n_layer=2, n_head=4, n_kv_head=2, n_embd=32, mlp="relu2"),
    ModelConfig(n_layer=1, n_head=4, n_kv_head=1, n_embd=32, tied_head=True),
]


def small(config: ModelConfig, seed: int = 0) -> GPT:
    return build(config, vocabulary=50, sequence_length=16, seed=seed)


def tokens(rows: int = 2) -> torch.Tensor:
    return torch.randint(0, 50, (rows, 16), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("config", KINDS)
def test_no_token_sees_a_later_one(config: ModelConfig) -> None:
    model, text = small(config), tokens()
    changed = text.clone()
    changed[:, 9] = (changed[:, 9] + 1) % 50
    before, after = model.logits(text), model.logits(changed)
    torch.testing.assert_close(after[:, :9], before[:, :9])
    assert (after[:, 9:] != before[:, 9:]).any(dim=-1).all()


@pytest.mark.parametrize("config", KINDS)
def test_every_parameter_gets_a_gradient(config: ModelConfig) -> None:
    model = small(config)
    model(tokens()[:, :-1], tokens()[:, 1:]).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


def test_the_order_of_tokens_matters() -> None:
    model = small(KINDS[0])
    text = tokens(1)
    swapped = text[:, [1, 0, *range(2, 16)]]
    assert not torch.allclose(model.logits(text)[:, -1], model.logits(swapped)[:, -1], atol=1e-6)


def test_rotation_makes_scores_depend_on_distance_alone() -> None:
    cos_t1h, sin_t1h = rotary_tables(16, 8, 10000.0)
    q, k = torch.randn(8, generator=torch.Generator().manual_seed(0)), torch.randn(8)
    q_t = rotate(q.expand(1, 16, 1, 8), cos_t1h, sin_t1h)[0, :, 0]
    k_t = rotate(k.expand(1, 16, 1, 8), cos_t1h, sin_t1h)[0, :, 0]
    scores = q_t @ k_t.T
    for distance in (0, 3, 7):
        diagonal = scores.diagonal(-distance)
        torch.testing.assert_close(diagonal, diagonal[0].expand_as(diagonal), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(q_t.norm(dim=1), q.norm().expand(16))


def test_grouped_queries_are_full_attention_with_repeated_keys_and_values() -> None:
    grouped = small(ModelConfig(n_layer=1, n_head=4, n_kv_head=2, n_embd=32))
    full = small(ModelConfig(n_layer=1, n_head=4, n_embd=32))
    weights = grouped.state_dict()
    q, k, v = weights["blocks.0.attention.qkv.weight"].split([32, 16, 16])
    repeated = [w.view(2, 8, 32).repeat_interleave(2, dim=0).reshape(32, 32) for w in (k, v)]
    weights["blocks.0.attention.qkv.weight"] = torch.cat([q, *repeated])
    full.load_state_dict(weights)
    torch.testing.assert_close(full.logits(tokens()), grouped.logits(tokens()))


def test_a_tied_head_is_the_embedding() -> None:
    tied, untied = small(KINDS[2]), small(KINDS[0])
    assert sum(p.numel() for p in tied.parameters() if p.shape == (50, 32)) == 50 * 32
    assert sum(p.numel() for p in untied.parameters() if p.shape == (50, 32)) == 2 * 50 * 32


def test_the_seed_decides_the_params_and_nothing_else_does() -> None:
    torch.manual_seed(1)
    first = small(KINDS[0], seed=7).state_dict()
    state = torch.get_rng_state()
    second = small(KINDS[0], seed=7).state_dict()
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(first[name], second[name]) for name in first)
    other = small(KINDS[0], seed=8).state_dict()
    assert not any(torch.equal(first[name], other[name]) for name in first if first[name].ndim == 2)


@pytest.mark.parametrize("config", KINDS)
def test_it_starts_near_a_uniform_guess(config: ModelConfig) -> None:
    loss = float(small(config)(tokens()[:, :-1], tokens()[:, 1:]).detach()) / 30
    assert loss == pytest.approx(math.log(50), abs=1.5 if config.tied_head else 0.1)


def test_deeper_models_start_with_the_same_variance() -> None:
    def spread(n_layer: int) -> float:
        model = small(ModelConfig(n_layer=n_layer, n_head=4, n_embd=64))
        seen: list[float] = []
        model.norm.register_forward_pre_hook(lambda _, inputs: seen.append(float(inputs[0].detach().std())))
        model.logits(tokens())
        return seen[0]

    assert spread(1) == pytest.approx(spread(16), rel=0.25)


def test_shorter_sequences_are_prefixes() -> None:
    model = small(KINDS[0])
    torch.testing.assert_close(model.logits(tokens()[:, :5]), model.logits(tokens())[:, :5])
