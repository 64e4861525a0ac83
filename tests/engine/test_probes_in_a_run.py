"""Signal, knobs and ladder in real runs on the simulated executor, with losses that are known."""

from __future__ import annotations

import copy
import json
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import flopwise
from flopwise.engine.verify import verify
from flopwise.errors import RunError
from flopwise.events import AttemptStarted, PhaseStarted, TierChosen, TrialProposed, from_json, to_json
from flopwise.journal.log import Journal, read_events
from flopwise.paths import RunFolder
from flopwise.trial import Phase

SPACE = {"x": flopwise.Float(0.0, 1.0), "y": flopwise.Float(0.0, 1.0), "unused": flopwise.Float(0.0, 1.0)}
PROBING = ("signal", "knobs", "ladder")


def gauss(*parts: Any) -> float:
    return random.Random(json.dumps(parts)).gauss(0, 1)


def loss_of(noise: Callable[[float], float]) -> Callable[[Any, Any], dict[str, float]]:
    """A valley in x, hardly anything in y, nothing in the third knob; noise falls with the amount of training."""

    def loss(config: Any, context: Any) -> dict[str, float]:
        x, y = config["x"], config["y"]
        amount = context.fidelity.amount or 1.0
        luck = gauss(context.seed, x, y) + gauss(context.seed)
        return {"loss": 2.0 + (x - 0.3) ** 2 + 1e-4 * y + noise(amount) * luck}

    return loss


def study(folder: Path, noise: Callable[[float], float], **sections: Any) -> flopwise.Study:
    execution = {"executor": "simulated", "slots": 4, "price_per_hour": 1.0, "options": {"seconds": 1.0}}
    return flopwise.Study(
        **{
            "name": "probed",
            "runs": folder,
            "space": SPACE,
            "base": {"x": 0.9, "y": 0.5, "unused": 0.5},
            "objective": loss_of(noise),
            "search": "cmaes",
            "tiers": {"min": {"population": 4, "generations": 2}, "max": {"population": 16, "generations": 10}},
            "evaluation": {"stop": {"tokens": 100}},
            "confirm": {"seeds": 3},
            "execution": execution,
            **sections,
        }
    )


def phases(folder: Path) -> list[str]:
    return [event.phase for event in read_events(folder / "journal.log")[0] if isinstance(event, PhaseStarted)]


def trials(folder: Path, *of: str) -> list[TrialProposed]:
    return [e for e in read_events(folder / "journal.log")[0] if isinstance(e, TrialProposed) and e.phase in of]


def test_a_clear_signal_and_a_dead_knob_are_said_and_verified(tmp_path: Path) -> None:
    done = study(tmp_path, lambda _: 0.01).run(quiet=True)
    plan = done.summary["plan"]
    signal = plan["probed"]["signal"]
    assert signal["usable"] and signal["icc"] > 0.8 and (signal["configs"], signal["seeds"]) == (8, 2)
    assert 0.004 < signal["noise_sd"] < 0.02 and signal["seed_sd"] < 0.03
    assert {knob["key"]: knob["says"] for knob in plan["probed"]["knobs"]} == {
        "x": "acts",
        "y": "acts",
        "unused": "dead",
    }
    assert (plan["unfit"], plan["advice"], plan["probed"]["rungs"]) == ([], None, [])
    assert phases(done.folder)[:4] == ["calibrate", "signal", "knobs", "search"]
    shared = {tuple(trial.seeds) for trial in trials(done.folder, "signal")}
    baseline = trials(done.folder, "calibrate")[0]
    assert shared == {tuple(baseline.seeds[:2])}
    assert [t.number for t in trials(done.folder, "search")] == list(range(15, 23))
    assert {"signal", "knobs"} <= done.summary["spend"]["by_phase"].keys()
    assert verify(RunFolder(done.folder)) == []


def test_proposals_of_the_search_are_those_of_a_run_without_probes(tmp_path: Path) -> None:
    probed = study(tmp_path / "a", lambda _: 0.01).run(quiet=True)
    plain = study(tmp_path / "b", lambda _: 0.01, calibration={"signal": False, "knobs": False}).run(quiet=True)
    assert phases(plain.folder)[:2] == ["calibrate", "search"]
    assert [t.config for t in trials(probed.folder, "search")] == [t.config for t in trials(plain.folder, "search")]
    assert [t["what"] for t in plain.summary["plan"]["probed"]["left_out"]] == ["signal", "knobs"]


