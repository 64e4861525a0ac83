"""The run as its events tell it: an index of trials, attempts and sessions for the checks to walk.

A fold of verify's own. It never stops at a contradiction: what refers to nothing is listed and left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from flopwise.engine.verify.answers import amended, left_out
from flopwise.engine.verify.difference import Difference, compare
from flopwise.engine.verify.parts import ON_ANOTHER_SLOT, Aim, Attempt, Session, Trial, failed
from flopwise.engine.verify.records import Record
from flopwise.events import (
    Amended,
    AttemptEnded,
    AttemptStarted,
    DataPrepared,
    LateResult,
    LookTaken,
    Measured,
    PackingMeasured,
    PackingStarted,
    PhaseStarted,
    PolicyRaised,
    QuestionSettled,
    RunCreated,
    SessionClosed,
    SessionLost,
    SessionOpened,
    SlotExcluded,
    SlotQuarantined,
    StudyRevised,
    TargetChosen,
    TierChosen,
    TrialProposed,
    VerdictReached,
)
from flopwise.trial import AttemptId

__all__ = ["PROBING", "Attempt", "Run", "Session", "Trial", "fold"]

PROBING = ("signal", "knobs", "proxy", "ladder")
"""Phases between calibration and search, in any order and as often as the study asks for more."""


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
    probing: list[tuple[Record, PhaseStarted]] = field(default_factory=list)
    raised: list[PolicyRaised] = field(default_factory=list)
    amended: list[Amended] = field(default_factory=list)
    excluded: list[SlotExcluded] = field(default_factory=list)
    waves: list[tuple[Record, PackingMeasured]] = field(default_factory=list)
    wave: PackingStarted | None = None
    open: dict[AttemptId, Attempt] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    tier: tuple[Record, TierChosen] | None = None
    looks: list[tuple[Record, LookTaken]] = field(default_factory=list)
    verdict: tuple[Record, VerdictReached] | None = None
    aim: Aim = field(default_factory=Aim)
    aims: list[tuple[Record, TargetChosen]] = field(default_factory=list)
    settled: list[tuple[Record, QuestionSettled]] = field(default_factory=list)
    curves: dict[str, list[tuple[int, float, float]]] = field(default_factory=dict)
    """Validations of every attempt, see ``curves.curves_of``."""

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
            for excluded in run.excluded:
                _leave_out(run.sessions[-1], excluded, record)
        case SlotExcluded() as event:
            run.excluded.append(event)
            if run.sessions:
                _leave_out(run.sessions[-1], event, record)
        case Amended() as event:
            study, problems = amended(run.study, event, record)
            run.amended.append(event)
            run.studies.append((record.number, study, run.studies[-1][2]))
            yield from problems
        case SlotQuarantined() as event:
            yield from _quarantine(run, event, record)
        case PackingStarted() as event:
            run.wave = event
        case PackingMeasured() as event:
            if run.wave is None or (run.wave.slots, run.wave.threads) != (event.slots, event.threads):
                yield Difference(record.where, "slots and threads", "those of a wave that was started", "others")
            run.waves.append((record, event))
            run.wave = None
        case SessionClosed() | SessionLost() as event:
            yield from _close(run, event, record)
        case DataPrepared() as event:
            run.data = event.pin
        case TierChosen() as event:
            run.tier = (record, event)
        case PhaseStarted() as event:
            run.phases[event.phase] = (record, event)
            if event.phase in PROBING:
                run.probing.append((record, event))
        case PolicyRaised() as event:
            run.raised.append(event)
        case LookTaken() as event:
            run.looks.append((record, event))
        case VerdictReached() as event:
            run.verdict = (record, event)
        case QuestionSettled() as event:
            run.settled.append((record, event))
        case TargetChosen() as event:
            run.aim.level = event.value
            run.aims.append((record, event))
        case TrialProposed() as event:
            yield from _propose(run, event, record)
        case AttemptStarted() as event:
            yield from _start(run, event, record)
        case AttemptEnded() as event:
            yield from _end(run, event, record)
        case LateResult() as event:
            yield from _late(run, event, record)
        case Measured() as event:
            attempt = run.attempt(event.attempt)[1]
            if attempt is None or attempt.end is not None:
                yield Difference(record.where, "attempt", "one that runs", event.attempt)


def _leave_out(session: Session, excluded: SlotExcluded, record: Record) -> None:
    for slot in left_out(session, excluded):
        session.quarantined.setdefault(slot, record.number)
        session.excluded.add(slot)


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
    run.trials[event.number] = Trial(record, event, run.study, aim=run.aim)


def _start(run: Run, event: AttemptStarted, record: Record) -> Iterator[Difference]:
    trial, known = run.attempt(event.attempt)
    if trial is None or known is not None or AttemptId.parse(event.attempt).seed_index >= len(trial.event.seeds):
        yield Difference(record.where, "attempt", "a new attempt of a seed of a proposed trial", event.attempt)
        return
    started = Attempt(AttemptId.parse(event.attempt), event, record)
    for other in run.open.values():
        other.beside.add(started.id)
        started.beside.add(other.id)
    run.open[started.id] = started
    trial.attempts.append(started)


def _end(run: Run, event: AttemptEnded, record: Record) -> Iterator[Difference]:
    trial, attempt = run.attempt(event.attempt)
    if trial is None or attempt is None or attempt.end is not None:
        yield Difference(record.where, "attempt", "one that was started and has not ended", event.attempt)
        return
    before = trial.finished
    attempt.end, attempt.ended = event, record
    run.open.pop(attempt.id, None)
    if run.sessions and not event.interrupted:
        _blame(run.sessions[-1], trial, attempt)
    if trial.finished and not before:
        run.finished.append((record.number, trial))


def _blame(session: Session, trial: Trial, attempt: Attempt) -> None:
    """An error or a time-out is the slot's where another trial failed just before, and the other slots do well."""
    slot = attempt.intent.slot
    session.ends.append((slot, attempt))
    mine, others = session.row_of_failures(slot)
    first = not any(a.slots_fault for a in trial.of_seed(attempt.id.seed_index))
    well = 4 * failed(others) <= len(others)
    in_a_row = len({a.id.trial for a in mine}) > 1 and len(session.slots()) > 1
    assert attempt.end is not None
    attempt.slots_fault = attempt.end.outcome in ON_ANOTHER_SLOT and first and in_a_row and well


