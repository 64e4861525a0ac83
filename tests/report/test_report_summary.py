"""The summary: each key against a run whose numbers are known."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from flopwise.errors import RunError
from flopwise.events import Alive, SessionLost, from_json, to_json
from flopwise.report.summary import summarise


def test_an_empty_journal_is_refused() -> None:
    with pytest.raises(RunError, match="empty"):
        summarise([])


def test_it_is_json_and_deterministic_also_after_the_journal(story: Any) -> None:
    events = story().finished().events
    text = json.dumps(summarise(events), allow_nan=False)
    again = [from_json(json.loads(json.dumps(to_json(event)))) for event in events]
    assert json.dumps(summarise(iter(again)), allow_nan=False) == text


def test_a_finished_run(story: Any) -> None:
    run = story().finished()
    summary = summarise(run.events)
    assert (summary["state"], summary["phase"], summary["tier"]) == ("finished", "done", "min")
    assert summary["verdict"]["verdict"] == "GO"
    assert summary["winner"] == {
        "number": 8,
        "of": 3,
        "trials": [8],
        "config": {"model.n_layer": 3, "train.lr": 0.003},
        "derived": {},
        "values": [2.2, 2.21, 2.22],
        "mean": pytest.approx(2.21),
    }
    assert summary["baseline"]["number"] == 7
    assert summary["baseline"]["values"] == [2.51, 2.5, 2.49]
    assert summary["command"] == "flopwise run pilot.yaml --tier min"
    assert summary["data"] == {"tokens": 1000, "sha256": "da7a"}
    assert (summary["seed"], len(summary["slots"]), summary["limits"]["price"]) == (7, 2, 1.0)


def test_before_a_verdict_the_baseline_is_the_calibration(story: Any) -> None:
    summary = summarise(story().searched().events)
    assert summary["winner"] is None
    assert summary["baseline"] == {
        "number": 0,
        "config": {"model.n_layer": 2, "train.lr": 0.001},
        "derived": {},
        "values": [2.5, 2.52],
        "mean": pytest.approx(2.51),
    }
    assert summary["calibration"]["seconds"] == [10.0, 10.0]
    assert summary["calibration"]["noise_sd"] == pytest.approx(0.0141421356)


def test_best_so_far_is_what_was_better_than_all_before_and_its_price(story: Any) -> None:
    summary = summarise(story().finished().events)
    assert summary["best_so_far"] == [
        {"trial": 0, "spent_device_s": 20.0, "value": pytest.approx(2.51)},
        {"trial": 1, "spent_device_s": 30.0, "value": 2.45},
        {"trial": 3, "spent_device_s": 50.0, "value": 2.2},
    ]


def test_best_so_far_follows_the_order_of_finishing(story: Any) -> None:
    run = story().opened().calibrated(2.5).phase("search").proposed(1, "search").proposed(2, "search")
    run.started(1).started(2).ended(2, 0, 2.1).ended(1, 0, 2.0)
    assert [row["trial"] for row in summarise(run.events)["best_so_far"]] == [0, 2, 1]


def test_a_maximised_metric_keeps_its_sign(story: Any) -> None:
    run = story(objective={"metric": "accuracy", "direction": "maximize"}).opened().calibrated(0.5, 0.6)
    run.phase("search").proposed(1, "search").ran(1, 0.7).proposed(2, "search").ran(2, 0.4)
    summary = summarise(run.events)
    assert summary["baseline"]["values"] == [0.5, 0.6]
    assert [row["value"] for row in summary["best_so_far"]] == [pytest.approx(0.55), 0.7]
    assert [trial["value"] for trial in summary["trials"]] == [pytest.approx(0.55), 0.7, 0.4]


def test_spend_by_phase_adds_up(story: Any) -> None:
    spend = summarise(story().finished().events)["spend"]
    assert (spend["evaluations"], spend["device_s"], spend["session_s"]) == (16, 160.0, 160.0)
    assert spend["total_price"] == pytest.approx(3.6 / 3600 * 160)
    assert spend["total_price"] == pytest.approx(spend["attempts_price"] + spend["idle_price"])
    assert list(spend["by_phase"]) == ["calibrate", "search", "choose", "decide"]
    for key in ("evaluations", "device_s"):
        assert sum(part[key] for part in spend["by_phase"].values()) == spend[key]
    assert sum(part["price"] for part in spend["by_phase"].values()) == pytest.approx(spend["attempts_price"])


def test_failures_count_retried_attempts_but_not_interrupted_ones(story: Any) -> None:
    run = story().opened().calibrated(2.5).phase("search")
    for number in (1, 2, 3):
        run.proposed(number, "search")
    run.ran(1, None, outcome="oom", cause="first").ran(1, None, outcome="oom", cause="second")
    run.ran(2, None, outcome="killed", cause="stopped", interrupted=True).ran(2, 2.0)
    run.ran(3, None, outcome="nan", cause="at step 3")
    summary = summarise(run.events)
    assert summary["failures"] == [
        {"outcome": "oom", "count": 2, "example_cause": "first", "attempt": "t0001.s0.a1"},
        {"outcome": "nan", "count": 1, "example_cause": "at step 3", "attempt": "t0003.s0.a1"},
    ]
    assert [(t["outcome"], t["attempts"], t["seconds"]) for t in summary["trials"][1:]] == [
        ("oom", 2, 20.0),
        ("ok", 2, 20.0),
        ("nan", 1, 10.0),
    ]


def test_trials_that_have_not_ended_run_or_wait(story: Any) -> None:
    run = story().opened().calibrated(2.5).phase("search")
    run.proposed(1, "search").started(1).proposed(2, "search").proposed(3, "search", seeds=2).ran(3, 2.0)
    trials = summarise(run.events)["trials"]
    assert [trial["outcome"] for trial in trials] == ["ok", "running", "waiting", "waiting"]
    assert trials[3]["values"] == [2.0, None]
    assert trials[3]["value"] is None


def test_flags_of_attempts_become_warnings(story: Any) -> None:
    run = story().opened().calibrated(2.5).phase("search").proposed(1, "search").proposed(2, "search")
    run.ran(1, 9.0, info={"flags": ["no better than at initialisation"]})
    run.ran(2, 9.1, info={"flags": ["no better than at initialisation", "contended"]})
    assert summarise(run.events)["warnings"] == [
        {"flag": "no better than at initialisation", "count": 2, "attempt": "t0001.s0.a1"},
        {"flag": "contended", "count": 1, "attempt": "t0002.s0.a1"},
    ]


@pytest.mark.parametrize("info", [{}, {"flags": None}, {"flags": "text"}, {"flags": {"a": 1}}])
def test_other_forms_of_flags_say_nothing(story: Any, info: dict[str, Any]) -> None:
    run = story().opened().calibrated(2.5).phase("search").proposed(1, "search").ran(1, 9.0, info=info)
    assert summarise(run.events)["warnings"] == []


def test_states(story: Any) -> None:
    assert summarise(story().events)["state"] == "planned"
    assert summarise(story().opened().events)["state"] == "running"
    paused = summarise(story().opened().closed("paused", "crash_rate: 3 of 4 failed").events)
    assert (paused["state"], paused["detail"]) == ("paused", "crash_rate: 3 of 4 failed")
    lost = story().opened()
    assert summarise([*lost.events, SessionLost(1, lost.now, "keeper")])["state"] == "interrupted"


def test_a_session_opened_again_after_a_loss_is_running(story: Any) -> None:
    run = story().opened()
    run.events += [Alive(run.now + 5.0), SessionLost(1, run.now + 5.0, "journal")]
    run.now = 7.0
    summary = summarise(run.opened().events)
    assert summary["state"] == "running"
    assert summary["spend"]["session_s"] == 5.0


def test_policies_are_listed(story: Any) -> None:
    run = story().searched().raised("patience", "end_search", "no progress in 3 generations")
    assert summarise(run.events)["policies"] == [
        {"policy": "patience", "action": "end_search", "cause": "no progress in 3 generations", "evidence": {}}
    ]


def test_a_verdict_without_a_winner_keeps_the_calibrated_baseline(story: Any) -> None:
    run = story().searched()
    run.events.append(
        from_json({"event": "VerdictReached", "verdict": "NO-GO", "winner": None, "reasons": ["none"], "numbers": {}})
    )
    summary = summarise(run.events)
    assert summary["winner"] is None
    assert summary["baseline"]["number"] == 0


def test_a_budget_that_ended_before_the_winner_ran_leaves_gaps(story: Any) -> None:
    run = story().searched().phase("decide", chosen=3, seeds=2)
    run.proposed(5, "decide", 2, 0).proposed(6, "decide", 2, 3).ran(5, 2.5, 2.5).ran(6, 2.2)
    run.events.append(
        from_json(
            {"event": "VerdictReached", "verdict": "INCONCLUSIVE", "winner": 3, "reasons": ["out"], "numbers": {}}
        )
    )
    winner = summarise(run.events)["winner"]
    assert (winner["values"], winner["mean"], winner["of"]) == ([2.2, None], None, 3)


def test_the_work_grows_with_the_run_and_not_with_its_square(story: Any) -> None:
    """Counted in calls, not in seconds."""

    def calls(trials: int) -> int:
        run = story().opened().calibrated(2.5).phase("search")
        for number in range(1, trials + 1):
            run.proposed(number, "search").ran(number, 2.0)
        count = 0

        def tick(*_: Any) -> None:
            nonlocal count
            count += 1

        sys.setprofile(tick)
        try:
            summarise(run.events)
        finally:
            sys.setprofile(None)
        return count

    assert calls(400) < 2.5 * calls(200)
