"""A list of configs: run as they are, in their order, and every mistake in it named by place and key."""

from __future__ import annotations

from typing import Any

import pytest

from flopwise.errors import StudyError
from flopwise.searchers.fixed import Fixed
from flopwise.space import Categorical, Float, Int, Space
from flopwise.study import parse_study

SPACE = Space({"lr": Float(1e-4, 1.0, "log"), "depth": Int(2, 8, step=2), "kind": Categorical((1, True, "a"))})
GOOD = [
    {"lr": 3e-3, "depth": 4, "kind": "a"},
    {"lr": 0.1, "depth": 2.0, "kind": True},
    {"lr": 1, "depth": 8, "kind": 1},
]

FILE = """\
name: listed
workload: language_model
space:
  train.lr: {type: float, low: 1e-4, high: 1e-1, scale: log}
  model.tied_head: {type: bool}
objective: {metric: val_loss}
evaluation: {stop: {steps: 20}}
search:
  method: fixed
  configs:
    - {train.lr: 1e-3, model.tied_head: true}
    - {train.lr: 1e-2, model.tied_head: false}
"""


def fixed(configs: list[Any], space: Space = SPACE) -> Fixed:
    return Fixed(space, 0, Fixed.Options(configs=configs), {}, None)


def problems(config: Any, space: Space = SPACE) -> list[str]:
    """What is said about a config that stands behind two good ones."""
    return [str(problem) for problem in Fixed.check(space, Fixed.Options(configs=[*GOOD[:2], config]))]


def file_problems(text: str) -> list[str]:
    with pytest.raises(StudyError) as caught:
        parse_study(text, "s.yaml")
    return [str(problem) for problem in caught.value.problems]


def test_configs_come_as_they_are_in_their_order() -> None:
    assert Fixed.check(SPACE, Fixed.Options(configs=GOOD)) == []
    proposals = fixed(GOOD).ask([1, 2, 3])
    assert [proposal.config for proposal in proposals] == GOOD
    assert [type(proposal.config["kind"]) for proposal in proposals] == [str, bool, int]
    assert type(proposals[1].config["depth"]) is int


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"lr": 2}, "search.configs.2.lr: expected a number from 0.0001 to 1, got 2"),
        ({"lr": True}, "search.configs.2.lr: expected a number from 0.0001 to 1, got True"),
        ({"depth": 5}, "search.configs.2.depth: expected a whole number from 2 to 8 in steps of 2, got 5"),
        ({"kind": 1.5}, "search.configs.2.kind: expected one of 1, True, 'a', got 1.5"),
        ({"kind": None}, "search.configs.2.kind: expected one of 1, True, 'a', got None"),
        (
            {"dept": 4},
            "search.configs.2.dept: unknown key; expected one of lr, depth, kind; did you mean 'depth'?",
        ),
    ],
)
def test_a_wrong_value_is_named_by_place_and_key(change: dict[str, Any], expected: str) -> None:
    assert problems({**GOOD[2], **change}) == [expected]


def test_all_mistakes_of_all_configs_come_at_once() -> None:
    found = Fixed.check(SPACE, Fixed.Options(configs=[{"lr": 9, "depth": 3}, 7, *GOOD]))
    keys = ["search.configs.0.lr", "search.configs.0.depth", "search.configs.0", "search.configs.1"]
    assert [problem.key for problem in found] == keys
    assert "lacks kind" in found[2].message
    assert "expected a mapping" in found[3].message


def test_a_repetition_is_refused() -> None:
    (problem,) = problems({"lr": 0.1, "depth": 2, "kind": True})
    assert problem.startswith("search.configs.2: the same as configs.1")
    assert problems({"lr": 0.1, "depth": 2, "kind": 1}) == []


def test_what_conditions_switch_off_may_be_left_out_but_not_set() -> None:
    parameters = {"kind": Categorical(("plain", "gated")), "gates": Int(1, 4)}
    space = Space(parameters, {"gates": {"kind": ["gated"]}}, {"kind": "plain", "gates": 2})
    good = [{"kind": "plain"}, {"kind": "gated", "gates": 3}]
    assert Fixed.check(space, Fixed.Options(configs=good)) == []
    assert [p.config for p in fixed(good, space).ask([1, 2])] == [{"kind": "plain", "gates": 2}, good[1]]
    wrong = Fixed.check(space, Fixed.Options(configs=[{"kind": "plain", "gates": 3}, {"kind": "gated"}]))
    assert [problem.key for problem in wrong] == ["search.configs.0.gates", "search.configs.1"]
    assert "no effect" in wrong[0].message and "lacks gates" in wrong[1].message


def test_there_is_no_trial_after_the_last() -> None:
    with pytest.raises(ValueError, match="1 to 3"):
        fixed(GOOD).ask([4])


def test_a_study_file_runs_the_whole_list() -> None:
    study = parse_study(FILE)
    assert study.canonical["tiers"] == {"default": {"trials": 2}}
    assert parse_study(study.text).canonical == study.canonical


def test_a_study_file_is_told_the_line_of_a_mistake() -> None:
    assert file_problems(FILE.replace("1e-2", "1e+2")) == [
        "s.yaml:12: search.configs.1.train.lr: expected a number from 0.0001 to 0.1, got 100.0"
    ]
    assert file_problems(FILE.replace("- {train.lr: 1e-3, model.tied_head: true}", "- 7")) == [
        "s.yaml:11: search.configs.0: expected a mapping of keys to values, got 7"
    ]


@pytest.mark.parametrize("configs", ["[]", "7", "null"])
def test_a_list_of_nothing_is_refused(configs: str) -> None:
    head = FILE[: FILE.index("  configs:")]
    (problem,) = file_problems(f"{head}  configs: {configs}\n")
    assert "search.configs: expected" in problem


def test_a_missing_list_is_said_to_be_missing() -> None:
    assert file_problems(FILE[: FILE.index("  configs:")]) == ["s.yaml:8: search.configs: missing"]


def test_a_tier_longer_than_the_list_is_a_problem() -> None:
    (problem,) = file_problems(FILE + "tiers: {all: {trials: 3}}\n")
    assert problem.endswith("expected at most 2, got 3: fixed has 2 trials in all")
