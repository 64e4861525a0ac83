"""How a Python function gets its name or its pickle."""

from __future__ import annotations

import functools
import importlib
import math
import statistics
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from flopwise.errors import InputError
from flopwise.executors.objective import encode_objective, identify_objective
from flopwise.worker.objective import decode

WORKLOADS = Path(__file__).parent / "workloads_under_test"


ROOT = Path(__file__).parents[2]


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody can import this file."""
    monkeypatch.setattr(sys, "path", [path for path in sys.path if Path(path).resolve() != ROOT])


def here(config: Mapping[str, Any]) -> float:
    return math.sqrt(config["x"])


class Model:
    def __init__(self, factor: float) -> None:
        self.factor = factor

    def __call__(self, config: Mapping[str, Any]) -> float:
        return self.factor * float(config["x"])

    def method(self, config: Mapping[str, Any]) -> float:
        return self(config)


def test_what_can_be_imported_travels_by_name() -> None:
    assert encode_objective(statistics.mean) == "import:statistics:mean"
    assert decode("import:statistics:mean") is statistics.mean
    assert identify_objective(statistics.mean) == "import:statistics:mean"


def test_a_module_on_sys_path_counts_as_importable_and_one_that_is_not_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(WORKLOADS))
    rude = importlib.import_module("rude")

    assert encode_objective(rude.behave) == "import:rude:behave"
    monkeypatch.undo()
    assert encode_objective(rude.behave).startswith("pickle:")
    monkeypatch.delitem(sys.modules, "rude")


@pytest.mark.parametrize(
    "function",
    [
        here,
        lambda config: config["x"] ** 0.5,
        functools.partial(lambda k, config: k * config["x"], 0.5),
        Model(0.5),
        Model(0.5).method,
    ],
    ids=["function", "lambda", "partial", "object", "method"],
)
def test_what_cannot_be_imported_travels_whole(elsewhere: None, function: Any) -> None:
    text = encode_objective(function)
    assert text.startswith("pickle:")
    assert decode(text)({"x": 4}) == 2.0


def test_a_changed_function_has_another_identity(elsewhere: None) -> None:
    one, same, other = (eval(f"lambda config: {text}") for text in ("1", "1", "2"))
    assert identify_objective(here).startswith("source:")
    assert identify_objective(here) == identify_objective(here)
    assert identify_objective(one) != identify_objective(other)
    assert identify_objective(one) == identify_objective(same)


def test_what_cannot_be_pickled_is_refused_with_a_way_out() -> None:
    lock = threading.Lock()
    with pytest.raises(InputError, match="inside the function"):
        encode_objective(lambda config: lock.locked())


def test_a_function_that_brings_too_much_is_refused_with_its_size() -> None:
    data = bytes(3_000_000)
    with pytest.raises(InputError, match="load the data inside the function"):
        encode_objective(lambda config: len(data))


@pytest.mark.parametrize("thing", [None, 3, "module:function"])
def test_what_is_no_function_is_refused(thing: Any) -> None:
    with pytest.raises(InputError, match="must be a function"):
        encode_objective(thing)
