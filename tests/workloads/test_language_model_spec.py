from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import BaseModel, ValidationError
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from flopwise import registry
from flopwise.trial import Fidelity
from flopwise.workloads.language_model import counts
from flopwise.workloads.language_model.config import LanguageModelConfig
from flopwise.workloads.language_model.model import GPT
from flopwise.workloads.language_model.spec import SPEC

DOCS = Path(__file__).parents[2] / "docs" / "language-model.md"
SMALL: dict[str, Any] = {"model": {"n_layer": 2, "n_embd": 64, "n_head": 2}, "train": {"sequence_length": 128}}
STOP = Fidelity("steps", 5)

SHAPES: dict[str, dict[str, Any]] = {
    "quickstart": {"model": {"n_layer": 2, "n_embd": 64, "n_head": 2}, "train": {"sequence_length": 128}},
    "grouped queries": {"model": {"n_layer": 3, "n_embd": 96, "n_head": 6, "n_kv_head": 2}},
    "one kv head": {"model": {"n_layer": 1, "n_embd": 48, "n_head": 4, "n_kv_head": 1, "mlp": "relu2"}},
    "tied": {"model": {"n_layer": 2, "n_embd": 64, "tied_head": True}, "train": {"sequence_length": 64}},
    "relu2 wide": {"model": {"n_layer": 2, "n_embd": 80, "n_head": 4, "mlp": "relu2", "mlp_ratio": 4.0}},
    "attention heavy": {"model": {"n_layer": 2, "n_embd": 32, "n_head": 2}, "train": {"sequence_length": 1024}},
    "normalised": {"model": {"kind": "ngpt", "n_layer": 2, "n_embd": 96, "n_head": 4, "n_kv_head": 2}},
    "normalised, tied, relu2, gated": {
        "model": {"kind": "ngpt", "n_embd": 64, "mlp": "relu2", "tied_head": True, "ngpt": {"residual": "gated"}}
    },
    "normalised, fixed": {
        "model": {
            "kind": "ngpt",
            "n_layer": 1,
            "ngpt": {"residual": "fixed", "qk_norm": False, "learn_logit_scale": False},
        }
    },
    "synapses": {"model": {"kind": "synaptic", "n_layer": 2, "n_embd": 64, "n_head": 2}},
    "synapses of one chunk": {"model": {"kind": "synaptic", "n_embd": 48}, "train": {"sequence_length": 30}},
    "synapses of odd chunks": {
        "model": {"kind": "synaptic", "n_layer": 1, "n_kv_head": 2, "n_embd": 64, "synaptic": {"rank_eligibility": 12}},
        "train": {"sequence_length": 200},
    },
}


@pytest.mark.parametrize("name", SHAPES)
def test_flops_are_those_that_torch_counts(name: str) -> None:
    config = LanguageModelConfig.model_validate(SHAPES[name])
    train = config.train
    with torch.device("meta"):
        model = GPT(config.model, counts.vocabulary(config), train.sequence_length)
        tokens = torch.zeros(train.batch_size, train.sequence_length + 1, dtype=torch.int64)
    optimizer = torch.optim.AdamW(model.parameters(), foreach=False)
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        model(tokens[:, :-1], tokens[:, 1:]).backward()
        optimizer.step()
    assert counts.flops_per_step(config) == pytest.approx(counter.get_total_flops(), rel=0.01)


@pytest.mark.parametrize("name", SHAPES)
def test_parameters_are_those_of_the_model(name: str) -> None:
    config = LanguageModelConfig.model_validate(SHAPES[name])
    with torch.device("meta"):
        model = GPT(config.model, counts.vocabulary(config), config.train.sequence_length)
    assert counts.parameters(config) == sum(p.numel() for p in model.parameters())


def test_the_registry_knows_it() -> None:
    assert registry.load("workloads", "language_model") is SPEC
    for target in (SPEC.entry, SPEC.prepare, SPEC.warm):
        assert target is not None
        assert callable(registry.resolve(target))


def test_the_defaults_can_be_trained() -> None:
    defaults = LanguageModelConfig().model_dump()
    assert SPEC.check(defaults, STOP) == []
    assert LanguageModelConfig.model_validate(defaults) == LanguageModelConfig()


def test_a_stop_buys_whole_steps_and_never_more_than_it_says() -> None:
    per_step = SPEC.flops_per_step(SMALL)
    assert SPEC.steps(SMALL, Fidelity("flops", 7.99 * per_step)) == 7
    assert SPEC.steps(SMALL, Fidelity("flops", 8 * per_step)) == 8
    assert SPEC.flops(SMALL, Fidelity("flops", 7.99 * per_step)) == 7 * per_step
    assert SPEC.steps(SMALL, Fidelity("tokens", 16 * 128 * 3)) == 3
    assert SPEC.steps(SMALL, Fidelity("steps", 12)) == 12
    assert SPEC.steps(SMALL, Fidelity("seconds", 12)) is None
    assert SPEC.flops(SMALL, Fidelity("seconds", 12)) is None


