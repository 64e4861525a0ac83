"""What every searcher promises, whichever it is."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from flopwise import registry
from flopwise.space import Categorical, Float, Int, Space, centre
from flopwise.trial import Proposal, Told

POPULATION = 6
GENERATIONS = 4
SPACE = Space(
    {
        "train.lr": Float(1e-4, 1e-1, "log"),
        "train.momentum": Float(-1.0, 1.0),
        "model.width": Int(8, 256, "log"),
        "model.depth": Int(2, 10, step=2),
    }
)
MIXED = Space(
    {
        "lr": Float(1e-4, 1e-1, "log"),
        "depth": Int(1, 6),
        "kind": Categorical((1, True, "1", 1.5)),
        "tied": Categorical((False, True)),
    }
)
CONDITIONAL = Space(
    {"kind": Categorical(("plain", "gated")), "gates": Int(1, 4), "lr": Float(1e-4, 1e-1, "log")},
    {"gates": {"kind": ["gated"]}},
    {"kind": "plain", "gates": 2},
)
SLOTS = 3
NAMES = registry.names("searchers")
LISTED = ("fixed", "staged")
"""Searchers that propose what their options list."""
ALL = pytest.mark.parametrize("name", NAMES)
DRAWN = pytest.mark.parametrize("name", [name for name in NAMES if name not in LISTED])
ONE_BY_ONE = pytest.mark.parametrize("name", [n for n in NAMES if not registry.load("searchers", n).generational])


def options(name: str, space: Space = SPACE) -> Any:
    """What a study file would have to say: nothing, but for the lists of ``fixed`` and ``staged``."""
    kind = registry.load("searchers", name)
    if name not in LISTED:
        return kind.Options()
    stream = random.Random(7)
    points = [[stream.random() for _ in space.keys] for _ in range(POPULATION * GENERATIONS)]
    configs = [space.decode(point) for point in points]
    if name == "staged":
        return kind.Options(questions={"A": {"configs": configs}}, refine={"trials": 0})
    return kind.Options(configs=configs)


def make(name: str, seed: int = 0, space: Space = SPACE, population: int = POPULATION) -> Any:
    kind = registry.load("searchers", name)
    start = {key: centre(parameter) for key, parameter in space.parameters.items()}
    return kind(space, seed, options(name, space), start, population if kind.generational else None)


def takes(name: str, space: Space) -> bool:
    return not registry.load("searchers", name).check(space, options(name, space))


def trials(name: str, space: Space) -> int:
    """How many trials a test may ask for: all generations, or what a finite searcher has."""
    kind = registry.load("searchers", name)
    size = kind.size(space, options(name, space)) if hasattr(kind, "size") else POPULATION * GENERATIONS
    return min(size, POPULATION * GENERATIONS)


def loss(proposal: Proposal) -> float | None:
    """A bowl with a cliff: what lies in one corner fails."""
    if proposal.point[0] > 0.8:
        return None
    return sum((x - 0.3) ** 2 for x in proposal.point)


def told(proposals: Sequence[Proposal], measure: Callable[[Proposal], float | None] = loss) -> list[Told]:
    return [Told(p.number, p.config, p.point, measure(p)) for p in proposals]


def numbers(generation: int) -> range:
    return range(1 + generation * POPULATION, 1 + (generation + 1) * POPULATION)


def study(name: str, seed: int = 0, measure: Callable[[Proposal], float | None] = loss) -> list[list[Proposal]]:
    """Generations as an undisturbed study asks for them."""
    searcher = make(name, seed)
    generations = []
    for generation in range(GENERATIONS):
        generations.append(searcher.ask(numbers(generation)))
        searcher.tell(told(generations[-1], measure))
    return generations


def asynchronous(name: str, space: Space = SPACE) -> list[tuple[Proposal, list[Told]]]:
    """Each proposal of a study on three slots with what was told before it; trials finish in any order."""
    searcher, order = make(name, space=space), random.Random(5)
    asked: list[tuple[Proposal, list[Told]]] = []
    running: list[Proposal] = []
    visible: list[Told] = []
    for number in range(1, trials(name, space) + 1):
        while len(running) == SLOTS:
            visible += told([running.pop(order.randrange(SLOTS))])
            searcher.tell(visible[-1:])
        running += searcher.ask([number])
        asked.append((running[-1], list(visible)))
    return asked


@ALL
def test_another_process_proposes_the_same(name: str) -> None:
    script = (
        "import json, importlib.util, sys\n"
        f"spec = importlib.util.spec_from_file_location('contract', {__file__!r})\n"
        "module = importlib.util.module_from_spec(spec); sys.modules['contract'] = module\n"
        "spec.loader.exec_module(module)\n"
        f"print(json.dumps([[p.point for p in g] for g in module.study({name!r}, 3)]))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [[list(p.point) for p in g] for g in study(name, 3)]


@DRAWN
def test_another_seed_proposes_something_else(name: str) -> None:
    assert study(name, 0)[0] != study(name, 1)[0]


@ALL
def test_trials_of_a_study_differ_from_each_other(name: str) -> None:
    points = [p.point for g in study(name) for p in g]
    assert len(set(points)) == len(points)


@ALL
@pytest.mark.parametrize("finished", range(GENERATIONS))
def test_a_resumed_searcher_is_told_without_asking_and_goes_on_the_same(name: str, finished: int) -> None:
    generations = study(name)
    resumed = make(name)
    for generation in generations[:finished]:
        resumed.tell(told(generation))
    assert resumed.ask(numbers(finished)) == generations[finished]


@ALL
def test_all_finished_generations_may_be_told_at_once(name: str) -> None:
    generations = study(name)
    resumed = make(name)
    resumed.tell(told([p for g in generations[:3] for p in g]))
    assert resumed.ask(numbers(3)) == generations[3]


@ALL
def test_the_order_of_telling_does_not_matter(name: str) -> None:
    first, second = study(name)[:2]
    searcher = make(name)
    searcher.tell(told(first)[::-1])
    assert searcher.ask(numbers(1)) == second


@ALL
def test_a_batch_is_the_same_as_single_asks_in_any_order(name: str) -> None:
    searcher = make(name)
    batch = searcher.ask(numbers(0))
    assert [searcher.ask([n])[0] for n in reversed(numbers(0))] == batch[::-1]
    assert searcher.ask([]) == []


@ALL
def test_proposals_carry_their_numbers_and_decode_from_their_points(name: str) -> None:
    for generation, proposals in enumerate(study(name)):
        assert [p.number for p in proposals] == list(numbers(generation))
        for proposal in proposals:
            assert proposal.config == SPACE.decode(proposal.point)
            assert all(0.0 <= x <= 1.0 for x in proposal.point)
            assert all(SPACE.parameters[key].contains(value) for key, value in proposal.config.items())


@ALL
def test_the_journal_keeps_points_and_configs_to_the_last_bit(name: str) -> None:
    first, second = study(name)[:2]
    searcher = make(name)
    kept = json.loads(json.dumps([[p.number, p.config, p.point, loss(p)] for p in first]))
    searcher.tell([Told(number, config, tuple(point), value) for number, config, point, value in kept])
    assert searcher.ask(numbers(1)) == second


@ALL
def test_a_study_in_which_everything_fails_goes_on_proposing(name: str) -> None:
    generations = study(name, measure=lambda _: None)
    points = [p.point for g in generations for p in g]
    assert len(set(points)) == POPULATION * GENERATIONS


@ALL
def test_only_some_trials_fail_and_ties_are_no_trouble(name: str) -> None:
    generations = study(name, measure=lambda p: None if p.number % 2 else 1.0)
    assert len({p.point for g in generations for p in g}) == POPULATION * GENERATIONS


@ALL
@pytest.mark.parametrize("key", list(SPACE.parameters))
def test_a_space_of_one_parameter_works(name: str, key: str) -> None:
    space = Space({key: SPACE.parameters[key]})
    searcher = make(name, space=space)
    for generation in range(3):
        proposals = searcher.ask([n for n in numbers(generation) if n <= trials(name, space)])
        assert all(SPACE.parameters[key].contains(p.config[key]) for p in proposals)
        searcher.tell(told(proposals))


@ALL
def test_choices_are_searched_too_or_refused_with_another_method_to_use(name: str) -> None:
    if not takes(name, MIXED):
        (problem,) = registry.load("searchers", name).check(MIXED, options(name, MIXED))
        assert "kind, tied" in problem.message and "method: tpe" in problem.message
        return
    searcher, chosen = make(name, space=MIXED), set()
    for generation in range(GENERATIONS):
        proposals = searcher.ask(numbers(generation))
        for proposal in proposals:
            assert proposal.config == MIXED.decode(proposal.point)
            assert all(MIXED.parameters[key].contains(value) for key, value in proposal.config.items())
            chosen.add(repr(proposal.config["kind"]))
        searcher.tell(told(proposals))
    assert len(chosen) > 1


@ONE_BY_ONE
@pytest.mark.parametrize("space", [SPACE, MIXED, CONDITIONAL], ids=["numbers", "mixed", "conditional"])
def test_what_finishes_out_of_order_is_proposed_again_by_whoever_knows_the_same(name: str, space: Space) -> None:
    for proposal, visible in asynchronous(name, space)[::4]:
        again = make(name, space=space)
        again.tell(visible[::-1])
        assert again.ask([proposal.number]) == [proposal]


@ONE_BY_ONE
def test_results_of_later_trials_may_come_first(name: str) -> None:
    first = study(name)[0]
    late, early = make(name), make(name)
    for result in told(first)[::-1]:
        late.tell([result])
        late.ask([24])
    early.tell(told(first))
    assert late.ask(numbers(1)) == early.ask(numbers(1))


GENERATIONAL = [n for n in NAMES if registry.load("searchers", n).generational]


def free_running(name: str) -> list[tuple[Proposal, list[list[Told]]]]:
    """Each proposal of an asynchronous generational study on three slots, with the generations told before it."""
    searcher, order = make_asynchronous(name), random.Random(11)
    asked: list[tuple[Proposal, list[list[Told]]]] = []
    running: list[Proposal] = []
    finished: list[Told] = []
    visible: list[list[Told]] = []
    for number in range(1, POPULATION * GENERATIONS + 1):
        while len(running) == SLOTS:
            finished += told([running.pop(order.randrange(SLOTS))])
            if len(finished) == POPULATION:
                visible.append(finished)
                searcher.tell(finished)
                finished = []
        running += searcher.ask([number])
        asked.append((running[-1], list(visible)))
    return asked


def make_asynchronous(name: str) -> Any:
    kind = registry.load("searchers", name)
    start = {key: centre(parameter) for key, parameter in SPACE.parameters.items()}
    return kind(SPACE, 0, options(name), start, POPULATION, asynchronous=True)


def test_searchers_say_whether_they_can_go_on_while_trials_run() -> None:
    able = {name for name in NAMES if registry.load("searchers", name).asynchronous}
    assert able == set(NAMES) - {"nsga2"}


@pytest.mark.parametrize("name", [n for n in GENERATIONAL if registry.load("searchers", n).asynchronous])
def test_generations_of_whatever_finished_are_proposed_again_by_whoever_knows_the_same(name: str) -> None:
    asked = free_running(name)
    assert len({proposal.point for proposal, _ in asked}) == len(asked)
    assert len(asked[-1][1]) == GENERATIONS - 1
    for proposal, visible in asked:
        again = make_asynchronous(name)
        for generation in visible:
            again.tell(generation[::-1])
        assert again.ask([proposal.number]) == [proposal]


@pytest.mark.parametrize("name", [n for n in GENERATIONAL if registry.load("searchers", n).asynchronous])
def test_a_generation_of_whatever_finished_is_whole_and_told_once(name: str) -> None:
    searcher = make_asynchronous(name)
    first = told(searcher.ask([3, 1, 9, 4, 2, 7]))
    with pytest.raises(ValueError, match="whole generations"):
        searcher.tell(first[:-1])
    searcher.tell(first)
    with pytest.raises(ValueError, match="not told before"):
        searcher.tell(first)
    with pytest.raises(ValueError, match="0"):
        searcher.ask([0])


@ALL
def test_the_baseline_is_never_asked_for(name: str) -> None:
    with pytest.raises(ValueError, match="0"):
        make(name).ask([0])


@ALL
def test_options_refuse_what_they_do_not_know(name: str) -> None:
    kind = registry.load("searchers", name)
    with pytest.raises(ValueError, match="sigmma"):
        kind.Options(sigmma=1)
    assert kind.check(SPACE, options(name)) == []


@pytest.mark.parametrize("name", [n for n in NAMES if hasattr(registry.load("searchers", n), "size")])
def test_a_finite_searcher_proposes_all_it_has_and_not_one_more(name: str) -> None:
    space = Space({"depth": Int(1, 3), "tied": Categorical((False, True))})
    kind = registry.load("searchers", name)
    size = kind.size(space, options(name, space))
    searcher = make(name, space=space)
    assert [p.number for p in searcher.ask(range(1, size + 1))] == list(range(1, size + 1))
    with pytest.raises(ValueError, match=str(size)):
        searcher.ask([size + 1])


def test_there_are_searchers_of_every_sort() -> None:
    assert {"random", "cmaes", "tpe", "nsga2", "qmc", "grid", "fixed", "staged"} <= set(NAMES)


@ALL
def test_asking_does_not_use_global_randomness(name: str) -> None:
    before = random.getstate(), np.random.get_state()[1].tolist()
    study(name)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before
