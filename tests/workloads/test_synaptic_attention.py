"""Synaptic attention as a whole: its formula, what it becomes without synapses, and its Hebbian weights."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from flopwise.workloads.language_model.config import ModelConfig
from flopwise.workloads.language_model.model import GPT, build
from flopwise.workloads.language_model.rotary import rotary_tables, rotate
from flopwise.workloads.language_model.synaptic import attention
from flopwise.workloads.language_model.synaptic.attention import SynapticAttention
from flopwise.workloads.language_model.synaptic.config import SynapticConfig
from flopwise.workloads.language_model.synaptic.postsynapse import Postsynapse
from flopwise.workloads.language_model.synaptic.presynapse import Presynapse

LENGTH = 40
OFF: dict[str, Any] = {"lambda_loge": 0.0, "barrier_strength": 0.0, "post_fast_lr": 0.0, "post_slow_lr": 0.0}


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def small(synaptic: dict[str, Any] | None = None, **model: Any) -> GPT:
    shape = {"kind": "synaptic", "n_layer": 1, "n_head": 2, "n_embd": 16, **model}
    config = ModelConfig.model_validate({**shape, "synaptic": synaptic or {}})
    return build(config, vocabulary=50, sequence_length=LENGTH, seed=0).eval()


def attention_of(model: GPT) -> SynapticAttention:
    found = model.blocks[0].attention
    assert isinstance(found, SynapticAttention)
    return found


def test_release_and_barrier_bias_the_logits() -> None:
    knobs = {"lambda_loge": 2.0, "barrier_strength": 3.0, "post_fast_lr": 0.0, "post_slow_lr": 0.0}
    model = small(knobs)
    layer, x = attention_of(model), noise(3, LENGTH, 16)
    cos, sin = rotary_tables(LENGTH, 8, 10000.0)
    q, k, v = layer.qkv(x).unflatten(-1, (6, 8)).split(2, dim=2)
    q, k, v = (each.transpose(1, 2) for each in (rotate(q, cos, sin), rotate(k, cos, sin), v))
    future = torch.ones(LENGTH, LENGTH, dtype=torch.bool).triu(1)
    scores = (q @ k.transpose(2, 3) / math.sqrt(8)).masked_fill(future, -math.inf)
    release = Presynapse(SynapticConfig(**knobs), LENGTH)(scores, None)
    distance = torch.arange(LENGTH)[:, None] - torch.arange(LENGTH)
    logits = scores + 2.0 * release - 3.0 * distance / LENGTH
    expected = layer.out((logits.softmax(-1) @ v).transpose(1, 2).flatten(2))
    torch.testing.assert_close(layer(x, cos, sin), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("n_kv_head", [4, 2, 1])
def test_without_synapses_it_is_plain_attention(n_kv_head: int) -> None:
    synaptic = small(OFF, n_head=4, n_kv_head=n_kv_head)
    plain = small(kind="gpt", n_head=4, n_kv_head=n_kv_head)
    plain.load_state_dict({k: v for k, v in synaptic.state_dict().items() if "postsynapse" not in k})
    text = torch.arange(2 * LENGTH).view(2, LENGTH) % 50
    torch.testing.assert_close(synaptic.logits(text), plain.logits(text), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(small(n_head=4, n_kv_head=n_kv_head).logits(text), plain.logits(text), atol=1e-3)


def test_sequences_computed_one_by_one_are_those_computed_together(monkeypatch: pytest.MonkeyPatch) -> None:
    together, apart = small(), small()
    text = torch.arange(3 * LENGTH).view(3, LENGTH) % 50
    expected = together.logits(text)
    expected.square().sum().backward()
    monkeypatch.setattr(attention, "CACHED", 1)
    assert attention_of(apart).together(torch.empty(3, LENGTH, 16)) == 1
    found = apart.logits(text)
    found.square().sum().backward()
    torch.testing.assert_close(found, expected)
    for ours, theirs in zip(apart.parameters(), together.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-4)


def token_by_token(side: Postsynapse, config: SynapticConfig, x_td: Tensor, a_td: Tensor) -> Tensor:
    """The equations of one sequence, in the order in which time passes."""
    rank = config.rank_eligibility
    trace, fast, slow = torch.zeros(3, rank, rank)
    camkii = pp1 = torch.tensor(0.0)
    added = []
    for x, a in zip(x_td, a_td, strict=True):
        u, v = side.pre(x), side.post(a)
        u = u / (u.square().mean() + torch.finfo(u.dtype).eps).sqrt()
        added.append(side.out((fast + slow) @ u))
        trace = config.post_trace_decay * trace + torch.outer(v, u)
        camkii = config.camkii_decay * camkii + (1 - config.camkii_decay) * v.square().mean()
        pp1 = config.pp1_decay * pp1 + (1 - config.pp1_decay) * v.square().mean()
        fast = config.post_fast_decay * fast + config.post_fast_lr * trace
        slow = config.post_slow_decay * slow + config.post_slow_lr * camkii**2 / (camkii**2 + pp1**2) * trace
    return torch.stack(added)


@pytest.mark.parametrize("longest", [LENGTH, 150])
def test_hebbian_weights_grow_as_their_equations_say(longest: int) -> None:
    """Within one chunk of the recurrences, and over several."""
    config = SynapticConfig(post_fast_lr=0.02, post_slow_lr=0.03, rank_eligibility=3)
    torch.manual_seed(0)
    side = Postsynapse(config, 16, longest)
    x, a = noise(2, longest, 16), noise(2, longest, 16, seed=1)
    for row in range(2):
        expected = token_by_token(side, config, x[row], a[row])
        torch.testing.assert_close(side(x, a)[row], expected, rtol=1e-3, atol=1e-4)
    assert (side(x, a)[:, 0] == 0).all(), "there is nothing to remember yet"


def test_what_goes_together_is_recalled() -> None:
    """After pairs of activity, the first half of a pair brings back the second."""
    config = SynapticConfig(post_fast_lr=0.1, post_slow_lr=0.0, rank_eligibility=8, post_trace_decay=0.0)
    side = Postsynapse(config, 8, LENGTH)
    for linear in (side.pre, side.post, side.out):
        torch.nn.init.eye_(linear.weight)
    before, after = torch.eye(8)[0], torch.eye(8)[5]
    other = torch.eye(8)[3]
    x_td = torch.stack([before] * 10 + [other] * 10 + [before])
    a_td = torch.stack([after] * 10 + [torch.eye(8)[1]] * 10 + [torch.zeros(8)])
    recalled = side(x_td[None], a_td[None])[0, -1].detach()
    assert int(recalled.argmax()) == 5
    assert float(recalled[5]) > 10 * float(recalled[1].abs())


def test_activity_opens_the_gate_and_its_end_closes_it() -> None:
    side = Postsynapse(SynapticConfig(), 16, 300)
    loud = torch.full((1, 100, 8), 3.0)
    quiet = torch.full((1, 100, 8), 0.1)
    gate = side.gate(torch.cat((quiet, loud, quiet), dim=1))[0, :, 0]
    assert ((gate >= 0) & (gate <= 1)).all()
    assert float(gate[110]) > 0.8
    assert float(gate[-1]) < 0.01
