from __future__ import annotations

import functools
import math
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from flopwise.errors import NonFinite, WorkloadError
from flopwise.target import Target
from flopwise.trial import Fidelity
from flopwise.workloads.language_model import corpus
from flopwise.workloads.language_model import run as room
from flopwise.workloads.language_model.run import prepare, run, warm
from flopwise.workloads.language_model.spec import SPEC

TOY: dict[str, Any] = {
    "model": {"n_layer": 1, "n_embd": 32, "n_head": 2},
    "data": {"valid_tokens": 2048},
    "train": {"batch_size": 4, "sequence_length": 32, "device": "cpu"},
}


class FakeContext:
    """A context that remembers what it was told."""

    def __init__(self, cache: Path, seed: int = 0, stop: Fidelity = Fidelity("steps", 5)) -> None:  # noqa: B008
        self.cache = self.folder = cache
        self.seed, self.fidelity, self.threads = seed, stop, 1
        self.data: Mapping[str, Any] = {}
        self.rows: list[tuple[int, dict[str, float]]] = []
        self.facts: dict[str, Any] = {}
        self.lines: list[str] = []
        self.stop_after = math.inf
        self.validate_every: int | None = None
        self.count_validation = False
        self.target: Target | None = None
        self.reached_target = False

    def report(self, step: int, **values: float) -> None:
        self.rows.append((step, values))

    def progress(self, text: str, done: float = 0.0, total: float = 0.0) -> None:
        self.lines.append(text)

    def note(self, **facts: Any) -> None:
        self.facts.update(facts)

    def should_stop(self) -> bool:
        return len(self.rows) >= self.stop_after


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> FakeContext:
    context = FakeContext(tmp_path_factory.mktemp("cache"))
    context.data = prepare(TOY, context)
    return context


@pytest.fixture
def context(prepared: FakeContext) -> FakeContext:
    fresh = FakeContext(prepared.cache)
    fresh.data = prepared.data
    return fresh


def with_changes(**sections: dict[str, Any]) -> dict[str, Any]:
    return {name: {**TOY[name], **sections.get(name, {})} for name in TOY}


def test_prepare_writes_what_it_pins_and_says_so(prepared: FakeContext) -> None:
    pin = prepared.data
    (file,) = prepared.cache.glob("tokens-*.bin")
    assert file.name == f"tokens-{pin['sha256']}.bin"
    assert file.stat().st_size == pin["tokens"] == pin["train_tokens"] + pin["valid_tokens"]
    assert pin["valid_tokens"] / pin["tokens"] == pytest.approx(0.05, rel=0.05)
    assert (pin["source"], pin["vocabulary"]) == ("stdlib", 256)
    assert prepared.lines


def test_prepare_again_gives_the_same_pin(prepared: FakeContext) -> None:
    assert prepare(TOY, FakeContext(prepared.cache)) == prepared.data
    assert prepare(with_changes(data={"split_seed": 1}), FakeContext(prepared.cache)) != prepared.data


def test_prepare_refuses_more_held_out_tokens_than_there_are(prepared: FakeContext) -> None:
    with pytest.raises(WorkloadError, match=r"lower data\.valid_tokens"):
        prepare(with_changes(data={"valid_tokens": 10**9}), FakeContext(prepared.cache))


