"""A model of kind synaptic: causal, differentiable, finite in every corner, the same again; and every knob acts."""

from __future__ import annotations

import argparse
import itertools
import math
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from flopwise.paths import shipped_studies
from flopwise.study import load_study
from flopwise.training.devices import Device
from flopwise.training.loop import accumulate
from flopwise.training.optimizers.adamw import AdamWOptions, adamw
from flopwise.workloads.language_model.config import ModelConfig
from flopwise.workloads.language_model.model import GPT, build
from flopwise.workloads.language_model.synaptic.config import SynapticConfig

LENGTH = 48
KINDS: list[dict[str, Any]] = [
    {"n_layer": 2, "n_head": 4, "n_embd": 32},
    {"n_layer": 1, "n_head": 4, "n_kv_head": 2, "n_embd": 32, "mlp": "relu2", "tied_head": True},
]
CHANGES: dict[str, float] = {
    "tau_c": 0.7,
    "alpha_c": 0.1,
    "syt1_kd": 1.0,
    "syt7_kd": 0.3,
    "fast_share": 0.2,
    "complexin_clamp": 0.0,
    "complexin_kd": 5.0,
    "init_rrp": 1.0,
    "prime_rate": 0.01,
    "rec_rate": 0.2,
    "spontaneous_release": 0.1,
    "stochastic_train_frac": 0.4,
    "lambda_loge": 4.0,
    "barrier_strength": 0.5,
    "rank_eligibility": 4,
    "post_trace_decay": 0.5,
    "post_fast_lr": 1e-2,
    "post_fast_decay": 0.5,
    "post_slow_lr": 1e-3,
    "post_slow_decay": 0.9,
    "camkii_decay": 0.5,
    "pp1_decay": 0.95,
}


def small(shape: dict[str, Any], seed: int = 0, **synaptic: Any) -> GPT:
    config = ModelConfig.model_validate({"kind": "synaptic", **shape, "synaptic": synaptic})
    return build(config, vocabulary=50, sequence_length=LENGTH, seed=seed)


def tokens(rows: int = 2, length: int = LENGTH) -> Tensor:
    return torch.randint(0, 50, (rows, length), generator=torch.Generator().manual_seed(1))


def loss_of(model: GPT) -> Tensor:
    text = tokens(length=LENGTH + 1)
    loss: Tensor = model(text[:, :-1], text[:, 1:])
    return loss


@pytest.mark.parametrize("shape", KINDS)
@pytest.mark.parametrize("training", [True, False])
def test_no_token_sees_a_later_one(shape: dict[str, Any], training: bool) -> None:
    """For every position that is changed; the same edges are random both times."""
    text = tokens(1)
    before = small(shape).train(training).logits(text)
    for changed_at in (1, 20, 31, 32, 47):
        changed = text.clone()
        changed[:, changed_at] = (changed[:, changed_at] + 1) % 50
        after = small(shape).train(training).logits(changed)
        torch.testing.assert_close(after[:, :changed_at], before[:, :changed_at], rtol=0, atol=1e-6)
        assert (after[:, changed_at:] != before[:, changed_at:]).any(dim=-1).all()


