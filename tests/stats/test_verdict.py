"""The verdict: each way to each of the three words, its reasons and its numbers."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flopwise.objective import Objective
from flopwise.stats.verdict import Judgement, Verdict, decide, no_candidate

LOSS = Objective("val_loss")
REWARD = Objective("reward", "maximize")
losses = st.floats(-100, 100).map(lambda x: round(x, 3))


def judged(baseline: list[float | None], candidate: list[float | None], share: float = 0.01) -> Judgement:
    return decide(baseline, candidate, share, LOSS)


def test_a_clear_improvement_is_a_go_with_its_numbers() -> None:
    judgement = judged([2.0, 2.1, 2.2], [1.9, 2.01, 2.08])
    numbers = judgement.numbers
    assert judgement.verdict is Verdict.GO
    assert (numbers["n"], numbers["baseline_mean"]) == (3, pytest.approx(2.1))
    assert numbers["mean_improvement"] == pytest.approx(0.31 / 3)
    assert numbers["relative"] == pytest.approx(0.31 / 3 / 2.1)
    assert numbers["threshold"] == pytest.approx(0.021)
    assert 0 < numbers["lower"] < numbers["mean_improvement"] < numbers["upper"]
    assert numbers["n_needed"] is None
    assert "more than" in judgement.reasons[0]


def test_a_real_improvement_that_is_too_small_is_a_no_go() -> None:
    judgement = judged([2.0, 2.1, 2.2], [1.999, 2.099, 2.1989])
    assert judgement.verdict is Verdict.NO_GO
    assert judgement.numbers["lower"] > 0
    assert "below the 0.021 asked for" in judgement.reasons[0]


def test_a_worse_candidate_is_a_no_go() -> None:
    judgement = judged([2.0, 2.1, 2.2], [2.5, 2.55, 2.6])
    assert judgement.verdict is Verdict.NO_GO
    assert any("worse by" in reason for reason in judgement.reasons)


def test_noise_is_inconclusive_and_says_how_many_seeds_would_settle_it() -> None:
    judgement = judged([2.0, 2.1, 2.2, 2.0], [1.9, 2.1, 2.0, 2.05])
    assert judgement.verdict is Verdict.INCONCLUSIVE
    assert judgement.numbers["n_needed"] > 4
    assert str(judgement.numbers["n_needed"]) in judgement.reasons[-1]
    assert "may be luck" in judgement.reasons[0]


def test_that_many_seeds_do_settle_it() -> None:
    few = [0.02, -0.01, 0.1, 0.05]
    judgement = judged([2.0 + d for d in few], [2.0] * 4)
    assert judgement.verdict is Verdict.INCONCLUSIVE
    spread, mean, n = judgement.numbers["sd"], judgement.numbers["mean_improvement"], judgement.numbers["n_needed"]

    def again(count: int) -> Verdict:
        sign = [1.0 if i % 2 else -1.0 for i in range(count)]
        if count % 2:
            sign[-1] = 0.0
        scale = spread * ((count - 1) / sum(s * s for s in sign)) ** 0.5
        return judged([2.0 + mean + scale * s for s in sign], [2.0] * count).verdict

    assert again(n) is Verdict.GO
    assert again(n - 1) is Verdict.INCONCLUSIVE


def test_out_of_reach_is_said() -> None:
    judgement = judged([2.0] * 4, [2.0 - 0.12, 2.0 + 0.08, 2.0 - 0.0199, 2.0 - 0.0199])
    assert judgement.verdict is Verdict.INCONCLUSIVE
    assert judgement.numbers["n_needed"] is None
    assert "More than 1000 seeds" in judgement.reasons[-1]


@pytest.mark.parametrize(("candidate", "verdict"), [(1.9, Verdict.GO), (1.99, Verdict.NO_GO), (2.0, Verdict.NO_GO)])
def test_a_workload_that_no_seed_changes_is_judged_exactly(candidate: float, verdict: Verdict) -> None:
    judgement = judged([2.0] * 3, [candidate] * 3)
    assert judgement.verdict is verdict
    assert "on every seed" in judgement.reasons[0]


def test_no_improvement_is_no_go_even_when_any_would_do() -> None:
    assert judged([2.0] * 3, [2.0] * 3, share=0.0).verdict is Verdict.NO_GO


def test_a_winner_that_fails_on_a_fresh_seed_is_never_a_go() -> None:
    judgement = judged([2.0, 2.1, 2.2, 2.3], [1.0, 1.1, 1.2, None])
    assert judgement.verdict is Verdict.INCONCLUSIVE
    assert judgement.reasons[0] == "The winner failed on 1 of 4 fresh seeds."
    assert judgement.numbers["n"] == 3


def test_a_winner_that_fails_on_half_of_the_seeds_is_a_no_go() -> None:
    assert judged([2.0, 2.1, 2.2, 2.3], [1.0, None, 1.2, None]).verdict is Verdict.NO_GO
    assert judged([2.0, 2.1], [None, None]).verdict is Verdict.NO_GO


def test_a_baseline_that_fails_leaves_the_other_seeds() -> None:
    judgement = judged([2.0, 2.1, 2.2, None], [1.0, 1.1, 1.2, 1.3])
    assert judgement.verdict is Verdict.GO
    assert judgement.reasons[-1] == "The baseline failed on 1 of 4 fresh seeds."
    assert judged([None, None], [1.0, 1.1]).verdict is Verdict.INCONCLUSIVE


def test_one_seed_is_inconclusive() -> None:
    judgement = judged([2.0], [1.0])
    assert judgement.verdict is Verdict.INCONCLUSIVE
    assert "at least 3 seeds" in judgement.reasons[-1]


def test_values_are_shown_as_the_user_knows_them() -> None:
    judgement = decide([-0.80, -0.81, -0.79], [-0.90, -0.91, -0.89], 0.01, Objective("accuracy", "maximize"))
    assert judgement.verdict is Verdict.GO
    assert judgement.numbers["winner_mean"] == pytest.approx(0.90)
    assert judgement.numbers["mean_improvement"] == pytest.approx(0.10)
    assert any("0.8 (baseline) to 0.9 (winner), better by 0.1 (12.50%)" in reason for reason in judgement.reasons)


def test_no_percentages_of_a_baseline_that_is_not_positive() -> None:
    judgement = decide([200.0, 210.0, 190.0], [150.0, 140.0, 170.0], 0.01, REWARD)
    assert judgement.verdict is Verdict.GO
    assert judgement.numbers["baseline_mean"] == pytest.approx(-200.0)
    assert judgement.numbers["relative"] is None
    assert judgement.numbers["threshold"] == pytest.approx(judgement.numbers["noise_sd"])
    assert not any("%" in reason.replace("95%", "") for reason in judgement.reasons)


@settings(deadline=None)
@given(st.lists(st.tuples(st.none() | losses, st.none() | losses), min_size=1, max_size=12), st.floats(0, 0.2))
def test_every_judgement_is_json_with_reasons_and_keeps_the_rule(
    pairs: list[tuple[float | None, float | None]], share: float
) -> None:
    judgement = judged([b for b, _ in pairs], [c for _, c in pairs], share)
    numbers = json.loads(json.dumps(judgement.numbers, allow_nan=False))
    assert judgement.reasons
    if judgement.verdict is Verdict.GO:
        assert numbers["lower"] > 0
        assert numbers["mean_improvement"] >= numbers["threshold"]
        assert numbers["failed_winner"] == 0


def test_without_a_candidate_there_is_no_verdict() -> None:
    judgement = no_candidate(16, 0.01)
    assert judgement.verdict is Verdict.INCONCLUSIVE
    assert "16 search trials" in judgement.reasons[0]
    assert set(judgement.numbers) == set(judged([1.0], [1.0]).numbers)


def test_seeds_must_match() -> None:
    with pytest.raises(ValueError, match="argument 2"):
        judged([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="no seeds"):
        judged([], [])
