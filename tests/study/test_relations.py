"""Conditions, constraints and derived values in a study file: what they mean, and every mistake in them."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from flopwise.errors import ExpressionError, StudyError
from flopwise.study import (
    baseline_config,
    full_config,
    parse_study,
    rules_of,
    space_of,
    study_from_canonical,
    study_from_mapping,
)

Edit = Callable[..., str]


def problems(text: str) -> list[str]:
    with pytest.raises(StudyError) as caught:
        parse_study(text, "s.yaml")
    return [str(problem) for problem in caught.value.problems]


def only_problem(text: str) -> str:
    (found,) = problems(text)
    return found


def with_space(edited: Edit, *lines: str, add: str = "") -> str:
    inner = "".join(f"  {line}\n" for line in lines)
    return edited("space:\n", f"space:\n{inner}") + add


WIDTH = "net.width: {type: int, low: 2, high: 64}"
KIND = "net.kind: {type: categorical, choices: [plain, odd]}"


# Conditions


def test_conditions_are_kept_in_the_canonical_form_and_obeyed(edited: Edit) -> None:
    dropout = "net.dropout: {type: float, low: 0, high: 1, when: {net.kind: odd, net.bias: [true]}}"
    study = parse_study(with_space(edited, KIND, dropout))
    assert study.canonical["space"]["net.dropout"]["when"] == {"net.bias": [True], "net.kind": ["odd"]}
    assert "when" not in study.canonical["space"]["net.kind"]
    space = space_of(study.canonical)
    assert space.keys == ("net.dropout", "net.kind", "train.lr")
    assert space.decode([0.5, 0.1, 0.0])["net.dropout"] == 0.0
    assert space.decode([0.5, 0.9, 0.0])["net.dropout"] == 0.5
    assert space.decode(space.encode(baseline_config(study.canonical)))["net.kind"] == "plain"


def test_a_study_without_relations_has_no_trace_of_them(minimal: str) -> None:
    canonical = parse_study(minimal + "constraints: []\nderived: {}\ngroups: {a: [train.lr]}\n").canonical
    assert canonical == parse_study(minimal).canonical
    assert not {"constraints", "derived", "groups"} & set(canonical)
    assert rules_of(canonical).objection({}) is None


def test_canonical_forms_survive_as_files_and_as_json(edited: Edit) -> None:
    text = with_space(
        edited,
        "net.heads: {type: int, low: 1, high: 2}",
        "net.dropout: {type: float, low: 0, high: 1, when: {net.heads: [1]}}",
        add="constraints: ['net.width % net.heads == 0', net.dropout < 0.9]\n"
        "derived: {train.steps_per_unit: 2 * train.lr, net.width: 4 * net.heads}\n",
    )
    study = parse_study(text)
    again = study_from_canonical(json.loads(json.dumps(study.canonical)))
    assert again.hash == study.hash
    assert parse_study(again.text).canonical == study.canonical


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("{net.kind: od}", "when.net.kind: expected one of plain, odd, got 'od'; did you mean 'odd'?"),
        ("{net.kind: [plain, 3]}", "when.net.kind: expected one of plain, odd, got 3"),
        ("{net.heads: 3}", "when.net.heads: this never holds: net.heads is 2 in `base` and does not vary"),
        ("{net.window: 3}", "when.net.window: no such key in the space or the baseline"),
        ("{net.knid: odd}", "when.net.knid: no such key in the space or the baseline; did you mean 'net.kind'?"),
        ("{train.lr: 0.001}", "when.train.lr: a float hardly ever has one exact value"),
        ("{net.kind: {a: b}}", "when.net.kind: expected a value (number, text, true or false) or a list"),
        ("{net.kind: []}", "when.net.kind: expected a value (number, text, true or false) or a list"),
        ("{net.kind: null}", "when.net.kind: expected a value (number, text, true or false) or a list"),
        ("odd", "when: expected a mapping, got 'odd'"),
        ("{net.dropout: 0.5}", "when: the conditions go round: net.dropout needs net.dropout"),
        ("{net.bias: 1}", "when.net.bias: this never holds: net.bias is True in `base` and does not vary"),
    ],
)
def test_conditions_that_cannot_hold_are_problems(edited: Edit, when: str, expected: str) -> None:
    text = with_space(edited, KIND, f"net.dropout: {{type: float, low: 0, high: 1, when: {when}}}")
    assert any(line.startswith(f"s.yaml:5: space.net.dropout.{expected}") for line in problems(text)), problems(text)


def test_conditions_that_go_round_or_exclude_each_other(edited: Edit) -> None:
    heads = "net.heads: {type: int, low: 1, high: 2, when: {net.bias: true}}"
    bias = "net.bias: {type: bool, when: {net.heads: 1}}"
    assert "the conditions go round: net." in only_problem(with_space(edited, heads, bias))
    chain = ("net.heads: {type: int, low: 1, high: 2, when: {net.kind: odd}}",)
    never = "net.dropout: {type: float, low: 0, high: 1, when: {net.kind: plain, net.heads: 1}}"
    found = only_problem(with_space(edited, KIND, *chain, never))
    assert found == "s.yaml:6: space.net.dropout.when: its conditions exclude each other, so it never matters"


def test_a_parameter_is_tried_where_its_conditions_hold(edited: Edit) -> None:
    """``width`` 7 needs ``heads`` 1 or 7; at the baseline's 2 it would be refused."""
    heads = "net.heads: {type: int, low: 1, high: 2}"
    width = "net.width: {type: int, low: 1, high: 64, when: {net.heads: 1}}"
    parse_study(with_space(edited, heads, width))
    refused = only_problem(with_space(edited, heads, width.replace("net.heads: 1", "net.heads: 2")))
    assert refused == "s.yaml:5: space.net.width: at 1: width 1 is not a multiple of heads 2"


