"""A small finished run, made by hand: events, summaries, keeper stamps and report, all of which hold.

It has seen everything once: a killed attempt and its retry, a trial that diverged, a coordinator that
died and left an attempt open, a pause, two generations, both steps of confirmation.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from flopwise.budget.ledger import Ledger, charge
from flopwise.budget.plan import Calibration, Probed, make_plan
from flopwise.engine.confirm import look_events
from flopwise.engine.pricing import left_out
from flopwise.engine.probes import Probes
from flopwise.events import (
    FORMAT,
    Alive,
    AttemptEnded,
    AttemptStarted,
    DataPrepared,
    Event,
    Measured,
    PauseAccepted,
    PhaseStarted,
    PolicyRaised,
    RunCreated,
    SessionClosed,
    SessionLost,
    SessionOpened,
    TierChosen,
    TrialProposed,
    from_json,
    to_json,
)
from flopwise.journal.log import Journal
from flopwise.journal.replay import RunState
from flopwise.objective import Objective
from flopwise.paths import RunFolder
from flopwise.policies.region import find_region
from flopwise.registry import load
from flopwise.report.summary import summarise
from flopwise.seeds import derive
from flopwise.study import baseline_config, full_config, space_of, study_hash

STUDY: dict[str, Any] = {
    "name": "pilot",
    "workload": "function",
    "base": {"train": {"lr": 0.02}},
    "space": {
        "model.depth": {"type": "int", "low": 1, "high": 9, "scale": "linear", "step": 1},
        "train.decay": {"type": "float", "low": 0.0, "high": 0.5, "scale": "linear"},
        "train.lr": {"type": "float", "low": 1e-4, "high": 1e-1, "scale": "log"},
    },
    "objective": {"metric": "score", "direction": "maximize"},
    "evaluation": {"stop": {"steps": 40}, "seeds": 1, "timeout": None},
    "search": {"method": "cmaes", "seed": 11, "options": {"sigma": 0.3}},
    "tiers": {"min": {"population": 4, "generations": 2}, "max": {"population": 8, "generations": 10}},
    "limits": {"evaluations": 500, "device_hours": None, "wall_clock": 86400.0, "price": 5.0},
    "execution": {
        "executor": "local",
        "slots": 2,
        "threads": 1,
        "price_per_hour": 0.2,
        "grace": 60.0,
        "retries": 1,
        "pass_env": [],
    },
    "policies": {"crash_rate": {"pause_above": 0.1}, "crash_loop": {"consecutive": 2}, "patience": None},
    "calibration": {"seeds": 3},
    "confirm": {"top": 2, "seeds": None, "looks": 4, "min_improvement": 0.01},
}


class Story:
    """Tells a run event by event and keeps what its processes would have left behind.

    Args:
        root: Run folder to be made.
        study: Canonical.
    """

    def __init__(self, root: Path, study: dict[str, Any]) -> None:
        self.folder = RunFolder(root)
        self.study = study
        self.events: list[Event] = []
        self.stamps: list[dict[str, Any]] = []
        self.summaries: dict[str, dict[str, Any]] = {}
        self.now = 1000.0
        self.session = 0

    def say(self, *events: Event) -> None:
        self.events += events

    @property
    def state(self) -> RunState:
        return RunState(self.events)

    def open(self) -> None:
        self.session += 1
        slots = [{"index": index, "cores": [index], "threads": 1} for index in range(2)]
        machine = {"cores": 2, "memory_bytes": 2**34, "host": "bench"}
        self.say(SessionOpened(self.session, 77, "bench", "b", "2026", machine, slots, "flopwise run", self.now))

    def propose(self, number: int, phase: str, seeds: Sequence[int], config: dict[str, Any], **more: Any) -> None:
        self.say(TrialProposed(number, phase, config, self.study["evaluation"]["stop"], list(seeds), **more))

    def attempt(self, trial: int, seed_index: int = 0, number: int = 1, outcome: str = "ok", slot: int = 0) -> None:
        """One attempt from intent to end."""
        name = self.start(trial, seed_index, number, slot)
        began = self.now
        self.now += 1.25 + 0.1 * trial + 0.01 * seed_index
        self.end(name, began, outcome)

    def start(self, trial: int, seed_index: int = 0, number: int = 1, slot: int = 0) -> str:
        proposed = self.state.trials[trial].trial
        name = f"t{trial:04d}.s{seed_index}.a{number}"
        self.say(AttemptStarted(name, proposed.seeds[seed_index], slot, 30.0, self.session))
        self.now += 0.003
        self.stamps.append({"event": "start", "at": self.now, "attempt": name, "pid": 4000 + len(self.stamps)})
        return name

    def end(self, name: str, began: float, outcome: str, interrupted: bool = False, lost: str = "") -> None:
        known = self.state.attempt(name)
        trial = self.state.trials[known.id.trial].trial
        rows = [
            {"step": step, "elapsed_s": 0.2 * step + 0.01, "values": {"loss": 3.0 - 0.1 * step}} for step in range(3)
        ]
        metrics = {"score": score(trial.config, known.intent.seed), "noise": 0.5} if outcome == "ok" else {}
        info = {"steps": 40, "tokens": 5120, "flags": ["at initialisation"]} if outcome == "ok" else {}
        if outcome in ("ok", "nan"):
            self.summaries[name] = {
                "attempt": name,
                "seed": known.intent.seed,
                "outcome": outcome,
                "cause": "" if outcome == "ok" else "diverged",
                "metrics": metrics,
                "info": info,
                "config": full_config(self.study, trial.config),
                "stop": trial.fidelity.to_json(),
                "data": self.state.data,
                "threads": 1,
                "cores": [known.intent.slot],
                "curve": [*rows, {"step": 40, "elapsed_s": 1.1, "values": {"loss": 2.0}}],
            }
        device_s, price = charge(self.now - began, 2, self.study["execution"]["price_per_hour"])
        cpu_s = 0.97 * device_s
        seen = {"cpu_s": cpu_s, "peak_rss_bytes": 150_000_123, "contention": 0.02, "switches": [12, 34]}
        self.stamps.append({"event": "end", "at": self.now, "attempt": name, **seen})
        end = AttemptEnded(
            name, outcome, metrics, info, began, self.now, device_s, price, **seen, interrupted=interrupted, lost=lost
        )
        self.say(Measured(name, rows[:2]), Measured(name, rows[2:]), end)
        self.now += 0.002

    def evaluate(self, trial: int) -> None:
        for index in range(len(self.state.trials[trial].trial.seeds)):
            self.attempt(trial, index)

    def write(self) -> RunFolder:
        """The run folder as the run would have left it."""
        with Journal.create(self.folder) as journal:
            journal.append(self.events)
            journal.commit()
        self.folder.stamps.write_text("".join(json.dumps(stamp) + "\n" for stamp in self.stamps))
        for name, summary in self.summaries.items():
            self.folder.attempt(name).mkdir(parents=True)
            self.folder.summary(name).write_text(json.dumps(summary))
        self.report()
        return self.folder

    def report(self, events: Sequence[Event] | None = None) -> None:
        summary = summarise(self.events if events is None else events)
        self.folder.report_json.write_text(json.dumps(summary, indent=2))


def score(config: Any, seed: int) -> float:
    """A metric to maximise, best at decay 0.1, with the noise of a seed."""
    return 2.0 - (config["train.decay"] - 0.1) ** 2 - 0.01 * config["model.depth"] + (seed % 1000) * 1e-6


def seeds(study: dict[str, Any], purpose: str, count: int) -> list[int]:
    return [derive(study["search"]["seed"], purpose, index) for index in range(count)]


def calibrate(story: Story) -> None:
    study = story.study
    story.say(RunCreated(FORMAT, "pilot", "ab12", study, study_hash(study), "k", "python", {"flopwise": "0"}, "2026"))
    story.open()
    story.say(DataPrepared({"sha256": "d0", "tokens": 9000}, 2.5), PhaseStarted("calibrate"))
    story.propose(0, "calibrate", seeds(study, "evaluation", 3), baseline_config(study))
    story.evaluate(0)
    story.say(Alive(story.now))


def choose_tier(story: Story) -> None:
    ledger, state, study = Ledger(), story.state, story.study
    for event in story.events:
        ledger.apply(event)
    ends = [end for end in state.trials[0].finals() if end is not None]
    losses = tuple(loss for loss in state.trials[0].losses(state.objective) if loss is not None)
    calibration = Calibration(tuple(end.device_s for end in ends), losses, 150_000_123)
    probed = Probed(left_out=left_out(study, Probes(study, 2), state))
    known = {"steps": 40, "tokens": 5120, "flops": None, "spent": ledger.spent(), "probed": probed}
    plan = make_plan(study, calibration, slots=2, **known)
    story.say(TierChosen("min", json.loads(json.dumps(plan.to_json()))), PhaseStarted("search"))


def search(story: Story) -> None:
    study = story.study
    kind = load("searchers", study["search"]["method"])
    options, population = kind.Options(**study["search"]["options"]), study["tiers"]["min"].get("population")
    searcher = kind(space_of(study), study["search"]["seed"], options, baseline_config(study), population)
    for first, happen in ((1, first_generation), (5, second_generation)):
        told = story.state.told()
        searcher.tell(sorted(told[first - 5 :], key=lambda each: each.number) if first > 1 else [])
        for proposal in searcher.ask(range(first, first + 4)):
            point = list(proposal.point)
            story.propose(
                proposal.number,
                "search",
                seeds(study, "evaluation", 1),
                dict(proposal.config),
                point=point,
                visible=first - 1,
            )
        happen(story)


def region(story: Story) -> dict[str, Any] | None:
    """Where the two lie that failed, beside the baseline's three evaluations."""
    configs = [dict(story.state.trials[number].trial.config) for number in (0, 0, 0, 3, 4)]
    found = find_region(configs, [False] * 3 + [True] * 2)
    return found.to_json() if found else None


