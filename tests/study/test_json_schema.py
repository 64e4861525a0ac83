"""The JSON schema of study files: valid files pass, typos do not, and editors get names and descriptions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from flopwise import registry
from flopwise.paths import shipped_studies
from flopwise.study import json_schema, parse_study, template
from flopwise.study.schema import StudyFile

pytestmark = pytest.mark.usefixtures("real_members")

DOCS = Path(__file__).parents[2] / "docs"
SHIPPED = sorted(path for path in shipped_studies().rglob("*.yaml") if "workload" in path.read_text())


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    schema = json_schema()
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def read(text: str) -> Any:
    return YAML(typ="safe", pure=True).load(text)


def mistakes(validator: Draft202012Validator, text: str) -> list[str]:
    """Where a file is wrong, as dotted keys."""
    found = []
    errors = list(validator.iter_errors(read(text)))
    while errors:
        error = errors.pop()
        errors += error.context or []
        found.append(".".join(str(part) for part in error.absolute_path) + ": " + error.message)
    return found


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_studies_are_valid(validator: Draft202012Validator, path: Path) -> None:
    assert mistakes(validator, path.read_text()) == []


def test_there_are_shipped_studies() -> None:
    assert any(path.stem == "quickstart" for path in SHIPPED)


def test_the_template_is_valid(validator: Draft202012Validator) -> None:
    assert mistakes(validator, template("x")) == []


EVERY_KEY = """\
name: every-key
workload: language_model
after: another-run
base: {model: {n_layer: 10, n_kv_head: null}, train: {clip: null, lr: 3.0e-3}}
space:
  train.lr: {type: float, low: 1.0e-4, high: 0.1, scale: log, when: {model.mlp: [swiglu], model.tied_head: false}}
  model.n_layer: {type: int, low: 1, high: 9, step: 2}
  model.mlp: {type: categorical, choices: [swiglu, relu2]}
  model.tied_head: {type: bool}
constraints: [model.n_layer < 99]
derived: {train.beta1: 1 - train.lr}
groups: {a: [train.lr, model.n_layer]}
objective: {metric: val_loss, direction: minimize}
evaluation: {stop: {flops: 150 GFLOP}, seeds: 2, timeout: 1h30m}
search: {method: cmaes, seed: 3, asynchronous: true, sigma: 0.2, groups: [a], freeze: []}
tiers: {min: {population: 4, generations: 2}}
limits: {evaluations: 9, device_hours: 2.5, wall_clock: 8h, price: $2, flops: 1e15}
execution:
  {executor: inline, slots: auto, threads: 2, price_per_hour: 0.2, grace: 5s, retries: 0, pass_env: [A],
   memory: 4 GiB, accelerators: 1, exclusive: true, wait: 1h}
policies: {crash_rate: {pause_above: 0.2}, patience: false, crash_loop: null}
calibration: {seeds: 2, signal: 4, knobs: true, ladder: 5m}
proxy: {stop: {flops: 10 GFLOP}, recheck: 1, pause_below: 0.4}
confirm: {top: 2, seeds: auto, looks: 2, min_improvement: 0, also: {train_loss: {direction: minimize, worse: 0.1}}}
"""


def test_a_file_with_every_key_is_valid_in_both(validator: Draft202012Validator) -> None:
    assert set(read(EVERY_KEY)) == set(StudyFile.model_fields)
    parse_study(EVERY_KEY)
    assert mistakes(validator, EVERY_KEY) == []


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ("name: every-key", "nmae: every-key", "nmae"),
        ("workload: language_model", "workload: language_modle", "workload"),
        ("n_layer: 10", "n_layers: 10", "n_layers"),
        ("n_layer: 10", "n_layer: ten", "base.model.n_layer"),
        ("n_layer: 10", "n_layer: 0", "base.model.n_layer"),
        ("  train.lr:", "  train.rl:", "train.rl"),
        ("type: bool", "type: boole", "space.model.tied_head"),
        ("step: 2", "stpe: 2", "stpe"),
        ("step: 2", "step: 0", "space.model.n_layer"),
        ("scale: log", "scale: lgo", "space.train.lr"),
        ("[swiglu, relu2]", "[swiglu]", "space.model.mlp"),
        ("when: {", "wen: {", "wen"),
        ("[model.n_layer < 99]", "[3]", "constraints.0"),
        ("{train.beta1:", "{train.beta3:", "train.beta3"),
        ("{train.beta1: 1 - train.lr}", "{train.beta1: 1}", "derived.train.beta1"),
        ("groups: {a: [train.lr, model.n_layer]}", "groups: {a: train.lr}", "groups.a"),
        ("val_loss", "val_los", "objective.metric"),
        ("minimize", "minimise", "objective.direction"),
        ("{flops: 150", "{flop: 150", "flop"),
        ("seeds: 2, timeout", "seeds: 0, timeout", "evaluation.seeds"),
        ("method: cmaes", "method: cmase", "search.method"),
        ("sigma: 0.2", "sgima: 0.2", "sgima"),
        ("sigma: 0.2", "sigma: 2", "search.sigma"),
        ("{population: 4", "{populaton: 4", "populaton"),
        ("{population: 4", "{population: 1", "tiers.min.population"),
        ("evaluations: 9", "evaluations: 0", "limits.evaluations"),
        ("executor: inline", "executor: remote", "execution.executor"),
        ("slots: auto", "slots: many", "execution.slots"),
        ("pause_above: 0.2", "pause_abov: 0.2", "pause_abov"),
        ("patience: false", "patienc: false", "patienc"),
        ("evaluation: {stop: {flops: 150 GFLOP}, seeds: 2, timeout: 1h30m}\n", "", "evaluation"),
    ],
)
def test_typos_are_refused_where_they_stand(validator: Draft202012Validator, old: str, new: str, where: str) -> None:
    assert old in EVERY_KEY
    found = mistakes(validator, EVERY_KEY.replace(old, new, 1))
    assert any(where in mistake for mistake in found), found


def test_empty_sections_are_valid(validator: Draft202012Validator) -> None:
    empty = [name for name, field in StudyFile.model_fields.items() if not field.is_required()]
    text = template("x").split("\nafter:")[0] + "\nspace: {train.lr: {type: float, low: 1, high: 2}}\n"
    text += "objective: {metric: val_loss}\nevaluation: {stop: {steps: 9}}\n"
    text += "".join(f"{name}:\n" for name in empty if name != "evaluation")
    assert mistakes(validator, text) == []
    parse_study(text)


def test_members_are_listed_with_their_options_and_descriptions() -> None:
    schema = json_schema()
    text = json.dumps(schema)
    for family in ("searchers", "policies", "executors", "workloads"):
        assert [name for name in registry.names(family) if f'"{name}"' not in text] == []
    assert "Peak learning rate." in text and "Transformer blocks." in text
    described = schema["properties"]["limits"]
    assert "description" in described or "$ref" in json.dumps(described)


def test_every_reference_leads_somewhere() -> None:
    schema = json_schema()
    text = json.dumps(schema)
    references = {part.split('"')[0] for part in text.split('"$ref": "#/$defs/')[1:]}
    assert references and references <= set(schema["$defs"])
    assert not [f'"{name}":' for name in ("ge", "gt", "le", "lt", "discriminator") if f'"{name}":' in text]
