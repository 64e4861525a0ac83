"""Checkpoints of a language model: what is in one, which training it belongs to, and going on from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from flopwise.errors import WorkloadError
from flopwise.paths import CHECKPOINT
from flopwise.training import checkpoint
from flopwise.training.checkpoint import START, Progress
from flopwise.training.datasets import Pin
from flopwise.training.optimizers.together import Optimizer
from flopwise.training.saving import Saving
from flopwise.trial import Fidelity
from flopwise.workloads.language_model.config import LanguageModelConfig
from flopwise.workloads.language_model.model import GPT

FROM = "train.start_from"
ANY = ("device", "compile", "processes", "micro_batch_size", "checkpoint", "start_from")
"""Settings of train that a training may change on its way: they decide where and how fast, not what."""
PARTS = {"identity", "seed", "model", "optimizer", "noises"}
"""What is in a checkpoint, progress aside."""
SHOWN = 5
"""So many differences are named."""


def identity(config: LanguageModelConfig, pin: Pin) -> dict[str, Any]:
    """What must be the same in a training that goes on, seed aside: dotted keys and plain values."""
    whole = config.model_dump(mode="json")
    train = {name: value for name, value in whole["train"].items() if name not in ANY}
    measured = {name: whole["data"][name] for name in ("valid_tokens", "valid_span")}
    weights = [part.weight for part in pin.parts] or [1.0]
    data = {"sha256": pin.sha256, "weights": ", ".join(f"{weight:g}" for weight in weights), **measured}
    return dict(_flat({"model": whole["model"], "data": data, "train": train}))


def check(config: LanguageModelConfig, pin: Pin) -> None:
    """Insist on a checkpoint of the same config, before anything is started with it.

    Args:
        config: Names the checkpoint, or none.
        pin: Of the data.

    Raises:
        WorkloadError: If there is none at that place, or it is from another config.
    """
    if config.train.start_from is not None:
        _, content = _read(config.train.start_from)
        _insist(content["identity"], identity(config, pin))


def saving(
    config: LanguageModelConfig, folder: Path, seed: int, pin: Pin, model: GPT, optimizer: Optimizer
) -> Saving | None:
    """When and what to save.

    Args:
        config: Says when.
        folder: Of the attempt.
        seed: Of the attempt.
        pin: Of the data.
        model: On its device, as it is trained.
        optimizer: Over its params.
    """
    asked = config.train.checkpoint
    if asked is None:
        return None
    known = {"identity": identity(config, pin), "seed": seed}

    def save(progress: Progress) -> None:
        noises = [noise.state() for noise in model.noises()]
        state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "noises": noises}
        checkpoint.write(folder / CHECKPOINT, progress, {**known, **state})

    return Saving(None if asked == "end" else asked, save)


def go_on(config: LanguageModelConfig, seed: int, pin: Pin, model: GPT, optimizer: Optimizer) -> Progress:
    """Bring model and optimizer to where the config's checkpoint left them, if it names one.

    Args:
        config: Names the checkpoint, or none.
        seed: Of the attempt.
        pin: Of the data.
        model: On its device; changed in place.
        optimizer: Over its params; changed in place.

    Returns:
        How far the training is.

    Raises:
        WorkloadError: If there is no checkpoint at that place, or it is from another config or seed.
    """
    if config.train.start_from is None:
        return START
    progress, content = _read(config.train.start_from)
    _insist({**content["identity"], "seed": content["seed"]}, {**identity(config, pin), "seed": seed})
    model.load_state_dict(content["model"])
    optimizer.load_state_dict(content["optimizer"])
    for noise, state in zip(model.noises(), content["noises"], strict=True):
        noise.restore(state)
    return progress


def insist_on_more(progress: Progress, steps: int | None, stop: Fidelity) -> None:
    """A training that goes on has something left to do.

    Args:
        progress: How far it is.
        steps: At which it ends; None for an end by the clock.
        stop: The same as the study has it.

    Raises:
        WorkloadError: If nothing is left.
    """
    done, end = (progress.train_s, stop.amount) if steps is None else (progress.step, steps)
    if progress.step and done >= end:
        raise WorkloadError(
            "nothing is left to train",
            expected=f"a stop after step {progress.step}",
            got=f"{stop.unit}: {stop.amount:g}",
            where=FROM,
            fix="train for longer: flopwise train … --stop steps=N",
        )


def _read(path: str) -> tuple[Progress, dict[str, Any]]:
    progress, content = checkpoint.read(Path(path), FROM)
    if content.keys() != PARTS or not isinstance(content["identity"], dict):
        raise WorkloadError(
            "this checkpoint is not one of a language model",
            expected=", ".join(sorted(PARTS)),
            got=", ".join(sorted(map(str, content))),
            where=FROM,
            fix="name a checkpoint.pt that flopwise train wrote",
        )
    return progress, content


def _insist(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    names = [name for name in {**found, **wanted} if found.get(name) != wanted.get(name)]
    if not names:
        return
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    raise WorkloadError(
        "the checkpoint is from another config",
        expected=", ".join(f"{name} {found.get(name)}" for name in names[:SHOWN]) + more,
        got=", ".join(f"{name} {wanted.get(name)}" for name in names[:SHOWN]) + more,
        where=FROM,
        fix="go on with the config that wrote it, or start without a checkpoint",
    )


def _flat(section: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in section.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
