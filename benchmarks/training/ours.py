"""flopwise's own training loop with one config, and how long its optimizer takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from benchmarks.training.shape import Shape

from flopwise.clock import RealClock
from flopwise.training import datasets, devices
from flopwise.training.loop import Length, Recipe, train
from flopwise.training.optimizers.together import Optimizer
from flopwise.workloads.language_model import counts
from flopwise.workloads.language_model.config import LanguageModelConfig
from flopwise.workloads.language_model.model import build
from flopwise.workloads.language_model.ngpt.block import project
from flopwise.workloads.language_model.optimizer.build import optimizer_of
from flopwise.workloads.language_model.run import compiled as behind_compile


class Silent:
    """Hears everything and says nothing."""

    def report(self, step: int, **values: float) -> None:
        """A row of the learning curve."""

    def should_stop(self) -> bool:
        """Never."""
        return False


class Timed:
    """An optimizer whose steps are timed.

    Args:
        optimizer: The optimizer.
        device: Waited for before and after each step.
    """

    def __init__(self, optimizer: Optimizer, device: devices.Device) -> None:
        self._optimizer, self._device = optimizer, device
        self.seconds = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._optimizer, name)

    def step(self) -> None:
        """One update."""
        self._device.synchronize()
        began = time.perf_counter()
        self._optimizer.step()
        self._device.synchronize()
        self.seconds += time.perf_counter() - began


def config_of(shape: Shape, settings: Mapping[str, Any]) -> LanguageModelConfig:
    """The whole config of a shape.

    Args:
        shape: Of model and batch.
        settings: ``model`` and ``train`` beyond it.
    """
    size = {"n_layer": shape.layers, "n_head": shape.heads, "n_embd": shape.width, "mlp_ratio": 8 / 3}
    batch = {"batch_size": shape.batch, "micro_batch_size": shape.micro, "sequence_length": shape.length}
    return LanguageModelConfig.model_validate(
        {
            "model": {**size, **settings.get("model", {})},
            "train": {**batch, "lr": 3e-4, **settings.get("train", {})},
            "data": {"tokenizer": "ids", "vocabulary": shape.vocabulary},
        }
    )


def steps_of(
    shape: Shape, tokens: np.ndarray, device: devices.Device, settings: Mapping[str, Any], compiled: bool, timed: bool
) -> tuple[Callable[[int], None], Callable[[], float]]:
    """A function that makes so many optimizer steps, and one that tells the optimizer's seconds so far."""
    config = config_of(shape, settings)
    model = build(config.model, counts.vocabulary(config), shape.length, seed=0).to(device.name)
    run = behind_compile(model) if compiled else model
    optimizer: Any = optimizer_of(model, config.train, device)
    optimizer = Timed(optimizer, device) if timed else optimizer
    after = (lambda _: project(model)) if config.model.kind == "ngpt" else None

    def batches(step: int) -> torch.Tensor:
        return torch.from_numpy(datasets.batch_at(tokens, 0, step, shape.batch, shape.length))

    def steps(count: int) -> None:
        recipe = Recipe(Length(steps=count), config.train.lr, lambda _: 1.0, shape.micro, 1.0, after_step=after)
        train(run, optimizer, batches, recipe, device, Silent(), RealClock())

    return steps, lambda: optimizer.seconds if timed else 0.0
