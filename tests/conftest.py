"""Small studies and a way to run the command line, shared by all rooms."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

TOY = """\
name: toy
workload: language_model
base:
  model: {n_layer: 1, n_head: 2, n_embd: 32}
  data: {source: stdlib, tokenizer: byte, valid_tokens: 2048}
  train: {lr: 3e-3, batch_size: 4, sequence_length: 32}
space:
  train.lr: {type: float, low: 1e-4, high: 1e-1, scale: log}
  train.weight_decay: {type: float, low: 0.0, high: 0.3}
  model.n_embd: {type: int, low: 16, high: 48, step: 16}
objective: {metric: val_loss, direction: minimize}
evaluation: {stop: {steps: 12}, timeout: 60s}
search: {method: cmaes, seed: 3}
tiers:
  small: {population: 4, generations: 3}
calibration: {seeds: 2}
confirm: {top: 2, seeds: 3}
execution: {slots: 2, price_per_hour: 0.20}
"""


CommandLine = Callable[..., "subprocess.CompletedProcess[str]"]


def _call(folder: Path, *arguments: str, timeout: float = 150) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": "120"}
    return subprocess.run(
        [sys.executable, "-m", "flopwise.cli", *arguments],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


@pytest.fixture(scope="session")
def toy_text() -> str:
    """A study that takes seconds, as text."""
    return TOY


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    """The same as a file."""
    path = tmp_path / "toy.yaml"
    path.write_text(TOY)
    return path


@pytest.fixture(scope="session")
def call_flopwise() -> CommandLine:
    """``call_flopwise(folder, verb, …)``: run a verb there, without a terminal."""
    return _call


@pytest.fixture
def flopwise(tmp_path: Path) -> CommandLine:
    """``flopwise(verb, …)``: run a verb in the test's own folder."""
    return partial(_call, tmp_path)