def test_noise_that_drowns_everything_is_refused_and_the_recommended_budget_is_not(tmp_path: Path) -> None:
    """The noise falls with the square root of the tokens: at 100 it drowns the signal, sixteen times later not."""

    def noise(amount: float) -> float:
        return 8.0 / amount**0.5

    drowned = study(tmp_path, noise)
    plan = drowned.plan()
    assert plan["unfit"] == ["drowned"] and plan["advice"]["stop"] is not None
    with pytest.raises(RunError, match=r"(?s)cannot tell candidates apart.*anyway=True"):
        drowned.run(quiet=True)
    folder = tmp_path / "probed"
    assert "search" not in phases(folder)
    advised = study(tmp_path, noise, name="advised", evaluation={"stop": plan["advice"]["stop"]})
    again = advised.plan()
    assert (again["unfit"], again["advice"]) == ([], None)
    done = drowned.run(anyway=True, quiet=True)
    assert done.reason == "finished"
    (chosen,) = [event for event in read_events(folder / "journal.log")[0] if isinstance(event, TierChosen)]
    assert chosen.anyway and chosen.plan["unfit"] == ["drowned"]
    assert verify(RunFolder(folder)) == []


def test_more_seeds_are_recommended_where_they_are_cheaper(tmp_path: Path) -> None:
    noisy = study(tmp_path, lambda _: 0.2, evaluation={})
    plan = noisy.plan()
    assert plan["unfit"] == ["drowned"]
    advice = plan["advice"]
    assert advice["stop"] is None and advice["seeds"] > 1
    again = study(tmp_path, lambda _: 0.2, evaluation={"seeds": advice["seeds"]}, name="seeds").plan()
    assert again["unfit"] == []


def test_planning_twice_and_running_pays_once(tmp_path: Path) -> None:
    first = study(tmp_path, lambda _: 0.01)
    first.plan()
    folder = tmp_path / "probed"
    paid = len([e for e in read_events(folder / "journal.log")[0] if isinstance(e, AttemptStarted)])
    first.plan()
    assert len([e for e in read_events(folder / "journal.log")[0] if isinstance(e, AttemptStarted)]) == paid
    done = study(tmp_path, lambda _: 0.01, tiers={"min": {"population": 4, "generations": 3}}).run(quiet=True)
    assert done.folder == folder
    assert len(trials(folder, *PROBING)) == paid - 3 - 8
    assert verify(RunFolder(folder)) == []


def test_asking_for_more_after_a_plan_measures_only_that(tmp_path: Path) -> None:
    study(tmp_path, lambda _: 0.01, calibration={"signal": 4, "knobs": False}).plan()
    folder = tmp_path / "probed"
    assert len(trials(folder, *PROBING)) == 4
    study(tmp_path, lambda _: 0.01, calibration={"signal": 6, "knobs": True}).plan()
    assert len(trials(folder, "calibrate")) == 1
    assert (len(trials(folder, "signal")), len(trials(folder, "knobs"))) == (6, 6)
    assert verify(RunFolder(folder)) == []


def test_a_small_study_is_not_made_dearer(tmp_path: Path) -> None:
    small = study(tmp_path, lambda _: 0.01, tiers={"only": {"population": 4, "generations": 2}})
    plan = small.plan()
    assert plan["probed"]["signal"] is None
    assert plan["probed"]["left_out"] == [
        {"what": "signal", "evaluations": 8},
        {"what": "knobs", "evaluations": 6},
    ]
    assert plan["unfit"] == []


def test_a_limit_that_is_met_while_probing_ends_the_probing_only(tmp_path: Path) -> None:
    limited = study(tmp_path, lambda _: 0.01, calibration={"signal": 8, "knobs": True}, limits={"evaluations": 12})
    done = limited.run(quiet=True)
    assert done.summary["policies"][0]["action"] == "end_probing"
    assert verify(RunFolder(done.folder)) == []


def test_configs_that_fail_are_left_out_and_knob_ends_that_fail_are_named(tmp_path: Path) -> None:
    def objective(config: Any, context: Any) -> dict[str, float]:
        if config["x"] > 0.97:
            raise ValueError("too far")
        return loss_of(lambda _: 0.01)(config, context)

    done = study(tmp_path, lambda _: 0.01, objective=objective).run(quiet=True)
    knob = next(knob for knob in done.summary["plan"]["probed"]["knobs"] if knob["key"] == "x")
    assert knob["why"] == "1.0 ended as error" and knob["losses"][1] is None and knob["says"] == "acts"
    assert done.reason == "finished"
    assert verify(RunFolder(done.folder)) == []


