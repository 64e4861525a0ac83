"""How much more work one config is than the baseline, as far as the workload can tell beforehand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flopwise.registry import load
from flopwise.study import Configs
from flopwise.trial import Fidelity


class Work:
    """Training FLOPs and optimizer steps of a config, in those of the baseline.

    An evaluation is bound by the one or by the other, so that the larger ratio is what its time may grow by.

    Args:
        study: Canonical study.
        baseline: The baseline's config: dotted key to value.
    """

    def __init__(self, study: Mapping[str, Any], baseline: Mapping[str, Any]) -> None:
        self._spec = load("workloads", study["workload"])
        self._configs = Configs(study)
        self._unit = self._amounts(baseline, Fidelity.from_json(study["evaluation"]["stop"]))

    def __call__(self, config: Mapping[str, Any], fidelity: Fidelity) -> float | None:
        """The ratio; None where the workload's work cannot be told from its config."""
        if not all(self._unit):
            return None
        amounts = self._amounts(config, fidelity)
        return max(mine / base for mine, base in zip(amounts, self._unit, strict=True)) if all(amounts) else None

    def _amounts(self, config: Mapping[str, Any], fidelity: Fidelity) -> tuple[float, float]:
        if not hasattr(self._spec, "flops_per_step"):
            return 0.0, 0.0
        full = self._configs(config)
        return float(self._spec.flops(full, fidelity) or 0.0), float(self._spec.steps(full, fidelity) or 0.0)
