"""A grid has every combination once, says how many that is, and refuses to be endless."""

from __future__ import annotations

import itertools

import pytest

from flopwise.errors import StudyError
from flopwise.searchers.grid import MOST_TRIALS, Grid
from flopwise.space import Categorical, Float, Int, Space
from flopwise.study import Study, study_from_mapping

SPACE = Space(
    {
        "lr": Float(1e-4, 1e-1, "log"),
        "depth": Int(2, 8, step=2),
        "kind": Categorical(("a", "b")),
        "tied": Categorical((False, True)),
    }
)


def grid(seed: int = 0, space: Space = SPACE, **options: object) -> Grid:
    return Grid(space, seed, Grid.Options(**options), {}, None)


def configs(seed: int = 0, space: Space = SPACE, **options: object) -> list[tuple[object, ...]]:
    size = Grid.size(space, Grid.Options(**options))
    proposals = grid(seed, space, **options).ask(range(1, size + 1))
    assert all(space.decode(p.point) == p.config for p in proposals)
    return [tuple(p.config.values()) for p in proposals]


def values(space: Space, **options: object) -> list[object]:
    return sorted(config[0] for config in configs(space=space, **options))


def study(**search: object) -> Study:
    space = {"lr": {"type": "float", "low": 1e-4, "high": 1e-1, "scale": "log"}, "tied": {"type": "bool"}}
    tiers = search.pop("tiers", None)
    content = {"name": "g", "workload": "function", "space": space, "objective": {"metric": "loss"}, "search": search}
    return study_from_mapping({**content, **({"tiers": tiers} if tiers else {})})


def test_it_is_the_product_of_all_axes() -> None:
    expected = itertools.product([1e-4, 1e-3, 1e-2, 1e-1], [2, 4, 6, 8], ["a", "b"], [False, True])
    assert sorted(map(repr, configs(points=4))) == sorted(map(repr, expected))


def test_floats_get_five_values_and_everything_else_all_of_its_own() -> None:
    assert Grid.size(SPACE, Grid.Options()) == 5 * 4 * 2 * 2
    assert Grid.size(SPACE, Grid.Options(points=2)) == 2 * 4 * 2 * 2


def test_keys_may_have_their_own_number_of_values() -> None:
    options = {"points": {"depth": 2, "lr": 1}}
    assert {config[:2] for config in configs(**options)} == {(0.00316227766017, 2), (0.00316227766017, 8)}
    assert Grid.size(SPACE, Grid.Options(points={"depth": 2})) == 5 * 2 * 2 * 2


@pytest.mark.parametrize(
    ("parameter", "points", "expected"),
    [
        (Float(-1, 1), 3, [-1.0, 0.0, 1.0]),
        (Float(1, 100, "log"), 3, [1.0, 10.0, 100.0]),
        (Int(1, 9), {"x": 3}, [1, 5, 9]),
        (Int(1, 3), {"x": 10}, [1, 2, 3]),
        (Int(1, 4), 99, [1, 2, 3, 4]),
        (Int(1, 100, "log"), {"x": 2}, [1, 100]),
    ],
)
def test_an_axis_is_even_on_its_scale_and_has_both_bounds(parameter: Int, points: object, expected: list[int]) -> None:
    assert values(Space({"x": parameter}), points=points) == pytest.approx(expected)


def test_the_seed_sets_the_order_and_nothing_else() -> None:
    assert configs(0) != configs(1)
    assert sorted(map(repr, configs(0))) == sorted(map(repr, configs(1)))


def test_combinations_that_conditions_make_equal_count_once() -> None:
    parameters = {"kind": Categorical(("plain", "gated")), "gates": Int(1, 3)}
    space = Space(parameters, {"gates": {"kind": ["gated"]}}, {"kind": "plain", "gates": 2})
    assert sorted(configs(space=space)) == [("gated", 1), ("gated", 2), ("gated", 3), ("plain", 2)]


def test_there_is_no_trial_after_the_last() -> None:
    with pytest.raises(ValueError, match="1 to 80"):
        grid().ask([81])


def test_an_endless_grid_is_a_problem_that_says_how_many_and_what_to_do() -> None:
    space = Space({"width": Int(1, 10**9), "lr": Float(0, 1), "depth": Int(1, 40)})
    (problem,) = Grid.check(space, Grid.Options())
    assert problem.key == "search.points"
    assert "200,000,000,000 trials (width 1,000,000,000 × depth 40 × lr 5)" in problem.message
    assert f"{MOST_TRIALS:,}" in problem.message and "qmc" in problem.message
    assert Grid.check(space, Grid.Options(points={"width": 10})) == []


def test_points_of_keys_that_have_none_are_problems() -> None:
    problems = Grid.check(SPACE, Grid.Options(points={"lrr": 3, "kind": 2}))
    assert [problem.key for problem in problems] == ["search.points.lrr", "search.points.kind"]
    assert "did you mean 'lr'?" in problems[0].message
    assert "every choice" in problems[1].message


@pytest.mark.parametrize("wrong", [0, -1, True, 2.5, "many", {"lr": 0}, {"lr": None}, None])
def test_points_are_whole_numbers_from_one_on(wrong: object) -> None:
    with pytest.raises(StudyError, match=r"search\.points: expected how many values"):
        study(method="grid", points=wrong)


def test_a_study_without_tiers_gets_the_whole_grid() -> None:
    assert study(method="grid", points=3).canonical["tiers"] == {"default": {"trials": 6}}


def test_a_tier_larger_than_the_grid_is_a_problem_that_says_how_many_there_are() -> None:
    with pytest.raises(StudyError) as caught:
        study(method="grid", points=3, tiers={"fits": {"trials": 6}, "over": {"trials": 7}})
    (problem,) = caught.value.problems
    assert str(problem) == "tiers.over.trials: expected at most 6, got 7: grid has 6 trials in all"


def test_a_tier_smaller_than_the_grid_is_noted() -> None:
    (note,) = study(method="grid", points=3, tiers={"part": {"trials": 4}}).warnings
    assert "4 of the 6 trials" in note
