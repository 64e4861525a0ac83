from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from flopwise.clock import RealClock, SimulatedClock
from flopwise.errors import NonFinite
from flopwise.training.devices import Device
from flopwise.training.loop import Length, Recipe, accumulate, train
from flopwise.training.optimizers.adamw import AdamWOptions, adamw

CPU = Device("cpu")


def recipe(length: Length, *, lr: float = 0.1, micro: int = 8, clip: float | None = 1.0) -> Recipe:
    return Recipe(length, lr, lambda progress: 1.0 - progress, micro, clip)


def batches(step: int, *, size: int = 8, length: int = 5) -> Tensor:
    generator = torch.Generator().manual_seed(step)
    return torch.randint(0, 7, (size, length + 1), generator=generator)


def fit(
    model: nn.Module, how: Recipe, listener: Any, clock: Any = None, source: Callable[[int], Tensor] = batches
) -> Any:
    return train(model, adamw(model, AdamWOptions(how.lr)), source, how, CPU, listener, clock or RealClock())


def test_counts_what_it_did(bigram: nn.Module, listener: Any) -> None:
    done = fit(bigram, recipe(Length(steps=20)), listener)
    assert (done.steps, done.tokens, done.stopped) == (20, 20 * 8 * 5, False)
    assert [step for step, _ in listener.rows] == list(range(1, 21))
    assert done.first_loss == listener.rows[0][1]["train_loss"]
    last = [values["train_loss"] for _, values in listener.rows[-2:]]
    assert done.train_loss == pytest.approx(sum(last) / 2)


def test_rows_have_the_gradients_length_before_clipping_the_longest_of_what_they_stand_for(
    bigram: nn.Module, listener: Any
) -> None:
    fit(bigram, recipe(Length(steps=3), clip=1e-3), listener)
    assert all(values["grad_norm"] > 1e-3 for _, values in listener.rows)


def test_the_schedule_is_read_in_the_middle_of_each_step(bigram: nn.Module, listener: Any) -> None:
    fit(bigram, recipe(Length(steps=4), lr=1.0), listener)
    assert [values["lr"] for _, values in listener.rows] == [0.875, 0.625, 0.375, 0.125]


def test_it_learns(bigram: nn.Module, listener: Any) -> None:
    def always_the_next(step: int) -> Tensor:
        return (torch.arange(6)[None] + batches(step)[:, :1]) % 7

    done = fit(bigram, recipe(Length(steps=200)), listener, source=always_the_next)
    assert done.train_loss < 0.2 * done.first_loss


def test_micro_batches_change_nothing_even_when_the_last_is_smaller(bigram: nn.Module) -> None:
    batch = batches(0)
    gradients, losses = [], []
    for micro in (8, 3, 1):
        bigram.zero_grad()
        losses.append(float(accumulate(bigram, batch, micro, CPU)))
        gradients.append([p.grad.clone() for p in bigram.parameters() if p.grad is not None])
    for other in gradients[1:]:
        for whole, pieces in zip(gradients[0], other, strict=True):
            torch.testing.assert_close(pieces, whole, rtol=1e-5, atol=1e-7)
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-6)


def test_long_trainings_report_means_over_a_few_steps(bigram: nn.Module, listener: Any) -> None:
    done = fit(
        bigram, recipe(Length(steps=401), micro=1), listener, source=lambda step: batches(step, size=1, length=1)
    )
    steps = [step for step, _ in listener.rows]
    assert steps == [*range(3, 401, 3), 401]
    assert done.steps == 401


def test_asked_to_stop_it_stops(bigram: nn.Module, stopping_listener: Any) -> None:
    done = fit(bigram, recipe(Length(steps=20)), stopping_listener)
    assert (done.steps, done.stopped) == (3, True)
    assert [step for step, _ in stopping_listener.rows] == [1, 2, 3]


def test_a_length_in_seconds_is_kept_by_the_clock(bigram: nn.Module, listener: Any) -> None:
    clock = SimulatedClock()

    def slow(step: int) -> Tensor:
        clock.advance(1.0)
        return batches(step)

    done = fit(bigram, recipe(Length(seconds=10.0), lr=1.0), listener, clock, slow)
    assert (done.steps, done.train_s) == (10, 10.0)
    assert done.tokens_per_s == done.tokens / 10.0
    assert [values["lr"] for _, values in listener.rows] == pytest.approx([1.0 - i / 10 for i in range(10)])


class Sick(nn.Module):
    """Its loss (or only its gradient) is not finite from some call on."""

    def __init__(self, good: int, what: str) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2, 2))
        self.calls, self.good, self.what = 0, good, what

    def forward(self, inputs: Tensor, targets: Tensor) -> Tensor:
        self.calls += 1
        if self.calls <= self.good:
            return self.weight.sum()
        if self.what == "loss":
            return self.weight.sum() * math.nan
        return (self.weight - self.weight.detach()).sqrt().sum()


@pytest.mark.parametrize("what", ["loss", "gradient's length"])
def test_nothing_is_updated_by_a_number_that_is_not_finite(what: str, listener: Any) -> None:
    model = Sick(2, what)
    seen: list[Tensor] = []

    def remember(step: int) -> Tensor:
        seen.append(model.weight.detach().clone())
        return batches(step)

    with pytest.raises(NonFinite, match=f"the {what} is (nan|inf) in step 3"):
        fit(model, recipe(Length(steps=9)), listener, source=remember)
    assert len(listener.rows) == 2
    assert torch.equal(model.weight, seen[2])


def test_clipping_bounds_the_gradient(bigram: nn.Module, listener: Any) -> None:
    lengths = []
    for clip in (1e-3, None):
        fit(bigram, recipe(Length(steps=1), clip=clip), listener)
        lengths.append(math.sqrt(sum(float(p.grad.square().sum()) for p in bigram.parameters() if p.grad is not None)))
    assert lengths[0] == pytest.approx(1e-3, rel=1e-2)
    assert lengths[1] > 1e-2


def test_only_matrices_decay(bigram: nn.Module) -> None:
    optimizer = adamw(bigram, AdamWOptions(lr=0.1, weight_decay=0.5))
    decays = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert [decays[id(p)] for p in bigram.parameters()] == [0.5, 0.0]
    for p in bigram.parameters():
        p.grad = torch.zeros_like(p)
    before = bigram.table.detach().clone()  # type: ignore[union-attr]
    optimizer.step()
    torch.testing.assert_close(bigram.table.detach(), before * 0.95)  # type: ignore[union-attr]


def test_adamw_is_the_textbook_algorithm(bigram: nn.Module) -> None:
    options = AdamWOptions(lr=0.1, beta1=0.8, beta2=0.9, eps=1e-6, weight_decay=0.01)
    optimizer = adamw(bigram, options)
    theta = bigram.table.detach().clone().double()  # type: ignore[union-attr]
    m, v = torch.zeros_like(theta), torch.zeros_like(theta)
    for t in range(1, 4):
        gradient = torch.randn(7, 7, generator=torch.Generator().manual_seed(t))
        for p in bigram.parameters():
            p.grad = gradient.clone() if p.ndim == 2 else torch.zeros_like(p)
        optimizer.step()
        m = 0.8 * m + 0.2 * gradient.double()
        v = 0.9 * v + 0.1 * gradient.double() ** 2
        step = (m / (1 - 0.8**t)) / ((v / (1 - 0.9**t)).sqrt() + 1e-6)
        theta = theta - 0.1 * 0.01 * theta - 0.1 * step
    torch.testing.assert_close(bigram.table.detach().double(), theta, rtol=1e-5, atol=1e-6)  # type: ignore[union-attr]
