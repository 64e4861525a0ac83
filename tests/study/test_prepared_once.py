"""What a workload prepares once cannot vary from trial to trial, searched or computed."""

from __future__ import annotations

from typing import Any

import pytest

from flopwise.errors import Problem, StudyError
from flopwise.study import json_schema, parse_study

pytestmark = pytest.mark.usefixtures("real_members")

MODEL = """\
name: pilot
workload: language_model
base:
  model: {n_layer: 1, n_head: 2, n_embd: 32}
  data: {valid_tokens: 2048}
  train: {batch_size: 4, sequence_length: 32}
space:
  train.lr: {type: float, low: 1e-4, high: 1e-1, scale: log}
objective: {metric: val_loss}
evaluation: {stop: {steps: 4}}
"""
PROGRAM = """\
name: program
workload: command
base: {argv: [python, train.py, "--lr={lr}"], params: {lr: 0.1}, working_directory: a}
space:
  params.lr: {type: float, low: 0.0, high: 1.0}
objective: {metric: loss}
"""
SPANS = "  train.sequence_length: {type: int, low: 16, high: 64}\n"


def problems(text: str) -> list[Problem]:
    with pytest.raises(StudyError) as caught:
        parse_study(text)
    return list(caught.value.problems)


@pytest.mark.parametrize(
    ("text", "key", "parameter"),
    [
        (MODEL, "data.valid_tokens", "{type: int, low: 1024, high: 4096}"),
        (MODEL, "data.split_seed", "{type: int, low: 0, high: 9}"),
        (MODEL, "data.tokenizer", "{type: categorical, choices: [byte, gpt2]}"),
        (PROGRAM, "working_directory", "{type: categorical, choices: [a, b]}"),
        (PROGRAM, "shell", "{type: bool}"),
    ],
)
def test_it_is_refused_in_the_space(text: str, key: str, parameter: str) -> None:
    lines = text.splitlines()
    at = lines.index("space:") + 1
    (problem,) = problems("\n".join([*lines[:at], f"  {key}: {parameter}", *lines[at:]]))
    section = key.partition(".")[0]
    assert (problem.key, problem.where) == (f"space.{key}", f"study.yaml:{at + 1}")
    assert f"`{section}` is prepared once" in problem.message and "`base`" in problem.message
    assert "flopwise compare" in problem.message


@pytest.mark.parametrize(
    "derived",
    [
        "  data.valid_span: 4 * train.sequence_length\n",
        "  train.warmup_fraction: 1 / train.sequence_length\n  data.valid_span: round(64 + train.warmup_fraction)\n",
    ],
    ids=["directly", "through another one"],
)
def test_it_is_refused_where_it_is_computed_from_what_is_searched(derived: str) -> None:
    text = MODEL.replace("space:\n", f"derived:\n{derived}space:\n{SPANS}")
    (problem,) = problems(text)
    assert problem.key == "derived.data.valid_span"
    assert "with train.sequence_length, which is searched" in problem.message


def test_it_may_be_computed_from_what_does_not_vary() -> None:
    study = parse_study(MODEL.replace("space:\n", "derived: {data.valid_span: 4 * train.sequence_length}\nspace:\n"))
    assert study.canonical["base"]["data"]["valid_span"] == 128


def test_editors_do_not_offer_it() -> None:
    schema: Any = json_schema()
    rules = {rule["if"]["properties"]["workload"]["const"]: rule["then"]["properties"] for rule in schema["allOf"]}
    offered = rules["language_model"]["space"]["propertyNames"]["enum"]
    assert "train.lr" in offered and not [key for key in offered if key.startswith("data.")]
    assert "data.valid_span" in rules["language_model"]["derived"]["propertyNames"]["enum"]
