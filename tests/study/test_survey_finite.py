"""Searchers with only so many trials, and rules that forbid some of them."""

from __future__ import annotations

import pytest

from flopwise.errors import StudyError
from flopwise.study import parse_study

pytestmark = pytest.mark.usefixtures("real_members")

TEXT = """\
name: finite
workload: language_model
base: {model: {n_embd: 64, n_head: 2}}
space:
  model.n_embd: {type: int, low: 32, high: 96, step: 32}
  model.mlp: {type: categorical, choices: [swiglu, relu2]}
objective: {metric: val_loss}
evaluation: {stop: {steps: 10}}
search: {method: grid}
"""


def test_a_grid_whose_trials_are_all_allowed_is_fine() -> None:
    assert parse_study(TEXT + "constraints: [model.n_embd <= 96]\n").warnings == ()
    with pytest.raises(StudyError) as caught:
        parse_study(TEXT + "constraints: [model.n_embd <= 64 or model.mlp == 'relu2']\n", "s.yaml")
    (problem,) = caught.value.problems
    assert problem.key == "search.method"
    assert "one of them is not allowed (model.mlp = 'swiglu', model.n_embd = 96)" in problem.message