def test_knobs_with_conditions_are_tried_where_they_matter(tmp_path: Path) -> None:
    def objective(config: Any, context: Any) -> float:
        gated = (config["gate"] - 0.4) ** 2 if config["kind"] == "gated" else 0.0
        return 1.0 + gated + 0.2 * config["x"]

    space = {
        "kind": flopwise.Categorical(("plain", "gated", "other")),
        "gate": {"type": "float", "low": 0.0, "high": 1.0, "when": {"kind": "gated"}},
        "x": flopwise.Float(0.0, 1.0),
    }
    base = {"kind": "plain", "gate": 0.5, "x": 0.0}
    conditional = study(
        tmp_path,
        lambda _: 0.0,
        objective=objective,
        space=space,
        base=base,
        search="random",
        tiers={"only": {"trials": 100}},
        constraints=["x + gate < 1.9"],
    )
    done = conditional.run(quiet=True)
    knobs = {knob["key"]: knob for knob in done.summary["plan"]["probed"]["knobs"]}
    assert knobs["gate"]["switched"] == {"kind": "gated"} and knobs["gate"]["baseline_loss"] is None
    assert (knobs["gate"]["says"], knobs["gate"]["values"]) == ("acts", [0.0, 1.0])
    assert knobs["kind"]["values"] == ["gated", "other"] and knobs["kind"]["says"] == "acts"
    assert knobs["x"]["values"] == [1.0]
    assert done.summary["plan"]["probed"]["signal"]["icc"] == 1.0
    assert verify(RunFolder(done.folder)) == []


@pytest.mark.parametrize("phase", ["signal", "knobs", "ladder"])
def test_a_calibration_that_is_stopped_goes_on_where_it_was(phase: str, tmp_path: Path) -> None:
    """The journal is cut in the middle of each phase; what follows is what followed the first time."""

    def make(folder: Path) -> flopwise.Study:
        return study(folder, lambda amount: 8.0 / amount**0.5, calibration={"knobs": True})

    make(tmp_path / "whole").plan()
    whole = tmp_path / "whole" / "probed" / "journal.log"
    events = read_events(whole)[0]
    numbers = {event.number for event in events if isinstance(event, TrialProposed) and event.phase == phase}
    cut = [at for at, e in enumerate(events) if isinstance(e, AttemptStarted) and int(e.attempt[1:5]) in numbers]
    torn = tmp_path / "torn" / "probed"
    make(tmp_path / "torn").plan()
    lines = whole.read_bytes().splitlines(keepends=True)
    kept = b"".join(lines[: cut[len(cut) // 2]])
    torn.joinpath("journal.log").write_bytes(kept)
    for attempt in torn.joinpath("attempts").iterdir():
        if attempt.name.encode() not in kept:
            shutil.rmtree(attempt)
    make(tmp_path / "torn").plan()
    again = [event for event in read_events(torn / "journal.log")[0] if isinstance(event, TrialProposed)]
    assert again == [event for event in events if isinstance(event, TrialProposed)]
    assert all(Phase(event.phase) for event in again)
    assert verify(RunFolder(torn)) == []


def numbers(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths of all numbers inside a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from numbers(item, (*path, key))
    if isinstance(value, int | float) and not isinstance(value, bool):
        yield path


def altered(value: Any, path: tuple[Any, ...]) -> Any:
    result = copy.deepcopy(value)
    place = result
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = place[path[-1]] + 1 if isinstance(place[path[-1]], int) else place[path[-1]] * 1.01 + 1e-6
    return result


def test_verify_derives_every_number_of_the_new_events(tmp_path: Path) -> None:
    """Written with good checksums: nothing but the derivation can tell that a number is another one."""
    done = study(tmp_path, lambda amount: 8.0 / amount**0.5, calibration={"knobs": True}).run(anyway=True, quiet=True)
    folder, events = RunFolder(done.folder), read_events(done.folder / "journal.log")[0]
    kept = [
        (at, path)
        for at, event in enumerate(events)
        for path in numbers(to_json(event))
        if (isinstance(event, PhaseStarted) and event.phase in PROBING)
        or (isinstance(event, TrialProposed) and event.phase in PROBING and path[0] in ("config", "stop", "seeds"))
        or (isinstance(event, TierChosen) and path[1] in ("probed", "advice"))
        or (isinstance(event, TierChosen) and path[-1] == "detectable")
    ]
    missed = []
    for at, path in kept[:: max(1, len(kept) // 16)]:
        forged = [*events[:at], from_json(altered(to_json(events[at]), path)), *events[at + 1 :]]
        folder.journal.unlink()
        with Journal.create(folder) as journal:
            journal.append(forged)
            journal.commit()
        if not any(type(events[at]).__name__ in found.where for found in verify(folder)):
            missed.append((at, path))
    assert len(kept) > 300 and missed == []
