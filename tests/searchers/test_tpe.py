"""TPE is Optuna's, whatever order results come in; it learns, and wastes nothing on configs it knows."""

from __future__ import annotations

import random
import statistics
from collections.abc import Sequence

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from flopwise import seeds
from flopwise.searchers.random import RandomSearch
from flopwise.searchers.told import distributions, params, point
from flopwise.searchers.tpe import Tpe
from flopwise.space import Categorical, Float, Int, Space
from flopwise.trial import Proposal, Told

SPACE = Space(
    {
        "z.lr": Float(1e-4, 1.0, "log"),
        "a.decay": Float(-1.0, 1.0),
        "width": Int(8, 256, "log"),
        "depth": Int(2, 10, step=2),
        "kind": Categorical((1, True, "1")),
    }
)
BOTH = pytest.mark.parametrize("multivariate", [True, False], ids=["joint", "one by one"])


def tpe(seed: int = 0, space: Space = SPACE, **options: bool | int | str) -> Tpe:
    return Tpe(space, seed, Tpe.Options(**options), {}, None)


def loss(proposal: Proposal) -> float:
    away = sum((x - 0.3) ** 2 for x in proposal.point[:4])
    return away if proposal.config["kind"] == "1" else away + 1.0


def results(searcher: Tpe, count: int, fail_every: int = 7) -> list[Told]:
    """What a study of ``count`` trials tells, one at a time; every seventh fails."""
    found = []
    for number in range(1, count + 1):
        (p,) = searcher.ask([number])
        found.append(Told(number, p.config, p.point, None if number % fail_every == 0 else loss(p)))
        searcher.tell(found[-1:])
    return found


def optunas_own(
    history: Sequence[Told], seed: int, multivariate: bool = True, failed: TrialState = TrialState.PRUNED
) -> tuple[float, ...]:
    """The same history in a study built from nothing, and Optuna's own ask."""
    box = distributions(SPACE)
    sampler = optuna.samplers.TPESampler(seed=seed, multivariate=multivariate, constant_liar=False)
    study = optuna.create_study(sampler=sampler)
    for told in sorted(history, key=lambda told: told.number):
        state = failed if told.loss is None else TrialState.COMPLETE
        given = params(SPACE, told.point)
        study.add_trial(create_trial(state=state, params=given, distributions=box, value=told.loss))
    return point(SPACE, study.ask(box).params)


@BOTH
def test_a_proposal_is_what_optuna_would_ask_for_of_a_study_built_from_nothing(multivariate: bool) -> None:
    searcher = tpe(multivariate=multivariate)
    history = results(searcher, 40)
    for number in (41, 42):
        seed = seeds.derive(0, "tpe", number, 0)
        assert searcher.ask([number])[0].point == optunas_own(history, seed, multivariate)


@BOTH
def test_late_results_take_their_places_as_if_all_were_told_in_order(multivariate: bool) -> None:
    history = results(tpe(multivariate=multivariate), 40)
    late, grown = history[:], tpe(multivariate=multivariate)
    random.Random(1).shuffle(late)
    for told in late:
        grown.tell([told])
        grown.ask([41])
    whole = tpe(multivariate=multivariate)
    whole.tell(history)
    assert grown.ask([41, 42]) == whole.ask([41, 42])


def test_gaps_left_by_running_trials_are_no_results() -> None:
    history = [told for told in results(tpe(), 40) if told.number % 5]
    searcher = tpe()
    searcher.tell(history)
    assert searcher.ask([50])[0].point == optunas_own(history, seeds.derive(0, "tpe", 50, 0))


def test_until_enough_trials_are_told_draws_are_even() -> None:
    history = results(tpe(), 40)

    def away(startup: int) -> float:
        searcher = tpe(startup=startup)
        searcher.tell(history)
        return statistics.mean(sum(abs(x - 0.3) for x in p.point[:4]) for p in searcher.ask(range(41, 81)))

    assert away(41) > 1.5 * away(40)


def test_while_everything_fails_nothing_is_learned() -> None:
    history = [Told(told.number, told.config, told.point, None) for told in results(tpe(), 20)]
    searcher = tpe()
    searcher.tell(history)
    assert searcher.ask([21]) == tpe().ask([21])
    searcher.tell([Told(22, history[0].config, (0.5,) * 5, 1.0)])
    assert searcher.ask([21]) != tpe().ask([21])


def test_failures_can_be_ignored_as_optuna_does() -> None:
    searcher = tpe(failed="ignored")
    history = results(searcher, 40)
    derived = [seeds.derive(0, "tpe", number, 0) for number in range(41, 47)]
    points = [proposal.point for proposal in searcher.ask(range(41, 47))]
    assert points == [optunas_own(history, seed, failed=TrialState.FAIL) for seed in derived]
    assert points != [optunas_own(history, seed) for seed in derived]


def test_configs_like_those_that_failed_are_avoided() -> None:
    """The best lies at the edge of what works, as the largest model that still fits does."""

    def failures(seed: int, failed: str) -> int:
        searcher, count = tpe(seed, failed=failed), 0
        for number in range(1, 61):
            (p,) = searcher.ask([number])
            value = None if p.point[0] > 0.3 else loss(p)
            count += value is None
            searcher.tell([Told(number, p.config, p.point, value)])
        return count

    worst, ignored = (sum(failures(seed, failed) for seed in range(6)) for failed in ("worst", "ignored"))
    assert worst < 0.75 * ignored


def test_it_beats_random_search_on_a_mixed_space_at_60_evaluations() -> None:
    def best(searcher: Tpe | RandomSearch) -> float:
        found = []
        for number in range(1, 61):
            (p,) = searcher.ask([number])
            found.append(loss(p))
            searcher.tell([Told(number, p.config, p.point, found[-1])])
        return min(found)

    ours = statistics.median(best(tpe(seed)) for seed in range(9))
    theirs = statistics.median(best(RandomSearch(SPACE, seed, RandomSearch.Options(), {}, None)) for seed in range(9))
    assert ours < theirs / 2


def test_a_config_that_is_known_is_not_evaluated_again_while_there_are_others() -> None:
    space = Space({"depth": Int(1, 6), "tied": Categorical((False, True))})
    searcher, seen = tpe(space=space), []
    for number in range(1, 13):
        (p,) = searcher.ask([number])
        seen.append((p.config["depth"], p.config["tied"]))
        searcher.tell([Told(number, p.config, p.point, float(p.config["depth"]))])
    assert len(set(seen)) == 12
    assert searcher.ask([13])[0].config["depth"] in range(1, 7)


@pytest.mark.parametrize("number", [0, 3])
def test_a_trial_is_told_once_and_the_baseline_never(number: int) -> None:
    searcher = tpe()
    first = results(searcher, 3)
    with pytest.raises(ValueError, match=f"told trial {number}"):
        searcher.tell([Told(number, first[0].config, first[0].point, 1.0)])


@pytest.mark.parametrize("wrong", [{"startup": 0}, {"candidates": 0}, {"gamma": 5}, {"failed": "best"}])
def test_options_are_checked(wrong: dict[str, int | str]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        tpe(**wrong)


@pytest.mark.filterwarnings("error")
def test_the_users_own_optuna_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    optuna.logging.set_verbosity(optuna.logging.INFO)
    optuna.logging.enable_propagation()
    results(tpe(), 15)
    assert caplog.records == []
    optuna.create_study()
    optuna.logging.disable_propagation()
    assert caplog.records
