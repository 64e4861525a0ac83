"""What a worker process runs: ``prepare`` once per session, ``run`` once per attempt, ``warm`` before any."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from flopwise.clock import RealClock
from flopwise.errors import WorkloadError
from flopwise.training import datasets, devices
from flopwise.training.datasets import Dataset, Pin
from flopwise.training.evaluate import HeldOut, bits_per_byte
from flopwise.training.loop import Length, Recipe, Trained, accumulate, train
from flopwise.training.optimizers.adamw import AdamWOptions, adamw
from flopwise.training.schedules import warmup_cosine
from flopwise.trial import Fidelity
from flopwise.workload import Context
from flopwise.workloads.language_model import counts
from flopwise.workloads.language_model.config import DataConfig, LanguageModelConfig, ModelConfig, TrainConfig
from flopwise.workloads.language_model.model import GPT, build
from flopwise.workloads.language_model.prepare import NOT_TOKENS, prepare

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
    with devices.reproducible(device, context.threads):
        return _run(whole, context, device)


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


def _run(config: LanguageModelConfig, context: Context, device: devices.Device) -> dict[str, float]:
    dataset = _open(config, context)
    held_out = _held_out(config, dataset)
    settings = config.train
    model = build(config.model, counts.vocabulary(config), settings.sequence_length, context.seed).to(device.name)
    trained = train(
        compiled(model) if settings.compile else model,
        adamw(model, _adamw_options(settings)),
        lambda step: _batch(dataset, config, context.seed, step),
        _recipe(config, context.fidelity),
        device,
        context,
        RealClock(),
    )
    context.note(**_facts(config, model, trained, device))
    if trained.stopped:
        context.note(flags=[f"stopped after {trained.steps} steps"])
        return {"train_loss": trained.train_loss} if trained.steps else {}
    val_loss = held_out.loss(model, device)
    context.note(flags=flags(trained.first_loss, val_loss))
    bytes_per_token = dataset.pin.bytes_per_token
    bits = {} if bytes_per_token is None else {"val_bits_per_byte": bits_per_byte(val_loss, bytes_per_token)}
    return {"val_loss": val_loss, **bits, "train_loss": trained.train_loss}


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


def _open(config: LanguageModelConfig, context: Context) -> Dataset:
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


def _adamw_options(settings: TrainConfig) -> AdamWOptions:
    return AdamWOptions(settings.lr, settings.beta1, settings.beta2, settings.eps, settings.weight_decay)


def _recipe(config: LanguageModelConfig, stop: Fidelity) -> Recipe:
    settings = config.train
    steps = counts.steps(config, stop)
    return Recipe(
        length=Length(seconds=stop.amount) if steps is None else Length(steps=steps),
        lr=settings.lr,
        schedule=lambda progress: warmup_cosine(progress, settings.warmup_fraction, settings.min_lr_fraction),
        micro_batch_size=settings.micro_batch,
        clip=settings.clip,
    )


def _facts(config: LanguageModelConfig, model: GPT, trained: Trained, device: devices.Device) -> dict[str, Any]:
    return {
        "initial_loss": trained.first_loss if trained.steps else None,
        "steps": trained.steps,
        "tokens": trained.tokens,
        "flops": float(trained.steps * counts.flops_per_step(config)),
        "parameters": sum(p.numel() for p in model.parameters()),
        "tokens_per_s": round(trained.tokens_per_s, 1),
        "train_s": round(trained.train_s, 4),
        "device": device.name,
        "dtype": device.dtype,
    }
