"""The training loop: schedule, gradient accumulation, clipping, honest timing, and no step past a NaN."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn

from flopwise.clock import Clock
from flopwise.training.checkpoint import START, Progress
from flopwise.training.curve import Curve, check_finite
from flopwise.training.devices import Device
from flopwise.training.distributed import ALONE, Team
from flopwise.training.optimizers.together import Optimizer
from flopwise.training.saving import Saver, Saving
from flopwise.training.stopwatch import Stopwatch
from flopwise.training.validation import Validation, Validator


class Listener(Protocol):
    """Who hears how the training goes (an attempt's context)."""

    def report(self, step: int, **values: float) -> None:
        """A row of the learning curve."""
        ...

    def should_stop(self) -> bool:
        """Whether to end the training early."""
        ...


@dataclass(frozen=True)
class Length:
    """How long to train: exactly one of both.

    Args:
        steps: Optimizer steps.
        seconds: Seconds of training by the clock.
    """

    steps: int | None = None
    seconds: float | None = None

    def progress(self, step: int, elapsed_s: float) -> float:
        """Share of the training done in the middle of a step; 1 or more when there is nothing left.

        Args:
            step: Steps done.
            elapsed_s: Seconds trained.
        """
        if self.steps is not None:
            return (step + 0.5) / self.steps if step < self.steps else 1.0
        assert self.seconds is not None
        return elapsed_s / self.seconds


@dataclass(frozen=True)
class Recipe:
    """What the loop does in every step.

    Args:
        length: How long to train.
        lr: Peak learning rate.
        schedule: Share of the peak for a progress in [0, 1].
        micro_batch_size: Sequences computed at a time.
        clip: Longest gradient; None for no clipping.
        after_step: Called with the number of steps done after each; None for nothing.
        validation: What to validate meanwhile, and when that is reason to end; None for nothing.
        saving: When to save the training as it stands, and how; None for never.
    """

    length: Length
    lr: float
    schedule: Callable[[float], float]
    micro_batch_size: int
    clip: float | None
    after_step: Callable[[int], None] | None = None
    validation: Validation | None = None
    saving: Saving | None = None


@dataclass(frozen=True)
class Trained:
    """What a training did.

    Args:
        steps: Optimizer steps; here and below those before a checkpoint are counted in.
        tokens: Targets trained on.
        first_loss: Loss of the first batch, before any update; NaN when no step was made.
        train_loss: Mean loss over the last tenth of the steps that were made here; NaN when no step was made.
        train_s: Wall seconds of the steps alone, warm-up left out.
        stopped: Whether somebody ended it early.
        warmup_s: Wall seconds that the first step took beyond an average one.
        reached: Whether it ended because its validation was good enough.
        held_out: Values of the validation after the last step; empty without validation.
    """

    steps: int
    tokens: int
    first_loss: float
    train_loss: float
    train_s: float
    stopped: bool
    warmup_s: float = 0.0
    reached: bool = False
    held_out: Mapping[str, float] = field(default_factory=dict)

    @property
    def tokens_per_s(self) -> float:
        """Throughput of training, data loading included, evaluation and warm-up not."""
        return self.tokens / self.train_s if self.train_s > 0 else 0.0


def train(
    model: nn.Module,
    optimizer: Optimizer,
    batches: Callable[[int], Tensor],
    recipe: Recipe,
    device: Device,
    listener: Listener,
    clock: Clock,
    team: Team = ALONE,
    begun: Progress = START,
) -> Trained:
    """Train a model in place.

    Args:
        model: ``model(inputs, targets)`` returns the sum of losses over targets.
        optimizer: Over the model's params.
        batches: Step (from 0) to tokens of shape ``(sequences, length + 1)``.
        recipe: What to do in every step.
        device: Where.
        listener: Hears losses and may end the training.
        clock: For timing, and for a length in seconds.
        team: Who computes each batch together with this process, which leads it.
        begun: How far model and optimizer have been trained already, where they are from a checkpoint.

    Raises:
        NonFinite: As soon as a loss or gradient is not finite. On the CPU the params are not updated by it; on an
            accelerator it is noticed some steps later, since looking at every loss would make it wait.
    """
    model.train()
    curve = Curve(listener, recipe.length.steps, device, begun.first_loss)
    step, tokens = begun.step, begun.tokens
    stopped = False
    watch = Stopwatch(clock, device, begun)
    held_out = Validator(recipe.validation, watch, listener)
    saver = Saver(recipe.saving, watch, begun)
    held_out.stepped(step)
    while not held_out.reached and (progress := recipe.length.progress(step, watch.elapsed_s())) < 1.0:
        stopped = listener.should_stop()
        if stopped:
            break
        lr = recipe.lr * recipe.schedule(progress)
        batch = batches(step)
        team.tell(lr)
        numbers = _step(model, optimizer, batch, lr, recipe, device, step, team)
        step += 1
        tokens += batch.shape[0] * (batch.shape[1] - 1)
        watch.stepped(step)
        curve.add(step, numbers, lr, progress)
        if held_out.due(step) or saver.due(step):
            curve.read()
        held_out.stepped(step)
        saver.stepped(step, tokens, curve.first)
    train_s, warmup_s = watch.train_s(step), watch.warmup_s(step)
    team.tell(None)
    curve.close()
    saver.close(step, tokens, curve.first)
    if not stopped:
        held_out.close(step)
    return Trained(
        step, tokens, curve.first, curve.tail(), train_s, stopped, warmup_s, held_out.reached, held_out.values
    )


def follow(
    model: nn.Module,
    optimizer: Optimizer,
    batches: Callable[[int], Tensor],
    recipe: Recipe,
    device: Device,
    team: Team,
    begun: Progress = START,
) -> None:
    """Train as another process of the team leads (:func:`train`), with the same arguments."""
    step = begun.step
    while (lr := team.hear()) is not None:
        _step(model, optimizer, batches(step), lr, recipe, device, step, team)
        step += 1


def accumulate(model: nn.Module, batch: Tensor, micro_batch_size: int, device: Device, team: Team = ALONE) -> Tensor:
    """Gradients of the mean loss over all targets of a batch, computed in pieces.

    Every target weighs the same, also when the last piece is smaller.

    Args:
        model: ``model(inputs, targets)`` returns the sum of losses over targets.
        batch: Tokens of shape ``(sequences, length + 1)``.
        micro_batch_size: Sequences of one piece.
        device: Where.
        team: Who computes the batch; the gradients are those of all of it, however it is shared.

    Returns:
        The mean loss over the whole batch, detached.
    """
    targets = batch.shape[0] * (batch.shape[1] - 1)
    pieces = torch.split(device.send(team.share(batch)), micro_batch_size)
    losses = []
    for index, piece in enumerate(pieces, start=1):
        with team.collecting(model, last=index == len(pieces)):
            with device.precision():
                loss = model(piece[:, :-1], piece[:, 1:]) / targets
            (loss if team.size == 1 else loss * team.size).backward()
        losses.append(loss.detach())
    return team.total(losses[0] if len(losses) == 1 else torch.stack(losses).sum())


def _step(
    model: nn.Module,
    optimizer: Optimizer,
    batch: Tensor,
    lr: float,
    recipe: Recipe,
    device: Device,
    step: int,
    team: Team,
) -> Tensor:
    """One optimizer step; returns loss and length of the gradient before it, maybe still being computed."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group.get("lr_ratio", 1.0)
    optimizer.zero_grad(set_to_none=True)
    mean_loss = accumulate(model, batch, recipe.micro_batch_size, device, team)
    length = nn.utils.clip_grad_norm_(model.parameters(), math.inf if recipe.clip is None else recipe.clip)
    numbers = torch.stack((mean_loss.float(), length.float()))
    if device.name == "cpu":
        check_finite(numbers, step)
    optimizer.step()
    if recipe.after_step is not None:
        recipe.after_step(step + 1)
    return numbers
