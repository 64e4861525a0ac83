"""FLOPs in the account: steps really taken times the closed form, for attempts that end in every way."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from flopwise.budget.admission import Commitment, admit
from flopwise.budget.ledger import Ledger
from flopwise.budget.limits import Limits, Spent
from flopwise.budget.pricing import Rates
from flopwise.engine.flops import trained
from flopwise.engine.verify.charges import trained as derived
from flopwise.errors import StudyError
from flopwise.events import AttemptEnded, LateResult
from flopwise.registry import load
from flopwise.study import parse_study
from flopwise.trial import Fidelity, Phase

SMALL = {"model": {"n_layer": 1, "n_head": 1, "n_embd": 16}, "train": {"batch_size": 2, "sequence_length": 8}}
SPEC = load("workloads", "language_model")
CONFIG = SPEC.config_model.model_validate(SMALL).model_dump(mode="json")
STEP = SPEC.flops_per_step(CONFIG)
STOP = Fidelity("flops", 100.5 * STEP)


def row(step: Any) -> dict[str, Any]:
    return {"step": step, "elapsed_s": 1.0, "values": {}}


@pytest.mark.parametrize(
    ("info", "rows", "steps"),
    [
        ({"steps": 100}, [row(100)], 100),
        ({"steps": 7}, [row(3)], 7),
        ({}, [row(1), row(42)], 42),
        ({}, [], 0),
        ({"steps": True}, [row("x")], 0),
        ({"steps": "many"}, [row(5)], 5),
    ],
)
def test_steps_taken_are_charged_and_not_what_was_asked_for(info: Any, rows: Any, steps: int) -> None:
    assert trained(SPEC, CONFIG, STOP, info=info, rows=rows, began=True) == steps * STEP


def test_a_workload_that_cannot_count_steps_is_charged_its_stop_once_it_has_begun() -> None:
    spec = load("workloads", "function")
    whole = Fidelity("flops", 5e9)
    assert trained(spec, {}, whole, info={}, rows=[], began=True) == 5e9
    assert trained(spec, {}, whole, info={}, rows=[], began=False) == 0.0
    assert trained(spec, {}, Fidelity("steps", 10), info={"steps": 3}, rows=[], began=True) is None


def test_a_step_costs_what_the_closed_form_says_whatever_the_stop() -> None:
    assert SPEC.flops(CONFIG, Fidelity("steps", 1.0)) == STEP
    assert SPEC.flops(CONFIG, STOP) == 100 * STEP


def end(**changes: Any) -> AttemptEnded:
    fields: dict[str, Any] = {"outcome": "ok", "metrics": {}, "info": {}, "started_at": 0.0, "ended_at": 1.0}
    return AttemptEnded("t0001.s0.a1", **{**fields, "device_s": 1.0, "price": 0.0, **changes})


def test_lost_and_late_attempts_are_charged_too() -> None:
    ledger = Ledger()
    assert ledger.total.train_flops is None
    ledger.apply(end(train_flops=3e9, interrupted=True, outcome="killed"))
    ledger.apply(replace(end(train_flops=5e9), attempt="t0001.s0.a2"))
    ledger.apply(LateResult("t0001.s0.a1", "ok", {}, 1.0, 0.0, 9.0, train_flops=1e9))
    assert ledger.total.train_flops == 9e9
    assert ledger.spent().flops == 9e9
    ledger.apply(replace(end(), attempt="t0001.s0.a3"))
    assert ledger.total.train_flops == 9e9


def test_admission_never_starts_what_would_train_past_the_limit() -> None:
    limits = Limits(flops=10e9)
    wish: dict[str, Any] = {"estimate_s": 1.0, "timeout_s": None, "flops": 3e9}
    assert admit(limits, Spent(flops=7e9), [], **wish).refused is None
    refused = admit(limits, Spent(flops=7.1e9), [], **wish)
    assert refused.refused == "limits.flops: 2.9 GFLOP left, 3 GFLOP needed by an evaluation"
    running = [Commitment(None, flops=3e9)]
    waiting = admit(limits, Spent(flops=5e9), running, **wish)
    assert waiting.refused is not None and waiting.wait
    assert admit(limits, Spent(flops=4e9), running, **wish).refused is None
    retried = admit(limits, Spent(flops=9e9), [], **wish, retry=True)
    assert retried.refused is not None and not retried.wait


def test_confirmation_has_its_flops_reserved() -> None:
    rates = Rates(10.0, 2, 0.0, 2e9)
    assert rates.reserve(Phase.SEARCH, choose=6, decide=10).flops == 32e9
    assert rates.reserve(Phase.CHOOSE, choose=6, decide=10).flops == 20e9
    assert rates.head_room().flops == 0.0
    limits = Limits(flops=40e9)
    assert admit(limits, Spent(), [], estimate_s=1.0, timeout_s=None, reserve=Spent(flops=39e9), flops=2e9).refused


def test_only_a_workload_that_counts_may_be_limited() -> None:
    text = """
name: f
workload: function
space: {x: {type: float, low: 0, high: 1}}
objective: {metric: loss}
limits: {flops: 1e12}
"""
    with pytest.raises(StudyError, match=r"study.yaml:6: limits.flops: .*does not count its FLOPs"):
        parse_study(text)
    counted = parse_study(text + "evaluation: {stop: {flops: 1e9}}\n")
    assert counted.canonical["limits"]["flops"] == 1e12
    assert "flops" not in parse_study(text.replace("limits: {flops: 1e12}", "")).canonical["limits"]


def test_verify_derives_the_same_with_code_of_its_own() -> None:
    event = SimpleNamespace(config={}, stop={"flops": STOP.amount})
    trial: Any = SimpleNamespace(study={"workload": "language_model", "base": CONFIG, "space": {}}, event=event)
    assert derived(trial, end(info={"steps": 12}), 10) == 12 * STEP
    assert derived(trial, end(outcome="killed"), 10) == 10 * STEP
