"""NSGA-II: children are Optuna's, parents are the best that did not fail, and no config comes twice."""

from __future__ import annotations

import statistics

import optuna
import pytest
from optuna.samplers import NSGAIISampler
from optuna.trial import create_trial

from flopwise import seeds
from flopwise.errors import InputError
from flopwise.searchers.nsga2 import CROSSOVERS, Nsga2
from flopwise.searchers.random import RandomSearch
from flopwise.searchers.told import distributions, params, point
from flopwise.space import Categorical, Float, Int, Space
from flopwise.trial import Proposal, Told

SPACE = Space(
    {"lr": Float(1e-4, 1.0, "log"), "decay": Float(0, 1), "depth": Int(1, 9), "kind": Categorical(("a", "b", "c"))}
)
SIZE = 8


def nsga2(seed: int = 0, space: Space = SPACE, population: int | None = SIZE, **options: float | str) -> Nsga2:
    return Nsga2(space, seed, Nsga2.Options(**options), {}, population)


def loss(proposal: Proposal) -> float:
    return sum((x - 0.3) ** 2 for x in proposal.point)


def told(proposals: list[Proposal], *failed: int) -> list[Told]:
    return [Told(p.number, p.config, p.point, None if p.number in failed else loss(p)) for p in proposals]


def numbers(generation: int, size: int = SIZE) -> range:
    return range(1 + generation * size, 1 + (generation + 1) * size)


def optunas_own(parents: list[Told], seed: int, crossover: str) -> tuple[float, ...]:
    """A child by Optuna's own ask, in a study whose first generation are these parents."""
    box = distributions(SPACE)
    sampler = NSGAIISampler(population_size=len(parents), crossover=CROSSOVERS[crossover](), seed=seed)
    study = optuna.create_study(sampler=sampler)
    mark = {sampler._get_generation_key(): 0}
    for parent in parents:
        given = params(SPACE, parent.point)
        study.add_trial(create_trial(params=given, distributions=box, value=parent.loss, system_attrs=mark))
    return point(SPACE, study.ask(box).params)


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("crossover", CROSSOVERS)
def test_a_child_is_what_optuna_would_make_of_the_same_parents(crossover: str) -> None:
    searcher = nsga2(crossover=crossover)
    first = told(searcher.ask(numbers(0)))
    searcher.tell(first)
    parents = sorted(first, key=lambda told: told.loss or 0.0)
    seed = seeds.derive(0, "nsga2", 9, 0)
    assert searcher.ask([9])[0].point == optunas_own(parents, seed, crossover)


def test_children_are_mixed_from_their_parents() -> None:
    searcher = nsga2(mutation_rate=0.0)
    first = told(searcher.ask(numbers(0)))
    searcher.tell(first)
    for child in searcher.ask(numbers(1)):
        for key in ("lr", "decay"):
            assert child.config[key] in {parent.config[key] for parent in first}


def test_failed_trials_are_no_parents() -> None:
    searcher = nsga2(mutation_rate=0.0)
    first = told(searcher.ask(numbers(0)), 1, 2, 3, 4, 5)
    searcher.tell(first)
    rates = {parent.config["lr"] for parent in first if parent.loss is not None}
    assert len(rates) == 3
    assert {child.config["lr"] for child in searcher.ask(numbers(1))} <= rates


@pytest.mark.parametrize("survivors", [0, 1])
def test_with_fewer_than_two_parents_draws_stay_even(survivors: int) -> None:
    searcher = nsga2()
    first = told(searcher.ask(numbers(0)), *range(1, SIZE + 1 - survivors))
    searcher.tell(first)
    rates = {parent.config["lr"] for parent in first}
    assert not rates & {child.config["lr"] for child in searcher.ask(numbers(1))}


def test_the_best_of_all_generations_stay_parents() -> None:
    searcher = nsga2(mutation_rate=0.0)
    first = told(searcher.ask(numbers(0)))
    searcher.tell(first)
    worse = [Told(p.number, p.config, p.point, 1e9) for p in searcher.ask(numbers(1))]
    searcher.tell(worse)
    assert {child.config["lr"] for child in searcher.ask(numbers(2))} <= {parent.config["lr"] for parent in first}


def test_no_config_comes_twice_while_there_are_others() -> None:
    space = Space({"depth": Int(1, 4), "kind": Categorical(("a", "b")), "tied": Categorical((False, True))})
    searcher, seen = nsga2(space=space, population=4), []
    for generation in range(4):
        proposals = searcher.ask(numbers(generation, 4))
        seen += [repr(proposal.config) for proposal in proposals]
        searcher.tell(told(proposals))
    assert len(set(seen)) == 16
    assert len(searcher.ask(numbers(4, 4))) == 4


def test_it_beats_random_search_at_120_evaluations() -> None:
    space = Space({f"x{axis}": Float(0, 1) for axis in range(8)})

    def best(seed: int) -> float:
        searcher, found = nsga2(seed, space, population=12), []
        for generation in range(10):
            results = told(searcher.ask(numbers(generation, 12)))
            found += [result.loss or 0.0 for result in results]
            searcher.tell(results)
        return min(found)

    drawn = [RandomSearch(space, seed, RandomSearch.Options(), {}, None).ask(range(1, 121)) for seed in range(9)]
    assert statistics.median(map(best, range(9))) < statistics.median(min(map(loss, p)) for p in drawn) / 2


@pytest.mark.filterwarnings("error")
def test_experimental_parts_of_optuna_are_used_without_noise() -> None:
    searcher = nsga2(crossover="sbx")
    searcher.tell(told(searcher.ask(numbers(0))))
    assert len(searcher.ask(numbers(1))) == SIZE


def test_asking_ahead_and_telling_parts_are_refused() -> None:
    searcher = nsga2()
    with pytest.raises(ValueError, match="tell a whole generation"):
        searcher.ask([SIZE + 1])
    with pytest.raises(ValueError, match=f"whole generations of {SIZE}"):
        searcher.tell(told(searcher.ask([1, 2, 3])))


def test_a_population_of_one_is_refused_and_none_has_a_default() -> None:
    with pytest.raises(InputError, match="at least 2"):
        nsga2(population=1)
    assert len(nsga2(population=None).ask(range(1, 17))) == 16


@pytest.mark.parametrize("wrong", [{"crossover": "two_point"}, {"crossover_rate": 1.5}, {"mutation_rate": -0.1}])
def test_options_are_checked(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        nsga2(**wrong)