def test_a_condition_on_a_broken_parameter_is_not_a_second_mistake(edited: Edit) -> None:
    text = with_space(edited, KIND.replace("odd", "plain"), "net.bias: {type: bool, when: {net.kind: odd}}")
    assert "a choice is listed twice" in only_problem(text)


# Constraints


@pytest.mark.parametrize(
    ("constraint", "expected"),
    [
        ("net.width %", "not an expression: it ends too early, at character 12 of 'net.width %'"),
        ("net.widht > 1", "no such key 'net.widht'; did you mean 'net.width'?, at character 1 of 'net.widht > 1'"),
        ("net.kind == plain", "no such key 'plain'; a text stands in quotes: 'plain', at character 13"),
        ("net == 3", "no such key 'net'"),
        ("net.width", "at the baseline: expected a comparison, true or false, got 8, at character 1 of 'net.width'"),
        ("net.width / 0 > 1", "at the baseline: a division by zero, at character 1"),
        ("net.width > 8", "the baseline does not satisfy it: net.width = 8"),
        ("net.width + train.lr < 1", "the baseline does not satisfy it: net.width = 8, train.lr = 0.001"),
        ("1 > 2", "the baseline does not satisfy it: it never holds"),
        ("net.window > 1", "at the baseline: expected a number, got null, at character 1 of 'net.window > 1'"),
    ],
)
def test_a_wrong_constraint_is_one_problem(edited: Edit, constraint: str, expected: str) -> None:
    found = only_problem(edited(add=f"constraints:\n  - 'train.lr > 0'\n  - {constraint}\n"))
    assert found.startswith(f"s.yaml:10: constraints.1: {expected}")


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ("constraints: train.lr > 0", "constraints: expected a list, got 'train.lr > 0'"),
        ("constraints: [3]", "constraints.0: expected a text, got 3"),
        ("constraints: [{train.lr: 3}]", "constraints.0: expected a text, got {'train.lr': 3}"),
        (f"constraints: ['{'1 +' * 200} 1']", "constraints.0: expected a text of at most"),
        ("derived: [a]", "derived: expected a mapping, got ['a']"),
        ("derived: {net.width: 8}", "derived.net.width: expected a text, got 8"),
        ("derived: {'net width': '8'}", "derived.net width: expected a dotted key such as train.lr, got 'net width'"),
    ],
)
def test_sections_of_another_shape_are_problems(edited: Edit, section: str, expected: str) -> None:
    assert expected in only_problem(edited(add=section + "\n"))


