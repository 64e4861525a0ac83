"""What the loop is given: which optimizer, which params, what happens after a step."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from flopwise.training.devices import Device
from flopwise.trial import Fidelity
from flopwise.workloads.language_model import run as room
from flopwise.workloads.language_model.config import LanguageModelConfig, ModelConfig, TrainConfig
from flopwise.workloads.language_model.model import build
from flopwise.workloads.language_model.optimizer.build import optimizer_of


@pytest.mark.parametrize(
    ("asked", "on_cpu", "on_cuda"), [("auto", False, True), (True, True, True), (False, False, False)]
)
def test_auto_compiles_on_accelerators_alone(asked: Any, on_cpu: bool, on_cuda: bool) -> None:
    settings = TrainConfig(compile=asked)
    assert room.compiles(settings, Device("cpu")) is on_cpu
    assert room.compiles(settings, Device("cuda")) is on_cuda


@pytest.mark.parametrize("kind", ["adamw", "lion", "muon"])
@pytest.mark.parametrize("model", ["gpt", "ngpt"])
def test_every_optimizer_trains_every_param(kind: Any, model: Any) -> None:
    train = TrainConfig.model_validate({"optimizer": {"kind": kind, **({"adamw_lr": 6e-3} if kind == "muon" else {})}})
    net = build(ModelConfig(kind=model, n_layer=1, n_head=2, n_embd=16), 32, 8, seed=0)
    optimizer = optimizer_of(net, train, Device("cpu"))
    grouped = [p for group in optimizer.param_groups for p in group["params"]]
    assert sorted(map(id, grouped)) == sorted(map(id, net.parameters()))
    ratios = {group.get("lr_ratio", 1.0) for group in optimizer.param_groups}
    assert ratios == ({1.0, 2.0} if kind == "muon" else {1.0})
    before = [p.detach().clone() for p in net.parameters()]
    text = torch.arange(18).view(2, 9)
    net(text[:, :-1], text[:, 1:]).backward()
    optimizer.step()
    assert not any(torch.equal(p, old) for p, old in zip(net.parameters(), before, strict=True))


@pytest.mark.parametrize("every", [1, 2])
def test_a_normalised_model_is_projected_as_often_as_asked(every: int) -> None:
    config = LanguageModelConfig.model_validate(
        {"model": {"kind": "ngpt", "n_layer": 1, "n_head": 2, "n_embd": 16, "ngpt": {"project_every": every}}}
    )
    model = build(config.model, 32, 8, seed=0)
    after = room._recipe(config, model, Fidelity("steps", 2)).after_step
    assert after is not None
    weight = model.embedding.weight
    for step in (1, 2):
        with torch.no_grad():
            weight.mul_(2.0)
        after(step)
        off = float((weight.detach().norm(dim=1) - 1).abs().max())
        assert (off < 1e-5) is (step % every == 0)