@pytest.mark.parametrize("stop", [Fidelity("flops", 8e8), Fidelity("tokens", 1000)])
def test_a_stop_that_buys_no_step_is_a_problem_that_tells_the_price(stop: Fidelity) -> None:
    (problem,) = SPEC.check(SMALL, stop)
    assert problem.key == "evaluation.stop"
    assert "1.8 GFLOP (2048 tokens: batch_size 16 x sequence_length 128)" in problem.message


def test_a_missing_stop_is_a_problem() -> None:
    (problem,) = SPEC.check(SMALL, Fidelity())
    assert (problem.key, "flops" in problem.message) == ("evaluation.stop", True)


@pytest.mark.parametrize(
    ("section", "values", "key", "words"),
    [
        ("model", {"n_embd": 65}, "model.n_embd", "65 is not a multiple of n_head 2"),
        ("model", {"n_embd": 66}, "model.n_embd", "heads of width 33"),
        ("model", {"n_head": 4, "n_kv_head": 3}, "model.n_kv_head", "3 does not divide n_head 4"),
        ("model", {"n_head": 2, "n_kv_head": 4}, "model.n_kv_head", "4 does not divide n_head 2"),
        ("model", {"ngpt": {"alpha": 0.1}}, "model.ngpt.alpha", "means nothing with kind: gpt"),
        ("model", {"kind": "ngpt", "norm_eps": 1e-6}, "model.norm_eps", "means nothing with kind: ngpt"),
        ("train", {"optimizer": {"momentum": 0.9}}, "train.optimizer.momentum", "kind: adamw; say kind: muon"),
        ("train", {"optimizer": {"kind": "lion", "iterations": 6}}, "train.optimizer.iterations", "kind: lion"),
        ("train", {"optimizer": {"kind": "lion"}, "eps": 1e-6}, "train.eps", "optimizer.kind: lion"),
        (
            "train",
            {"optimizer": {"cautious_weight_decay": True}},
            "train.optimizer.cautious_weight_decay",
            "say kind: lion or muon",
        ),
        (
            "train",
            {"optimizer": {"kind": "muon", "cautious_weight_decay": True}, "weight_decay": 0.0},
            "train.optimizer.cautious_weight_decay",
            "weight_decay: 0; raise train.weight_decay",
        ),
        (
            "train",
            {"optimizer": {"kind": "muon", "variance_decay": 0.9}},
            "train.optimizer.variance_decay",
            "variance_reduction: false",
        ),
        (
            "train",
            {"optimizer": {"kind": "muon", "orthogonalisation": "none", "iterations": 3}},
            "train.optimizer.iterations",
            "orthogonalisation: none",
        ),
        ("train", {"micro_batch_size": 17}, "train.micro_batch_size", "17 is more than batch_size 16"),
        ("train", {"sequence_length": 4096}, "train.sequence_length", "data.valid_span 2048"),
    ],
)
def test_what_cannot_be_trained_is_a_problem(section: str, values: dict[str, Any], key: str, words: str) -> None:
    config = {**SMALL, section: {**SMALL[section], **values}}
    assert [(p.key, words in p.message) for p in SPEC.check(config, STOP)] == [(key, True)]


@pytest.mark.parametrize(
    "config",
    [
        {"model": {"n_layers": 2}},
        {"train": {"lr": "fast"}},
        {"train": {"lr": math.nan}},
        {"train": {"lr": -1e-3}},
        {"train": {"batch_size": True}},
        {"model": {"n_layer": 2.5}},
        {"model": {"mlp": "gelu"}},
        {"data": {"valid_fraction": 1.0}},
        {"optimizer": "adamw"},
        {"train": {"optimizer": "muon"}},
        {"train": {"optimizer": {"kind": "sgd"}}},
        {"train": {"optimizer": {"kind": "muon", "momentum": 1.0}}},
    ],
)
def test_wrong_keys_types_and_ranges_are_refused(config: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        LanguageModelConfig.model_validate(config)


def test_nothing_changes_after_reading() -> None:
    config = LanguageModelConfig()
    with pytest.raises(ValidationError):
        config.train.lr = 1.0  # type: ignore[misc]


def fields(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from fields(field.annotation, f"{prefix}{name}.")
        else:
            yield prefix + name, field


def lookup(data: Mapping[str, Any], key: str) -> Any:
    for part in key.split("."):
        data = data[part]
    return data


def test_every_field_says_what_it_is() -> None:
    assert all(field.description for _, field in fields(LanguageModelConfig))


def test_the_documentation_lists_every_field_with_its_default() -> None:
    rows = [line.split("|") for line in DOCS.read_text().splitlines() if line.startswith("| `")]
    listed = {cells[1].strip().strip("`"): cells[2].strip().strip("`") for cells in rows}
    defaults = LanguageModelConfig().model_dump()
    expected = {}
    for key, _ in fields(LanguageModelConfig):
        value = lookup(defaults, key)
        expected[key] = "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    assert listed == expected
