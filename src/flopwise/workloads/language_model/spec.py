"""The language model as the coordinator sees it: schema, checks and counts. No torch here."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from flopwise import units
from flopwise.errors import Problem
from flopwise.trial import STOP_UNITS, Fidelity
from flopwise.workloads.language_model import counts
from flopwise.workloads.language_model.config import LanguageModelConfig, ModelConfig, TrainConfig
from flopwise.workloads.language_model.data_check import data_problems
from flopwise.workloads.language_model.ngpt.config import ngpt_problems
from flopwise.workloads.language_model.optimizer.config import optimizer_problems

__all__ = ["SPEC", "LanguageModelConfig", "LanguageModelSpec"]

_ROOM = "flopwise.workloads.language_model"


@dataclass(frozen=True)
class LanguageModelSpec:
    """See :class:`flopwise.workload.WorkloadSpec`."""

    name: str = "language_model"
    config_model: Any = LanguageModelConfig
    entry: str = f"{_ROOM}.run:run"
    prepare: str | None = f"{_ROOM}.run:prepare"
    prepared: tuple[str, ...] = ("data",)
    preload: tuple[str, ...] = ("torch", "torch._dynamo", f"{_ROOM}.run")
    warm: str | None = f"{_ROOM}.run:warm"
    metrics: tuple[str, ...] = ("val_loss", "val_bits_per_byte", "train_loss")
    needs_stop: bool = True
    validates: tuple[str, ...] | None = ("val_loss", "val_bits_per_byte")
    lower_is_better: tuple[str, ...] = ("val_loss", "val_bits_per_byte", "train_loss")
    checkpoints: tuple[str, str] | None = ("train.checkpoint", "train.start_from")

    def check(self, config: Mapping[str, Any], stop: Fidelity) -> list[Problem]:
        """Everything that makes this config untrainable; empty when nothing does."""
        whole = LanguageModelConfig.model_validate(config)
        model_problems = [*_shape_problems(whole), *_synapse_problems(whole), *_ngpt_problems(whole.model)]
        train_problems = [*_optimizer_problems(whole.train), *_batch_problems(whole)]
        return [*model_problems, *data_problems(whole.data), *train_problems, *_stop_problems(whole, stop)]

    def uses_accelerator(self, config: Mapping[str, Any]) -> bool:
        """Unless the config wants the CPU."""
        return str(config["train"]["device"]) != "cpu"

    def steps(self, config: Mapping[str, Any], stop: Fidelity) -> int | None:
        """Optimizer steps that ``stop`` buys; None for a stop by the clock."""
        return counts.steps(LanguageModelConfig.model_validate(config), stop)

    def flops(self, config: Mapping[str, Any], stop: Fidelity) -> float | None:
        """Training FLOPs of one evaluation; None for a stop by the clock."""
        whole = LanguageModelConfig.model_validate(config)
        steps = counts.steps(whole, stop)
        return None if steps is None else float(steps * counts.flops_per_step(whole))

    def flops_per_step(self, config: Mapping[str, Any]) -> float:
        """Training FLOPs of one optimizer step."""
        return float(counts.flops_per_step(LanguageModelConfig.model_validate(config)))


def _shape_problems(config: LanguageModelConfig) -> Iterator[Problem]:
    model = config.model
    if model.n_embd % model.n_head:
        yield Problem("model.n_embd", f"n_embd {model.n_embd} is not a multiple of n_head {model.n_head}")
    elif model.head_width % 2:
        yield Problem(
            "model.n_embd",
            f"n_embd {model.n_embd} / n_head {model.n_head} gives heads of width {model.head_width}; "
            "rotary positions need an even width",
        )
    if model.n_head % model.kv_heads:
        yield Problem("model.n_kv_head", f"n_kv_head {model.kv_heads} does not divide n_head {model.n_head}")


def _synapse_problems(config: LanguageModelConfig) -> Iterator[Problem]:
    if config.model.kind == "synaptic":
        return
    for name, field in type(config.model.synaptic).model_fields.items():
        if getattr(config.model.synaptic, name) != field.default:
            kind = f"means nothing with kind: {config.model.kind}"
            yield Problem(f"model.synaptic.{name}", f"{kind}; say kind: synaptic, or drop it")


def _ngpt_problems(model: ModelConfig) -> Iterator[Problem]:
    own_norm_eps = model.norm_eps != ModelConfig.model_fields["norm_eps"].default
    yield from ngpt_problems(model.kind, model.ngpt, own_norm_eps)


def _optimizer_problems(train: TrainConfig) -> Iterator[Problem]:
    own_eps = train.eps != TrainConfig.model_fields["eps"].default
    yield from optimizer_problems(train.optimizer, train.weight_decay, own_eps)


def _batch_problems(config: LanguageModelConfig) -> Iterator[Problem]:
    train, data = config.train, config.data
    if train.micro_batch > train.batch_size:
        yield Problem(
            "train.micro_batch_size",
            f"micro_batch_size {train.micro_batch} is more than batch_size {train.batch_size}; lower it or use null",
        )
    elif train.batch_size % train.micro_batch:
        below, above = _nearest_divisors(train.micro_batch, train.batch_size)
        yield Problem(
            "train.micro_batch_size",
            f"micro_batch_size {train.micro_batch} does not divide batch_size {train.batch_size}; "
            f"the nearest that do are {below} and {above}",
        )
    if train.start_from is not None and not PurePath(train.start_from).is_absolute():
        yield Problem("train.start_from", f"{train.start_from} is relative; expected an absolute path")
    if train.processes is not None and train.processes > train.batch_size:
        yield Problem(
            "train.processes",
            f"processes {train.processes} is more than batch_size {train.batch_size}: some would have no sequence",
        )
    if train.sequence_length > data.valid_span:
        yield Problem(
            "train.sequence_length",
            f"sequence_length {train.sequence_length} is more than data.valid_span {data.valid_span}; "
            "raise valid_span so that the held-out loss sees whole sequences",
        )


def _nearest_divisors(size: int, batch: int) -> tuple[int, int]:
    """The largest divisor of a batch below a size, and the smallest above."""
    divisors = [each for low in range(1, math.isqrt(batch) + 1) if batch % low == 0 for each in (low, batch // low)]
    return max(each for each in divisors if each < size), min(each for each in divisors if each > size)


def _stop_problems(config: LanguageModelConfig, stop: Fidelity) -> Iterator[Problem]:
    if stop.unit is None:
        yield Problem("evaluation.stop", f"missing; expected one of {', '.join(STOP_UNITS)}")
    elif counts.steps(config, stop) == 0:
        cost = units.format_flops(counts.flops_per_step(config))
        tokens = counts.tokens_per_step(config)
        yield Problem(
            "evaluation.stop",
            f"{stop.unit}: {stop.amount:g} buys no optimizer step; one step costs {cost} "
            f"({tokens} tokens: batch_size {config.train.batch_size} x sequence_length {config.train.sequence_length})",
        )


SPEC = LanguageModelSpec()
