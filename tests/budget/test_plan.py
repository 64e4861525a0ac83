"""The plan: prices by hand, seeds from the measured noise, and what it warns about."""

from __future__ import annotations

import json
from typing import Any

import pytest

from flopwise.budget.admission import NOTHING
from flopwise.budget.limits import Limits, Spent
from flopwise.budget.plan import Calibration, Plan, make_plan
from flopwise.trial import Phase

STEADY = Calibration(seconds=(9.0, 10.0, 11.0), losses=(2.00, 2.01, 2.02), peak_rss_bytes=10**9)


def study(**sections: dict[str, Any]) -> dict[str, Any]:
    canonical: dict[str, Any] = {
        "name": "pilot",
        "workload": "language_model",
        "objective": {"metric": "val_loss", "direction": "minimize"},
        "evaluation": {"stop": {"flops": 1e12}, "seeds": 1, "timeout": None},
        "tiers": {"min": {"population": 8, "generations": 2}, "max": {"population": 9, "generations": 10}},
        "search": {"method": "cmaes", "asynchronous": True},
        "limits": {"evaluations": None, "device_hours": None, "wall_clock": None, "price": None},
        "execution": {"executor": "local", "slots": 4, "price_per_hour": 0.36},
        "confirm": {"top": 3, "seeds": 5, "min_improvement": 0.01},
    }
    for name, values in sections.items():
        canonical[name] = values if name == "tiers" else {**canonical[name], **values}
    return canonical


def test_a_generational_tier_is_priced_in_waves() -> None:
    tier = make_plan(study(), STEADY, slots=4, flops=1e12).tier("max")
    assert (tier.trials, tier.search_evaluations) == (90, 90)
    assert (tier.choose_evaluations, tier.decide_evaluations, tier.evaluations) == (6, 10, 106)
    assert tier.device_hours == pytest.approx(106 * 10 / 3600)
    waves = 10 * 3 + 2 + 3
    assert tier.wall_s == pytest.approx(waves * 10)
    assert tier.price == pytest.approx(waves * 10 / 3600 * 0.36)
    assert tier.train_flops == pytest.approx(106e12)


def test_a_tier_of_trials_has_no_generations() -> None:
    tier = make_plan(study(tiers={"default": {"trials": 50}}, evaluation={"seeds": 2}), STEADY, slots=8).tier("default")
    assert (tier.population, tier.generations, tier.trials, tier.search_evaluations) == (None, None, 50, 100)
    assert tier.wall_s == pytest.approx((13 + 1 + 2) * 10)
    assert tier.train_flops is None


def test_fewer_trials_than_candidates_to_choose_from() -> None:
    tier = make_plan(study(tiers={"default": {"trials": 2}}), STEADY, slots=1).tier("default")
    assert tier.choose_evaluations == 4


def test_the_plan_carries_what_calibration_measured() -> None:
    plan = make_plan(study(), STEADY, slots=4, steps=300, tokens=6e5, flops=1e12, spent=Spent(3, 30.0, 40.0, 0.004))
    assert (plan.steps, plan.tokens, plan.flops, plan.slots) == (300, 6e5, 1e12, 4)
    assert plan.seconds_per_evaluation == 10.0
    assert plan.baseline_mean == pytest.approx(2.01)
    assert plan.noise_sd == pytest.approx(0.01)
    assert plan.threshold == pytest.approx(0.0201)
    assert plan.warnings == ()


def test_confirmation_seeds_come_from_the_noise_unless_the_study_sets_them() -> None:
    noisy = Calibration((10.0,) * 3, (1.97, 2.01, 2.05))
    assert make_plan(study(), noisy, slots=4).confirm_seeds == 5
    measured = make_plan(study(confirm={"seeds": None}), noisy, slots=4)
    assert (measured.confirm_seeds, measured.confirm_looks) == (20, (20,))
    assert measured.tier("min").decide_evaluations == 40
    assert make_plan(study(confirm={"seeds": None}), STEADY, slots=4).confirm_seeds == 4


def test_looks_come_after_whole_waves() -> None:
    noisy = Calibration((10.0,) * 3, (1.97, 2.01, 2.05))
    looks = {
        slots: make_plan(study(confirm={"seeds": None, "looks": 4}), noisy, slots=slots).confirm_looks
        for slots in (1, 2, 4, 16, 64)
    }
    assert looks == {1: (5, 10, 15, 20), 2: (5, 10, 15, 20), 4: (6, 12, 18, 20), 16: (8, 16, 20), 64: (20,)}


