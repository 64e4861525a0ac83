"""Calls the study's function in the worker."""

from __future__ import annotations

import inspect
import random
import sys
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy.random

from flopwise.workload import Context

POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class FunctionContext(Context, Protocol):
    """What a function needs beyond the context of every workload.

    Attributes:
        objective: The study's function.
        metric: Name of the metric the study needs.
    """

    metric: str

    @property
    def objective(self) -> Callable[..., Any]: ...


def run(config: Mapping[str, Any], context: FunctionContext) -> Mapping[str, Any]:
    """Call the function, with the global random streams seeded.

    A process forked from a server starts with the server's streams, so without this every attempt of a
    function that takes no seed would draw the same numbers.

    Args:
        config: Parameter name to value.
        context: Of the attempt.

    Returns:
        The mapping that the function returned, or ``{metric: value}`` for anything else it returned.
    """
    function = context.objective
    seed_globals(context.seed)
    value = _call(function, dict(config), context)
    return value if isinstance(value, Mapping) else {context.metric: value}


def context_parameter(function: Callable[..., Any]) -> inspect.Parameter | None:
    """The parameter meant for the context, if there is one.

    It is the one called ``context``, else the second positional one when it has no default.

    Example:
        >>> context_parameter(lambda config, c: 0).name, context_parameter(lambda config, verbose=False: 0)
        ('c', None)
    """
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return None
    if "context" in parameters:
        return parameters["context"]
    second = [p for p in parameters.values() if p.kind in POSITIONAL][1:2]
    return second[0] if second and second[0].default is inspect.Parameter.empty else None


def _call(function: Callable[..., Any], config: dict[str, Any], context: FunctionContext) -> Any:
    parameter = context_parameter(function)
    if parameter is None:
        return function(config)
    if parameter.kind is inspect.Parameter.POSITIONAL_ONLY or parameter.name != "context":
        return function(config, context)
    return function(config, context=context)


def seed_globals(seed: int) -> None:
    """Seed ``random``, numpy's global stream, and torch's where torch is loaded already.

    A function that imports torch only when it runs gets torch's own fixed seed: it must call
    ``torch.manual_seed(context.seed)`` itself, or import torch at the top of its module.

    Args:
        seed: In [0, 2**32).
    """
    random.seed(seed)
    numpy.random.seed(seed)
    torch: Any = sys.modules.get("torch")
    if torch is not None:
        _seed_torch(torch, seed)


def _seed_torch(torch: Any, seed: int) -> None:
    """All generators; without an accelerator only the CPU's, which saves formatting three tracebacks (2 ms)."""
    accelerators = [getattr(torch.version, name, None) for name in ("cuda", "hip", "xpu")]
    if any(accelerators) or torch.backends.mps.is_built():
        torch.manual_seed(seed)
    else:
        torch.default_generator.manual_seed(seed)
