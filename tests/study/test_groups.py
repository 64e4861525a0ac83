"""Searching part of a space: groups that are picked, keys that are frozen, and what is left."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flopwise.errors import StudyError
from flopwise.study import Study, baseline_config, full_config, load_study, parse_study, study_from_mapping

Edit = Callable[..., str]
LINES = """\
  net.width: {type: int, low: 4, high: 64, step: 4}
  net.bias: {type: bool}
  net.kind: {type: categorical, choices: [plain, odd]}
  net.dropout: {type: float, low: 0, high: 1, when: {net.kind: odd}}
"""
GROUPS = "groups: {shape: [net.width, net.bias], training: [train.lr], kinds: [net.kind, net.dropout]}\n"


@pytest.fixture
def text(edited: Edit) -> str:
    return edited("space:\n", f"space:\n{LINES}", add=GROUPS)


def picked(text: str, search: str) -> Study:
    return parse_study(text.replace("{method: draws}", f"{{method: draws, {search}}}"), "s.yaml")


def refused(text: str, search: str) -> str:
    with pytest.raises(StudyError) as caught:
        picked(text, search)
    (problem,) = caught.value.problems
    return str(problem)


@pytest.mark.parametrize(
    ("search", "keys"),
    [
        ("seed: 0", ["net.bias", "net.dropout", "net.kind", "net.width", "train.lr"]),
        ("groups: [shape]", ["net.bias", "net.width"]),
        ("groups: [shape, training]", ["net.bias", "net.width", "train.lr"]),
        ("groups: [shape, training], freeze: [net.bias]", ["net.width", "train.lr"]),
        ("freeze: [shape, net.dropout]", ["net.kind", "train.lr"]),
        ("groups: null, freeze: [kinds]", ["net.bias", "net.width", "train.lr"]),
    ],
)
def test_what_is_searched(text: str, search: str, keys: list[str]) -> None:
    canonical = picked(text, search).canonical
    assert list(canonical["space"]) == keys
    assert list(baseline_config(canonical)) == keys
    assert full_config(canonical, {})["net"]["width"] == 8
    assert set(canonical["search"]) == {"method", "seed", "options"}


def test_what_is_picked_is_a_study_of_its_own(text: str, edited: Edit) -> None:
    direct = edited("space:\n", "space:\n  net.bias: {type: bool}\n")
    assert picked(text, "groups: [training], freeze: []").hash == parse_study(edited()).hash
    assert picked(text, "freeze: [net.width, kinds]").hash == parse_study(direct).hash


def test_a_searcher_sees_only_what_is_searched(text: str) -> None:
    text = text.replace("draws", "waves")
    with pytest.raises(StudyError, match="waves takes numbers only"):
        parse_study(text)
    study = parse_study(text.replace("{method: waves}", "{method: waves, freeze: [net.bias, net.kind]}"))
    assert study.space.keys == ("net.width", "train.lr")


def test_what_can_no_longer_matter_is_left_out_with_a_note(text: str) -> None:
    study = picked(text, "freeze: [net.kind]")
    assert "net.dropout" not in study.canonical["space"]
    assert study.warnings == (
        "s.yaml:7: space.net.dropout: not searched: it matters only where net.kind is 'odd', which stays 'plain'",
    )
    based = picked(text + "base: {net: {kind: odd}}\n", "freeze: [net.kind]")
    assert based.canonical["space"]["net.dropout"]["when"] == {"net.kind": ["odd"]}
    assert parse_study(based.text).canonical["space"] != {} and based.space.decode([0.9] * 4)["net.dropout"] == 0.9


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        (
            "groups: [shap]",
            "search.groups.0: expected one of shape, training, kinds, got 'shap'; did you mean 'shape'?",
        ),
        ("groups: [net.width]", "search.groups.0: expected one of shape, training, kinds, got 'net.width'"),
        ("groups: shape", "search.groups: expected a list, got 'shape'"),
        ("groups: []", "search.groups: nothing is left to search"),
        ("groups: [training], freeze: [train.lr]", "search.groups: nothing is left to search"),
        ("freeze: [shape, training, kinds]", "search.freeze: nothing is left to search"),
        ("freeze: [net.widht]", "did you mean 'net.width'?"),
    ],
)
def test_names_and_choices_that_make_no_sense(text: str, search: str, expected: str) -> None:
    assert expected in refused(text, search)


def test_groups_name_keys_of_the_space(text: str) -> None:
    assert refused(text.replace("[train.lr]", "[train.rl]"), "seed: 1").startswith(
        "s.yaml:12: groups.training.0: expected one of net.width, net.bias, net.kind, net.dropout, train.lr, got"
    )
    assert "there is no group 'shape': `groups` is empty" in refused(text.replace(GROUPS, ""), "groups: [shape]")


def test_a_frozen_key_without_a_baseline_stays_at_its_centre() -> None:
    study: dict[str, Any] = {
        "name": "f",
        "workload": "anything",
        "space": {"x": {"type": "float", "low": 0, "high": 4}, "deep.y": {"type": "int", "low": 1, "high": 9}},
        "objective": {"metric": "y"},
        "search": {"method": "draws", "freeze": ["deep.y"]},
    }
    canonical = study_from_mapping(study).canonical
    assert canonical["base"] == {"deep": {"y": 5}}
    assert full_config(canonical, {"x": 1.0}) == {"x": 1.0, "deep": {"y": 5}}


def test_the_command_line_picks_in_place_of_the_file(text: str, tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(text.replace("{method: draws}", "{method: draws, groups: [kinds], freeze: [net.dropout]}"))
    assert load_study(path).space.keys == ("net.kind",)
    assert load_study(path, groups=["shape"]).space.keys == ("net.bias", "net.width")
    assert load_study(path, groups=["shape", "kinds"], freeze=["net.bias"]).space.keys == ("net.kind", "net.width")
    with pytest.raises(StudyError, match=r"search\.groups\.0: expected one of shape, training, kinds, got 'nothing'"):
        load_study(path, groups=["nothing"])
    path.write_text("search: 3\n")
    with pytest.raises(StudyError, match=r"search: expected a mapping, got 3"):
        load_study(path, groups=["nothing"])
