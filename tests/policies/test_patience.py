"""Patience: what counts as an improvement, and over which trials."""

from __future__ import annotations

from flopwise.policies.patience import Patience
from flopwise.policies.policy import Action, Decision, Finished, History
from flopwise.trial import Outcome, Phase

P = 4


def evaluation(number: int, loss: float | None, population: int | None = P) -> Finished:
    generation = (number - 1) // population + 1 if population and number else None
    phase = Phase.SEARCH if number else Phase.CALIBRATE
    return Finished(number, phase, generation, loss, Outcome.OK if loss is not None else Outcome.ERROR)


def judge(
    losses: list[float | None], noise_sd: float | None = 0.1, generations: int = 3, population: int | None = P
) -> Decision | None:
    """Losses of trials 0 (the baseline), 1, 2, …"""
    done = tuple(evaluation(number, loss, population) for number, loss in enumerate(losses))
    return Patience(Patience.Options(generations=generations)).judge(History(done, population, noise_sd))


def test_it_ends_the_search_after_so_many_flat_generations_and_no_earlier() -> None:
    improving: list[float | None] = [2.0, *[1.5] * P]
    assert judge(improving + [1.5] * (3 * P - 1)) is None
    decision = judge(improving + [1.5] * (3 * P))
    assert decision is not None
    assert decision.action is Action.END_SEARCH
    assert decision.cause == "no improvement beyond the noise between seeds in the last 3 generations"
    assert (decision.evidence["best_trial"], decision.evidence["best_generation"]) == (1, 1)
    assert (decision.evidence["best_loss"], decision.evidence["best_since"]) == (1.5, 1.5)


def test_the_baseline_counts_as_what_must_be_beaten() -> None:
    assert judge([1.0, *[2.0] * (3 * P)]) is not None
    assert judge([3.0, *[2.0] * (3 * P)]) is None


def test_the_baseline_is_its_mean_over_seeds() -> None:
    seeds = tuple(evaluation(0, loss) for loss in (1.0, 2.0, 3.0))
    search = tuple(evaluation(number, 1.5) for number in range(1, 3 * P + 1))
    assert Patience(Patience.Options(generations=3)).judge(History(seeds + search, P, 0.1)) is None


def test_a_difference_within_the_noise_is_no_improvement() -> None:
    start: list[float | None] = [2.0, *[1.5] * P]
    lucky = [1.5] * (3 * P - 1)
    assert judge([*start, *lucky, 1.41]) is not None
    assert judge([*start, *lucky, 1.39]) is None
    assert judge([*start, *lucky, 1.41], noise_sd=None) is None
    assert judge([*start, *lucky, 1.5], noise_sd=None) is not None


def test_slow_progress_counts_as_a_whole() -> None:
    creeping: list[float | None] = [2.0 - 0.05 * (n // P) for n in range(20 * P)]
    assert judge(creeping) is None


def test_failed_trials_are_no_improvement() -> None:
    decision = judge([1.0, *[None] * (3 * P)])
    assert decision is not None
    assert decision.evidence["best_since"] is None


def test_a_search_in_which_nothing_ever_worked_is_left_to_other_policies() -> None:
    assert judge([None] * (1 + 20 * P)) is None


def test_without_generations_eight_trials_count_as_one() -> None:
    flat: list[float | None] = [1.0] * (1 + 8 * 3)
    assert judge(flat[:-1], population=None) is None
    decision = judge(flat, population=None)
    assert decision is not None
    assert "last 24 trials" in decision.cause


def test_a_trial_counts_when_its_last_seed_has_ended() -> None:
    halves = [evaluation(number, 1.0) for number in range(1, 3 * P + 1)]
    patience = Patience(Patience.Options(generations=3))
    baseline = evaluation(0, 1.0)
    assert patience.judge(History((baseline, *halves), P, 0.1, seeds=2)) is None
    assert patience.judge(History((baseline, *halves, *halves), P, 0.1, seeds=2)) is not None


def test_more_seeds_make_smaller_differences_count() -> None:
    def trials(last: float) -> tuple[Finished, ...]:
        losses = [1.5] * (3 * P - 1) + [last]
        return tuple(evaluation(n, loss) for n, loss in enumerate(losses, start=1) for _ in range(4))

    patience, baseline = Patience(Patience.Options(generations=3)), evaluation(0, 1.5)
    assert patience.judge(History((baseline, *trials(1.46)), P, 0.1, seeds=4)) is not None
    assert patience.judge(History((baseline, *trials(1.44)), P, 0.1, seeds=4)) is None


def test_confirmation_does_not_count() -> None:
    fresh = tuple(Finished(n, Phase.DECIDE, None, 9.0, Outcome.OK) for n in range(50))
    done = tuple(evaluation(n, 1.0) for n in range(1, 3 * P))
    assert Patience(Patience.Options(generations=3)).judge(History((evaluation(0, 1.0), *done, *fresh), P)) is None