def _late(run: Run, event: LateResult, record: Record) -> Iterator[Difference]:
    attempt = run.attempt(event.attempt)[1]
    if attempt is None or attempt.end is None:
        yield Difference(record.where, "attempt", "one that has ended", event.attempt)
        return
    attempt.late.append(event)


def _quarantine(run: Run, event: SlotQuarantined, record: Record) -> Iterator[Difference]:
    session = run.sessions[-1] if run.sessions else None
    if session is None or session.opened.session != event.session or event.slot not in session.slots():
        yield Difference(record.where, "slot", "one that is used in this session", str(event.slot))
        return
    yield from _evidence(session, event, record)
    session.quarantined[event.slot] = record.number


def _evidence(session: Session, event: SlotQuarantined, record: Record) -> Iterator[Difference]:
    """Three trials in a row, three attempts elsewhere of which at most a quarter failed, and no chance."""
    mine, others = session.row_of_failures(event.slot)
    trials = sorted({a.id.trial for a in mine})
    everywhere = [attempt for on, attempt in session.ends if on != event.slot]
    rate = max((failed(ended) + 1) / (len(ended) + 2) for ended in (others, everywhere))
    chance = len(session.ends) * rate ** len(trials)
    found = {
        "trials": trials,
        "attempts": [str(a.id) for a in mine],
        "elsewhere": len(others),
        "failed_elsewhere": failed(others),
        "ended": len(session.ends),
        "chance": chance,
    }
    yield from compare(record.where, found, event.evidence, "evidence", 1e-6)
    few = len(trials) < 3 or len(others) < 3 or 4 * failed(others) > len(others)
    if few or chance > 0.02 or len(session.slots()) < 2:
        wanted = "one that fails where the others do not, and not the last"
        yield Difference(record.where, "slot", wanted, str(event.slot))
