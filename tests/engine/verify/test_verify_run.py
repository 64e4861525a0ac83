"""An honest run passes; a run whose story cannot be true does not, although every checksum holds."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import flopwise.engine.verify
from flopwise.engine.verify import Difference, proposals, verify
from flopwise.events import (
    Alive,
    AttemptEnded,
    AttemptStarted,
    Event,
    LookTaken,
    PhaseStarted,
    RunCreated,
    SessionClosed,
    SessionLost,
    SessionOpened,
    TierChosen,
    TrialProposed,
    VerdictReached,
)
from flopwise.paths import RunFolder
from flopwise.study import study_hash

Tell = Callable[..., Any]


def found(story: Any, events: list[Event]) -> list[Difference]:
    """What verify says of these events, without a report."""
    story.events = events
    story.report = lambda: None
    return verify(story.write())


def changed(story: Any, kind: type[Event], place: int, /, **fields: Any) -> list[Event]:
    """The events with one of them altered, the ``place``-th of its kind."""
    places = [at for at, event in enumerate(story.events) if isinstance(event, kind)]
    events = list(story.events)
    events[places[place]] = replace(events[places[place]], **fields)
    return events


def whats(differences: list[Difference]) -> set[str]:
    return {each.what for each in differences}


def nth(story: Any, kind: type[Any], number: int) -> Any:
    return [event for event in story.events if isinstance(event, kind)][number]


# Honest runs


def test_an_honest_run_holds(folder: RunFolder) -> None:
    before = {path: path.read_bytes() for path in folder.root.rglob("*") if path.is_file()}
    assert verify(folder) == []
    assert before == {path: path.read_bytes() for path in folder.root.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "study",
    [
        {"objective": {"metric": "score", "direction": "minimize"}},
        {"search": {"method": "random", "seed": 3, "options": {}}, "tiers": {"min": {"trials": 8}}},
        {"confirm": {"top": 2, "seeds": 4, "min_improvement": 0.0001}},
        {"confirm": {"top": 2, "seeds": 1, "min_improvement": 0.01}},
    ],
)
def test_other_honest_runs_hold(tell: Tell, study: dict[str, Any]) -> None:
    assert verify(tell(**study).write()) == []


def test_a_run_holds_at_every_moment_of_its_life(tell: Tell) -> None:
    story = tell()
    folder = story.write()
    lines = folder.journal.read_bytes().splitlines(keepends=True)
    for count in range(1, len(lines) + 1):
        folder.journal.write_bytes(b"".join(lines[:count]))
        story.report(story.events[:count])
        assert verify(folder) == []


def test_a_confirmation_without_a_candidate_holds(tell: Tell) -> None:
    story = tell()
    done = next(n for n, e in enumerate(story.events) if isinstance(e, PhaseStarted) and e.phase == "choose")
    closed = replace(story.events[-1], t=story.events[-1].t)
    verdict = VerdictReached("INCONCLUSIVE", None, ["the budget ended"], {})
    events = [*story.events[:done], verdict, PhaseStarted("done"), closed]
    assert found(story, events) == []


def test_the_oracle_has_code_of_its_own() -> None:
    folder = Path(flopwise.engine.verify.__file__).parent
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            modules += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            forbidden = ("flopwise.report", "flopwise.journal", "flopwise.budget", "flopwise.stats.verdict")
            assert not [name for name in modules if name.startswith(forbidden)], path


# Stories that cannot be true


@pytest.mark.parametrize(
    ("kind", "number", "fields", "what"),
    [
        (RunCreated, 0, {"format": 9}, "format"),
        (RunCreated, 0, {"study_hash": "0" * 64}, "study_hash (the study was altered)"),
        (SessionOpened, 1, {"session": 5}, "session"),
        (SessionClosed, 0, {"session": 2}, "session"),
        (SessionClosed, -1, {"t": 1.0}, "t"),
        (SessionLost, 0, {"t": 1.0}, "t"),
        (Alive, 2, {"t": 1.0}, "t"),
        (TrialProposed, 2, {"number": 77}, "number"),
        (TrialProposed, 2, {"number": 1}, "number"),
        (TrialProposed, 3, {"seeds": [1]}, "seeds[0]"),
        (TrialProposed, 0, {"seeds": [1]}, "seeds[1]"),
        (TrialProposed, 3, {"stop": {"steps": 41}}, "stop.steps"),
        (TrialProposed, 3, {"stop": {}}, "stop.steps"),
        (TrialProposed, 6, {"visible": 0}, "visible"),
        (TrialProposed, 6, {"point": None}, "point"),
        (TrialProposed, 6, {"phase": "choose"}, "phase"),
        (TrialProposed, 10, {"of": 5000}, "of"),
        (TrialProposed, 12, {"of": 1}, "of"),
        (AttemptStarted, 4, {"seed": 8}, "seed"),
        (AttemptStarted, 4, {"slot": 2}, "slot"),
        (AttemptStarted, 6, {"slot": 1}, "summary.json.cores[0]"),
        (AttemptStarted, 4, {"limit_s": -1.0}, "limit_s"),
        (AttemptStarted, 4, {"session": 3}, "session"),
        (AttemptStarted, 4, {"attempt": "t0002.s0.a7"}, "attempt"),
        (AttemptEnded, 4, {"outcome": "bored"}, "outcome"),
        (AttemptEnded, 5, {"price": 1.0}, "price"),
        (AttemptEnded, 5, {"device_s": 1.0}, "device_s"),
        (AttemptEnded, 5, {"started_at": 1.0}, "started_at"),
        (AttemptEnded, 5, {"ended_at": 1.0}, "ended_at"),
        (AttemptEnded, 5, {"ended_at": 1.0}, "ended_at (keeper.jsonl)"),
        (AttemptEnded, 5, {"cpu_s": 1.0}, "cpu_s (keeper.jsonl)"),
        (AttemptEnded, 5, {"peak_rss_bytes": None}, "peak_rss_bytes (keeper.jsonl)"),
        (AttemptEnded, 6, {"metrics": {"score": 9.0, "noise": 0.5}}, "summary.json.metrics.score"),
        (AttemptEnded, 6, {"info": {}}, "summary.json.info.steps"),
        (TierChosen, 0, {"tier": "giant"}, "tier"),
        (PhaseStarted, 2, {"detail": {"candidates": [1, 2], "seeds": 2}}, "detail.candidates[0]"),
        (PhaseStarted, 3, {"detail": {"chosen": 0, "seeds": 5}}, "detail.chosen"),
        (PhaseStarted, 4, {"phase": "search"}, "phase"),
        (VerdictReached, 0, {"verdict": "MAYBE"}, "verdict"),
        (VerdictReached, 0, {"winner": 0}, "winner"),
    ],
)
def test_an_impossible_event_is_named(
    tell: Tell, kind: type[Event], number: int, fields: dict[str, Any], what: str
) -> None:
    story = tell()
    differences = found(story, changed(story, kind, number, **fields))
    assert what in whats(differences), differences


def test_a_number_of_the_verdict_or_of_the_plan_is_named(tell: Tell) -> None:
    story = tell()
    verdict, tier = nth(story, VerdictReached, 0), nth(story, TierChosen, 0)
    for key, number in verdict.numbers.items():
        if isinstance(number, int | float):
            story.folder = RunFolder(story.folder.root.parent / key)
            numbers = {**verdict.numbers, key: number + 1}
            assert f"numbers.{key}" in whats(found(story, changed(story, VerdictReached, 0, numbers=numbers)))
            story.events = changed(story, VerdictReached, 0, numbers=verdict.numbers)
    for key, number in tier.plan.items():
        if isinstance(number, int | float):
            story.folder = RunFolder(story.folder.root.parent / f"plan-{key}")
            plan = {**tier.plan, key: number + 1}
            assert f"plan.{key}" in whats(found(story, changed(story, TierChosen, 0, plan=plan)))
            story.events = changed(story, TierChosen, 0, plan=tier.plan)


def test_a_number_of_a_look_of_a_trigger_or_of_what_more_would_cost_is_named(tell: Tell) -> None:
    story = tell()
    look, verdict = nth(story, LookTaken, 0), nth(story, VerdictReached, 0)
    for key in ("critical", "lower", "mean_improvement", "planned", "n"):
        story.folder = RunFolder(story.folder.root.parent / f"look-{key}")
        numbers = {**look.numbers, key: 1.01 * look.numbers[key] + 1e-6}
        assert f"numbers.{key}" in whats(found(story, changed(story, LookTaken, 0, numbers=numbers)))
        story.events = changed(story, LookTaken, 0, numbers=look.numbers)
    for place, trigger in enumerate(verdict.triggers):
        story.folder = RunFolder(story.folder.root.parent / f"trigger-{place}")
        changed_one = {**trigger, "holds": "perhaps"}
        triggers = [*verdict.triggers[:place], changed_one, *verdict.triggers[place + 1 :]]
        assert f"triggers[{place}].holds" in whats(found(story, changed(story, VerdictReached, 0, triggers=triggers)))
        story.events = changed(story, VerdictReached, 0, triggers=verdict.triggers)
    story.folder = RunFolder(story.folder.root.parent / "more")
    assert "more.seeds" in whats(found(story, changed(story, VerdictReached, 0, more={"seeds": 7})))


def test_a_config_that_the_searcher_did_not_propose(tell: Tell) -> None:
    story = tell()
    trial = nth(story, TrialProposed, 6)
    config = {**trial.config, "train.decay": trial.config["train.decay"] + 1e-12}
    point = [*trial.point[:-1], 0.5]
    differences = found(story, changed(story, TrialProposed, 6, config=config, point=point))
    assert {"config.train.decay", "point[2]"} <= whats(differences)


def test_what_the_searcher_was_told_decides_the_next_generation(tell: Tell) -> None:
    """A result altered everywhere it stands still shows: the proposals after it do not follow from it."""
    story = tell()
    end = next(e for e in story.events if isinstance(e, AttemptEnded) and e.attempt == "t0002.s0.a2")
    place = story.events.index(end)
    story.events[place] = replace(end, metrics={**end.metrics, "score": end.metrics["score"] + 5.0})
    story.summaries["t0002.s0.a2"]["metrics"]["score"] += 5.0
    differences = found(story, story.events)
    assert {"config.train.lr", "point[0]"} <= whats(differences)
    assert all("TrialProposed" in each.where for each in differences if each.what.startswith(("config", "point")))


def test_large_runs_are_asked_again_by_sample(tell: Tell, monkeypatch: pytest.MonkeyPatch) -> None:
    study = {"search": {"method": "random", "seed": 3, "options": {}}, "tiers": {"min": {"trials": 8}}}
    monkeypatch.setattr(proposals, "ALL_UP_TO", 2)
    monkeypatch.setattr(proposals, "THEN_EVERY", 4)
    named = set()
    for number in range(1, 9):
        story = tell(**study)
        story.folder = RunFolder(story.folder.root.parent / f"run{number}")
        differences = found(story, changed(story, TrialProposed, number, point=[0.5, 0.5, 0.5]))
        named |= {number} if any(each.what.startswith("point") for each in differences) else set()
    assert named == {1, 2, 4, 8}


def test_a_study_altered_with_its_hash_no_longer_gives_these_trials(tell: Tell) -> None:
    story = tell()
    study = json.loads(json.dumps(story.study))
    study["search"]["seed"] = 12
    differences = found(story, changed(story, RunCreated, 0, study=study, study_hash=study_hash(study)))
    assert {"seeds[0]", "point[0]"} <= whats(differences)


def test_a_study_that_makes_no_sense_is_a_difference_and_no_crash(tell: Tell) -> None:
    story = tell()
    study = {"name": "pilot"}
    differences = found(story, changed(story, RunCreated, 0, study=study, study_hash=study_hash(study)))
    assert "re-derivation" in whats(differences)


def test_an_attempt_after_a_final_end(tell: Tell) -> None:
    story = tell()
    place = story.events.index(nth(story, SessionClosed, -1))
    again = [AttemptStarted("t0003.s0.a2", nth(story, TrialProposed, 3).seeds[0], 0, None, 3)]
    differences = found(story, [*story.events[:place], *again, *story.events[place:]])
    assert [(each.what, each.expected) for each in differences] == [("attempt", "none: t0003.s0.a1 ended as nan")]


def test_an_attempt_beyond_the_retries(tell: Tell) -> None:
    """Trial 2 was killed once and tried again, which is all that its study allows."""
    story = tell()
    second = next(e for e in story.events if isinstance(e, AttemptEnded) and e.attempt == "t0002.s0.a2")
    place = story.events.index(second)
    killed = replace(second, outcome="killed", metrics={}, info={})
    third = AttemptStarted("t0002.s0.a3", nth(story, TrialProposed, 2).seeds[0], 0, None, 1)
    differences = found(story, [*story.events[:place], killed, third, *story.events[place + 1 :]])
    assert "at most 1 retries" in {each.expected for each in differences}


def test_two_attempts_on_one_slot(tell: Tell) -> None:
    story = tell()
    started = nth(story, AttemptStarted, 0)
    other = replace(started, attempt="t0000.s1.a1", seed=nth(story, TrialProposed, 0).seeds[1])
    place = story.events.index(started) + 1
    differences = found(story, [*story.events[:place], other, *story.events[place:]])
    assert "slot" in whats(differences)


def test_events_outside_of_a_session(tell: Tell) -> None:
    story = tell()
    closed = story.events.index(nth(story, SessionClosed, 0))
    differences = found(story, [*story.events[: closed + 1], Alive(1e9), *story.events[closed + 1 :]])
    assert [(each.what, each.found) for each in differences][:1] == [("event", "none is")]


def test_an_event_of_an_attempt_that_never_was(tell: Tell) -> None:
    story = tell()
    place = len(story.events) - 1
    ghost = replace(nth(story, AttemptEnded, 0), attempt="t0001.s0.a9")
    differences = found(story, [*story.events[:place], ghost, *story.events[place:]])
    assert "one that was started and has not ended" in {each.expected for each in differences}


def test_a_go_without_a_decision(tell: Tell) -> None:
    story = tell()
    place = next(n for n, e in enumerate(story.events) if isinstance(e, PhaseStarted) and e.phase == "decide")
    verdict = VerdictReached("GO", 1, [], {"n": 5, "lower": 0.5})
    events = [*story.events[:place], verdict, PhaseStarted("done"), story.events[-1]]
    assert {"verdict", "numbers.n", "numbers.lower"} <= whats(found(story, events))


# Witnesses beside the journal


def test_a_summary_that_says_something_else(folder: RunFolder) -> None:
    path = folder.summary("t0005.s0.a1")
    honest = json.loads(path.read_text())
    for key, altered in {
        "seed": 1,
        "outcome": "nan",
        "metrics": {**honest["metrics"], "score": 0.0},
        "info": {**honest["info"], "tokens": 1},
        "attempt": "t0001.s0.a1",
    }.items():
        path.write_text(json.dumps({**honest, key: altered}))
        differences = verify(folder)
        assert all("AttemptEnded t0005.s0.a1" in each.where for each in differences)
        assert any(each.what.startswith(f"summary.json.{key}") for each in differences)
    path.write_text(json.dumps({**honest, "config": {"train": {"lr": 1.0}}}))
    assert "summary.json config.train.lr" in whats(verify(folder))
    honest["curve"][1]["values"]["loss"] = 0.25
    path.write_text(json.dumps(honest))
    assert whats(verify(folder)) == {"rows[1].values.loss"}


def test_stamps_that_say_something_else_and_lines_cut_short(folder: RunFolder) -> None:
    text = folder.stamps.read_text()
    lines = text.splitlines()
    start = next(n for n, line in enumerate(lines) if '"start"' in line and "t0005.s0.a1" in line)
    stamp = json.loads(lines[start])
    altered = [*lines[:start], json.dumps({**stamp, "at": stamp["at"] + 1}), *lines[start + 1 :]]
    folder.stamps.write_text("\n".join(altered))
    assert whats(verify(folder)) == {"started_at (keeper.jsonl)"}
    folder.stamps.write_text(text + '{"event": "end", "attem')
    assert verify(folder) == []
    folder.stamps.unlink()
    assert verify(folder) == []
