"""What the coordinator knows about a Python function: next to nothing, and no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flopwise.errors import Problem
from flopwise.trial import Fidelity


class FunctionSpec:
    """``f(config, context)`` or ``f(config)``; the config is the mapping of parameters, any names and values.

    The function itself is no part of the config: it travels in ``Hello.objective``.
    """

    name = "function"
    config_model: Any = None
    entry = "flopwise.workloads.function.run:run"
    prepare: str | None = None
    prepared: tuple[str, ...] = ()
    preload: tuple[str, ...] = ("flopwise.workloads.function.run",)
    warm: str | None = None
    metrics: tuple[str, ...] = ()
    needs_stop = False
    validates: tuple[str, ...] | None = None
    checkpoints: tuple[str, str] | None = None

    def check(self, config: Mapping[str, Any], stop: Fidelity) -> list[Problem]:
        """No problem can be known beforehand."""
        return []

    def uses_accelerator(self, config: Mapping[str, Any]) -> bool:
        """Only the function knows."""
        return True

    def steps(self, config: Mapping[str, Any], stop: Fidelity) -> int | None:
        """Only the function knows; ``stop`` reaches it as ``context.fidelity``."""
        return int(stop.amount) if stop.unit == "steps" else None

    def flops(self, config: Mapping[str, Any], stop: Fidelity) -> float | None:
        """Known when the study says so itself."""
        return stop.amount if stop.unit == "flops" else None


SPEC = FunctionSpec()
