"""A constrained searcher proposes only what is allowed, stays what it was, and repeats itself on resume."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from flopwise import registry
from flopwise.errors import SpaceError
from flopwise.searchers.constrained import TRIES, Constrained
from flopwise.space import Float, Int, Space, centre
from flopwise.trial import Proposal, Told

SPACE = Space({"width": Int(4, 64), "heads": Int(1, 8), "lr": Float(1e-4, 1e-1, "log")})
CENTRE = {key: centre(parameter) for key, parameter in SPACE.parameters.items()}
POPULATION = 6
FREE = [name for name in registry.names("searchers") if not hasattr(registry.load("searchers", name), "size")]
ALL = pytest.mark.parametrize("name", FREE)


def divides(config: Mapping[str, Any]) -> bool:
    return bool(config["width"] % config["heads"] == 0)


def make(name: str, seed: int = 0) -> Any:
    kind = registry.load("searchers", name)
    return kind(SPACE, seed, kind.Options(), CENTRE, POPULATION if kind.generational else None)


def constrained(name: str, allows: Callable[[Mapping[str, Any]], bool] = divides) -> Constrained:
    return Constrained(lambda seed: make(name, seed), 0, SPACE, allows)


def told(proposals: list[Proposal]) -> list[Told]:
    return [Told(p.number, p.config, p.point, sum((x - 0.3) ** 2 for x in p.point)) for p in proposals]


def study(search: Any, generations: int = 3) -> list[list[Proposal]]:
    found = []
    for generation in range(generations):
        found.append(search.ask(range(1 + generation * POPULATION, 1 + (generation + 1) * POPULATION)))
        search.tell(told(found[-1]))
    return found


@ALL
def test_every_proposal_is_allowed_and_decodes_from_its_point(name: str) -> None:
    proposals = [p for generation in study(constrained(name)) for p in generation]
    assert [p.number for p in proposals] == list(range(1, len(proposals) + 1))
    assert all(divides(p.config) and p.config == SPACE.decode(p.point) for p in proposals)
    assert any(not divides(p.config) for generation in study(make(name)) for p in generation)


@ALL
def test_what_is_allowed_already_is_left_as_it_is(name: str) -> None:
    assert study(constrained(name, lambda _: True)) == study(make(name))
    free, kept = make(name).ask(range(1, 7)), constrained(name).ask(range(1, 7))
    assert [p for p in free if divides(p.config)] == [k for f, k in zip(free, kept, strict=True) if divides(f.config)]


@ALL
@pytest.mark.parametrize("finished", [0, 1, 2])
def test_a_resumed_search_goes_on_the_same(name: str, finished: int) -> None:
    generations = study(constrained(name))
    resumed = constrained(name)
    for generation in generations[:finished]:
        resumed.tell(told(generation))
    numbers = [p.number for p in generations[finished]]
    assert resumed.ask(numbers) == generations[finished]
    assert [resumed.ask([number])[0] for number in reversed(numbers)] == generations[finished][::-1]


@pytest.mark.parametrize("name", ["random", "cmaes"])
def test_the_distribution_is_the_searchers_own_cut_to_what_is_allowed(name: str) -> None:
    def allows(config: Mapping[str, Any]) -> bool:
        return bool(config["width"] <= 21)

    kept = [p.point for seed in range(60) for p in _with_seed(name, seed, allows).ask(range(1, 7))]
    free = [p.point for seed in range(240) for p in make(name, seed).ask(range(1, 7)) if allows(p.config)]
    for axis in range(3):
        means = [sum(point[axis] for point in points) / len(points) for points in (kept, free)]
        assert abs(means[0] - means[1]) < 0.05


def _with_seed(name: str, seed: int, allows: Callable[[Mapping[str, Any]], bool]) -> Constrained:
    return Constrained(lambda other: make(name, other), seed, SPACE, allows)


def test_a_searcher_that_lost_its_way_is_helped_by_even_draws() -> None:
    class Stuck:
        def ask(self, numbers: Any) -> list[Proposal]:
            return [Proposal(number, SPACE.decode([0.99] * 3), (0.99,) * 3) for number in numbers]

        def tell(self, results: Any) -> None:
            """Learns nothing."""

    made: list[int] = []

    def stuck(seed: int) -> Stuck:
        made.append(seed)
        return Stuck()

    search = Constrained(stuck, 0, SPACE, lambda config: config["width"] < 8)
    proposals = search.ask([1, 2])
    assert all(p.config["width"] < 8 for p in proposals) and proposals[0].config != proposals[1].config
    assert len(made) == len(set(made)) == TRIES
    assert search.ask([2]) == proposals[1:]


def test_constraints_that_allow_nothing_end_in_an_error_that_says_so() -> None:
    with pytest.raises(SpaceError, match="no config that the constraints allow was found for trial 1"):
        constrained("random", lambda _: False).ask([1])
