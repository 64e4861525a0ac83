"""The canonical form: stable hashes, order, round trips, and the configs read from it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flopwise.errors import SpaceError
from flopwise.study import (
    Study,
    baseline_config,
    calibration_key,
    full_config,
    parse_study,
    space_of,
    study_from_canonical,
    study_from_mapping,
    study_hash,
)
from flopwise.study.study import yaml_text

Edit = Callable[..., str]


@pytest.fixture
def study(minimal: str) -> Study:
    return parse_study(minimal)


def test_the_hash_of_a_study_never_changes(study: Study) -> None:
    assert study.hash == study_hash(study.canonical)
    assert study.hash == "348148510c1588ac74646fb424282f5fde9ae975d8507184a8c4f507149a196c"


def test_the_hash_survives_the_journal(study: Study) -> None:
    again = json.loads(json.dumps(study.canonical))
    assert again == study.canonical
    assert study_hash(again) == study.hash


def test_spelling_and_order_do_not_change_the_hash(study: Study, minimal: str) -> None:
    lines = minimal.splitlines()
    shuffled = [
        *lines[4:],
        lines[1],
        lines[0],
        lines[2],
        "  train.lr: {high: 0.1, scale: log, low: 0.0001, type: float}",
    ]
    text = "\n".join(shuffled).replace("1e3", "1 kFLOP") + "\nconfirm: {seeds: auto}\nbase: {net: {width: 8}}\n"
    assert parse_study(text, "other.yaml").hash == study.hash


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("name: pilot", "name: other"),
        ("1e-4", "2e-4"),
        ("1e3", "1001"),
        ("draws}", "draws, seed: 1}"),
        ("val_loss", "accuracy"),
    ],
)
def test_any_other_setting_changes_the_hash(study: Study, edited: Edit, old: str, new: str) -> None:
    assert parse_study(edited(old, new)).hash != study.hash


def test_the_order_of_the_space_in_the_file_does_not_matter(edited: Edit) -> None:
    first = edited("space:\n", "space:\n  net.dropout: {type: float, low: 0, high: 1}\n")
    second = edited("scale: log}\n", "scale: log}\n  net.dropout: {type: float, low: 0, high: 1}\n")
    assert parse_study(first).space.keys == parse_study(second).space.keys == ("net.dropout", "train.lr")
    assert parse_study(first).hash == parse_study(second).hash
    assert space_of({"space": dict(reversed(parse_study(first).canonical["space"].items()))}).keys[0] == "net.dropout"


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("name: pilot", "name: other", True),
        ("1e-4", "2e-4", True),
        ("method: draws", "method: waves", True),
        ("search:", "limits: {price: 1}\nsearch:", True),
        ("search:", "execution: {slots: 2}\nsearch:", True),
        ("search:", "execution: {threads: 2}\nsearch:", False),
        ("search:", "calibration: {seeds: 4}\nsearch:", False),
        ("search:", "base: {net: {width: 4}}\nsearch:", False),
        ("draws}", "draws, seed: 1}", False),
        ("val_loss", "accuracy", False),
        ("1e3", "1001", False),
    ],
)
def test_what_a_calibration_depends_on(study: Study, edited: Edit, old: str, new: str, same: bool) -> None:
    key = calibration_key(study.canonical, {"torch": "2"}, {"cores": 2})
    other = calibration_key(parse_study(edited(old, new)).canonical, {"torch": "2"}, {"cores": 2})
    assert (key == other) is same


def test_a_calibration_depends_on_packages_and_machine(study: Study) -> None:
    keys = {
        calibration_key(study.canonical, {"torch": "2"}, {"cores": 2}),
        calibration_key(study.canonical, {"torch": "3"}, {"cores": 2}),
        calibration_key(study.canonical, {"torch": "2"}, {"cores": 4}),
    }
    assert len(keys) == 3


def test_the_baseline_is_what_the_base_says(edited: Edit) -> None:
    study = parse_study(edited("space:\n", "base: {train: {lr: 0.01}}\nspace:\n  net.bias: {type: bool}\n"))
    assert baseline_config(study.canonical) == {"net.bias": True, "train.lr": 0.01}


def test_without_a_base_the_baseline_is_the_centre() -> None:
    study = study_from_mapping(
        {
            "name": "f",
            "workload": "anything",
            "base": {"c": 7},
            "space": {
                "a": {"type": "float", "low": 0, "high": 4},
                "b.x": {"type": "categorical", "choices": ["u", "v"]},
                "c": {"type": "int", "low": 1, "high": 9},
            },
            "objective": {"metric": "y"},
            "search": {"method": "draws"},
        }
    )
    assert baseline_config(study.canonical) == {"a": 2.0, "b.x": "u", "c": 7}
    assert full_config(study.canonical, {"a": 1.0, "b.x": "v"}) == {"a": 1.0, "b": {"x": "v"}, "c": 7}


def test_a_full_config_is_the_base_with_the_keys_set(study: Study) -> None:
    before = json.dumps(study.canonical)
    full = full_config(study.canonical, {"train.lr": 0.02, "net.width": 4})
    assert full["train"] == {"lr": 0.02, "steps_per_unit": 1.0}
    assert full["net"]["width"] == 4
    full["net"]["heads"] = 99
    assert json.dumps(study.canonical) == before


def test_a_study_from_a_journal_is_taken_as_it_is(study: Study) -> None:
    again = study_from_canonical(json.loads(json.dumps(study.canonical)))
    assert (again.canonical, again.hash, again.source) == (study.canonical, study.hash, "journal")
    assert parse_study(again.text).canonical == study.canonical


def test_a_parameter_of_an_unknown_type_is_refused() -> None:
    with pytest.raises(SpaceError, match="unknown parameter type"):
        space_of({"space": {"x": {"type": "complex"}}})


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
values: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.booleans(), st.integers(-(2**62), 2**62), st.floats(allow_nan=False, allow_infinity=False), texts),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.from_regex(r"[A-Za-z 0-9:#'-]{1,6}", fullmatch=True), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(base=st.dictionaries(st.from_regex(r"[a-z]{1,5}", fullmatch=True), values, max_size=3))
def test_generated_yaml_gives_the_same_study(base: dict[str, Any]) -> None:
    study = study_from_mapping(
        {
            "name": "f",
            "workload": "anything",
            "base": base,
            "space": {"zzz.x": {"type": "bool"}},
            "objective": {"metric": "y"},
            "search": {"method": "waves" if len(base) > 5 else "draws"},
            "policies": {"watch": False},
        }
    )
    assert parse_study(yaml_text(study.canonical)).canonical == study.canonical