def test_a_range_may_reach_beyond_a_constraint(edited: Edit) -> None:
    text = with_space(edited, WIDTH)
    assert "at 3: width 3 is not a multiple of heads 2" in only_problem(text)
    study = parse_study(text + "constraints: [net.width % net.heads == 0]\n")
    assert study.warnings == ()
    rules = rules_of(study.canonical)
    assert rules.allows({"net.width": 4}) and not rules.allows({"net.width": 5})
    assert rules.objection({"net.width": 5}) == "net.width % net.heads == 0 does not hold"


def test_a_missing_constraint_is_noted(edited: Edit) -> None:
    lines = ("net.width: {type: int, low: 4, high: 64, step: 4}", "net.heads: {type: int, low: 1, high: 2}")
    assert parse_study(with_space(edited, *lines)).warnings == ()
    lines = ("net.width: {type: int, low: 6, high: 60, step: 6}", "net.heads: {type: int, low: 1, high: 4}")
    text = with_space(edited, *lines, add="base: {net: {width: 12}}\n")
    (note,) = parse_study(text, "s.yaml").warnings
    assert note.startswith("s.yaml:3: space: the workload refuses ")
    assert "is not a multiple of heads 4. Say under `constraints` what has to hold" in note
    assert parse_study(text + "constraints: [net.width % net.heads == 0]\n").warnings == ()


def test_constraints_that_allow_nothing_or_little(edited: Edit) -> None:
    few = with_space(edited, WIDTH, add="constraints: ['net.width in [8]']\n")
    (note,) = parse_study(few, "s.yaml").warnings
    assert note.startswith("s.yaml:9: constraints: only 1.") and "mostly: net.width in [8] does not hold" in note
    nothing = edited(add="constraints: [train.lr == 0.001]\n")
    found = only_problem(nothing)
    assert found.startswith("s.yaml:8: constraints: none of 1000 random configs is allowed; mostly: train.lr == 0.001")


# Derived values


def test_derived_values_are_computed_for_every_config(edited: Edit) -> None:
    text = with_space(
        edited,
        "net.heads: {type: int, low: 1, high: 4}",
        add="derived: {net.width: 6 / train.steps_per_unit * net.heads, "
        "train.steps_per_unit: '3', net.kind: \"'k'\"}\n",
    )
    canonical = parse_study(text).canonical
    assert canonical["derived"]["net.width"] == {"value": "6 / train.steps_per_unit * net.heads", "type": "int"}
    assert (canonical["base"]["net"]["width"], canonical["base"]["train"]["steps_per_unit"]) == (4, 3.0)
    full = full_config(canonical, {"net.heads": 4, "train.lr": 0.01})
    assert (full["net"]["width"], full["net"]["kind"], full["train"]) == (8, "k", {"lr": 0.01, "steps_per_unit": 3.0})
    assert type(full["net"]["width"]) is int and type(full["train"]["steps_per_unit"]) is float
    assert full_config(canonical, {})["net"]["width"] == 4


def test_constraints_see_derived_values(edited: Edit) -> None:
    heads = "net.heads: {type: int, low: 1, high: 8}"
    rules = "derived: {net.width: 4 * net.heads}\nconstraints: [net.width <= 16]\n"
    canonical = parse_study(with_space(edited, heads, add=rules)).canonical
    assert [rules_of(canonical).allows({"net.heads": heads}) for heads in (1, 4, 5)] == [True, True, False]


def test_a_config_whose_derived_values_cannot_be_computed_is_not_allowed(edited: Edit) -> None:
    rules = "base: {net: {heads: 1}}\nderived: {net.window: net.width / 2}\n"
    canonical = parse_study(with_space(edited, WIDTH, add=rules)).canonical
    assert canonical["derived"]["net.window"]["type"] == "int"
    assert rules_of(canonical).allows({"net.width": 4})
    objection = rules_of(canonical).objection({"net.width": 5})
    assert objection == "expected a whole number, got 2.5; use round(…) or //, at character 1 of 'net.width / 2'"
    with pytest.raises(ExpressionError):
        full_config(canonical, {"net.width": 5})


