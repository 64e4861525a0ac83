"""Whole studies on a virtual clock: looks, triggers and other metrics, each a pure function of the journal."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import flopwise
from flopwise.engine.confirm import look_events, missing_trials
from flopwise.engine.verify import verify
from flopwise.events import AttemptEnded, Event, LookTaken, TrialProposed, VerdictReached, to_json
from flopwise.journal.log import read_events
from flopwise.journal.replay import RunState
from flopwise.paths import RunFolder
from flopwise.trial import Phase

Objective = Callable[..., Any]
SIMULATED = {"executor": "simulated", "slots": 2, "price_per_hour": 2.0, "options": {"durability": "none"}}


def noisy(gain: float, noise: float = 0.01) -> Objective:
    """Better the larger x is, up to ``gain`` at 1."""

    def objective(config: dict[str, Any], context: Any) -> dict[str, float]:
        draw = random.Random(f"{context.seed}/{config['x']}")
        loss = 1.0 - gain * config["x"] + noise * draw.gauss(0.0, 1.0)
        return {"loss": loss, "size": 10.0 + config["x"] + 0.1 * draw.gauss(0.0, 1.0), "speed": 5.0 + draw.random()}

    return objective


def ran(root: Path, objective: Objective, **sections: Any) -> tuple[list[Event], RunState]:
    """A study's journal, which verify has found nothing wrong with, and its state."""
    study = flopwise.Study(
        name="judged",
        base={"x": 0.0},
        space={"x": flopwise.Float(0.0, 1.0)},
        objective=objective,
        runs=root / "runs",
        execution=SIMULATED,
        **{"search": "random", "evaluations": 16, **sections},
    )
    study.run(quiet=True)
    folder = RunFolder(root / "runs" / "judged")
    assert verify(folder) == []
    events = read_events(folder.journal)[0]
    return events, RunState(events)


def plain(event: Event) -> Any:
    return json.loads(json.dumps(to_json(event)))


@pytest.mark.parametrize("gain", [0.05, 0.0])
def test_every_look_and_every_seed_of_the_next_follows_from_the_journal_before_it(tmp_path: Path, gain: float) -> None:
    events, state = ran(tmp_path, noisy(gain), confirm={"seeds": 12, "min_improvement": 0.01})
    assert state.verdict is not None
    assert state.verdict.numbers["planned"] == 12
    assert state.verdict.verdict == ("GO" if gain else state.verdict.verdict)
    decided = [place for place, event in enumerate(events) if isinstance(event, LookTaken)]
    for place in decided:
        before = RunState(events[:place])
        assert plain(look_events(before.study, before)[0]) == plain(events[place])
    proposed = [place for place, e in enumerate(events) if isinstance(e, TrialProposed) and e.phase == "decide"]
    assert len(proposed) == 2 * len(decided)
    for place in proposed:
        before = RunState(events[:place])
        assert plain(missing_trials(before.study, before)[0]) == plain(events[place])
    seeds = [seed for place in proposed[::2] for seed in events[place].seeds]  # type: ignore[attr-defined]
    assert len(set(seeds)) == len(seeds) == state.verdict.numbers["seeds"]


def test_a_large_improvement_saves_seeds_and_the_report_says_so(tmp_path: Path) -> None:
    _, state = ran(tmp_path, noisy(0.2), confirm={"seeds": 12})
    assert state.verdict is not None
    assert (state.verdict.verdict, state.verdict.numbers["seeds"]) == ("GO", 3)
    report = (tmp_path / "runs" / "judged" / "report.md").read_text()
    assert "Saved: 9 seeds of 12 for baseline and winner each, 18 evaluations." in report
    assert "| 1 | 3 of 12 |" in report


def test_one_look_is_the_fixed_design(tmp_path: Path) -> None:
    events, state = ran(tmp_path, noisy(0.2), confirm={"seeds": 6, "looks": 1})
    assert [event.look for event in events if isinstance(event, LookTaken)] == [1]
    assert state.verdict is not None and state.verdict.numbers["seeds"] == 6


def test_what_is_open_is_priced(tmp_path: Path) -> None:
    _, state = ran(tmp_path, noisy(0.02, noise=0.05), confirm={"seeds": 4, "min_improvement": 0.001})
    verdict = state.verdict
    assert verdict is not None and verdict.verdict == "INCONCLUSIVE"
    assert verdict.more["evaluations"] == 2 * verdict.more["seeds"] == 2 * verdict.numbers["n_needed"]
    assert verdict.more["price"] == pytest.approx(verdict.more["wall_s"] * 2.0 / 3600)
    assert f"confirm.seeds: {verdict.more['seeds']}" in verdict.reasons[-1]