def test_the_text_is_sources_in_order_without_tests_and_foreign_packages(tmp_path: Path) -> None:
    for name in ("b.py", "a.py", "test/t.py", "email/tests/t.py", "site-packages/s.py", "email/e.py", "no.txt", "e.py"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("" if name == "e.py" else name)
    assert corpus.stdlib_documents(tmp_path) == [b"a.py", b"b.py", b"email/e.py"]
    with pytest.raises(WorkloadError, match="without the sources"):
        corpus.stdlib_documents(tmp_path / "email")


def test_a_run_reports_its_curve_its_metrics_and_its_facts(context: FakeContext) -> None:
    metrics = run(TOY, context)
    assert [step for step, _ in context.rows] == [1, 2, 3, 4, 5]
    assert set(metrics) == set(SPEC.metrics)
    assert metrics["val_bits_per_byte"] == pytest.approx(metrics["val_loss"] / math.log(2))
    facts = context.facts
    assert (facts["steps"], facts["tokens"], facts["device"], facts["dtype"]) == (5, 5 * 4 * 32, "cpu", "float32")
    assert facts["initial_loss"] == context.rows[0][1]["train_loss"] == pytest.approx(math.log(256), abs=0.1)
    assert facts["tokens_per_s"] > 0
    assert facts["flags"] == []


def test_it_validates_as_often_as_the_study_asks_for(context: FakeContext) -> None:
    context.validate_every = 2
    metrics = run(TOY, context)
    held_out = {step: values["val_loss"] for step, values in context.rows if "val_loss" in values}
    assert list(held_out) == [0, 2, 4, 5]
    assert held_out[5] == metrics["val_loss"] == run(TOY, plain(context))["val_loss"]
    times = [values["train_s"] for _, values in context.rows if "val_loss" in values]
    assert times == sorted(times) and times[0] == 0.0
    assert context.facts["warmup_s"] >= -context.facts["train_s"]


def test_it_ends_at_the_hardest_target_that_is_declared(context: FakeContext) -> None:
    context.validate_every = 2
    unreachable = run(with_changes(train={"lr": 1e-2}), context)["val_loss"]
    context.target = Target("val_loss", 4.6, fallback=(4.8,), tighten=(4.5,))
    context.fidelity = Fidelity("steps", 50)
    metrics = run(with_changes(train={"lr": 1e-2}), context)
    assert metrics["val_loss"] <= 4.5 < unreachable
    assert context.facts["steps"] < 50


def plain(context: FakeContext) -> FakeContext:
    """The same without validation."""
    other = FakeContext(context.cache)
    other.data = context.data
    return other


def test_training_helps(context: FakeContext) -> None:
    context.fidelity = Fidelity("flops", 1.5e9)
    metrics = run(with_changes(train={"lr": 1e-2}), context)
    assert context.facts["flops"] <= 1.5e9
    assert metrics["val_loss"] < 0.75 * context.facts["initial_loss"]


def test_a_run_that_learns_nothing_is_flagged(context: FakeContext) -> None:
    run(with_changes(train={"lr": 1e-9}), context)
    assert context.facts["flags"] == ["no better than at initialisation"]


def test_a_run_that_explodes_ends_at_once(context: FakeContext) -> None:
    context.fidelity = Fidelity("steps", 50)
    with pytest.raises(NonFinite, match="in step"):
        run(with_changes(train={"lr": 100.0, "weight_decay": 100.0, "warmup_fraction": 0.0, "clip": None}), context)
    assert 1 <= len(context.rows) < 49
    assert all(math.isfinite(values["train_loss"]) for _, values in context.rows)


def test_a_run_that_is_asked_to_stop_returns_no_result(context: FakeContext) -> None:
    context.stop_after = 2
    assert set(run(TOY, context)) == {"train_loss"}
    assert context.facts["steps"] == 2
    assert context.facts["flags"] == ["stopped after 2 steps"]


def test_seconds_stop_a_run_too(context: FakeContext) -> None:
    context.fidelity = Fidelity("seconds", 0.05)
    metrics = run(TOY, context)
    assert math.isfinite(metrics["val_loss"])
    assert context.facts["steps"] >= 1
    assert context.facts["train_s"] + context.facts["warmup_s"] >= 0.0498  # both are rounded


def test_held_out_loss_is_over_the_same_tokens_for_every_batch_and_length(context: FakeContext) -> None:
    untrained = with_changes(train={"lr": 1e-30})
    whole = run(untrained, context)["val_loss"]
    pieces = run({**untrained, "train": {**untrained["train"], "micro_batch_size": 1}}, context)["val_loss"]
    assert pieces == pytest.approx(whole, rel=1e-6)


def test_micro_batches_train_the_same_model(context: FakeContext) -> None:
    whole = run(TOY, context)["val_loss"]
    pieces = run(with_changes(train={"micro_batch_size": 3}), context)["val_loss"]
    assert pieces == pytest.approx(whole, rel=1e-5)


def test_bfloat16_trains_about_the_same_model(context: FakeContext) -> None:
    exact = run(TOY, context)["val_loss"]
    rough = run(with_changes(train={"dtype": "bfloat16"}), context)["val_loss"]
    assert context.facts["dtype"] == "bfloat16"
    assert rough == pytest.approx(exact, rel=0.01)
    assert rough != exact


def test_compiled_code_trains_the_same_model(context: FakeContext, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = run(TOY, context)["val_loss"]
    calls = []

    def traced(model: Any) -> Any:
        calls.append(model)
        return functools.partial(torch.compile, backend="aot_eager")(model)

    monkeypatch.setattr(room, "compiled", traced)
    assert run(with_changes(train={"compile": True}), context)["val_loss"] == pytest.approx(plain, rel=1e-4)
    assert len(calls) == 1


@pytest.mark.parametrize(("name", "value"), [("split_seed", 1), ("valid_fraction", 0.1)])
def test_data_settings_that_differ_from_the_prepared_data_are_refused(
    name: str, value: float, context: FakeContext
) -> None:
    with pytest.raises(WorkloadError, match=rf"data\.{name}"):
        run(with_changes(data={name: value}), context)


def test_every_setting_of_the_training_acts(context: FakeContext) -> None:
    changes: list[dict[str, dict[str, Any]]] = [
        *({"train": {name: value}} for name, value in TRAIN_CHANGES.items()),
        *({"model": {name: value}} for name, value in MODEL_CHANGES.items()),
        *({"data": {name: value}} for name, value in {"valid_tokens": 4096, "valid_span": 64}.items()),
    ]
    losses = {"{}": run(TOY, context)["val_loss"]}
    for change in changes:
        losses[str(change)] = run(with_changes(**change), context)["val_loss"]
    assert len(set(losses.values())) == len(losses)


TRAIN_CHANGES: dict[str, Any] = {
    "lr": 1e-2,
    "beta1": 0.5,
    "beta2": 0.5,
    "eps": 1e-3,
    "weight_decay": 10.0,
    "warmup_fraction": 0.5,
    "min_lr_fraction": 1.0,
    "clip": 0.01,
    "batch_size": 5,
    "sequence_length": 16,
}
MODEL_CHANGES: dict[str, Any] = {
    "kind": "synaptic",
    "n_layer": 2,
    "n_head": 4,
    "n_kv_head": 1,
    "n_embd": 16,
    "mlp": "relu2",
    "mlp_ratio": 4.0,
    "tied_head": True,
    "rope_theta": 10.0,
    "norm_eps": 0.1,
}


def test_warming_moves_no_random_state_and_starts_no_thread() -> None:
    script = """
import os, random, torch, numpy
from flopwise.workloads.language_model import run
torch.set_num_threads(4)
def state():
    threads = len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else 0
    streams = torch.get_rng_state().tolist(), random.getstate(), str(numpy.random.get_state())
    return threads, torch.get_num_threads(), streams
before = state()
run.warm()
assert state() == before, "warming changed something"
assert not torch.cuda.is_initialized()
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_warming_where_an_accelerator_may_be_makes_no_backward_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("this would touch the accelerator before the fork")

    monkeypatch.setattr(room.devices, "accelerator_possible", lambda: True)
    monkeypatch.setattr(torch.Tensor, "backward", refuse)
    monkeypatch.setattr(torch.optim.AdamW, "step", refuse)
    warm()
    monkeypatch.setattr(room.devices, "accelerator_possible", lambda: False)
    with pytest.raises(AssertionError):
        warm()
