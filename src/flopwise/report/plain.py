"""A run as lines of text: one for each event worth knowing, for pipes, logs and dumb terminals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console

from flopwise.budget.ledger import Ledger
from flopwise.clock import Clock
from flopwise.events import (
    Amended,
    AttemptEnded,
    DataPrepared,
    Event,
    LookTaken,
    PauseAccepted,
    PhaseStarted,
    PolicyRaised,
    QuestionSettled,
    SessionLost,
    SessionOpened,
    SlotExcluded,
    SlotQuarantined,
    TargetChosen,
    TierChosen,
    VerdictReached,
)
from flopwise.journal.replay import RunState
from flopwise.report.failure import failure_lines, is_failure
from flopwise.report.headline import counted, planned_evaluations
from flopwise.report.outlet import Outlet
from flopwise.report.standing import Standing, money, planned_by_phase
from flopwise.report.text import clean, number, plain
from flopwise.trial import AttemptId, Outcome, Phase
from flopwise.units import format_money, format_seconds

PROGRESS_EVERY_S = 5.0
"""Progress is said at most this often, and when it is complete."""


class PlainView:
    """Prints lines; nothing is ever drawn over.

    Args:
        console: Where to write; its colours are not used.
        clock: For the distance between lines of progress.
    """

    def __init__(self, console: Console, clock: Clock) -> None:
        self._outlet = Outlet(console)
        self._clock = clock
        self._standing = Standing()
        self._ledger: Ledger | None = None
        self._progress_at: float | None = None

    def open(self) -> None:
        """Nothing to begin."""

    def close(self) -> None:
        """Nothing to leave: every line was flushed."""

    def tick(self, state: RunState, ledger: Ledger) -> None:
        """Remember the ledger; lines are printed for events only."""
        self._ledger = ledger

    def message(self, text: str) -> None:
        """Print the lines."""
        self._outlet.line(clean(text))

    def progress(self, text: str, done: float, total: float) -> None:
        """Print at most one line in ``PROGRESS_EVERY_S``, and one when it is complete."""
        now = self._clock.monotonic()
        waited = self._progress_at is None or now - self._progress_at >= PROGRESS_EVERY_S
        if waited or (total > 0 and done >= total):
            self._progress_at = now
            share = f"  {100 * min(1.0, done / total):3.0f}%" if total > 0 else ""
            self._outlet.line(f"{plain(text)}{share}")

    def event(self, event: Event, state: RunState) -> None:
        """Print what the event has to say, if anything."""
        self._standing.update(state)
        for line in self._lines(event, state):
            self._outlet.line(line)

    def _lines(self, event: Event, state: RunState) -> Iterator[str]:
        match event:
            case SessionOpened():
                yield _session(event, state)
            case DataPrepared():
                yield f"data ready in {format_seconds(event.seconds)}"
            case TierChosen():
                yield _tier(event)
            case PhaseStarted() if event.phase != "done":
                yield phase_line(event, state)
            case AttemptEnded():
                yield from self._ended(event, state)
            case Amended():
                yield from (f"{plain(str(change['key']))} is amended" for change in event.changes)
            case VerdictReached():
                yield f"verdict {event.verdict}"
            case _:
                yield from decision_lines(event)

    def _ended(self, event: AttemptEnded, state: RunState) -> Iterator[str]:
        if is_failure(event):
            yield from failure_lines(event, state)
        elif not event.interrupted:
            yield "  ".join(part for part in self._evaluation(event, state) if part)

    def _evaluation(self, event: AttemptEnded, state: RunState) -> Iterator[str]:
        """A finished evaluation: count, trial, value, best, spent, left."""
        trial = state.trials[AttemptId.parse(event.attempt).trial]
        loss = state.objective.loss(event.metrics, event.info) if event.outcome == Outcome.OK else None
        value = state.objective.shown(loss)
        left = self._standing.left(state)
        later = _later(event, state)
        done, left = len(state.final_ends) - later, None if left is None else left + later
        yield f"[{done:>{len(str(done + left))}}/{done + left}]" if left is not None else f"[{done}]"
        yield _name(event, state)
        yield f"{plain(state.objective.metric)} {number(value)}"
        yield format_seconds(event.ended_at - event.started_at)
        if trial.trial.phase == Phase.SEARCH:
            yield self._best(state)
        yield self._spent(state)

    def _best(self, state: RunState) -> str:
        if self._standing.best is None:
            return ""
        trial = self._standing.best[0]
        return f"best {number(self._standing.best_value(state))} ({f'trial {trial}' if trial else 'baseline'})"

    def _spent(self, state: RunState) -> str:
        eta_s = self._standing.eta_s(state) if state.tier else None
        spent = "" if self._ledger is None else money(state, self._ledger)
        parts = [spent, f"ETA {format_seconds(eta_s)}" if eta_s else ""]
        return ", ".join(part for part in parts if part)


def _later(event: AttemptEnded, state: RunState) -> int:
    """Evaluations that ended after this one and are in the state already: the same batch of events."""
    for later, end in enumerate(reversed(state.final_ends)):
        if end.attempt == event.attempt:
            return later
    return 0


def _tier(event: TierChosen) -> str:
    """What the search and its confirmation were priced at."""
    for tier in event.plan.get("tiers", ()):
        if tier["name"] == event.tier:
            price = f", {format_money(tier['price'])}" if tier["price"] else ""
            evaluations = counted(planned_evaluations(tier), "evaluation")
            return f"tier {plain(event.tier)}: {evaluations}, about {format_seconds(tier['wall_s'])}{price}"
    return f"tier {plain(event.tier)}"


def _name(event: AttemptEnded, state: RunState) -> str:
    attempt = AttemptId.parse(event.attempt)
    trial = state.trials[attempt.trial].trial
    name = "baseline" if attempt.trial == 0 else f"trial {attempt.trial}"
    of = "" if trial.of is None else " (baseline)" if trial.of == 0 else f" (as {trial.of})"
    seed = f" seed {attempt.seed_index + 1}/{len(trial.seeds)}" if len(trial.seeds) > 1 else ""
    return f"{name}{of}{seed}"


def _session(event: SessionOpened, state: RunState) -> str:
    study = state.study
    phase = f" goes on with {plain(state.phase.phase)}" if state.phase else ""
    again = f", session {event.session}{phase}" if event.session > 1 else ""
    goal = f"{study['objective']['direction']} {study['objective']['metric']}"
    slots = f"{counted(len(event.slots), 'evaluation')} at a time"
    return f"{plain(study['name'])}: {plain(study['workload'])}, {plain(goal)}, {slots}{again}"


def look_line(event: LookTaken) -> str:
    """What a look at the deciding step saw, and what it decided.

    Example:
        >>> seen = {"looks": 4, "seeds": 5, "planned": 20, "mean_improvement": 0.2, "lower": 0.1, "upper": 0.3}
        >>> look_line(LookTaken(1, "GO", seen))
        'look 1 of 4, 5 of 20 seeds: better by 0.2000 (bounds 0.1000 and 0.3000): GO'
    """
    seen = event.numbers
    found = "no seed to compare"
    if seen["mean_improvement"] is not None:
        bounds = f" (bounds {number(seen['lower'])} and {number(seen['upper'])})" if seen["lower"] is not None else ""
        found = f"better by {number(seen['mean_improvement'])}{bounds}"
    place = f"look {event.look} of {seen['looks']}, {seen['seeds']} of {seen['planned']} seeds"
    return f"{place}: {found}: {event.decision}"


def decision_lines(event: Event) -> Iterator[str]:
    """What was decided about a run, or found out about it; nothing for other events."""
    match event:
        case SessionLost():
            yield f"session {event.session} was lost; its time until its last sign is charged"
        case SlotQuarantined():
            yield f"slot {event.slot} is quarantined: {plain(event.cause)}"
        case SlotExcluded():
            yield f"slot {event.slot} is excluded: its cores are not used again"
        case PolicyRaised():
            yield f"{plain(event.policy)}: {event.action}: {plain(event.cause)}"
        case PauseAccepted():
            yield f"the pause of {plain(event.policy)} is accepted"
        case LookTaken():
            yield look_line(event)
        case TargetChosen():
            yield f"compared by {event.value:g} from here on: {plain(event.reason)}"
        case QuestionSettled():
            yield settled_line(event)


def settled_line(event: QuestionSettled) -> str:
    """What of a staged search is not run, and why.

    Example:
        >>> settled_line(QuestionSettled("A", [1], 2, "one option is surely the best", {}))
        'question A is settled: one option is surely the best; 2 configs are not run'
    """
    what = "the second stage" if event.question is None else f"question {plain(event.question)}"
    return f"{what} is settled: {plain(event.reason)}; {counted(event.skipped, 'config')} are not run"


def phase_line(event: PhaseStarted, state: RunState) -> str:
    """What a phase is going to do."""
    detail = event.detail
    planned = planned_by_phase(state)
    match event.phase:
        case Phase.CALIBRATE:
            return "calibrate: the baseline, for its time and its noise"
        case Phase.SIGNAL:
            return f"signal: {_probing(detail)} at the stop of the study: do configs differ by more than seeds?"
        case Phase.KNOBS:
            return f"knobs: {_probing(detail)}: does each one act?"
        case Phase.PROXY:
            return f"proxy: {_probing(detail)} at {_stop(detail)}: does it rank configs as the full stop does?"
        case Phase.LADDER:
            return f"ladder: {_probing(detail)} at {_stop(detail)}: can configs be told apart there?"
        case Phase.SEARCH:
            return "search" + (f": {counted(planned[Phase.SEARCH], 'evaluation')}" if planned else "")
        case Phase.CHOOSE:
            names = ", ".join(str(number_) for number_ in detail.get("candidates", ()))
            return f"choose: trials {names} on fresh seeds"
        case Phase.DECIDE:
            seeds = counted(detail.get("seeds", 0), "other fresh seed")
            return f"decide: trial {detail.get('chosen')} and the baseline on {seeds}"
    return plain(event.phase)


def _probing(detail: Mapping[str, Any]) -> str:
    return f"{counted(detail.get('trials', 0), 'trial')}, {counted(detail.get('evaluations', 0), 'evaluation')}"


def _stop(detail: Mapping[str, Any]) -> str:
    return ", ".join(f"{amount:g} {plain(unit)}" for unit, amount in detail.get("stop", {}).items())
