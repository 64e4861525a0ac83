"""A Python function as a workload: how it is called and how its random streams start."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy
import pytest
import torch

from flopwise.registry import load
from flopwise.trial import Fidelity
from flopwise.workloads.function.run import context_parameter, run, seed_globals

FORMS: list[tuple[Callable[..., Any], bool]] = [
    (lambda config: len(config), False),
    (lambda config, context: context.seed, True),
    (lambda config, anything: anything.seed, True),
    (lambda config, *, context: context.seed, True),
    (lambda config, context=None: context.seed, True),
    (lambda config, verbose=False: verbose, False),
    (lambda config, *rest: len(rest), False),
    (lambda config, **rest: len(rest), False),
    (lambda config, /, context, other=1: context.seed, True),
]


def context_for(function: Callable[..., Any]) -> Any:
    return SimpleNamespace(objective=function, metric="score", seed=11)


@pytest.mark.parametrize(("function", "wants"), FORMS)
def test_the_context_goes_to_those_that_want_it(function: Callable[..., Any], wants: bool) -> None:
    assert (context_parameter(function) is not None) is wants
    value = run({"x": 1}, context_for(function))["score"]
    assert value == (11 if wants else function({"x": 1}))


def test_a_callable_object_and_a_builtin_will_do() -> None:
    class Adder:
        def __call__(self, config: Any, context: Any) -> float:
            return config["x"] + context.seed

    assert run({"x": 1}, context_for(Adder())) == {"score": 12}
    assert run({"x": 1}, context_for(len)) == {"score": 1}


def test_a_mapping_is_taken_as_it_is_and_anything_else_is_the_metric() -> None:
    assert run({}, context_for(lambda config: {"a": 1, "b": 2})) == {"a": 1, "b": 2}
    assert run({}, context_for(lambda config: 0.5)) == {"score": 0.5}
    assert run({}, context_for(lambda config: None)) == {"score": None}


def test_the_function_may_change_its_config_without_changing_ours() -> None:
    config = {"x": 1}
    run(config, context_for(lambda mine: mine.pop("x")))
    assert config == {"x": 1}


def test_the_same_seed_gives_the_same_draws_everywhere() -> None:
    def draws(seed: int) -> list[float]:
        seed_globals(seed)
        return [random.random(), float(numpy.random.rand()), float(torch.rand(()))]

    first = draws(2**32 - 1)
    assert draws(2**32 - 1) == first
    assert all(a != b for a, b in zip(first, draws(0), strict=True))


def test_the_spec_knows_what_little_there_is_to_know() -> None:
    spec = load("workloads", "function")
    assert spec.config_model is None and spec.prepare is None and not spec.needs_stop
    assert spec.check({"anything": "goes"}, Fidelity()) == []
    assert spec.steps({}, Fidelity("steps", 30)) == 30 and spec.steps({}, Fidelity()) is None
    assert spec.flops({}, Fidelity("flops", 1e9)) == 1e9 and spec.flops({}, Fidelity("steps", 3)) is None


def test_the_spec_is_torch_free() -> None:
    code = "import sys, flopwise.workloads.function.spec; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
