from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from flopwise.clock import SimulatedClock
from flopwise.training.devices import Device
from flopwise.training.loop import Length, Recipe, Trained, train
from flopwise.training.optimizers.adamw import AdamWOptions, adamw
from flopwise.training.validation import Validation

STEP_S, VALIDATION_S, FIRST_S = 2.0, 100.0, 1000.0


class Timed:
    """A training whose first step takes FIRST_S, every other STEP_S, and every validation VALIDATION_S."""

    def __init__(self, model: nn.Module, listener: Any) -> None:
        self.clock, self.model, self.listener = SimulatedClock(), model, listener
        self.validated = 0

    def batches(self, step: int) -> Tensor:
        self.clock.advance(FIRST_S if step == 0 else STEP_S)
        return torch.randint(0, 7, (4, 6), generator=torch.Generator().manual_seed(step))

    def measure(self) -> dict[str, float]:
        self.clock.advance(VALIDATION_S)
        self.validated += 1
        return {"val_loss": 10.0 - self.validated}

    def run(
        self, steps: int, every: int, reached: Callable[[Any], bool] = lambda _: False, counted: bool = False
    ) -> Trained:
        validation = Validation(every, self.measure, reached, counted)
        how = Recipe(Length(steps=steps), 0.1, lambda _: 1.0, 4, None, validation=validation)
        optimizer = adamw(self.model, AdamWOptions(0.1))
        return train(self.model, optimizer, self.batches, how, Device("cpu"), self.listener, self.clock)

    def validations(self) -> list[tuple[int, float, float]]:
        rows = [(step, values) for step, values in self.listener.rows if "val_loss" in values]
        return [(step, values["train_s"], values["val_loss"]) for step, values in rows]


@pytest.fixture
def timed(bigram: nn.Module, listener: Any) -> Timed:
    return Timed(bigram, listener)


def test_the_clock_stands_still_while_it_validates_and_the_first_step_counts_as_one_of_the_others(timed: Timed) -> None:
    done = timed.run(steps=10, every=4)
    assert timed.validations() == [(0, 0.0, 9.0), (4, 8.0, 8.0), (8, 16.0, 7.0), (10, 20.0, 6.0)]
    assert (done.steps, done.train_s, done.warmup_s) == (10, 20.0, FIRST_S - STEP_S)
    assert (done.held_out, done.reached, done.stopped) == ({"val_loss": 6.0}, False, False)


def test_a_step_that_was_just_validated_is_not_validated_again(timed: Timed) -> None:
    timed.run(steps=8, every=4)
    assert [step for step, _, _ in timed.validations()] == [0, 4, 8]


def test_the_first_step_alone_is_never_validated(timed: Timed) -> None:
    timed.run(steps=3, every=1)
    assert [(step, train_s) for step, train_s, _ in timed.validations()] == [(0, 0.0), (2, 4.0), (3, 6.0)]


def test_it_ends_as_soon_as_a_validation_is_good_enough(timed: Timed) -> None:
    done = timed.run(steps=1000, every=4, reached=lambda values: values["val_loss"] <= 7.0)
    assert (done.steps, done.reached, done.stopped, done.held_out) == (8, True, False, {"val_loss": 7.0})
    assert timed.validated == 3


def test_asked_to_it_counts_the_time_of_validations_after_the_first_step(timed: Timed) -> None:
    timed.run(steps=11, every=10, counted=True)
    (_, zero, _), (_, tenth, _), (_, last, _) = timed.validations()
    assert zero == 0.0
    assert tenth == pytest.approx((9 * STEP_S + VALIDATION_S) * 10 / 9)
    assert last == pytest.approx((10 * STEP_S + 2 * VALIDATION_S) * 11 / 10)


def test_validation_does_not_change_what_is_trained(bigram: nn.Module, listener: Any) -> None:
    losses = []
    start = {name: value.clone() for name, value in bigram.state_dict().items()}
    for every in (3, 1000):
        bigram.load_state_dict(start)
        done = Timed(bigram, listener).run(steps=9, every=every)
        losses.append((done.first_loss, done.train_loss))
    assert losses[0] == losses[1]


def test_validation_takes_no_time_from_a_length_in_seconds(timed: Timed) -> None:
    validation = Validation(2, timed.measure)
    how = Recipe(Length(seconds=FIRST_S + 5 * STEP_S), 0.1, lambda _: 1.0, 4, None, validation=validation)
    done = train(
        timed.model,
        adamw(timed.model, AdamWOptions(0.1)),
        timed.batches,
        how,
        Device("cpu"),
        timed.listener,
        timed.clock,
    )
    assert done.steps == 6
