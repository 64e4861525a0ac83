from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from flopwise.training import cross_entropy
from flopwise.training.cross_entropy import in_pieces, linear_cross_entropy


def inputs() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x, weight = torch.randn(21, 8, generator=generator), torch.randn(50, 8, generator=generator)
    return x.requires_grad_(), weight.requires_grad_(), torch.randint(0, 50, (21,), generator=generator)


@pytest.mark.parametrize("tokens", [1, 8, 21, 100])
def test_loss_and_gradients_are_those_of_the_whole(tokens: int) -> None:
    x, weight, targets = inputs()
    expected = F.cross_entropy(x @ weight.T, targets, reduction="sum")
    expected_grads = torch.autograd.grad(expected * 0.3, (x, weight))
    found = in_pieces(x, weight, targets, tokens)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(torch.autograd.grad(found * 0.3, (x, weight)), expected_grads)


def test_under_autocast_products_are_in_bfloat16_and_gradients_are_not() -> None:
    x, weight, targets = inputs()
    expected = F.cross_entropy(x @ weight.T, targets, reduction="sum")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = in_pieces(x, weight, targets, 8)
    gradients = torch.autograd.grad(found, (x, weight))
    assert float(found.detach()) == pytest.approx(float(expected.detach()), rel=2e-2)
    assert float(found.detach()) != float(expected.detach())
    assert [each.dtype for each in (found, *gradients)] == [torch.float32] * 3


def test_without_gradients_there_are_none() -> None:
    x, weight, targets = inputs()
    with torch.no_grad():
        found = in_pieces(x, weight, targets, 8)
    assert found.grad_fn is None
    torch.testing.assert_close(found, F.cross_entropy(x @ weight.T, targets, reduction="sum").detach())


def test_only_many_scores_are_computed_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def spy(x_nd: Tensor, weight_vd: Tensor, targets_n: Tensor, tokens: int) -> Tensor:
        calls.append(tokens)
        return in_pieces(x_nd, weight_vd, targets_n, tokens)

    monkeypatch.setattr(cross_entropy, "in_pieces", spy)
    whole = linear_cross_entropy(*inputs())
    monkeypatch.setitem(cross_entropy.AT_ONCE, "cpu", 100)
    torch.testing.assert_close(linear_cross_entropy(*inputs()), whole)
    assert calls == [2]
