"""The optimizer that a config asks for, over the params of a model."""

from __future__ import annotations

import torch

from flopwise.training.devices import Device
from flopwise.training.optimizers.adamw import AdamWOptions, adamw, adamw_over
from flopwise.training.optimizers.lion import Lion, LionOptions
from flopwise.training.optimizers.muon import Hidden, Muon, MuonOptions
from flopwise.training.optimizers.together import Optimizer, Together
from flopwise.workloads.language_model.config import TrainConfig
from flopwise.workloads.language_model.model import GPT


def optimizer_of(model: GPT, train: TrainConfig, device: Device) -> Optimizer:
    """The optimizer of ``train.optimizer``.

    Args:
        model: On its device.
        train: The section.
        device: Decides the precision of orthogonalisation where the config does not.
    """
    match train.optimizer.kind:
        case "adamw":
            return adamw(model, _adamw_options(train))
        case "lion":
            cautious = train.optimizer.cautious_weight_decay
            return Lion(model, LionOptions(train.lr, train.beta1, train.beta2, train.weight_decay, cautious))
        case "muon":
            return _muon(model, train, device)


def _muon(model: GPT, train: TrainConfig, device: Device) -> Together:
    """Muon over the matrices inside the blocks, AdamW over everything else."""
    hidden = [Hidden(parameter, rows) for parameter, rows in model.hidden()]
    taken = {id(each.parameter) for each in hidden}
    others = [parameter for parameter in model.parameters() if id(parameter) not in taken]
    adamw_lr = train.lr if train.optimizer.adamw_lr is None else train.optimizer.adamw_lr
    return Together(
        [
            Muon(hidden, _muon_options(train, device)),
            adamw_over(others, _adamw_options(train), lr_ratio=adamw_lr / train.lr),
        ]
    )


def _adamw_options(train: TrainConfig) -> AdamWOptions:
    return AdamWOptions(train.lr, train.beta1, train.beta2, train.eps, train.weight_decay)


def _muon_options(train: TrainConfig, device: Device) -> MuonOptions:
    optimizer = train.optimizer
    precision = optimizer.precision
    if precision == "auto":
        precision = "bfloat16" if device.autocast is torch.bfloat16 and device.name == "cuda" else "float32"
    return MuonOptions(
        lr=train.lr,
        momentum=optimizer.momentum,
        nesterov=optimizer.nesterov,
        method=optimizer.orthogonalisation,
        iterations=optimizer.iterations,
        dtype=torch.bfloat16 if precision == "bfloat16" else torch.float32,
        scale=optimizer.shape_scale,
        weight_decay=train.weight_decay,
        cautious=optimizer.cautious_weight_decay,
        variance_reduction=optimizer.variance_reduction,
        variance_decay=optimizer.variance_decay,
    )
