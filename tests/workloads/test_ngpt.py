from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from flopwise.workloads.language_model.config import LanguageModelConfig, ModelConfig
from flopwise.workloads.language_model.model import GPT, build
from flopwise.workloads.language_model.ngpt.block import UnitAttention, UnitBlock, project, unit
from flopwise.workloads.language_model.rotary import rotary_tables, rotate

SIZE: dict[str, Any] = {"kind": "ngpt", "n_layer": 2, "n_head": 4, "n_embd": 32}


def config(ngpt: dict[str, Any] | None = None, **model: Any) -> ModelConfig:
    return ModelConfig.model_validate({**SIZE, **model, "ngpt": ngpt or {}})


VARIANTS = {
    "paper": config(),
    "grouped, relu2, tied": config(n_kv_head=2, mlp="relu2", tied_head=True),
    "fixed alpha": config({"residual": "fixed", "alpha": 0.2, "learn_logit_scale": False, "logit_scale": 10.0}),
    "gated, no qk norm": config({"residual": "gated", "alpha": 0.15, "qk_norm": False, "logit_scale": 15.0}),
}


def small(model: ModelConfig, seed: int = 0) -> GPT:
    return build(model, vocabulary=50, sequence_length=16, seed=seed)


def tokens(rows: int = 2) -> Tensor:
    return torch.randint(0, 50, (rows, 16), generator=torch.Generator().manual_seed(1))


def norms(model: GPT) -> dict[str, Tensor]:
    """Of every matrix, along the residual stream."""
    return {
        name: p.detach().norm(dim=0 if name.endswith(".out.weight") else 1)
        for name, p in model.named_parameters()
        if p.ndim == 2
    }


@pytest.mark.parametrize("name", VARIANTS)
def test_matrices_start_with_unit_norm_and_are_projected_back_to_it(name: str) -> None:
    model = small(VARIANTS[name])
    with torch.no_grad():
        for found in norms(model).values():
            torch.testing.assert_close(found, torch.ones_like(found))
        for p in model.parameters():
            p.add_(0.1 * torch.randn(p.shape, generator=torch.Generator().manual_seed(2)))
    assert all(float((found - 1).abs().max()) > 0.01 for found in norms(model).values())
    project(model)
    for found in norms(model).values():
        torch.testing.assert_close(found, torch.ones_like(found))


@pytest.mark.parametrize("name", VARIANTS)
def test_the_residual_stream_stays_on_the_sphere_between_projections_too(name: str) -> None:
    model, seen = small(VARIANTS[name]), []
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(1.3)
        for block in model.blocks:
            block.register_forward_hook(lambda _, inputs, output: seen.extend([inputs[0], output]))
        seen.append(model.features(tokens()))
    assert len(seen) == 5
    for x_btd in seen:
        torch.testing.assert_close(x_btd.norm(dim=-1), torch.ones(2, 16))


@pytest.mark.parametrize("name", VARIANTS)
def test_no_token_sees_a_later_one_and_every_parameter_gets_a_gradient(name: str) -> None:
    model, text = small(VARIANTS[name]), tokens()
    changed = text.clone()
    changed[:, 9] = (changed[:, 9] + 1) % 50
    before, after = model.logits(text), model.logits(changed)
    torch.testing.assert_close(after[:, :9], before[:, :9])
    assert (after[:, 9:] != before[:, 9:]).any(dim=-1).all()
    model(text[:, :-1], text[:, 1:]).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


def test_logits_are_cosines_times_the_scale() -> None:
    model = small(VARIANTS["fixed alpha"])
    cosines = model.logits(tokens()) / 10.0
    assert float(cosines.abs().max()) <= 1.0
    learned = small(config({"logit_scale": 3.0}))
    assert learned.logit_scale is not None
    torch.testing.assert_close(learned.logit_scale().detach(), torch.full((50,), 3.0))
    assert learned.logit_scale.weight.detach().unique().tolist() == pytest.approx([32**-0.5])


def test_a_block_is_the_published_one() -> None:
    block = UnitBlock(config())
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for p in block.parameters():
            p.copy_(torch.rand(p.shape, generator=generator) + 0.5 if p.ndim == 1 else torch.randn(p.shape))
    cos, sin = rotary_tables(16, 8, 10000.0)
    h = unit(torch.randn(2, 16, 32, generator=generator))
    root = math.sqrt(32)
    with torch.no_grad():
        attention, mlp = block.attention, block.mlp
        q, k, v = (each.unflatten(-1, (4, 8)) for each in attention.qkv(h).chunk(3, dim=-1))
        s_qk = (attention.qk_scale.weight * root).view(4, 8)  # type: ignore[union-attr]
        q, k = (F.normalize(rotate(each, cos, sin), dim=-1) * s_qk for each in (q, k))
        scores = torch.einsum("bind,bjnd->bnij", q, k) * math.sqrt(8)
        scores = scores.masked_fill(torch.ones(16, 16).triu(1).bool(), -math.inf)
        heads = torch.einsum("bnij,bjnd->bind", scores.softmax(-1), v).flatten(2)
        h_a = F.normalize(attention.out(heads), dim=-1)
        alpha_a = block.attention_residual.scale.weight * (0.05 * root)  # type: ignore[union-attr]
        x = F.normalize(h + alpha_a * (h_a - h), dim=-1)
        u = mlp.up(x) * mlp.up_scale.weight
        gate = mlp.gate(x) * mlp.gate_scale.weight * root
        h_m = F.normalize(mlp.out(u * F.silu(gate)), dim=-1)
        alpha_m = block.mlp_residual.scale.weight * (0.05 * root)  # type: ignore[union-attr]
        expected = F.normalize(x + alpha_m * (h_m - x), dim=-1)
        torch.testing.assert_close(block(h, cos, sin), expected, atol=1e-5, rtol=1e-4)


def test_without_qk_norm_scores_start_as_spread_as_in_a_plain_model() -> None:
    wide = {"n_embd": 256, "n_head": 4}
    attention = UnitAttention(config({"qk_norm": False}, **wide))
    project(attention)
    h = unit(torch.randn(1, 400, 256, generator=torch.Generator().manual_seed(0)))
    with torch.no_grad():
        q, k, _ = (each.unflatten(-1, (4, 64)) for each in attention.qkv(h).chunk(3, dim=-1))
        scores = torch.einsum("bind,bjnd->bnij", q, k) * attention.softmax_scale
    assert float(scores.std()) == pytest.approx(1.0, rel=0.15)


def test_the_gate_starts_half_open() -> None:
    residual = small(VARIANTS["gated, no qk norm"]).blocks[0].attention_residual  # type: ignore[union-attr]
    h, out = unit(torch.randn(1, 1, 32)), torch.randn(1, 1, 32)
    expected = F.normalize(h + 0.075 * (unit(out) - h), dim=-1)
    torch.testing.assert_close(residual(h, out), expected)


def test_it_needs_no_decay_and_no_warmup_unless_asked() -> None:
    plain = LanguageModelConfig.model_validate({"model": {"kind": "ngpt"}})
    assert (plain.train.weight_decay, plain.train.warmup_fraction) == (0.0, 0.0)
    asked = LanguageModelConfig.model_validate({"model": {"kind": "ngpt"}, "train": {"weight_decay": 0.1}})
    assert (asked.train.weight_decay, asked.train.warmup_fraction) == (0.1, 0.0)
    assert LanguageModelConfig().train.weight_decay == 0.1
    assert LanguageModelConfig.model_validate(plain.model_dump()) == plain
