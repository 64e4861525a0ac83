from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from flopwise.training.optimizers.decay import decay_
from flopwise.training.optimizers.muon import Hidden, Muon, MuonOptions, scale_of
from flopwise.training.optimizers.orthogonalise import orthogonalise
from flopwise.training.optimizers.variance import normalise_rows

SHAPES = [(12, 12), (12, 12), (36, 12), (12, 30)]


def matrices() -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    return [nn.Parameter(torch.randn(shape, generator=generator)) for shape in SHAPES]


def push(params: list[nn.Parameter], step: int) -> None:
    generator = torch.Generator().manual_seed(step)
    for p in params:
        p.grad = torch.randn(p.shape, generator=generator)


def muon(params: list[nn.Parameter], split: bool = False, **options: Any) -> Muon:
    rows = [(12, 12, 12) if split and p.shape[0] == 36 else (p.shape[0],) for p in params]
    defaults = {"lr": 0.05, "dtype": torch.float32, "weight_decay": 0.0}
    return Muon([Hidden(p, r) for p, r in zip(params, rows, strict=True)], MuonOptions(**{**defaults, **options}))


def fit(optimizer: Muon, params: list[nn.Parameter], steps: range) -> None:
    for step in steps:
        push(params, step)
        optimizer.step()


@pytest.mark.parametrize("nesterov", [True, False])
@pytest.mark.parametrize(("scale", "theirs"), [("aspect", "original"), ("rms", "match_rms_adamw")])
def test_it_makes_the_updates_of_torch(nesterov: bool, scale: str, theirs: str) -> None:
    ours, others = matrices(), matrices()
    optimizer = muon(
        ours, method="newton_schulz", scale=scale, nesterov=nesterov, weight_decay=0.3, dtype=torch.bfloat16
    )
    reference = torch.optim.Muon(others, lr=0.05, weight_decay=0.3, nesterov=nesterov, adjust_lr_fn=theirs)
    for step in range(3):
        push(ours, step)
        push(others, step)
        optimizer.step()
        reference.step()
    for mine, other, start in zip(ours, others, matrices(), strict=True):
        moved = other.detach() - start.detach()
        assert float((mine.detach() - other.detach()).norm() / moved.norm()) < 0.02


def test_rows_of_several_matrices_are_orthogonalised_one_by_one() -> None:
    whole = matrices()[2:3]
    start = whole[0].detach().clone()
    push(whole, 1)
    assert whole[0].grad is not None
    expected = [orthogonalise(g, "polar_express", 5, torch.float32) for g in whole[0].grad.split(12)]
    muon(whole, split=True, scale="none").step()
    torch.testing.assert_close((start - whole[0].detach()) / 0.05, torch.cat(expected), atol=1e-4, rtol=1e-4)


def test_momentum_is_a_mean_and_looks_ahead() -> None:
    params = matrices()[:1]
    optimizer = muon(params, momentum=0.5, scale="none", method="newton_schulz")
    push(params, 1)
    first = params[0].grad
    optimizer.step()
    before = params[0].detach().clone()
    push(params, 2)
    second = params[0].grad
    assert first is not None
    assert second is not None
    optimizer.step()
    mean = 0.25 * first + 0.5 * second
    expected = orthogonalise(0.5 * mean + 0.5 * second, "newton_schulz", 5, torch.float32)
    torch.testing.assert_close((before - params[0].detach()) / 0.05, expected, atol=1e-4, rtol=1e-3)


def test_params_without_a_gradient_stay() -> None:
    params = matrices()
    push(params, 1)
    params[1].grad = None
    optimizer = muon(params)
    optimizer.step()
    changed = [not torch.equal(p.detach(), start.detach()) for p, start in zip(params, matrices(), strict=True)]
    assert changed == [True, False, True, True]


@pytest.mark.parametrize("variance_reduction", [False, True])
def test_its_state_can_be_saved_and_loaded(variance_reduction: bool) -> None:
    params = matrices()
    optimizer = muon(params, split=True, variance_reduction=variance_reduction)
    fit(optimizer, params, range(3))
    others = copy.deepcopy(params)
    again = muon(others, split=True, variance_reduction=variance_reduction)
    again.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    fit(optimizer, params, range(3, 6))
    fit(again, others, range(3, 6))
    assert all(torch.equal(a, b) for a, b in zip(params, others, strict=True))


def test_the_rms_scale_gives_updates_of_the_size_of_adamw() -> None:
    params = matrices()
    start = [p.detach().clone() for p in params]
    fit(muon(params, lr=1.0), params, range(1))
    for before, after in zip(start, params, strict=True):
        assert float((after.detach() - before).square().mean().sqrt()) == pytest.approx(0.2, rel=0.1)
    assert scale_of(30, 12, "aspect") == pytest.approx(2.5**0.5)
    assert scale_of(12, 30, "aspect") == 1.0


def test_weight_decay_shrinks_the_matrices() -> None:
    plain, decayed = matrices(), matrices()
    fit(muon(plain), plain, range(1))
    fit(muon(decayed, weight_decay=0.5), decayed, range(1))
    for a, b, start in zip(plain, decayed, matrices(), strict=True):
        torch.testing.assert_close(a.detach() - b.detach(), 0.05 * 0.5 * start.detach())


def test_cautious_decay_changes_the_weights_and_less_than_plain_decay() -> None:
    none, plain, cautious = matrices(), matrices(), matrices()
    fit(muon(none), none, range(3))
    fit(muon(plain, weight_decay=0.5), plain, range(3))
    fit(muon(cautious, weight_decay=0.5, cautious=True), cautious, range(3))
    for a, b, c in zip(none, plain, cautious, strict=True):
        assert 0.1 < float((c - a).detach().norm() / (b - a).detach().norm()) < 0.95


def test_cautious_decay_goes_by_the_signs() -> None:
    param, update = torch.tensor([2.0, 2.0, -2.0, -2.0, 2.0]), torch.tensor([1.0, -1.0, 1.0, -1.0, 0.0])
    decay_([param], [update], 0.25, cautious=True)
    assert param.tolist() == [1.5, 2.0, -2.0, -1.5, 1.5]


def test_rows_come_out_equally_long_and_the_matrix_keeps_its_length() -> None:
    generator = torch.Generator().manual_seed(0)
    update: Tensor = torch.randn(2, 5, 8, generator=generator) * torch.arange(1, 6)[:, None]
    squares = torch.zeros(2, 5, 1)
    found = normalise_rows(update, squares, 0.9)
    rows = found.square().mean(-1)
    torch.testing.assert_close(rows, rows.mean(-1, keepdim=True).expand_as(rows), rtol=1e-4, atol=0)
    torch.testing.assert_close(found.flatten(1).norm(dim=1), update.flatten(1).norm(dim=1))
    torch.testing.assert_close(squares, 0.1 * update.square().mean(-1, keepdim=True))


def test_variance_reduction_remembers_rows() -> None:
    first, second = torch.ones(1, 2, 3), torch.tensor([[[1.0], [3.0]]]).expand(1, 2, 3)
    squares = torch.zeros(1, 2, 1)
    normalise_rows(first, squares, 0.5)
    found = normalise_rows(second.clone(), squares, 0.5)
    # mean squares: 0.25 + 0.5 and 0.25 + 4.5
    assert float(found[0, 1, 0] / found[0, 0, 0]) == pytest.approx(3 * (0.75 / 4.75) ** 0.5, rel=1e-5)
