"""Checkpoints: a training as it stands, in one file from which another process goes on exactly."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from flopwise.errors import WorkloadError
from flopwise.paths import CHECKPOINT

FORMAT = "flopwise checkpoint 1"


@dataclass(frozen=True)
class Progress:
    """How far a training is.

    Args:
        step: Optimizer steps done.
        tokens: Targets trained on.
        train_s: Seconds of training that these took.
        first_loss: Loss of the first batch of all; NaN before.
    """

    step: int = 0
    tokens: int = 0
    train_s: float = 0.0
    first_loss: float = math.nan


START = Progress()


def write(path: Path, progress: Progress, content: Mapping[str, Any]) -> None:
    """Write a checkpoint whole or not at all; one that was there stays until then.

    Args:
        path: Where.
        progress: How far the training is.
        content: Tensors, numbers, texts, and mappings and lists of these.

    Raises:
        OSError: If it cannot be written.
    """
    beside = path.with_name(f"{path.name}.part")
    fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        torch.save({"format": FORMAT, "progress": asdict(progress), **content}, file)
        file.flush()
        os.fsync(fd)
    beside.rename(path)


def read(path: Path, key: str) -> tuple[Progress, dict[str, Any]]:
    """Read a checkpoint; nothing in it is run.

    Args:
        path: As given to :func:`write`.
        key: Of the config, where the path stands.

    Returns:
        Progress and content, whose tensors are on the CPU.

    Raises:
        WorkloadError: If there is none, or it is not one of ours.
    """
    expected = f"the {CHECKPOINT} of a training"
    if not path.is_file():
        raise WorkloadError("there is no such checkpoint", expected=expected, got=str(path), where=key)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        if content.pop("format") != FORMAT:
            raise ValueError("another format")
        return Progress(**content.pop("progress")), content
    except Exception as error:  # torch raises a dozen kinds over bytes that are not what it wrote
        raise WorkloadError(
            "this file is no checkpoint", expected=expected, got=str(path), where=key, fix="see what wrote it"
        ) from error