def trigger(verdict: VerdictReached | None, name: str) -> dict[str, Any]:
    assert verdict is not None
    return next(each for each in verdict.triggers if each["name"] == name)


def exploding(config: dict[str, Any], context: Any) -> float:
    """Good at its end, by whatever measure, after a curve that has exploded."""
    for step in range(1, 31):
        loss = 5.0 / step if step < 25 else 50.0
        context.report(step, train_loss=loss, grad_norm=1.0)
    return float(1.0 - 0.2 * config["x"] + 0.001 * random.Random(context.seed).gauss(0.0, 1.0))


def test_a_winner_whose_curves_explode_gets_no_go(tmp_path: Path) -> None:
    events, state = ran(tmp_path, exploding, confirm={"seeds": 3, "top": 1})
    verdict = state.verdict
    assert [event.decision for event in events if isinstance(event, LookTaken)] == ["GO"]
    assert verdict is not None and verdict.verdict == "INCONCLUSIVE"
    assert trigger(verdict, "curves")["holds"] is False
    assert verdict.reasons[0].startswith("No GO, since curves does not hold: 3 of the winner's 3 curves")


def failing(config: dict[str, Any], context: Any) -> float:
    """Fails in a region of the space."""
    if 0.2 < config["x"] < 0.5:
        return math.nan
    return float(1.0 - 0.2 * config["x"] + 0.001 * random.Random(context.seed).gauss(0.0, 1.0))


def test_a_search_that_fails_too_often_gets_no_go(tmp_path: Path) -> None:
    policies = {"crash_rate": False, "crash_loop": False}
    events, state = ran(tmp_path, failing, confirm={"seeds": 3}, policies=policies)
    failed = sum(isinstance(event, AttemptEnded) and event.outcome == "nan" for event in events)
    assert failed >= 2
    assert state.verdict is not None and state.verdict.verdict == "INCONCLUSIVE"
    assert trigger(state.verdict, "stability")["numbers"]["failed"] == failed
    assert trigger(state.verdict, "stability")["holds"] is False


def test_a_winner_at_a_bound_is_told_to_widen_and_keeps_its_go(tmp_path: Path) -> None:
    def steep(config: dict[str, Any]) -> float:
        return float(1.0 - 0.2 * min(config["x"], 0.985) + 0.001 * random.random())

    search = {"method": "fixed", "configs": [{"x": 0.5}, {"x": 1.0}]}
    _, state = ran(tmp_path, steep, confirm={"seeds": 3}, search=search, evaluations=2)
    found = trigger(state.verdict, "inside")
    assert (found["holds"], state.verdict.verdict if state.verdict else None) == (False, "GO")
    assert found["numbers"]["pressed"] == [{"key": "x", "value": 1.0, "end": "high", "widen": 1.5}]


@pytest.mark.parametrize(
    ("also", "verdict", "kept"),
    [
        ({"size": {"worse": 0.2}, "speed": {"direction": "maximize"}}, "GO", True),
        ({"size": {"worse": 0.01}}, "NO-GO", False),
        ({"size": {"limit": 10.2}}, "NO-GO", False),
        ({"size": {"limit": 12.0, "worse": 0.2}, "speed": {}}, "GO", True),
    ],
)
def test_other_metrics_are_reported_and_constraints_are_needed(
    tmp_path: Path, also: dict[str, Any], verdict: str, kept: bool
) -> None:
    _, state = ran(tmp_path, noisy(0.2), confirm={"seeds": 6, "also": also})
    assert state.verdict is not None and state.verdict.verdict == verdict
    found = {each["metric"]: each for each in state.verdict.numbers["also"]}
    assert found.keys() == also.keys()
    assert found["size"]["holds"] is kept
    if "speed" in also:
        assert (found["speed"]["holds"], found["speed"]["needed"]) == (None, False)
    assert "Other metrics" in (tmp_path / "runs" / "judged" / "report.md").read_text()


def test_a_metric_that_nobody_reports_is_told_before_anything_is_searched(tmp_path: Path) -> None:
    events, state = ran(tmp_path, noisy(0.2), confirm={"also": {"accuracy": {}}})
    assert state.verdict is None
    assert state.by_phase(Phase.SEARCH) == []
    assert "does not report 'accuracy'" in events[-1].detail  # type: ignore[attr-defined]
    assert "it reports loss, size, speed" in events[-1].detail  # type: ignore[attr-defined]
