"""A hand-made run, told event by event."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from flopwise.budget.ledger import Ledger
from flopwise.budget.plan import Calibration, make_plan
from flopwise.clock import SimulatedClock
from flopwise.events import (
    FORMAT,
    AttemptEnded,
    AttemptStarted,
    DataPrepared,
    Event,
    Measured,
    PhaseStarted,
    PolicyRaised,
    RunCreated,
    SessionClosed,
    SessionOpened,
    TierChosen,
    TrialProposed,
    VerdictReached,
)
from flopwise.journal.log import Journal
from flopwise.journal.replay import RunState
from flopwise.objective import Objective
from flopwise.paths import RunFolder
from flopwise.report.live import LiveView
from flopwise.report.plain import PlainView
from flopwise.report.view import View
from flopwise.seeds import stream
from flopwise.stats.verdict import decide
from flopwise.study import space_of
from flopwise.trial import AttemptId

STUDY: dict[str, Any] = {
    "name": "pilot",
    "workload": "language_model",
    "base": {"model": {"n_layer": 2}, "train": {"lr": 0.001}},
    "space": {
        "model.n_layer": {"type": "int", "low": 1, "high": 4, "scale": "linear", "step": 1},
        "train.lr": {"type": "float", "low": 1e-4, "high": 1e-1, "scale": "log"},
    },
    "objective": {"metric": "val_loss", "direction": "minimize"},
    "evaluation": {"stop": {"flops": 1.5e11}, "seeds": 1, "timeout": None},
    "search": {"method": "random", "seed": 7, "options": {}},
    "tiers": {"min": {"population": 2, "generations": 2}, "max": {"population": 8, "generations": 10}},
    "limits": {"evaluations": None, "device_hours": None, "wall_clock": None, "price": 1.0},
    "execution": {
        "executor": "local",
        "slots": 2,
        "threads": 1,
        "price_per_hour": 3.6,
        "grace": 60.0,
        "retries": 1,
        "pass_env": [],
    },
    "policies": {},
    "calibration": {"seeds": 2},
    "confirm": {"top": 2, "seeds": 3, "min_improvement": 0.01},
}

BASELINE = {"model.n_layer": 2, "train.lr": 0.001}


class Story:
    """Grows a list of events; every attempt takes ``seconds`` on a clock that only it moves."""

    def __init__(self, **study: Any) -> None:
        self.study = {**STUDY, **study}
        self.objective = Objective(**self.study["objective"])
        self.events: list[Event] = []
        self.now = 100.0
        self.session = 0
        self.attempts: dict[tuple[int, int], int] = {}
        self.events.append(
            RunCreated(
                format=FORMAT,
                name=self.study["name"],
                run_id="c0ffee",
                study=self.study,
                study_hash="5eed" * 16,
                calibration_key="ca11" * 16,
                source="pilot.yaml",
                versions={"flopwise": "0.1.0", "python": "3.12.1"},
                created="2030-01-02T03:04:05+00:00",
            )
        )

    @property
    def state(self) -> RunState:
        return RunState(self.events)

    @property
    def ledger(self) -> Ledger:
        ledger = Ledger()
        for event in self.events:
            ledger.apply(event)
        return ledger

    def opened(self) -> Story:
        self.session += 1
        slots = [{"index": i, "cores": [i], "threads": 1} for i in range(2)]
        machine = {"cores": 2, "cpu": "fast", "memory_bytes": 2**34}
        command = "flopwise run pilot.yaml --tier min"
        self.events.append(
            SessionOpened(
                self.session, 4242, "box", "boot", "2030-01-02T03:04:05+00:00", machine, slots, command, t=self.now
            )
        )
        return self

    def closed(self, reason: str, detail: str = "") -> Story:
        self.events.append(SessionClosed(self.session, reason, detail, self.now))
        return self

    def data(self) -> Story:
        self.events.append(DataPrepared({"tokens": 1000, "sha256": "da7a"}, 1.5))
        return self

    def phase(self, name: str, **detail: Any) -> Story:
        self.events.append(PhaseStarted(name, detail))
        return self

    def proposed(self, number: int, phase: str, seeds: int = 1, of: int | None = None, **config: Any) -> Story:
        full = config if config else BASELINE
        self.events.append(
            TrialProposed(number, phase, full, self.study["evaluation"]["stop"], list(range(seeds)), None, of)
        )
        return self

    def started(self, trial: int, seed: int = 0) -> Story:
        count = self.attempts[trial, seed] = self.attempts.get((trial, seed), 0) + 1
        self.events.append(AttemptStarted(str(AttemptId(trial, seed, count)), seed, 0, None, self.session))
        return self

    def ended(self, trial: int, seed: int = 0, value: float | None = None, **facts: Any) -> Story:
        seconds = facts.pop("seconds", 10.0)
        self.now += seconds
        outcome = facts.pop("outcome", "error" if value is None else "ok")
        metrics = {} if value is None else {self.objective.metric: value}
        self.events.append(
            AttemptEnded(
                attempt=str(AttemptId(trial, seed, self.attempts[trial, seed])),
                outcome=outcome,
                metrics=metrics,
                info=facts.pop("info", {}),
                started_at=self.now - seconds,
                ended_at=self.now,
                device_s=seconds,
                price=0.0005 * seconds,
                **facts,
            )
        )
        return self

    def ran(self, trial: int, *values: float | None, **facts: Any) -> Story:
        """Every seed of a trial, one attempt each."""
        for seed, value in enumerate(values):
            self.started(trial, seed).ended(trial, seed, value, **facts)
        return self

    def calibrated(self, *values: float) -> Story:
        return self.phase("calibrate").proposed(0, "calibrate", seeds=len(values)).ran(0, *values)

    def tier(self, name: str = "min") -> Story:
        losses = tuple(loss for loss in self.state.trials[0].losses(self.objective) if loss is not None)
        plan = make_plan(
            self.study, Calibration((10.0,) * len(losses), losses), slots=2, steps=43, spent=self.ledger.spent()
        )
        self.events.append(TierChosen(name, plan.to_json()))
        return self

    def raised(self, policy: str, action: str, cause: str) -> Story:
        self.events.append(PolicyRaised(policy, action, cause, {}))
        return self

    def verdict(self) -> Story:
        """Judge the two decide trials, which were proposed last."""
        baseline, winner = self.state.trials[max(self.state.trials) - 1], self.state.trials[max(self.state.trials)]
        judged = decide(baseline.losses(self.objective), winner.losses(self.objective), 0.01, self.objective)
        self.events.append(
            VerdictReached(str(judged.verdict), winner.trial.of, list(judged.reasons), dict(judged.numbers))
        )
        return self.phase("done")

    def searched(self) -> Story:
        """A session up to the end of its search: trial 3 is best, trial 2 fails."""
        self.opened().data().calibrated(2.5, 2.52).tier().phase("search")
        for number, layers in enumerate((1, 2, 3, 4), 1):
            self.proposed(number, "search", **{"model.n_layer": layers, "train.lr": 0.001 * number})
        self.ran(1, 2.45)
        self.ran(2, None, outcome="nan", cause="the loss is nan at step 12", tail="step 11\nstep 12 loss nan\n")
        return self.ran(3, 2.2).ran(4, 2.6)

    def finished(self) -> Story:
        """A whole run that ends in GO for trial 3."""
        self.searched()
        self.phase("choose", candidates=[3, 1], seeds=2)
        third = {"model.n_layer": 3, "train.lr": 0.003}
        self.proposed(5, "choose", 2, 3, **third).proposed(6, "choose", 2, 1, **{"model.n_layer": 1, "train.lr": 0.001})
        self.ran(5, 2.21, 2.22).ran(6, 2.44, 2.46)
        self.phase("decide", chosen=3, seeds=3)
        self.proposed(7, "decide", 3, 0).proposed(8, "decide", 3, 3, **third)
        self.ran(7, 2.51, 2.5, 2.49).ran(8, 2.2, 2.21, 2.22)
        return self.verdict().closed("finished", "GO")

    def long(self, count: int, value: Callable[[dict[str, Any]], float], seed: int = 0) -> Story:
        """A session whose search draws ``count`` configs evenly and measures ``value`` of them; with a curve each."""
        rng, space = stream(seed, "story"), space_of(self.study)
        self.opened().data().calibrated(value(BASELINE), value(BASELINE) + 0.01).tier().phase("search")
        for number in range(1, count + 1):
            config = space.decode([rng.random() for _ in space.keys])
            self.proposed(number, "search", **config).started(number)
            rows = [{"step": step, "elapsed_s": step, "values": {"train_loss": 9 / step}} for step in range(1, 9)]
            self.events.append(Measured(str(AttemptId(number, 0, 1)), rows))
            self.ended(number, 0, value(config))
        return self


def _play(view: View, events: list[Event], clock: SimulatedClock, *, step_s: float = 1.0) -> RunState:
    """Events one by one, as the engine tells them: fold, show, tick."""
    state, ledger = RunState(), Ledger()
    for event in events:
        state.apply(event)
        ledger.apply(event)
        view.event(event, state)
        clock.advance(step_s)
        view.tick(state, ledger)
    return state


def _plain_view(width: int = 80) -> tuple[PlainView, StringIO, SimulatedClock]:
    file, clock = StringIO(), SimulatedClock()
    return PlainView(Console(file=file, width=width), clock), file, clock


def _live_view(width: int = 80) -> tuple[LiveView, StringIO, SimulatedClock]:
    file, clock = StringIO(), SimulatedClock()
    console = Console(file=file, force_terminal=True, width=width, height=40, color_system="standard")
    return LiveView(console, clock), file, clock


@pytest.fixture
def story() -> type[Story]:
    return Story


@pytest.fixture
def run_folder(tmp_path: Path) -> Callable[..., RunFolder]:
    """``run_folder(events, "name")``: a run folder under ``tmp_path / "runs"`` with these events in its journal."""

    def make(events: list[Event], name: str = "pilot") -> RunFolder:
        folder = RunFolder(tmp_path / "runs" / name)
        with Journal.create(folder) as journal:
            journal.append(events)
            journal.commit()
        return folder

    return make


@pytest.fixture
def play() -> Callable[..., RunState]:
    return _play


@pytest.fixture
def plain_view() -> Callable[..., tuple[PlainView, StringIO, SimulatedClock]]:
    return _plain_view


@pytest.fixture
def live_view() -> Callable[..., tuple[LiveView, StringIO, SimulatedClock]]:
    return _live_view