@pytest.mark.parametrize(
    ("derived", "expected"),
    [
        ("{train.lr: '0.1'}", "derived.train.lr: also in `space`; a key is either searched or computed"),
        ("{net.widht: '1'}", "derived.net.widht: the workload 'toy' has no such key; expected one of net.width,"),
        ("{net: '1'}", "derived.net: this is a section; name one of its keys: net.width,"),
        ("{net.width: net.width + 1}", "derived.net.width: computed from itself: net.width needs net.width"),
        (
            "{net.width: net.heads, net.heads: net.width}",
            "derived.net.heads: computed from itself: net.heads needs net.width needs net.heads",
        ),
        (
            "{net.width: net.heads / 4}",
            "derived.net.width: at the baseline: expected a whole number, got 0.5; use round",
        ),
        ("{net.width: net.kind}", "derived.net.width: at the baseline: expected a whole number, got 'plain'"),
        ("{net.width: '65'}", "derived.net.width: at the baseline: expected at most 64, got 65"),
        ("{net.kind: '3'}", "derived.net.kind: at the baseline: expected a text, got 3"),
        ("{net.bias: net.width}", "derived.net.bias: at the baseline: expected true or false, got 8"),
        ("{net.width: 1 / 0}", "derived.net.width: at the baseline: a division by zero, at character 1"),
        ("{net.width: 3 *}", "derived.net.width: not an expression: it ends too early, at character 4 of '3 *'"),
        ("{net.window: 'null'}", "derived.net.window: at the baseline: read as nothing"),
        ("{net.width: '7'}", "base.net.width: width 7 is not a multiple of heads 2"),
    ],
)
def test_a_wrong_derived_value_is_one_problem(edited: Edit, derived: str, expected: str) -> None:
    assert only_problem(edited(add=f"derived: {derived}\n")).startswith(("s.yaml:8: ", "s.yaml:1: "))
    assert expected in only_problem(edited(add=f"derived: {derived}\n"))


def test_a_derived_key_in_the_base_has_to_agree(edited: Edit) -> None:
    parse_study(edited(add="derived: {net.width: 4 * net.heads}\nbase: {net: {width: 8}}\n"))
    found = only_problem(edited(add="derived: {net.width: 4 * net.heads}\nbase: {net: {width: 10}}\n"))
    assert "derived.net.width: `base` says 10, but it is computed as 8; drop it from `base`" in found


def test_derived_values_of_a_workload_that_takes_anything() -> None:
    study = {
        "name": "f",
        "workload": "anything",
        "space": {"x": {"type": "int", "low": 1, "high": 9}, "deep.y": {"type": "float", "low": 0, "high": 1}},
        "derived": {"z": "x * 2", "deep.w": "z + deep.y if x > 5 else 0", "name": "'a' if x == 5 else 'b'"},
        "constraints": ["z != 6"],
        "objective": {"metric": "y"},
        "search": {"method": "draws"},
    }
    canonical = study_from_mapping(study).canonical
    assert canonical["derived"]["z"] == {"value": "x * 2", "type": None}
    assert full_config(canonical, {"x": 6, "deep.y": 0.5}) == {
        "x": 6,
        "z": 12,
        "name": "b",
        "deep": {"y": 0.5, "w": 12.5},
    }
    assert full_config(canonical, {})["z"] == 10
    assert not rules_of(canonical).allows({"x": 3, "deep.y": 0.5})
    with pytest.raises(StudyError, match=r"derived\.x\.q: lies inside 'x', which the space sets as a whole"):
        study_from_mapping({**study, "derived": {"x.q": "1"}})
    with pytest.raises(StudyError, match=r"constraints\.0: no such key 'xx'; did you mean 'x'\?"):
        study_from_mapping({**study, "constraints": ["xx > 1"]})


def test_all_mistakes_about_relations_come_at_once(edited: Edit) -> None:
    found = problems(
        with_space(
            edited,
            KIND.replace("odd]", "odd], when: {net.heads: 9}"),
            add="constraints:\n- net.a > 1\n- 1 +\n- train.lr > 1\nderived:\n  net.width: 1 / 0\n  net.b: '1'\n"
            "groups: {g: [net.c]}\n",
        )
    )
    assert [line.split(": ")[1] for line in found] == [
        "space.net.kind.when.net.heads",
        "constraints.0",
        "constraints.1",
        "constraints.2",
        "derived.net.width",
        "derived.net.b",
        "groups.g.0",
    ]
