"""Kind synaptic in study files: what is refused, what can be searched, and the pilot's studies."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from flopwise.errors import StudyError
from flopwise.paths import shipped_studies
from flopwise.space import Float
from flopwise.study import Study, json_schema, load_study, parse_study
from flopwise.trial import Fidelity
from flopwise.workloads.language_model import counts
from flopwise.workloads.language_model.config import LanguageModelConfig
from flopwise.workloads.language_model.spec import SPEC
from flopwise.workloads.language_model.synaptic.config import SynapticConfig

STOP = Fidelity("steps", 5)
PREFIX = "model.synaptic."
RANGES = {
    "tau_c": (0.70, 0.99),
    "alpha_c": (0.10, 1.00),
    "init_rrp": (1.0, 18.0),
    "prime_rate": (0.01, 0.20),
    "rec_rate": (0.01, 0.20),
    "lambda_loge": (0.0, 4.0),
    "barrier_strength": (0.0, 0.50),
    "stochastic_train_frac": (0.0, 0.40),
    "post_fast_lr": (10**-4.5, 10**-2),
    "post_slow_lr": (10**-5.5, 10**-3),
}
STUDY = """\
name: kinds
workload: language_model
base: {{model: {base}}}
space:
  {space}
objective: {{metric: val_loss}}
evaluation: {{stop: {{steps: 20}}}}
"""


def pilot(name: str) -> Study:
    return load_study(shipped_studies() / "synaptic" / f"{name}.yaml")


def test_synapses_of_a_plain_model_are_a_problem_each() -> None:
    config = {"model": {"kind": "gpt", "synaptic": {"tau_c": 0.9, "init_rrp": 3.0, "alpha_c": 0.55}}}
    assert [(p.key, p.message) for p in SPEC.check(config, STOP)] == [
        ("model.synaptic.tau_c", "means nothing with kind: gpt; say kind: synaptic, or drop it"),
        ("model.synaptic.init_rrp", "means nothing with kind: gpt; say kind: synaptic, or drop it"),
    ]
    assert SPEC.check({"model": {**config["model"], "kind": "synaptic"}}, STOP) == []


@pytest.mark.parametrize(
    "synaptic",
    [{"tau": 0.9}, {"tau_c": 1.0}, {"tau_c": -0.1}, {"init_rrp": 0.0}, {"rank_eligibility": 2.5}, {"lambda_loge": "1"}],
)
def test_wrong_keys_types_and_ranges_are_refused(synaptic: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        LanguageModelConfig.model_validate({"model": {"kind": "synaptic", "synaptic": synaptic}})


def test_a_misspelt_knob_is_named_with_its_line() -> None:
    text = STUDY.format(base="{kind: synaptic}", space="model.synaptic.tau_k: {type: float, low: 0.7, high: 0.99}")
    with pytest.raises(StudyError, match=r"study\.yaml:5: .*did you mean 'model\.synaptic\.tau_c'"):
        parse_study(text)


def test_a_knob_of_a_plain_model_cannot_be_searched() -> None:
    text = STUDY.format(base="{}", space="model.synaptic.tau_c: {type: float, low: 0.7, high: 0.99}")
    with pytest.raises(StudyError, match="means nothing with kind: gpt"):
        parse_study(text)


def test_both_kinds_can_be_searched_together() -> None:
    """Where the knobs matter only with synapses."""
    knob = "model.synaptic.tau_c: {type: float, low: 0.7, high: 0.99, when: {model.kind: synaptic}}"
    study = parse_study(
        STUDY.format(base="{}", space="model.kind: {type: categorical, choices: [gpt, synaptic]}\n  " + knob)
    )
    point = study.space.encode({"model.kind": "gpt", "model.synaptic.tau_c": 0.7})
    assert study.space.decode(point)["model.synaptic.tau_c"] == SynapticConfig().tau_c


def test_editors_know_the_knobs() -> None:
    schema = json_schema()
    validator = Draft202012Validator(schema)
    study = {
        "name": "x",
        "workload": "language_model",
        "base": {"model": {"kind": "synaptic", "synaptic": {"tau_c": 0.9}}},
        "space": {"model.synaptic.alpha_c": {"type": "float", "low": 0.1, "high": 1}},
        "objective": {"metric": "val_loss"},
        "evaluation": {"stop": {"steps": 4}},
    }
    assert not list(validator.iter_errors(study))
    for wrong in ({"tau": 0.9}, {"tau_c": 1.5}):
        broken = json.loads(json.dumps(study))
        broken["base"]["model"]["synaptic"] = wrong
        assert list(validator.iter_errors(broken)), wrong
    described = schema["$defs"]["language_model.SynapticConfig"]["properties"]
    assert all(described[name]["description"] for name in SynapticConfig.model_fields)


@pytest.mark.parametrize("name", ["phase1", "phase2-robust", "toy"])
def test_the_pilot_searches_the_ten_knobs_over_their_ranges(name: str) -> None:
    found = pilot(name).space.parameters
    assert set(found) == {PREFIX + knob for knob in RANGES}
    for knob, (low, high) in RANGES.items():
        parameter = found[PREFIX + knob]
        assert isinstance(parameter, Float)
        assert (parameter.low, parameter.high) == (pytest.approx(low), pytest.approx(high))
        assert parameter.scale == ("log" if knob.startswith("post_") else "linear")


@pytest.mark.parametrize(
    ("name", "evaluations"),
    [
        ("phase1", {"min": 16, "target": 120, "max": 480}),
        ("phase2-robust", {"min": 180, "target": 720, "max": 2160}),
        ("phase2-expanded", {"min": 60, "target": 240, "max": 720}),
    ],
)
def test_tiers_are_of_the_sizes_planned(name: str, evaluations: dict[str, int]) -> None:
    canonical = pilot(name).canonical
    seeds = canonical["evaluation"]["seeds"]
    sizes = {tier: size["population"] * size["generations"] * seeds for tier, size in canonical["tiers"].items()}
    assert sizes == evaluations
    assert list(sizes) == ["min", "target", "max"]


@pytest.mark.parametrize("name", ["phase1", "phase2-robust", "phase2-expanded"])
def test_the_baseline_is_four_by_four_by_128(name: str) -> None:
    config = LanguageModelConfig.model_validate(pilot(name).canonical["base"])
    assert (config.model.kind, config.model.n_layer, config.model.n_head, config.model.n_embd) == (
        "synaptic",
        4,
        4,
        128,
    )
    assert (config.model.kv_heads, config.train.sequence_length, config.train.batch_size) == (4, 256, 8)
    stop = Fidelity("flops", pilot(name).canonical["evaluation"]["stop"]["flops"])
    assert counts.steps(config, stop) == 100
    assert counts.steps(config, Fidelity("flops", 1e10)) == 1, "the budget that was planned first"


def test_the_expanded_pilot_has_five_groups_and_leaves_no_knob_out() -> None:
    groups = ["calcium", "vesicle", "postsynaptic", "structural", "training"]
    path = shipped_studies() / "synaptic" / "phase2-expanded.yaml"
    searched = {name: set(load_study(path, groups=[name]).space.parameters) for name in groups}
    whole = set(pilot("phase2-expanded").space.parameters)
    assert set.union(*searched.values()) == whole
    assert sum(map(len, searched.values())) == len(whole)
    assert {PREFIX + name for name in SynapticConfig.model_fields} <= whole
    assert set(pilot("phase1").space.parameters) <= whole


def test_the_commands_of_the_page_work(flopwise: Any, tmp_path: Path) -> None:
    """Among them the toy study, which comes to its end with losses that its knobs have changed."""
    page = (Path(__file__).parents[2] / "docs" / "language-model.md").read_text()
    section = page.partition("## Synaptic attention\n")[2].partition("\n## ")[0]
    commands = re.findall(r"^\$ flopwise (.*)$", section, re.MULTILINE)
    assert [command.split()[0] for command in commands] == ["check", "check", "check", "run", "verify"]
    for command in commands:
        done = flopwise(*command.split())
        assert done.returncode == 0, command + done.stdout + done.stderr
    report = json.loads((tmp_path / "runs" / "synaptic-toy" / "report.json").read_text())
    values = [trial["value"] for trial in report["trials"] if trial["phase"] == "search"]
    assert len(set(values)) == len(values) == 4
    assert all(math.isfinite(value) for value in values)
