"""Which knobs mattered, and that luck does not pass for importance."""

from __future__ import annotations

import math
from typing import Any

from flopwise.report.evidence import gather
from flopwise.report.importance import FEWEST_TRIALS, importance
from flopwise.report.weights import importance_grid
from flopwise.seeds import stream

SPACE: dict[str, Any] = {
    "model.kind": {"type": "categorical", "choices": ["a", "b", "c"]},
    "train.decay": {"type": "float", "low": 0.0, "high": 1.0, "scale": "linear"},
    "train.lr": {"type": "float", "low": 1e-4, "high": 1e-1, "scale": "log"},
}


def by_lr(config: Any) -> float:
    return abs(math.log10(config["train.lr"]) + 2.0)


def test_the_knob_that_decides_stands_out_and_the_others_do_not(story: Any) -> None:
    found = importance(gather(story(space=SPACE).long(60, by_lr).events))
    assert [weight.key for weight in found.weights if weight.stands_out] == ["train.lr"]
    assert found.weights[0].key == "train.lr"
    assert math.isclose(sum(weight.importance for weight in found.weights), 1.0)
    assert (found.trials, found.top) == (60, 15)


def test_the_direction_counts(story: Any) -> None:
    better = {"metric": "score", "direction": "maximize"}
    down = importance(gather(story(space=SPACE).long(40, by_lr).events))
    up = importance(gather(story(space=SPACE, objective=better).long(40, lambda config: -by_lr(config)).events))
    assert down.weights == up.weights


def test_noise_alone_rarely_stands_out(story: Any) -> None:
    alarms = 0
    for seed in range(10):
        noise = stream(seed, "noise")
        run = story(space=SPACE).long(30, lambda config, noise=noise: noise.random(), seed)
        found = importance(gather(run.events))
        alarms += any(weight.stands_out for weight in found.weights)
    assert alarms <= 2


def test_the_same_run_gives_the_same_numbers(story: Any) -> None:
    events = story(space=SPACE).long(30, by_lr).events
    assert importance(gather(events)) == importance(gather(events))


def test_too_few_trials_are_said_not_weighed(story: Any) -> None:
    found = importance(gather(story(space=SPACE).long(FEWEST_TRIALS - 1, by_lr).events))
    assert found.weights == ()
    assert f"{FEWEST_TRIALS - 1}, and it takes {FEWEST_TRIALS}" in found.note


def test_equal_values_and_failed_trials_weigh_nothing(story: Any) -> None:
    found = importance(gather(story(space=SPACE).long(25, lambda config: 1.0).events))
    assert found.weights == () and "same value" in found.note
    run = story(space=SPACE).long(22, by_lr).proposed(23, "search").ran(23, None)
    assert importance(gather(run.events)).trials == 22


def test_a_choice_that_python_confuses_is_no_trouble(story: Any) -> None:
    space = {**SPACE, "model.kind": {"type": "categorical", "choices": [1, True, 0]}}
    assert len(importance(gather(story(space=space).long(25, by_lr).events)).weights) == 3


def test_the_table_says_which_could_be_luck(story: Any) -> None:
    grid = importance_grid(importance(gather(story(space=SPACE).long(60, by_lr).events)))
    assert grid.rows[0][0] == "train.lr" and grid.rows[0][3] == "stands out"
    assert grid.rows[1][3] == "could be luck"