@pytest.mark.parametrize("shape", KINDS)
def test_shorter_sequences_are_prefixes(shape: dict[str, Any]) -> None:
    model = small(shape).eval()
    whole = model.logits(tokens())
    for length in (1, 5, 32, 33):
        torch.testing.assert_close(model.logits(tokens()[:, :length]), whole[:, :length], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", KINDS)
def test_every_parameter_gets_a_gradient(shape: dict[str, Any]) -> None:
    model = small(shape)
    loss_of(model).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


def test_gradients_are_those_of_the_loss() -> None:
    """Along a random direction in all params, against a difference quotient."""
    model = small({"n_layer": 1, "n_head": 2, "n_embd": 16}, init_rrp=2.0, post_fast_lr=0.05)
    model = model.double()
    for module in model.modules():
        if hasattr(module, "noise"):
            module.noise = None
    generator = torch.Generator().manual_seed(0)
    params = list(model.parameters())
    direction = [torch.randn(p.shape, generator=generator, dtype=p.dtype) * float(p.detach().std()) for p in params]

    def moved(step: float) -> float:
        with torch.no_grad():
            for p, d in zip(params, direction, strict=True):
                p.add_(d, alpha=step)
            loss = float(loss_of(model))
            for p, d in zip(params, direction, strict=True):
                p.add_(d, alpha=-step)
        return loss

    loss_of(model).backward()
    along = sum(float((p.grad * d).sum()) for p, d in zip(params, direction, strict=True) if p.grad is not None)
    assert (moved(1e-3) - moved(-1e-3)) / 2e-3 == pytest.approx(along, rel=2e-3)


def test_training_is_random_and_evaluation_is_not() -> None:
    model, text = small(KINDS[0]), tokens()
    assert not torch.equal(model.logits(text), model.logits(text))
    model.eval()
    assert torch.equal(model.logits(text), model.logits(text))
    still = small(KINDS[0], stochastic_train_frac=0.0)
    torch.testing.assert_close(still.logits(text), model.logits(text), rtol=1e-4, atol=1e-5)


def test_evaluation_draws_nothing() -> None:
    """A training that is evaluated half-way goes on as one that is not."""
    text, disturbed, plain = tokens(), small(KINDS[0]), small(KINDS[0])
    disturbed.logits(text), plain.logits(text)
    disturbed.eval().logits(text)
    assert torch.equal(disturbed.train().logits(text), plain.logits(text))


def test_the_seed_decides_the_random_edges_and_nothing_else_does() -> None:
    text = tokens()
    torch.manual_seed(1)
    first = small(KINDS[0], seed=3).logits(text)
    state = torch.get_rng_state()
    assert torch.equal(small(KINDS[0], seed=3).logits(text), first)
    assert torch.equal(torch.get_rng_state(), state)
    other = small(KINDS[0], seed=4)
    other.load_state_dict(small(KINDS[0], seed=3).state_dict())
    assert not torch.equal(other.logits(text), first)


def test_the_same_seed_trains_the_same_bits() -> None:
    """With batches computed in pieces, and evaluated in between in one of the two."""
    losses: list[list[float]] = []
    for evaluated in (False, True):
        model, trained = small(KINDS[0]), []
        optimizer = adamw(model, AdamWOptions(lr=1e-2))
        for _ in range(4):
            optimizer.zero_grad()
            trained.append(float(accumulate(model, tokens(4, LENGTH + 1), 3, Device("cpu"))))
            optimizer.step()
            if evaluated:
                model.eval().logits(tokens())
                model.train()
        losses.append(trained)
    assert losses[0] == losses[1]
    assert losses[0][-1] < losses[0][0]


def test_layers_draw_for_themselves() -> None:
    model = small(KINDS[0])
    like = torch.empty(64)
    first, second = (block.attention.noise.draw(like) for block in model.blocks)  # type: ignore[union-attr]
    assert not torch.equal(first, second)


def test_it_starts_near_a_uniform_guess() -> None:
    assert float(loss_of(small(KINDS[0])).detach()) / (2 * LENGTH) == pytest.approx(math.log(50), abs=0.15)


def test_every_knob_is_tried() -> None:
    assert set(CHANGES) == set(SynapticConfig.model_fields)


@pytest.mark.parametrize("knob", CHANGES)
def test_every_knob_acts(knob: str) -> None:
    """On the loss that is trained on; each alone, by more than rounding."""
    shape = {"n_layer": 1, "n_head": 2, "n_embd": 16}
    changed = small(shape, **{knob: CHANGES[knob]})
    usual = small(shape)
    if knob != "rank_eligibility":
        changed.load_state_dict(usual.state_dict())
    assert abs(float(loss_of(changed).detach()) - float(loss_of(usual).detach())) > 1e-4


def held_out_loss(text: Tensor, **synaptic: float) -> float:
    """Of a short training on the first part of a text, over its last part; everything but the knobs is the same."""
    config = ModelConfig.model_validate(
        {"kind": "synaptic", "n_layer": 1, "n_head": 2, "n_embd": 32, "synaptic": synaptic}
    )
    model = build(config, vocabulary=256, sequence_length=LENGTH, seed=0)
    optimizer, rows = adamw(model, AdamWOptions(lr=1e-2)), text[: len(text) // 49 * 49].view(-1, 49)
    for step in range(12):
        optimizer.zero_grad()
        accumulate(model, rows[4 * step : 4 * step + 4], 4, Device("cpu"))
        optimizer.step()
    with torch.no_grad():
        return float(model.eval()(rows[-16:, :-1], rows[-16:, 1:])) / (16 * 48)


def test_every_knob_of_the_pilot_moves_the_held_out_loss() -> None:
    """Between the ends of its range and the baseline, by more than 1e-4 nats."""
    text = torch.tensor(list(Path(argparse.__file__).read_bytes()[:20_000]))
    usual = held_out_loss(text)
    for knob, ends in ranges().items():
        losses = [usual, *(held_out_loss(text, **{knob: end}) for end in ends)]
        assert max(losses) - min(losses) > 1e-4, knob


def ranges() -> dict[str, tuple[float, float]]:
    """The pilot's knobs and their bounds."""
    space = load_study(shipped_studies() / "synaptic" / "phase1.yaml").space
    return {key.rpartition(".")[2]: (p.low, p.high) for key, p in space.parameters.items()}  # type: ignore[union-attr]


def corners(count: int) -> list[dict[str, float]]:
    """Corners of the pilot's space, some of the 1,024 at random, and the two where everything is lowest and highest."""
    ends = ranges()
    every = list(itertools.product((0, 1), repeat=len(ends)))
    picked = [every[0], every[-1], *random.Random(0).sample(every, count)]
    return [{name: ends[name][at] for name, at in zip(ends, corner, strict=True)} for corner in picked]


@pytest.mark.parametrize("autocast", [None, torch.bfloat16])
def test_every_corner_of_the_pilot_is_finite(autocast: torch.dtype | None) -> None:
    """Also where logits have grown large: with params ten times as large as at the beginning."""
    for corner, scale in itertools.product(corners(10), (1.0, 10.0)):
        model = small({"n_layer": 1, "n_head": 2, "n_embd": 16}, **corner)
        with torch.no_grad():
            for p in model.parameters():
                p.mul_(scale)
        with Device("cpu", autocast).precision():
            loss = loss_of(model)
        loss.backward()
        assert math.isfinite(float(loss.detach())), corner
        assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters()), corner


ENDS: list[dict[str, float]] = [
    {"tau_c": 0.0},
    {"tau_c": 0.9999, "alpha_c": 100.0},
    {"alpha_c": 1e-6},
    {"syt1_kd": 1e-3, "syt7_kd": 1e-3, "complexin_kd": 1e-3},
    {"syt1_kd": 1000.0, "syt7_kd": 1000.0, "complexin_kd": 1000.0, "complexin_clamp": 1.0},
    {"init_rrp": 1e-6, "spontaneous_release": 1e-30},
    {"init_rrp": 1000.0, "prime_rate": 1.0, "rec_rate": 1.0},
    {"prime_rate": 1e-9, "rec_rate": 1e-9},
    {"lambda_loge": 100.0, "stochastic_train_frac": 1.0},
    {"post_fast_lr": 1.0, "post_slow_lr": 1.0, "post_trace_decay": 0.9999, "post_slow_decay": 0.9999},
    {"camkii_decay": 0.0, "pp1_decay": 0.9999, "barrier_strength": 1000.0, "rank_eligibility": 1},
]


@pytest.mark.parametrize("ends", ENDS, ids=str)
def test_the_ends_of_what_is_allowed_are_finite(ends: dict[str, float]) -> None:
    model = small({"n_layer": 1, "n_head": 2, "n_embd": 16}, **ends)
    loss = loss_of(model)
    loss.backward()
    assert math.isfinite(float(loss.detach()))
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_compiled_code_is_the_same_model() -> None:
    shape = {"n_layer": 1, "n_head": 2, "n_embd": 16}
    plain, compiled = small(shape), small(shape)
    loss = loss_of(plain)
    loss.backward()
    text = tokens(length=LENGTH + 1)
    same = torch.compile(compiled, backend="eager")(text[:, :-1], text[:, 1:])
    same.backward()
    torch.testing.assert_close(same, loss)
    for ours, theirs in zip(plain.parameters(), compiled.parameters(), strict=True):
        torch.testing.assert_close(theirs.grad, ours.grad)
