"""CMA-ES: what it refuses, how it ranks, and that it learns."""

from __future__ import annotations

import statistics

import pytest

from flopwise.errors import InputError
from flopwise.searchers.cmaes import CmaEs
from flopwise.searchers.random import RandomSearch
from flopwise.space import Categorical, Float, Space
from flopwise.trial import Proposal, Told

BOX = Space({f"x{i}": Float(-5.0, 5.0) for i in range(5)})
MIDDLE = dict.fromkeys(BOX.keys, 0.0)
OPTIMUM = (2.0, -1.0, 3.0, 0.5, -2.5)


def sphere(proposal: Proposal) -> float:
    return sum((proposal.config[f"x{i}"] - best) ** 2 for i, best in enumerate(OPTIMUM))


def cma(population: int | None = 10, seed: int = 0, sigma: float = 0.3) -> CmaEs:
    return CmaEs(BOX, seed, CmaEs.Options(sigma=sigma), MIDDLE, population)


def best_of_cma(seed: int) -> float:
    searcher, best = cma(seed=seed), float("inf")
    for generation in range(10):
        proposals = searcher.ask(range(1 + 10 * generation, 11 + 10 * generation))
        results = [Told(p.number, p.config, p.point, sphere(p)) for p in proposals]
        searcher.tell(results)
        best = min([best, *(r.loss for r in results if r.loss is not None)])
    return best


def best_of_random(seed: int) -> float:
    searcher = RandomSearch(BOX, seed, RandomSearch.Options(), MIDDLE, None)
    return min(sphere(p) for p in searcher.ask(range(1, 101)))


def test_it_beats_random_search_on_a_sphere_at_100_evaluations() -> None:
    ours = statistics.median(best_of_cma(seed) for seed in range(15))
    theirs = statistics.median(best_of_random(seed) for seed in range(15))
    assert ours < theirs / 4


def test_it_refuses_values_without_an_order_and_says_what_to_use() -> None:
    space = Space({"a": Float(0, 1), "b": Categorical(("x", "y")), "c": Categorical((False, True))})
    (problem,) = CmaEs.check(space, CmaEs.Options())
    assert problem.key == "search.method"
    assert "b, c" in problem.message
    assert "method: random" in problem.message
    assert "int range" in problem.message


@pytest.mark.parametrize("sigma", [0.0, -1.0, 1.5])
def test_sigma_is_a_share_of_the_range(sigma: float) -> None:
    with pytest.raises(ValueError, match="sigma"):
        CmaEs.Options(sigma=sigma)


def test_it_starts_around_the_baseline() -> None:
    start = dict.fromkeys(BOX.keys, 3.0)
    searcher = CmaEs(BOX, 0, CmaEs.Options(sigma=0.01), start, 8)
    assert all(abs(p.config["x0"] - 3.0) < 0.5 for p in searcher.ask(range(1, 9)))


def test_a_baseline_on_the_border_is_no_trouble() -> None:
    searcher = CmaEs(BOX, 0, CmaEs.Options(), dict.fromkeys(BOX.keys, -5.0), 8)
    proposals = searcher.ask(range(1, 9))
    assert len({p.point for p in proposals}) == 8
    assert any(0.0 < x < 1.0 for p in proposals for x in p.point)


def after(losses: dict[int, float | None]) -> list[Proposal]:
    """The second generation when the first one ended with these losses."""
    searcher = cma(population=4)
    searcher.tell([Told(p.number, p.config, p.point, losses[p.number]) for p in searcher.ask(range(1, 5))])
    return searcher.ask(range(5, 9))


def test_only_ranks_matter() -> None:
    assert after({1: 1.0, 2: 2.0, 3: 3.0, 4: 4.0}) == after({1: -7.0, 2: 0.0, 3: 1e3, 4: 1e30})


def test_a_failed_trial_ranks_last_however_bad_the_others_are() -> None:
    assert after({1: 1e300, 2: 2.0, 3: None, 4: 1.0}) == after({1: 3.0, 2: 2.0, 3: 4.0, 4: 1.0})


def test_ties_and_failures_rank_by_number() -> None:
    assert after({1: None, 2: 5.0, 3: None, 4: 5.0}) == after({1: 3.0, 2: 1.0, 3: 4.0, 4: 2.0})


def test_results_do_matter() -> None:
    assert after({1: 1.0, 2: 2.0, 3: 3.0, 4: 4.0}) != after({1: 4.0, 2: 3.0, 3: 2.0, 4: 1.0})


def test_a_generation_of_failures_leaves_the_distribution_alone() -> None:
    failed = after({1: None, 2: None, 3: None, 4: None})
    fresh = cma(population=4)
    for number, proposal in zip(range(5, 9), failed, strict=True):
        assert fresh._propose(number) == proposal


def test_asking_ahead_of_results_is_refused() -> None:
    searcher = cma(population=4)
    searcher.ask(range(1, 5))
    with pytest.raises(ValueError, match="tell a whole generation"):
        searcher.ask(range(5, 9))


@pytest.mark.parametrize("wrong", [[1, 2, 3], [5, 6, 7, 8], [1, 1, 2, 3], [0, 1, 2, 3]])
def test_only_whole_generations_in_turn_can_be_told(wrong: list[int]) -> None:
    searcher = cma(population=4)
    point = (0.5,) * 5
    with pytest.raises(ValueError, match="whole generations of 4"):
        searcher.tell([Told(number, {}, point, 1.0) for number in wrong])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("population", [None, 2, 3])
def test_small_and_default_populations_work(population: int | None) -> None:
    searcher = cma(population)
    size = population or 8
    for generation in range(5):
        proposals = searcher.ask(range(1 + size * generation, 1 + size * (generation + 1)))
        searcher.tell([Told(p.number, p.config, p.point, sphere(p)) for p in proposals])


def test_a_population_of_one_is_refused() -> None:
    with pytest.raises(InputError, match="at least 2"):
        cma(population=1)
