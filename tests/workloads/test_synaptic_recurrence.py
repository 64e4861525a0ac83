"""Recurrences as matrix products: the same numbers, and the same gradients, as a loop over time."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from flopwise.workloads.language_model.synaptic.counts import recurrence as flops
from flopwise.workloads.language_model.synaptic.recurrence import Dynamics, Recurrence, leak

CYCLE = Dynamics([[0.9, 0.0], [0.1, 0.8]], inflow=[1.0, 0.0], outflow=[1.0, 1.0], lagged=True)
EQUAL_RATES = Dynamics([[0.9, 0.0], [0.1, 0.9]], inflow=[1.0, 0.5], outflow=[1.0, 2.0])
KINDS = [leak(0.9, 0.3), leak(0.99, lagged=True), leak(0.0), CYCLE, EQUAL_RATES]


def loop(dynamics: Dynamics, u_btx: Tensor) -> Tensor:
    """The definition, one token after the other."""
    transition, inflow = torch.tensor(dynamics.transition), torch.tensor(dynamics.inflow)
    outflow = torch.tensor(dynamics.outflow)
    state_bxs = torch.zeros(u_btx.shape[0], u_btx.shape[2], len(inflow))
    seen = []
    for u_bx in u_btx.unbind(1):
        before = state_bxs @ outflow
        state_bxs = state_bxs @ transition.T + u_bx[..., None] * inflow
        seen.append(before if dynamics.lagged else state_bxs @ outflow)
    return torch.stack(seen, dim=1)


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("dynamics", KINDS)
@pytest.mark.parametrize(("chunk", "tokens"), [(4, 16), (4, 15), (4, 3), (16, 16), (32, 16), (5, 13), (1, 6)])
def test_it_is_the_loop(dynamics: Dynamics, chunk: int, tokens: int) -> None:
    recurrence = Recurrence(dynamics, chunk, longest=16)
    ours = noise(2, tokens, 3).requires_grad_()
    theirs = ours.detach().clone().requires_grad_()
    y, expected = recurrence(ours), loop(dynamics, theirs)
    torch.testing.assert_close(y, expected, rtol=1e-4, atol=1e-5)
    weights = noise(2, tokens, 3).cos()
    (y * weights).sum().backward()
    (expected * weights).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-5)


def test_leading_dimensions_are_independent() -> None:
    recurrence = Recurrence(CYCLE, 4, longest=8)
    u = noise(2, 3, 8, 5)
    torch.testing.assert_close(recurrence(u)[1, 2], recurrence(u[1:2, 2])[0])


def test_tables_that_are_filled_again_are_the_same() -> None:
    recurrence = Recurrence(CYCLE, 4, longest=12)
    before = {name: table.clone() for name, table in recurrence.named_buffers()}
    for table in recurrence.buffers():
        table.fill_(torch.nan)
    recurrence.fill_tables()
    assert set(before) == {"inside_cc", "gather_sc", "between_gsgs", "spread_cs"}
    assert all(torch.equal(table, before[name]) for name, table in recurrence.named_buffers())


def test_long_sequences_cost_little_more_than_chunks() -> None:
    """The work for a token grows with the chunk, not with the length, until there are very many chunks."""
    assert flops(1, 32, 32) == 2 * 32 * 32
    assert flops(1, 32, 4096) / 4096 < 3 * flops(1, 32, 32) / 32
    assert flops(1, 4096, 4096) > 40 * flops(1, 32, 4096)
