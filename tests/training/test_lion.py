from __future__ import annotations

import copy

import torch
from torch import nn

from flopwise.training.optimizers.adamw import AdamWOptions, adamw_over
from flopwise.training.optimizers.lion import Lion, LionOptions
from flopwise.training.optimizers.together import Together


def push(model: nn.Module, step: int) -> None:
    generator = torch.Generator().manual_seed(step)
    for p in model.parameters():
        p.grad = torch.randn(p.shape, generator=generator)


def test_it_is_the_published_algorithm(bigram: nn.Module) -> None:
    optimizer = Lion(bigram, LionOptions(lr=0.1, beta1=0.8, beta2=0.9, weight_decay=0.5))
    theta, m = bigram.table.detach().clone().double(), torch.zeros(7, 7).double()  # type: ignore[union-attr]
    for step in range(4):
        push(bigram, step)
        g = bigram.table.grad.double()  # type: ignore[union-attr]
        optimizer.step()
        theta = theta - 0.1 * ((0.8 * m + 0.2 * g).sign() + 0.5 * theta)
        m = 0.9 * m + 0.1 * g
    torch.testing.assert_close(bigram.table.detach().double(), theta, rtol=1e-5, atol=1e-5)  # type: ignore[union-attr]


def test_cautious_decay_leaves_what_moves_outwards(bigram: nn.Module) -> None:
    before = bigram.table.detach().clone()  # type: ignore[union-attr]
    optimizer = Lion(bigram, LionOptions(lr=0.1, weight_decay=0.5, cautious=True))
    push(bigram, 0)
    update = bigram.table.grad.sign()  # type: ignore[union-attr]
    optimizer.step()
    decay = torch.where(update * before > 0, 0.05 * before, 0.0)
    torch.testing.assert_close(bigram.table.detach(), before - decay - 0.1 * update)  # type: ignore[union-attr]


def test_several_optimizers_save_and_load_as_one(bigram: nn.Module) -> None:
    def build(model: nn.Module) -> Together:
        table, bias = model.parameters()
        first = adamw_over([table], AdamWOptions(lr=0.1))
        return Together([first, adamw_over([bias], AdamWOptions(lr=0.1), lr_ratio=0.5)])

    optimizer = build(bigram)
    assert [group.get("lr_ratio", 1.0) for group in optimizer.param_groups] == [1.0, 0.5]
    push(bigram, 0)
    optimizer.step()
    other = copy.deepcopy(bigram)
    again = build(other)
    again.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for model, each in ((bigram, optimizer), (other, again)):
        push(model, 1)
        each.step()
        each.zero_grad()
    assert all(torch.equal(a, b) for a, b in zip(bigram.parameters(), other.parameters(), strict=True))
    assert all(p.grad is None for p in other.parameters())
