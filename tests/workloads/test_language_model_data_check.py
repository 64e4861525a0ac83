"""What a config says about text and tokenizer is checked before anything is read, and without their libraries."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from flopwise.errors import StudyError
from flopwise.study import parse_study
from flopwise.trial import Fidelity
from flopwise.workloads.language_model import counts
from flopwise.workloads.language_model.config import LanguageModelConfig
from flopwise.workloads.language_model.model import GPT
from flopwise.workloads.language_model.spec import SPEC

STOP = Fidelity("steps", 5)
TEXT = {"source": "text", "files": ["a.txt"]}
SHARDS = {"source": "bin", "files": ["a.bin"]}
STUDY = """
name: mix
workload: language_model
base:
  data:
    source: mixture
    mixture:
      - {source: text, files: [a.txt], weight: 2}
      - {source: stdlib,
         weight: WEIGHT}
space: {train.lr: {type: float, low: 1e-4, high: 1e-1, scale: log}}
objective: {metric: val_loss}
evaluation: {stop: {steps: 20}}
"""


def problems(**data: Any) -> list[tuple[str, str]]:
    return [(problem.key, problem.message) for problem in SPEC.check({"data": data}, STOP)]


@pytest.mark.parametrize(
    "data",
    [
        {},
        TEXT,
        {**TEXT, "tokenizer": "bpe"},
        {**TEXT, "tokenizer": "bpe", "vocabulary": 257},
        {**TEXT, "text_field": "content", "valid_files": ["b.txt"]},
        {**SHARDS, "tokenizer": "gpt2", "tokenizer_files": ["encoder.json", "vocab.bpe"]},
        {**SHARDS, "tokenizer": "ids", "vocabulary": 65536},
        {**SHARDS, "tokenizer": "byte", "valid_fraction": 0.1},
        {"source": "mixture", "mixture": [{**TEXT, "weight": 1.0}, {"source": "stdlib", "weight": 2.0}]},
    ],
)
def test_what_goes_together_is_accepted(data: dict[str, Any]) -> None:
    assert problems(**data) == []


@pytest.mark.parametrize(
    ("data", "key", "words"),
    [
        ({"files": ["a.txt"]}, "data.files", "means nothing with source: stdlib"),
        ({"valid_files": ["a.txt"]}, "data.valid_files", "means nothing with source: stdlib"),
        ({"text_field": "text"}, "data.text_field", "means nothing with source: stdlib"),
        ({"source": "text"}, "data.files", "missing"),
        ({"source": "bin", "tokenizer": "gpt2"}, "data.files", "missing"),
        ({**TEXT, "files": ["a.txt", " "]}, "data.files.1", "a path or a glob, got ' '"),
        ({**SHARDS, "text_field": "x"}, "data.text_field", "holds tokens"),
        ({"vocabulary": 300}, "data.vocabulary", "means nothing with tokenizer: byte"),
        ({"tokenizer": "gpt2", "vocabulary": 50257}, "data.vocabulary", "means nothing with tokenizer: gpt2"),
        ({"tokenizer": "bpe", "vocabulary": 256}, "data.vocabulary", "at least 257"),
        ({**SHARDS, "tokenizer": "ids"}, "data.vocabulary", "missing"),
        ({**SHARDS, "tokenizer": "ids", "vocabulary": 65537}, "data.vocabulary", "at most 65536"),
        ({**SHARDS, "tokenizer": "bpe"}, "data.tokenizer", "byte, gpt2 or ids"),
        ({**TEXT, "tokenizer": "ids", "vocabulary": 300}, "data.tokenizer", "byte, bpe or gpt2"),
        ({"tokenizer_files": ["a", "b"]}, "data.tokenizer_files", "means nothing with tokenizer: byte"),
        ({"tokenizer": "gpt2", "tokenizer_files": ["a"]}, "data.tokenizer_files", "two files"),
        ({"mixture": [{**TEXT, "weight": 1.0}]}, "data.mixture", "say source: mixture"),
        ({"source": "mixture"}, "data.mixture", "at least 2 sources, got 0"),
        ({**SHARDS, "split_seed": 1}, "data.split_seed", "no documents are drawn"),
        ({**TEXT, "valid_files": ["b"], "split_seed": 1}, "data.split_seed", "no documents are drawn"),
        ({**TEXT, "valid_files": ["b"], "valid_fraction": 0.1}, "data.valid_fraction", "beside valid_files"),
    ],
)
def test_what_does_not_go_together_is_a_problem_of_that_key(data: dict[str, Any], key: str, words: str) -> None:
    ((found, message),) = problems(**data)
    assert (found, words in message) == (key, True), message


def test_every_source_of_a_mixture_is_checked_under_its_own_key() -> None:
    sources = [{"source": "text", "weight": 1.0}, {"source": "stdlib", "files": ["a"], "weight": 1.0}]
    found = problems(source="mixture", mixture=sources, files=["a.txt"])
    assert [key for key, _ in found] == ["data.files", "data.mixture.0.files", "data.mixture.1.files"]


@pytest.mark.parametrize("weight", ["0", "-1.5"])
def test_a_weight_that_is_not_positive_is_refused_with_its_line(weight: str) -> None:
    parse_study(STUDY.replace("WEIGHT", "1"))
    with pytest.raises(StudyError) as caught:
        parse_study(STUDY.replace("WEIGHT", weight))
    (problem,) = caught.value.problems
    assert problem.key == "base.data.mixture.1.weight"
    assert problem.where == "study.yaml:10"
    assert "more than 0" in problem.message


@pytest.mark.parametrize(
    ("data", "different", "rows"),
    [
        ({}, 256, 256),
        ({"tokenizer": "bpe"}, 4096, 4096),
        ({"tokenizer": "bpe", "vocabulary": 1000}, 1000, 1024),
        ({"tokenizer": "gpt2"}, 50257, 50304),
        ({**SHARDS, "tokenizer": "ids", "vocabulary": 300}, 300, 320),
    ],
)
def test_model_and_flops_follow_the_tokenizer(data: dict[str, Any], different: int, rows: int) -> None:
    model = {"n_layer": 1, "n_embd": 32, "n_head": 2}
    for multiple, vocabulary in ((1, different), (64, rows)):
        config = LanguageModelConfig.model_validate(
            {"data": data, "model": {**model, "vocabulary_multiple": multiple}, "train": {"sequence_length": 16}}
        )
        assert counts.vocabulary(config) == vocabulary
        with torch.device("meta"):
            gpt = GPT(config.model, counts.vocabulary(config), 16)
            tokens = torch.zeros(16, 17, dtype=torch.int64)
        with FlopCounterMode(display=False) as counter:
            gpt(tokens[:, :-1], tokens[:, 1:]).backward()
        assert gpt.embedding.weight.shape[0] == vocabulary
        assert counts.parameters(config) == sum(p.numel() for p in gpt.parameters())
        head = 6 * 32 * vocabulary * 16 * 16
        assert counts.flops_per_step(config) == pytest.approx(counter.get_total_flops(), rel=0.02)
        assert counts.flops_per_step(config) > head


def test_checking_a_config_loads_no_library_of_data() -> None:
    script = """
import sys
from flopwise.trial import Fidelity
from flopwise.workloads.language_model.spec import SPEC
assert SPEC.check({"data": {"tokenizer": "bpe", "source": "text", "files": ["a.parquet"]}}, Fidelity("steps", 1)) == []
found = [name for name in ("torch", "tokenizers", "pyarrow", "numpy") if name in sys.modules]
assert not found, found
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_the_worker_s_side_loads_them_only_for_a_config_that_needs_them() -> None:
    script = """
import sys, flopwise.workloads.language_model.run
found = [name for name in ("tokenizers", "pyarrow") if name in sys.modules]
assert not found, found
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