def first_generation(story: Story) -> None:
    """Out of order, with a retry, a divergence, and a coordinator that dies while trial 1 runs."""
    story.attempt(3, outcome="nan", slot=1)
    story.attempt(4, outcome="error")
    evidence = {"consecutive": 2, "outcomes": {"nan": 1, "error": 1}, "trials": [3, 4], "region": region(story)}
    story.say(PolicyRaised("crash_loop", "pause", "the last 2 evaluations all failed (1 nan, 1 error)", evidence))
    story.say(SessionClosed(story.session, "paused", "crash_loop", story.now))
    story.say(PauseAccepted("crash_loop"))
    story.now += 30.0
    story.open()
    story.attempt(2, outcome="killed")
    story.attempt(2, number=2)
    name, began = story.start(1), story.now
    story.now += 3.0
    story.end(name, began, "killed", interrupted=True, lost="coordinator")
    story.say(SessionLost(story.session, story.now + 0.5, "keeper"))
    story.now += 60.0
    story.open()
    story.attempt(1, number=2)


def second_generation(story: Story) -> None:
    for trial in (6, 5, 8, 7):
        story.attempt(trial, slot=trial % 2)
        story.say(Alive(story.now))


def confirm(story: Story) -> None:
    study, objective = story.study, Objective(**story.study["objective"])
    losses = {n: t.loss(objective) for n, t in story.state.trials.items() if n > 0}
    best = [n for _, n in sorted((loss, n) for n, loss in losses.items() if loss is not None)][:2]
    story.say(PhaseStarted("choose", {"candidates": best, "seeds": 2}))
    for number, of in zip((9, 10), best, strict=True):
        story.propose(number, "choose", seeds(study, "choose", 2), dict(story.state.trials[of].trial.config), of=of)
    story.evaluate(9)
    story.evaluate(10)
    mean = {number: story.state.trials[number].loss(objective) for number in (9, 10)}
    chosen = best[0] if mean[9] <= mean[10] else best[1]
    tier = story.state.tier
    assert tier is not None
    count, looks = tier.plan["confirm_seeds"], list(tier.plan["confirm_looks"])
    story.say(PhaseStarted("decide", {"chosen": chosen, "seeds": count, "looks": looks}))
    number, first = 11, 0
    for until in looks:
        for of in (0, chosen):
            fresh = seeds(study, "decide", until)[first:]
            story.propose(number, "decide", fresh, dict(story.state.trials[of].trial.config), of=of)
            story.evaluate(number)
            number += 1
        first = until
        story.say(*(from_json(json.loads(json.dumps(to_json(event)))) for event in look_events(study, story.state)))
        verdict = story.state.verdict
        if verdict is not None:
            story.say(SessionClosed(story.session, "finished", verdict.verdict, story.now + 0.1))
            return


@pytest.fixture
def tell(tmp_path: Path) -> Callable[..., Story]:
    """A whole run, not yet written; ``study`` replaces parts of the usual one."""

    def told(**study: Any) -> Story:
        story = Story(tmp_path / "pilot", {**json.loads(json.dumps(STUDY)), **study})
        for chapter in (calibrate, choose_tier, search, confirm):
            chapter(story)
        return story

    return told


@pytest.fixture
def folder(tell: Callable[..., Story]) -> RunFolder:
    """The run on disk."""
    return tell().write()
