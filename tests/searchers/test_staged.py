"""Staged search: questions in their order, winners carried on, then a fine grid where the best agree."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest

from flopwise.questions import legs
from flopwise.searchers.refine import Refine, levels, refined
from flopwise.searchers.settled import settled, settled_fine
from flopwise.searchers.staged import Staged
from flopwise.space import Categorical, Float, Int, Space
from flopwise.trial import Proposal, Told

SPACE = Space(
    {
        "method": Categorical(("cubic", "polar")),
        "lr": Float(5e-4, 2e-2, "log"),
        "lazy": Int(3, 20),
        "batch": Categorical((16, 32, 64)),
        "vr": Categorical((False, True)),
    }
)
CENTRE = {"method": "polar", "lr": 3e-3, "lazy": 7, "batch": 32, "vr": False}
QUESTIONS: dict[str, Any] = {
    "A": {"grid": {"method": ["cubic", "polar"]}, "configs": [{"lr": 3e-3, "lazy": 7}, {"lr": 1e-2, "lazy": 10}]},
    "B": {"grid": {"vr": [False, True]}},
    "C": {"base": {"method": {"best_of": "A"}}, "grid": {"lazy": [3, 5, 10, 20]}},
    "D": {"base": {"lazy": {"best_of": "C"}, "method": {"best_of": "A"}}, "grid": {"lr": [1e-3, 5e-3, 1e-2]}},
}


def loss(config: Mapping[str, Any]) -> float:
    """Cubic is faster; the best are lr 0.01 and lazy 10."""
    return (
        (0.0 if config["method"] == "cubic" else 5.0)
        + abs(config["lr"] - 1e-2) * 100
        + abs(config["lazy"] - 10) * 0.1
        + (0.05 if config["vr"] else 0.0)
    )


def make(questions: Mapping[str, Any] = QUESTIONS, seed: int = 0, **refine: int) -> Staged:
    return Staged(SPACE, seed, Staged.Options(questions=dict(questions), refine=Refine(**refine)), CENTRE, None)


def told(proposals: list[Proposal]) -> list[Told]:
    return [Told(each.number, each.config, each.point, loss(each.config)) for each in proposals]


def whole(search: Staged, most: int = 1000) -> list[list[Proposal]]:
    """Every stage as the engine asks for it."""
    stages: list[list[Proposal]] = []
    count = 0
    while (room := search.room(count, 0)) and len(stages) < most:
        assert search.room(count, 1) == 0 or count == 0
        stages.append(search.ask(range(count + 1, count + 1 + room)))
        assert search.room(count + 1, 1) == room - 1
        search.tell(told(stages[-1]))
        count += len(stages[-1])
    return stages


def test_questions_come_in_their_order_and_wait_only_for_winners_they_need() -> None:
    stages = whole(make(trials=0))
    assert [len(stage) for stage in stages] == [4 + 2, 4, 3]
    first = [dict(each.config) for each in stages[0]]
    assert [(c["method"], c["lazy"]) for c in first[:4]] == [("cubic", 7), ("cubic", 10), ("polar", 7), ("polar", 10)]
    assert [c["vr"] for c in first[4:]] == [False, True] and first[4]["method"] == "polar"
    assert [(c.config["method"], c.config["lazy"]) for c in stages[1]] == [("cubic", n) for n in (3, 5, 10, 20)]
    assert {(c.config["method"], c.config["lazy"]) for c in stages[2]} == {("cubic", 10)}


def test_a_question_whose_trials_all_failed_leaves_the_baselines_value() -> None:
    search = make()
    first = search.ask(range(1, 7))
    search.tell([Told(each.number, each.config, each.point, None) for each in first])
    assert {each.config["method"] for each in search.ask(range(7, 11))} == {"polar"}


def test_the_second_stage_locks_what_the_best_agree_on_and_refines_the_rest() -> None:
    *_, half, rest = whole(make(trials=36, top=5, levels=6))
    fine = [*half, *rest]
    assert abs(len(half) - len(rest)) <= 1
    assert 20 <= len(fine) <= 36
    assert {each.config["method"] for each in fine} == {"cubic"}
    assert {each.config["vr"] for each in fine} == {False}
    varied = [key for key in SPACE.keys if len({repr(each.config[key]) for each in fine}) > 1]
    assert varied == ["lr", "lazy"] or varied == ["lazy", "lr"]
    assert len({repr(sorted(each.config.items())) for each in fine}) == len(fine)


def test_each_level_of_the_fine_grid_is_taken_equally_often() -> None:
    space = Space({"a": Float(0.0, 1.0), "b": Float(0.0, 1.0), "c": Float(0.0, 1.0)})
    ends = ({"a": 0.2, "b": 0.3, "c": 0.4}, {"a": 0.8, "b": 0.9, "c": 0.1})
    results = [Told(n, config, (), float(n)) for n, config in enumerate(ends, start=1)]
    fine = refined(space, results, Refine(trials=36, top=2, levels=6), 0, ends[0])
    for key in space.keys:
        counts = Counter(config[key] for config in fine)
        assert len(counts) == 6 and set(counts.values()) == {6}
    pairs = Counter((config["a"], config["b"]) for config in fine)
    assert len(pairs) >= 24


def test_the_grid_goes_one_step_beyond_an_edge_that_is_the_best() -> None:
    inside = levels(Float(0.0, 1.0), [0.5, 0.4, 0.6], 6)
    assert (min(inside), max(inside)) == pytest.approx((0.4, 0.6))
    beyond = levels(Float(0.0, 1.0), [0.6, 0.4, 0.5], 6)
    assert (min(beyond), max(beyond)) == pytest.approx((0.4, 0.64))
    assert max(levels(Float(0.0, 1.0), [1.0, 0.4], 6)) == 1.0
    assert levels(Int(3, 20), [7, 7, 7], 6) == [7]
    assert levels(Categorical((16, 32, 64)), [64, 16], 6) == [16, 64]


def test_the_same_results_give_the_same_search_and_another_seed_another_fraction() -> None:
    first, again, other = (whole(make(seed=seed, trials=12)) for seed in (1, 1, 2))
    assert [[dict(each.config) for each in stage] for stage in first] == [
        [dict(each.config) for each in stage] for stage in again
    ]
    assert [dict(each.config) for each in first[-1]] != [dict(each.config) for each in other[-1]]


def test_a_question_is_settled_only_where_one_option_is_surely_the_best() -> None:
    apart = [[1.0, 2.0, 3.0], [2.0, 3.01, 4.02], [3.0, 4.1, 5.05]]
    found = settled("A", apart, left=2)
    assert found is not None and (found.dropped, found.skipped) == ((1, 2), 4)
    assert settled("A", [*apart, [1.2, 1.9, 3.3]], left=2) is None  # one that may be as good
    assert settled("A", [[1.0, 2.0, 3.0], [2.0, 3.0, None]], left=2) is None  # one that failed
    assert settled("A", [[1.0, 2.0, 3.0], [2.0, 3.0, 2e9]], left=2) is None  # one that never got there


def test_equal_options_are_dropped_in_at_most_one_study_of_a_hundred() -> None:
    stream = random.Random(7)
    wrong = 0
    for _ in range(4000):
        losses = [[context + stream.gauss(0.0, 1.0) for context in range(3)] for _ in range(2)]
        wrong += settled("A", losses, left=1) is not None
    assert wrong / 4000 < 0.025  # either of the two may look the better one: 1% each


def test_the_second_stage_ends_at_its_half_where_that_found_nothing() -> None:
    assert settled_fine([1, 2, 9, 3], first=9, tried=6, top=3, planned=12) is None
    found = settled_fine([1, 2, 3, 9], first=9, tried=6, top=3, planned=12)
    assert found is not None and (found.question, found.skipped) == (None, 6)


def test_a_question_that_also_asks_for_its_best_context_is_run_whole() -> None:
    grid = {"method": ["cubic", "polar"]}
    configs = [{"lr": rate} for rate in (1e-3, 2e-3, 5e-3, 1e-2)]
    asked = {"A": {"base": {}, "grid": grid, "configs": configs}}
    for key, spans in (("method", [range(3), range(3, 4)]), ("lr", [range(4)])):
        later = {"base": {key: {"best_of": "A"}}, "grid": {"lazy": [3, 5]}, "configs": []}
        assert [span for leg in legs({**asked, "B": later}) for name, span in leg if name == "A"] == spans


@pytest.mark.parametrize(
    ("questions", "message"),
    [
        (
            {"A": {"base": {"lr": {"best_of": "B"}}, "grid": {"vr": [True]}}, "B": {"grid": {"lr": [1e-3]}}},
            "comes later",
        ),
        ({"A": {"base": {"lr": {"best_of": "A"}}, "grid": {"vr": [True]}}}, "comes later or is this one"),
        ({"A": {"base": {"lr": {"best_of": "Z"}}, "grid": {"vr": [True]}}}, "expected one of the questions A, got 'Z'"),
        ({"A": {}}, "asks nothing"),
        ({"A": {"grid": {"lr": []}}}, "asks nothing"),
        ({"A": {"grid": {"lt": [1e-3]}}}, "unknown key; expected one of"),
        ({"A": {"grid": {"lr": [7.0]}}}, "expected a number from 0.0005 to 0.02, got 7.0"),
        ({"A": {"grid": {"lr": [1e-3]}, "configs": [{"lr": 1e-2}]}}, "set by the question's grid already"),
        ({"A": {"configs": [{"method": "cubik"}]}}, "expected one of 'cubic', 'polar', got 'cubik'"),
    ],
)
def test_questions_that_cannot_be_asked_are_refused(questions: dict[str, Any], message: str) -> None:
    found = Staged.check(SPACE, Staged.Options(questions=questions))
    assert any(message in problem.message for problem in found)
    assert all(problem.key.startswith("search.questions.A") for problem in found)
