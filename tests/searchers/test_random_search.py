"""Random search covers the space evenly and knows every kind of parameter."""

from __future__ import annotations

import statistics
from collections import Counter

from flopwise.searchers.random import RandomSearch
from flopwise.space import Categorical, Float, Space

SPACE = Space({"lr": Float(1e-4, 1.0, "log"), "kind": Categorical(("a", "b")), "tied": Categorical((False, True))})


def search(seed: int = 0) -> RandomSearch:
    return RandomSearch(SPACE, seed, RandomSearch.Options(), {"lr": 0.01, "kind": "a", "tied": False}, None)


def test_it_takes_any_space() -> None:
    assert RandomSearch.check(SPACE, RandomSearch.Options()) == []
    assert not RandomSearch.generational


def test_draws_are_uniform_in_the_unit_cube() -> None:
    proposals = search().ask(range(1, 2001))
    for axis in range(3):
        assert abs(statistics.mean(p.point[axis] for p in proposals) - 0.5) < 0.03
    assert abs(statistics.correlation([p.point[0] for p in proposals], [p.point[1] for p in proposals])) < 0.08
    assert min(Counter(p.config["kind"] for p in proposals).values()) > 900


def test_results_change_nothing() -> None:
    searcher = search()
    before = searcher.ask([7])
    searcher.tell([])
    assert searcher.ask([7]) == before == search().ask([7])
