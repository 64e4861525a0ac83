"""From the calibration in the journal to the priced plan."""

from __future__ import annotations

from flopwise.budget.ledger import Ledger
from flopwise.budget.plan import Calibration, Plan, make_plan
from flopwise.engine.flops import measured
from flopwise.journal.replay import RunState
from flopwise.registry import load
from flopwise.study import full_config
from flopwise.trial import Fidelity


def price(state: RunState, ledger: Ledger, slots: int) -> Plan:
    """Price every tier from the baseline's evaluations.

    Args:
        state: Calibrated: trial 0 has finished.
        ledger: What calibration has spent.
        slots: How many evaluations run at once.
    """
    study, baseline = state.study, state.trials[0]
    finals = [end for end in baseline.finals() if end is not None]
    spec = load("workloads", study["workload"])
    config = full_config(study, baseline.trial.config)
    stop = Fidelity.from_json(study["evaluation"]["stop"])
    peaks = [end.peak_rss_bytes for end in finals if end.peak_rss_bytes is not None]
    flops = spec.flops(config, stop)
    tokens = next((end.info["tokens"] for end in finals if "tokens" in end.info), None)
    return make_plan(
        study,
        Calibration(
            seconds=tuple(end.device_s for end in finals),
            losses=tuple(loss for loss in baseline.losses(state.objective) if loss is not None),
            peak_rss_bytes=max(peaks, default=None),
        ),
        slots=slots,
        steps=spec.steps(config, stop),
        tokens=tokens,
        flops=measured(baseline) if flops is None else flops,
        spent=ledger.spent(),
    )
