"""Targets: when a curve reaches a level, and how runs that never do are ordered."""

from __future__ import annotations

import math
import random

import pytest

from flopwise.objective import Objective, uncensored
from flopwise.target import Point, Target, points

CURVE = [Point(0, 0.0, 9.0), Point(50, 10.0, 6.0), Point(100, 20.0, 4.0), Point(150, 30.0, 4.5), Point(200, 40.0, 3.0)]
TARGET = Target("val_loss", 5.0, fallback=(5.5, 6.5), tighten=(4.2,))


def facts(*pairs: tuple[float, float | None], last: float) -> dict[str, object]:
    return {"targets": [list(pair) for pair in pairs], "last_validation": [200, 40.0, last]}


@pytest.mark.parametrize(
    ("level", "seconds"), [(9.5, 0.0), (9.0, 0.0), (6.0, 10.0), (5.0, 15.0), (4.2, 19.0), (3.5, 30.0 + 10 * 2 / 3)]
)
def test_a_straight_line_between_validations_says_when_a_level_was_first_reached(level: float, seconds: float) -> None:
    assert TARGET.seconds(CURVE, level) == pytest.approx(seconds)


def test_what_was_never_reached_has_no_seconds() -> None:
    assert TARGET.seconds(CURVE, 2.9) is None
    assert TARGET.seconds([]) is None


def test_a_rising_metric_is_a_falling_one_upside_down() -> None:
    up = Target("accuracy", 0.5, "maximize", fallback=(0.4,), tighten=(0.7,))
    curve = [Point(0, 0.0, 0.1), Point(10, 5.0, 0.6)]
    assert up.seconds(curve) == pytest.approx(4.0)
    assert (up.levels, up.hardest) == ((0.4, 0.5, 0.7), 0.7)
    assert (TARGET.levels, TARGET.hardest) == ((6.5, 5.5, 5.0, 4.2), 4.2)


def test_a_target_survives_json() -> None:
    assert Target.from_json(TARGET.to_json()) == TARGET


def test_rows_without_the_metric_or_with_what_is_no_number_are_no_points() -> None:
    rows = [
        {"step": 1, "elapsed_s": 3.0, "values": {"val_loss": "nan"}},
        {"step": 2, "elapsed_s": 4.0, "values": {"train_loss": 1.0}},
        {"step": 3, "elapsed_s": 5.0, "values": {"val_loss": 2.0}},
        {"step": 4, "elapsed_s": 9.0, "values": {"val_loss": 1.0, "train_s": 6.0}},
    ]
    assert points(rows, "val_loss") == [Point(3, 5.0, 2.0), Point(4, 6.0, 1.0)]


def test_the_censored_come_last_and_among_themselves_by_how_far_they_came() -> None:
    objective = Objective("seconds_to_target", target=TARGET)
    runs = {
        "fast": facts((5.0, 3.0), last=4.0),
        "slow": facts((5.0, 30000.0), last=4.9),
        "near": facts((5.0, None), last=5.1),
        "far": facts((5.0, None), last=9.0),
        "broken": {},
    }
    losses = {name: objective.loss({}, info) for name, info in runs.items()}
    assert losses.pop("broken") is None
    assert sorted(losses, key=lambda name: losses[name] or math.inf) == ["fast", "slow", "near", "far"]
    assert [objective.shown(loss) for loss in losses.values()] == [3.0, 30000.0, None, None]
    assert uncensored(losses.values(), objective) == (3.0, 30000.0)


def test_another_target_in_force_ranks_anew() -> None:
    study = {"metric": "seconds_to_target", "direction": "minimize", "target": TARGET.to_json()}
    info = facts((6.5, 8.0), (5.5, 12.0), (5.0, None), (4.2, None), last=5.2)
    assert Objective.from_json(study).shown(Objective.from_json(study).loss({}, info)) is None
    assert Objective.from_json(study, level=5.5).loss({}, info) == 12.0


def test_several_seeds_are_together_their_median_which_censoring_moves_like_a_long_time() -> None:
    objective = Objective("seconds_to_target", target=TARGET)
    never = objective.loss({}, facts((5.0, None), last=5.1))
    assert never is not None
    assert objective.together([3.0, 5.0]) == 4.0
    assert objective.together([3.0, never, 5.0]) == 5.0
    assert objective.together([3.0, never]) == never
    assert Objective("val_loss").together([1.0, 2.0, 6.0]) == 3.0


def test_the_first_crossing_does_not_depend_on_what_comes_after() -> None:
    stream = random.Random(1)
    for _ in range(50):
        curve = [Point(i, float(i), stream.uniform(0, 10)) for i in range(20)]
        level = stream.uniform(0, 10)
        whole = TARGET.seconds(curve, level)
        cut = next((i for i in range(20) if curve[i].value <= level), 20)
        assert whole == TARGET.seconds(curve[: cut + 1], level)
        assert whole is None or cut - 1 <= whole <= cut