def test_a_maximised_metric_is_shown_as_the_user_knows_it() -> None:
    losses = (-0.90, -0.91, -0.92)
    plan = make_plan(
        study(objective={"metric": "accuracy", "direction": "maximize"}), Calibration((1.0,) * 3, losses), slots=1
    )
    assert plan.baseline_mean == pytest.approx(0.91)
    assert plan.threshold == pytest.approx(0.0091)


def test_one_calibration_seed_leaves_the_noise_unknown_and_says_so() -> None:
    plan = make_plan(study(confirm={"seeds": None}), Calibration((10.0,), (2.0,)), slots=4)
    assert (plan.noise_sd, plan.confirm_seeds) == (None, 5)
    assert "calibration.seeds" in plan.warnings[0]


def test_a_tier_beyond_a_limit_is_named() -> None:
    plan = make_plan(study(limits={"device_hours": 0.2}), STEADY, slots=4)
    assert plan.tier("min").exceeds == ()
    assert "limits.device_hours is 0.2 h" in plan.tier("max").exceeds[0]
    assert len(plan.warnings) == 1
    assert "Tier max does not fit" in plan.warnings[0]


def test_what_is_spent_already_counts_against_the_limits() -> None:
    limited = study(limits={"evaluations": 35})
    assert make_plan(limited, STEADY, slots=4, spent=Spent(evaluations=3)).tier("min").exceeds == ()
    assert make_plan(limited, STEADY, slots=4, spent=Spent(evaluations=4)).tier("min").exceeds


def test_every_kind_of_limit_is_checked() -> None:
    tight = {"evaluations": 1, "device_hours": 1e-3, "wall_clock": 1.0, "price": 1e-6}
    assert len(make_plan(study(limits=tight), STEADY, slots=4).tier("min").exceeds) == 4


def test_too_few_steps_noise_and_weak_confirmation_are_warned_about() -> None:
    plan = make_plan(study(), Calibration((10.0,) * 3, (1.9, 2.0, 2.1)), slots=4, steps=3)
    text = " ".join(plan.warnings)
    assert "only 3 optimizer steps" in text
    assert "mostly rank luck" in text
    assert "chance of only" in text


def test_more_seeds_a_trial_quieten_the_search() -> None:
    noisy = Calibration((10.0,) * 3, (1.95, 2.0, 2.05))
    assert any("luck" in warning for warning in make_plan(study(), noisy, slots=4).warnings)
    assert not any("luck" in warning for warning in make_plan(study(evaluation={"seeds": 4}), noisy, slots=4).warnings)


def test_a_limit_on_money_needs_a_price() -> None:
    free = study(limits={"price": 1.0}, execution={"price_per_hour": 0.0})
    assert any("price_per_hour" in warning for warning in make_plan(free, STEADY, slots=4).warnings)


def test_the_reserve_shrinks_as_confirmation_goes_on() -> None:
    plan = make_plan(study(), STEADY, slots=4)
    search, choose = plan.reserve("min", Phase.SEARCH), plan.reserve("min", Phase.CHOOSE)
    assert (search.evaluations, choose.evaluations) == (16, 10)
    assert choose.device_s == pytest.approx(1.5 * 10 * 10)
    assert search.wall_s == pytest.approx(1.5 * 10 * (2 + 3))
    assert plan.reserve("min", Phase.CALIBRATE) == search
    assert plan.reserve("min", Phase.DECIDE) == NOTHING


@pytest.mark.parametrize("calibration", [STEADY, Calibration((5.0,), (), None)])
def test_a_plan_survives_the_journal(calibration: Calibration) -> None:
    plan = make_plan(study(limits={"device_hours": 0.01}), calibration, slots=3, steps=7)
    assert Plan.from_json(json.loads(json.dumps(plan.to_json(), allow_nan=False))) == plan
    assert Plan.from_json(plan.to_json()).warnings == plan.warnings != ()


def test_nothing_calibrated_is_no_plan() -> None:
    with pytest.raises(ValueError, match="calibrated"):
        make_plan(study(), Calibration((), ()), slots=1)


def test_limits_come_from_the_study() -> None:
    given = {"evaluations": 9, "device_hours": 1.5, "wall_clock": 60.0, "price": 2.0}
    assert Limits.from_study(study(limits=given)) == Limits(9, 1.5, 60.0, 2.0, price_per_hour=0.36)
