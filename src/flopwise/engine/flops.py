"""What attempts train, in FLOPs: the steps really taken, times the closed form of one step of their config.

The closed form is the workload's own (``spec.flops``, no torch). Steps are what the worker reported, and of an
attempt that was lost, killed or timed out what its last measurement shows. A workload that cannot count steps is
charged what ``evaluation.stop`` asks for as soon as an attempt has begun, so that a limit is never overrun unseen.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from flopwise.journal.replay import RunState, TrialState
from flopwise.registry import load
from flopwise.study import Configs
from flopwise.trial import Fidelity
from flopwise.workload import WorkloadSpec

ONE_STEP = Fidelity("steps", 1.0)


def trained(
    spec: WorkloadSpec,
    config: Mapping[str, Any],
    stop: Fidelity,
    *,
    info: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    began: bool,
) -> float | None:
    """Training FLOPs of one attempt; None when the workload cannot tell.

    Args:
        spec: The workload.
        config: Whole and nested.
        stop: What was asked for.
        info: Facts that the worker reported, with ``steps`` where it counts them.
        rows: Its learning curve, whose ``step`` counts optimizer steps.
        began: Whether its process ran at all.
    """
    one_step = spec.flops(config, ONE_STEP)
    if one_step is not None:
        return one_step * max([0, *_steps(info.get("steps")), *(s for row in rows[-1:] for s in _steps(row["step"]))])
    return spec.flops(config, stop) if began else 0.0


def _steps(value: Any) -> list[int]:
    """A count of steps, if it is one."""
    return [value] if isinstance(value, int) and not isinstance(value, bool) else []


class Appetite:
    """What an evaluation will train.

    Args:
        study: Canonical study.
    """

    def __init__(self, study: Mapping[str, Any]) -> None:
        self._spec: WorkloadSpec = load("workloads", study["workload"])
        self._configs = Configs(study)

    def of(self, trial: TrialState, state: RunState) -> float:
        """Training FLOPs of one seed: the closed form; where the clock ends it, what the baseline's took on average."""
        known = self._spec.flops(self._configs(trial.trial.config), trial.trial.fidelity)
        return measured(state.trials[0]) or 0.0 if known is None else known


def measured(baseline: TrialState) -> float | None:
    """Mean training FLOPs of the baseline's evaluations; None while none is known."""
    known = [end.train_flops for end in baseline.finals() if end is not None and end.train_flops is not None]
    return statistics.fmean(known) if known else None
