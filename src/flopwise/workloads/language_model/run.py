"""What a worker process runs: ``prepare`` once per session, ``run`` once per attempt, ``warm`` before any."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from flopwise.clock import RealClock
from flopwise.errors import WorkloadError
from flopwise.training import datasets, devices
from flopwise.training.checkpoint import Progress
from flopwise.training.datasets import Dataset, Pin
from flopwise.training.distributed import Team
from flopwise.training.evaluate import HeldOut, bits_per_byte
from flopwise.training.loop import Length, Recipe, Trained, accumulate, train
from flopwise.training.optimizers.adamw import AdamWOptions, adamw
from flopwise.training.optimizers.together import Optimizer
from flopwise.training.schedules import warmup_cosine
from flopwise.training.validation import Validation
from flopwise.trial import Fidelity
from flopwise.workload import Context
from flopwise.workloads.language_model import checkpoint, counts
from flopwise.workloads.language_model.config import DataConfig, LanguageModelConfig, ModelConfig, TrainConfig
from flopwise.workloads.language_model.model import GPT, build
from flopwise.workloads.language_model.ngpt.block import project
from flopwise.workloads.language_model.optimizer.build import optimizer_of
from flopwise.workloads.language_model.prepare import NOT_TOKENS, prepare
from flopwise.workloads.language_model.ranks import Share, team_of

__all__ = ["compiled", "flags", "prepare", "run", "warm"]

NO_BETTER = 0.01
"""A held-out loss is flagged that is not smaller by this share than the loss at initialisation."""


def run(config: Mapping[str, Any], context: Context) -> dict[str, float]:
    """Train one model and measure its held-out loss.

    Args:
        config: The whole config, nested.
        context: Seed, length, data; hears the learning curve and the facts.

    Returns:
        ``val_loss`` (nats a token), ``val_bits_per_byte`` (where the bytes of a token are known) and
        ``train_loss`` (mean of the last tenth of the steps). Of a training that was asked to stop,
        ``train_loss`` alone: a half-trained model has no result.

    Raises:
        NonFinite: As soon as a loss or gradient is not finite.
        WorkloadError: If data or device are not what the config asks for.
    """
    whole = LanguageModelConfig.model_validate(config)
    device = devices.choose(whole.train.device, whole.train.dtype)
    devices.keep_freed_memory()
    size = _processes(whole.train, device)
    with devices.reproducible(device, max(1, context.threads // size)), team_of(config, context, device, size) as team:
        return _run(whole, context, device, team)


def warm() -> None:
    """One tiny optimizer step on the CPU, so that forked children find all of torch loaded and set up.

    Single-threaded, without global randomness. Where an accelerator may exist only a forward pass is
    made: a backward pass or an optimizer step would touch the accelerator before the fork.
    """
    device = devices.Device("cpu")
    model = build(ModelConfig(n_layer=1, n_head=2, n_kv_head=1, n_embd=8), 256, 8, seed=0)
    batch = torch.arange(18).view(2, 9)
    with devices.reproducible(device, threads=1):
        if devices.accelerator_possible():
            with torch.no_grad():
                model(batch[:, :-1], batch[:, 1:])
            return
        optimizer = adamw(model, AdamWOptions(lr=1e-3))
        accumulate(model, batch, 2, device)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()


@dataclass(frozen=True)
class Training:
    """Everything that the loop trains with.

    Args:
        dataset: What is trained on.
        model: Its params.
        module: The same, compiled or wrapped.
        optimizer: Over the params.
        batches: Batch of a step.
        recipe: What to do in every step.
        begun: How far model and optimizer have been trained already.
    """

    dataset: Dataset
    model: GPT
    module: nn.Module
    optimizer: Optimizer
    batches: Callable[[int], torch.Tensor]
    recipe: Recipe
    begun: Progress


def parts(config: LanguageModelConfig, share: Context | Share, device: devices.Device, team: Team) -> Training:
    """What the loop trains with, the same in every process of the team."""
    dataset = _open(config, share)
    settings = config.train
    model = build(config.model, counts.vocabulary(config), settings.sequence_length, share.seed).to(device.name)
    optimizer = optimizer_of(model, settings, device)
    begun = checkpoint.go_on(config, share.seed, dataset.pin, model, optimizer)
    return Training(
        dataset=dataset,
        model=model,
        module=team.wrap(compiled(model) if compiles(settings, device) else model),
        optimizer=optimizer,
        batches=lambda step: _batch(dataset, config, share.seed, step),
        recipe=_recipe(config, model, share.fidelity),
        begun=begun,
    )


def compiles(settings: TrainConfig, device: devices.Device) -> bool:
    """Whether to compile: ``auto`` does on an accelerator."""
    return device.name != "cpu" if settings.compile == "auto" else settings.compile


def _processes(settings: TrainConfig, device: devices.Device) -> int:
    """Processes of an evaluation: by default one for each accelerator of the slot."""
    if settings.processes is None:
        return max(1, min(torch.cuda.device_count(), settings.batch_size)) if device.name == "cuda" else 1
    if device.name == "cuda" and settings.processes > torch.cuda.device_count():
        raise WorkloadError(
            "too few accelerators",
            expected=f"{settings.processes}, one for each process",
            got=str(torch.cuda.device_count()),
            where="train.processes",
            fix="raise execution.accelerators, or lower train.processes",
        )
    return settings.processes


def _run(config: LanguageModelConfig, context: Context, device: devices.Device, team: Team) -> dict[str, float]:
    training = parts(config, context, device, team)
    dataset, model = training.dataset, training.model
    measure = _measure(config, dataset, model, device)
    begun, optimizer = training.begun, training.optimizer
    checkpoint.insist_on_more(begun, training.recipe.length.steps, context.fidelity)
    saving = checkpoint.saving(config, context.folder, context.seed, dataset.pin, model, optimizer)
    recipe = replace(training.recipe, validation=_validation(context, measure), saving=saving)
    trained = train(training.module, optimizer, training.batches, recipe, device, context, RealClock(), team, begun)
    context.note(**_facts(config, model, trained, device), processes=team.size)
    if begun.step:
        context.note(continued_from_step=begun.step)
    if trained.stopped:
        context.note(flags=[f"stopped after {trained.steps} steps"])
        return {"train_loss": trained.train_loss} if trained.steps else {}
    held_out = trained.held_out or measure()
    context.note(flags=flags(trained.first_loss, held_out["val_loss"]))
    return {**held_out, "train_loss": trained.train_loss}


def _measure(
    config: LanguageModelConfig, dataset: Dataset, model: GPT, device: devices.Device
) -> Callable[[], dict[str, float]]:
    """Takes the held-out loss of the model as it is."""
    held_out = _held_out(config, dataset)
    bytes_per_token = dataset.pin.bytes_per_token

    def measure() -> dict[str, float]:
        val_loss = held_out.loss(model, device)
        bits = {} if bytes_per_token is None else {"val_bits_per_byte": bits_per_byte(val_loss, bytes_per_token)}
        return {"val_loss": val_loss, **bits}

    return measure


def _validation(context: Context, measure: Callable[[], Mapping[str, float]]) -> Validation | None:
    """Validate as often as the study asks for; the training ends at the hardest target that it declares."""
    if context.validate_every is None:
        return None
    target = context.target

    def reached(values: Mapping[str, float]) -> bool:
        return target is not None and target.reached(values[target.metric], target.hardest)

    return Validation(context.validate_every, measure, reached, context.count_validation)


def compiled(model: GPT) -> nn.Module:
    """The same params behind compiled code; evaluation keeps using the plain model."""
    return cast(nn.Module, torch.compile(model))


def flags(initial_loss: float, val_loss: float) -> list[str]:
    """What a reader of the result should be wary of.

    Args:
        initial_loss: Of the first training batch, before any update.
        val_loss: Of the held-out tokens, after the last update.

    Example:
        >>> flags(initial_loss=5.55, val_loss=5.54)
        ['no better than at initialisation']
    """
    return ["no better than at initialisation"] if val_loss > initial_loss * (1 - NO_BETTER) else []


def _open(config: LanguageModelConfig, context: Context | Share) -> Dataset:
    """The prepared dataset, if it is the one the config describes."""
    dataset = datasets.open_dataset(context.cache, context.data)
    wanted = config.data.model_dump(mode="json")
    pinned = {**DataConfig().model_dump(mode="json"), **_own(dataset.pin), **dataset.pin.settings}
    free = [name for name in NOT_TOKENS if name not in dataset.pin.settings]
    for name in wanted:
        if name not in free and wanted[name] != pinned[name]:
            raise WorkloadError(
                "the data was prepared for another config",
                expected=f"{pinned[name]}, as in the study's base",
                got=str(wanted[name]),
                where=f"data.{name}",
                fix=f"data.{name} is the same for every trial: take it out of the space",
            )
    return dataset


def _own(pin: Pin) -> dict[str, Any]:
    """Settings that every pin has."""
    return {name: getattr(pin, name) for name in ("source", "tokenizer", "valid_fraction", "split_seed")}


def _held_out(config: LanguageModelConfig, dataset: Dataset) -> HeldOut:
    data, settings = config.data, config.train
    return HeldOut(dataset.valid, data.valid_tokens, data.valid_span, settings.sequence_length, settings.micro_batch)


def _batch(dataset: Dataset, config: LanguageModelConfig, seed: int, step: int) -> torch.Tensor:
    settings = config.train
    batch = dataset.batch(seed, step, settings.batch_size, settings.sequence_length)
    return torch.from_numpy(np.ascontiguousarray(batch))


def _recipe(config: LanguageModelConfig, model: GPT, stop: Fidelity) -> Recipe:
    settings = config.train
    steps = counts.steps(config, stop)
    return Recipe(
        length=Length(seconds=stop.amount) if steps is None else Length(steps=steps),
        lr=settings.lr,
        schedule=lambda progress: warmup_cosine(progress, settings.warmup_fraction, settings.min_lr_fraction),
        micro_batch_size=settings.micro_batch,
        clip=settings.clip,
        after_step=_after_step(config.model, model),
    )


def _after_step(config: ModelConfig, model: GPT) -> Callable[[int], None] | None:
    """Of a normalised transformer: project its matrices, in some of the steps."""
    if config.kind != "ngpt":
        return None
    every = config.ngpt.project_every
    return lambda steps: project(model) if steps % every == 0 else None


def _facts(config: LanguageModelConfig, model: GPT, trained: Trained, device: devices.Device) -> dict[str, Any]:
    return {
        "initial_loss": trained.first_loss if trained.steps else None,
        "steps": trained.steps,
        "tokens": trained.tokens,
        "flops": float(trained.steps * counts.flops_per_step(config)),
        "parameters": sum(p.numel() for p in model.parameters()),
        "tokens_per_s": round(trained.tokens_per_s, 1),
        "train_s": round(trained.train_s, 4),
        "warmup_s": round(trained.warmup_s, 4),
        "device": device.name,
        "dtype": device.dtype,
    }
