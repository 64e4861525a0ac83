"""The run as its events tell it: an index of trials, attempts and sessions for the checks to walk.

A fold of verify's own. It never stops at a contradiction: what refers to nothing is listed and left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from flopwise.engine.verify.difference import Difference
from flopwise.engine.verify.records import Record
from flopwise.events import (
    AttemptEnded,
    AttemptStarted,
    DataPrepared,
    Measured,
    PhaseStarted,
    PolicyRaised,
    RunCreated,
    SessionClosed,
    SessionLost,
    SessionOpened,
    StudyRevised,
    TierChosen,
    TrialProposed,
    VerdictReached,
)
from flopwise.trial import AttemptId

AGAIN = ("killed", "oom")
"""Outcomes that may be tried again."""


@dataclass
class Attempt:
    """One process of one seed."""

    id: AttemptId
    intent: AttemptStarted
    started: Record
    end: AttemptEnded | None = None
    ended: Record | None = None


@dataclass
class Trial:
    """A trial, the study it was proposed under, and its attempts in order."""

    proposed: Record
    event: TrialProposed
    study: dict[str, Any]
    attempts: list[Attempt] = field(default_factory=list)

    def of_seed(self, index: int) -> list[Attempt]:
        """Attempts of one seed, in order."""
        return [attempt for attempt in self.attempts if attempt.id.seed_index == index]

    def end(self, index: int) -> AttemptEnded | None:
        """The end that counts for a seed: not interrupted, and either final or out of retries."""
        counted = [a.end for a in self.of_seed(index) if a.end is not None and not a.end.interrupted]
        for tried, end in enumerate(counted):
            if end.outcome not in AGAIN or tried >= self.study["execution"]["retries"]:
                return end
        return None

    @property
    def ends(self) -> list[AttemptEnded | None]:
        """:meth:`end` of every seed."""
        return [self.end(index) for index in range(len(self.event.seeds))]

    @property
    def finished(self) -> bool:
        return all(end is not None for end in self.ends)

    def values(self) -> list[float | None]:
        """The metric of every seed; None where it failed, is missing, or has not ended."""
        metric = self.study["objective"]["metric"]
        return [end.metrics.get(metric) if end is not None and end.outcome == "ok" else None for end in self.ends]

    def losses(self) -> list[float | None]:
        """:meth:`values` with smaller always better."""
        sign = 1.0 if self.study["objective"]["direction"] == "minimize" else -1.0
        return [None if value is None else sign * float(value) for value in self.values()]

    def loss(self) -> float | None:
        """Mean over all seeds; None while one is missing or failed."""
        known = [loss for loss in self.losses() if loss is not None]
        return sum(known) / len(known) if known and len(known) == len(self.event.seeds) else None


@dataclass
class Session:
    """One coordinator's time; ``closed`` and ``last`` are None while it is open."""

    opened: SessionOpened
    first: Record
    closed: SessionClosed | SessionLost | None = None
    last: Record | None = None


@dataclass
class Run:
    """All of it, in journal order; a prefix of the journal gives the run as it was then."""

    records: Sequence[Record]
    created: RunCreated | None = None
    studies: list[tuple[int, dict[str, Any], str]] = field(default_factory=list)
    sessions: list[Session] = field(default_factory=list)
    trials: dict[int, Trial] = field(default_factory=dict)
    finished: list[tuple[int, Trial]] = field(default_factory=list)
    phases: dict[str, tuple[Record, PhaseStarted]] = field(default_factory=dict)
    raised: list[PolicyRaised] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)
    tier: tuple[Record, TierChosen] | None = None
    verdict: tuple[Record, VerdictReached] | None = None

    @property
    def study(self) -> dict[str, Any]:
        return self.studies[-1][1]

    def study_at(self, number: int) -> dict[str, Any]:
        """The study in force at a record."""
        return [study for since, study, _ in self.studies if since <= number][-1]

    def by_phase(self, *phases: str) -> list[Trial]:
        """Trials of some phases by number."""
        return [trial for _, trial in sorted(self.trials.items()) if trial.event.phase in phases]

    def ended(self) -> Iterator[tuple[Trial, Attempt, AttemptEnded, Record]]:
        """Every ended attempt, in journal order."""
        for record in self.records:
            if isinstance(record.event, AttemptEnded):
                trial, attempt = self.attempt(record.event.attempt)
                if trial is not None and attempt is not None and attempt.ended is record:
                    yield trial, attempt, record.event, record

    def attempt(self, name: str) -> tuple[Trial | None, Attempt | None]:
        """An attempt by its text id, with its trial."""
        try:
            number = AttemptId.parse(name)
        except ValueError:
            return None, None
        trial = self.trials.get(number.trial)
        return trial, next((a for a in trial.attempts if a.id == number), None) if trial else None


def fold(records: Sequence[Record]) -> tuple[Run, list[Difference]]:
    """The run that the records tell of, and which of them refer to nothing."""
    run = Run(records)
    problems = [problem for record in records for problem in _apply(run, record)]
    return run, problems


def _apply(run: Run, record: Record) -> Iterator[Difference]:
    match record.event:
        case RunCreated() as event:
            run.created = run.created or event
            run.studies.append((record.number, event.study, event.study_hash))
        case StudyRevised() as event:
            run.studies.append((record.number, event.study, event.study_hash))
        case SessionOpened() as event:
            run.sessions.append(Session(event, record))
        case SessionClosed() | SessionLost() as event:
            yield from _close(run, event, record)
        case DataPrepared() as event:
            run.data = event.pin
        case TierChosen() as event:
            run.tier = (record, event)
        case PhaseStarted() as event:
            run.phases[event.phase] = (record, event)
        case PolicyRaised() as event:
            run.raised.append(event)
        case VerdictReached() as event:
            run.verdict = (record, event)
        case TrialProposed() as event:
            yield from _propose(run, event, record)
        case AttemptStarted() as event:
            yield from _start(run, event, record)
        case AttemptEnded() as event:
            yield from _end(run, event, record)
        case Measured() as event:
            attempt = run.attempt(event.attempt)[1]
            if attempt is None or attempt.end is not None:
                yield Difference(record.where, "attempt", "one that runs", event.attempt)


def _close(run: Run, event: SessionClosed | SessionLost, record: Record) -> Iterator[Difference]:
    session = next((s for s in run.sessions if s.opened.session == event.session), None)
    if session is None or session.closed is not None:
        yield Difference(record.where, "session", "one that is open", str(event.session))
        return
    session.closed, session.last = event, record


def _propose(run: Run, event: TrialProposed, record: Record) -> Iterator[Difference]:
    if event.number in run.trials:
        yield Difference(record.where, "number", "each trial proposed once", str(event.number))
        return
    run.trials[event.number] = Trial(record, event, run.study)


def _start(run: Run, event: AttemptStarted, record: Record) -> Iterator[Difference]:
    trial, known = run.attempt(event.attempt)
    if trial is None or known is not None or AttemptId.parse(event.attempt).seed_index >= len(trial.event.seeds):
        yield Difference(record.where, "attempt", "a new attempt of a seed of a proposed trial", event.attempt)
        return
    trial.attempts.append(Attempt(AttemptId.parse(event.attempt), event, record))


def _end(run: Run, event: AttemptEnded, record: Record) -> Iterator[Difference]:
    trial, attempt = run.attempt(event.attempt)
    if trial is None or attempt is None or attempt.end is not None:
        yield Difference(record.where, "attempt", "one that was started and has not ended", event.attempt)
        return
    before = trial.finished
    attempt.end, attempt.ended = event, record
    if trial.finished and not before:
        run.finished.append((record.number, trial))
