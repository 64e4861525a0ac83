"""From the calibration in the journal to the priced plan."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flopwise.budget.ledger import Ledger
from flopwise.budget.plan import Calibration, LeftOut, Plan, Probed, make_plan
from flopwise.engine.flops import measured
from flopwise.engine.probes import Probes
from flopwise.engine.recheck import search_stop
from flopwise.journal.replay import RunState
from flopwise.objective import uncensored
from flopwise.registry import load
from flopwise.study import full_config
from flopwise.trial import Fidelity, Phase


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
    probes = Probes(study, slots)
    peaks = [end.peak_rss_bytes for end in finals if end.peak_rss_bytes is not None]
    flops = spec.flops(config, stop)
    tokens = next((end.info["tokens"] for end in finals if "tokens" in end.info), None)
    return make_plan(
        study,
        Calibration(
            seconds=tuple(end.device_s for end in finals),
            losses=uncensored(baseline.losses(state.objective), state.objective),
            peak_rss_bytes=max(peaks, default=None),
        ),
        slots=slots,
        steps=spec.steps(config, stop),
        tokens=tokens,
        flops=measured(baseline) if flops is None else flops,
        spent=ledger.spent(),
        proxy_flops=spec.flops(config, Fidelity.from_json(search_stop(study))) if study.get("proxy") else None,
        probed=Probed(
            signal=probes.signal(state),
            knobs=tuple(probes.knobs(state)),
            rungs=tuple(probes.rungs(state)),
            proxy=probes.proxy(state),
            left_out=left_out(study, probes, state),
        ),
    )


def left_out(study: Mapping[str, Any], probes: Probes, state: RunState) -> tuple[LeftOut, ...]:
    """What was not measured before the search, and what it would take."""
    most, missing = probes.room(state), []
    if probes.signal(state) is None:
        missing.append(LeftOut("signal", probes.evaluations(Phase.SIGNAL, most)))
    if not probes.knobs(state) and probes.evaluations(Phase.KNOBS, most):
        missing.append(LeftOut("knobs", probes.evaluations(Phase.KNOBS, most)))
    return tuple(missing)
