"""What pictures and exports are made from."""

from __future__ import annotations

from typing import Any

from flopwise.report.evidence import gather


def test_trials_stand_in_the_order_they_finished_with_what_was_spent_by_then(story: Any) -> None:
    run = story().opened().calibrated(2.5).tier().phase("search").proposed(1, "search").proposed(2, "search")
    run.started(1).started(2).ended(2, 0, 2.2).ended(1, 0, None)
    rows = [(f.number, f.value, f.outcome, f.evaluations, f.spent_device_s) for f in gather(run.events).finished]
    assert rows == [(0, 2.5, "ok", 1, 10.0), (2, 2.2, "ok", 2, 20.0), (1, None, "error", 3, 30.0)]


def test_values_are_the_users_also_when_larger_is_better(story: Any) -> None:
    evidence = gather(story(objective={"metric": "accuracy", "direction": "maximize"}).searched().events)
    assert evidence.sign == -1.0
    assert [f.value for f in evidence.finished] == [2.51, 2.45, None, 2.2, 2.6]
    assert evidence.leader == 4


def test_the_leader_is_the_winner_once_there_is_a_verdict(story: Any) -> None:
    assert gather(story().searched().events).leader == 3
    assert gather(story().finished().events).leader == 3
    assert gather(story().opened().events).leader is None


def test_curves_are_the_baselines_and_the_best_ones(story: Any) -> None:
    run = story().long(12, lambda config: config["train.lr"])
    ranked = sorted((t["value"], t["number"]) for t in gather(run.events).searched)
    curves = gather(run.events).curves
    assert [curve.trial for curve in curves] == [number for _, number in ranked[:5]]
    assert {curve.metric for curve in curves} == {"train_loss"}
    assert curves[0].values[:3] == (9.0, 4.5, 3.0)
