"""A workload, searchers and policies made for these tests, registered beside the real ones."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field

from flopwise import registry
from flopwise.errors import Problem
from flopwise.executors.executor import NoOptions, Traits
from flopwise.space import Categorical, Space
from flopwise.trial import Fidelity


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Net(Strict):
    width: int = Field(8, ge=1, le=64)
    heads: int = 2
    kind: str = "plain"
    dropout: float = 0.0
    bias: bool = True
    window: int | None = None


class Train(Strict):
    lr: float = Field(1e-3, gt=0)
    steps_per_unit: float = 1.0


class ToyConfig(Strict):
    net: Net = Net()
    train: Train = Train()


class ToySpec:
    """One optimizer step costs ``width`` FLOPs; ``heads`` must divide ``width``."""

    name = "toy"
    config_model: Any = ToyConfig
    prepared: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ("val_loss", "accuracy")
    needs_stop = True

    def check(self, config: Mapping[str, Any], stop: Fidelity) -> list[Problem]:
        net = config["net"]
        found = []
        if net["width"] % net["heads"]:
            found.append(Problem("net.width", f"width {net['width']} is not a multiple of heads {net['heads']}"))
        if stop.unit == "flops" and stop.amount < net["width"]:
            found.append(Problem("evaluation.stop", f"buys no step; one costs {net['width']} FLOPs"))
        return found


class AnySpec:
    """Takes any mapping."""

    name = "anything"
    config_model = None
    prepared: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    needs_stop = False

    def check(self, config: Mapping[str, Any], stop: Fidelity) -> list[Problem]:
        return []


class Draws:
    generational = False

    class Options(BaseModel):
        model_config = ConfigDict(extra="forbid")

    @classmethod
    def check(cls, space: Space, options: Any) -> list[Problem]:
        return []


class Waves:
    generational = True

    class Options(BaseModel):
        model_config = ConfigDict(extra="forbid")
        sigma: float = Field(0.3, gt=0, le=1)

    @classmethod
    def check(cls, space: Space, options: Any) -> list[Problem]:
        unordered = [key for key, parameter in space.parameters.items() if isinstance(parameter, Categorical)]
        return [Problem(f"space.{key}", "waves takes numbers only") for key in unordered]


class Watch:
    class Options(BaseModel):
        model_config = ConfigDict(extra="forbid")
        pause_above: float = Field(0.1, ge=0, le=1)


class Anywhere:
    Options = NoOptions
    traits = Traits()


MEMBERS = {
    "workloads": {"toy": ToySpec(), "anything": AnySpec()},
    "searchers": {"draws": Draws, "waves": Waves},
    "policies": {"watch": Watch, "other_watch": Watch},
    "executors": {"local": Anywhere, "inline": Anywhere},
}

MINIMAL = """\
name: pilot
workload: toy
space:
  train.lr: {type: float, low: 1e-4, high: 1e-1, scale: log}
objective: {metric: val_loss}
evaluation: {stop: {flops: 1e3}}
search: {method: draws}
"""


@pytest.fixture(autouse=True)
def members(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the members of this file exist, unless a test asks for the ``real`` ones."""
    if "real_members" in request.fixturenames:
        return
    module = types.ModuleType("study_test_members")
    table: dict[str, dict[str, str]] = {}
    for family, members in MEMBERS.items():
        table[family] = {}
        for name, member in members.items():
            setattr(module, f"{family}_{name}", member)
            table[family][name] = f"study_test_members:{family}_{name}"
    monkeypatch.setitem(sys.modules, "study_test_members", module)
    monkeypatch.setattr(registry, "BUILTIN", table)


@pytest.fixture
def real_members() -> None:
    """Ask for the built-in members instead of the ones made for tests."""


@pytest.fixture
def minimal() -> str:
    """The shortest valid study file."""
    return MINIMAL


@pytest.fixture
def edited() -> Callable[..., str]:
    """``edited(old=..., new=...)``: the minimal file with one text replaced; ``add`` appends lines."""

    def edit(old: str = "", new: str = "", add: str = "") -> str:
        assert old in MINIMAL
        return MINIMAL.replace(old, new, 1) + add if old else MINIMAL + add

    return edit
