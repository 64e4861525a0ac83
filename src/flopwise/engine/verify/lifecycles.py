"""Did things happen in an order that can be? Run, sessions, trials, attempts, and the clock."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Iterator, Sequence

from flopwise.engine.verify.difference import Difference, show
from flopwise.engine.verify.parts import DISTURBED_MOST, MOST_LOST, MOST_LOST_ALONE
from flopwise.engine.verify.records import Record
from flopwise.engine.verify.run import Attempt, Run, Session, Trial
from flopwise.events import (
    FORMAT,
    Alive,
    Amended,
    AttemptEnded,
    AttemptStarted,
    PauseAccepted,
    RunCreated,
    SessionLost,
    SessionOpened,
    SlotExcluded,
    StudyRevised,
)
from flopwise.trial import Outcome

OUTSIDE = (RunCreated, StudyRevised, SessionOpened, PauseAccepted, SlotExcluded, Amended)
"""Events that are written while no session is open."""


def check_study(records: Sequence[Record]) -> Iterator[Difference]:
    """The run begins once, in a known format, and its study is the one that was hashed then."""
    for record in records:
        event = record.event
        if isinstance(event, RunCreated) != (record is records[0]):
            yield Difference(record.where, "event", "RunCreated first, and once", type(event).__name__)
        if isinstance(event, RunCreated) and event.format != FORMAT:
            yield Difference(record.where, "format", str(FORMAT), show(event.format))
        if isinstance(event, RunCreated | StudyRevised):
            text = json.dumps(event.study, sort_keys=True, separators=(",", ":"))
            found = hashlib.sha256(text.encode()).hexdigest()
            if found != event.study_hash:
                yield Difference(record.where, "study_hash (the study was altered)", event.study_hash, found)


def check_lifecycles(run: Run) -> Iterator[Difference]:
    """Sessions follow each other, trials are numbered, attempts end once and are not repeated."""
    yield from _sessions(run)
    for expected, trial in enumerate(run.trials.values()):
        if trial.event.number != expected:
            yield Difference(trial.proposed.where, "number", f"{expected}, the next one", str(trial.event.number))
    for trial in run.trials.values():
        yield from _attempts(run, trial)
    yield from _slots(run)
    yield from _clock(run)


def _sessions(run: Run) -> Iterator[Difference]:
    """Numbered from 1, one at a time, and nothing happens outside of one."""
    open_session: Session | None = None
    opened = 0
    for record in run.records:
        if isinstance(record.event, SessionOpened):
            opened += 1
            if record.event.session != opened:
                yield Difference(record.where, "session", str(opened), str(record.event.session))
            if open_session is not None:
                yield Difference(record.where, "session", "the one before closed or lost", "still open")
            open_session = next(session for session in run.sessions if session.first is record)
        elif open_session is None and not isinstance(record.event, OUTSIDE):
            yield Difference(record.where, "event", "a session that is open", "none is")
        if open_session is not None and open_session.last is record:
            open_session = None


def _attempts(run: Run, trial: Trial) -> Iterator[Difference]:
    for index, seed in enumerate(trial.event.seeds):
        attempts = trial.of_seed(index)
        for number, attempt in enumerate(attempts, start=1):
            yield from _attempt(run, attempt, number, seed)
            yield from _limit(run, attempt)
            yield from _lost(trial, attempt)
        for before, attempt in itertools.pairwise(attempts):
            yield from _again(trial, before, attempt, attempts)


def _attempt(run: Run, attempt: Attempt, number: int, seed: int) -> Iterator[Difference]:
    where, intent = attempt.started.where, attempt.intent
    if attempt.id.attempt != number:
        yield Difference(where, "attempt", f"number {number} of its seed", str(attempt.id))
    if intent.seed != seed:
        yield Difference(where, "seed", str(seed), str(intent.seed))
    opened = [s for s in run.sessions if s.first.number < attempt.started.number]
    session = opened[-1] if opened else None
    if session is not None and intent.session != session.opened.session:
        yield Difference(where, "session", str(session.opened.session), str(intent.session))
    if session is not None and intent.slot not in [slot.get("index") for slot in session.opened.slots]:
        yield Difference(where, "slot", f"one of {len(session.opened.slots)}", str(intent.slot))
    if session is not None and _quarantined(session, attempt):
        yield Difference(where, "slot", "one that is not quarantined", str(intent.slot))
    if attempt.end is not None and attempt.end.outcome not in list(Outcome):
        yield Difference(where, "outcome", "one of " + ", ".join(Outcome), attempt.end.outcome)


def _quarantined(session: Session, attempt: Attempt) -> bool:
    return any(slot == attempt.intent.slot and at < attempt.started.number for slot, at in session.quarantined.items())


def _lost(trial: Trial, attempt: Attempt) -> Iterator[Difference]:
    """An attempt that its keeper or coordinator took along is run again, but not for ever."""
    if attempt.end is None or not attempt.end.lost or attempt.ended is None:
        return
    at = attempt.ended.number
    so_far = [a for a in trial.attempts if a.end is not None and a.end.lost and a.ended and a.ended.number <= at]
    losses = [a for a in so_far if a.id.seed_index == attempt.id.seed_index]
    alone = [a for a in so_far if a.end is not None and a.end.lost == "keeper" and not a.beside]
    given_up = len(losses) >= MOST_LOST or (attempt in alone and len(alone) >= MOST_LOST_ALONE)
    if attempt.end.interrupted == given_up:
        what = f"interrupted (lost {len(losses)} times, {len(alone)} with a keeper and alone)"
        yield Difference(attempt.ended.where, what, str(not given_up), str(attempt.end.interrupted))


def _limit(run: Run, attempt: Attempt) -> Iterator[Difference]:
    """The study's time-out; where time or money is limited, at most that."""
    study, limit_s = run.study_at(attempt.started.number), attempt.intent.limit_s
    timeout_s, limits = study["evaluation"]["timeout"], study["limits"]
    limited = any(limits[name] is not None for name in ("device_hours", "wall_clock", "price"))
    shorter = limited and limit_s is not None and 0 < limit_s <= (timeout_s or math.inf)
    if limit_s != timeout_s and not shorter:
        yield Difference(attempt.started.where, "limit_s", show(timeout_s), show(limit_s))


def _again(trial: Trial, before: Attempt, attempt: Attempt, attempts: list[Attempt]) -> Iterator[Difference]:
    """An attempt after another: only when that one has ended, and may be repeated."""
    where = attempt.started.where
    if before.ended is None or before.ended.number > attempt.started.number:
        yield Difference(where, "attempt", f"after the end of {before.id}", "before it")
        return
    earlier = [a.end for a in attempts if a.end is not None and a.started.number < attempt.started.number]
    counted = [end for end in earlier if not end.interrupted]
    ended = [a for a in attempts if a.end in counted]
    repeated = [a for a in ended if trial.disturbed(a)][:DISTURBED_MOST]
    final = [a.end for a in ended if a.end is not None and not a.again and a not in repeated]
    if before in repeated and not final:
        return
    if final:
        yield Difference(where, "attempt", f"none: {final[0].attempt} ended as {final[0].outcome}", str(attempt.id))
    elif len(counted) > trial.study["execution"]["retries"]:
        yield Difference(where, "attempt", f"at most {trial.study['execution']['retries']} retries", str(attempt.id))


def _slots(run: Run) -> Iterator[Difference]:
    """One attempt a slot at a time."""
    busy: dict[int, str] = {}
    for record in run.records:
        event = record.event
        if isinstance(event, AttemptStarted):
            if event.slot in busy:
                yield Difference(record.where, "slot", "a free one", f"{event.slot}, where {busy[event.slot]} runs")
            busy[event.slot] = event.attempt
        elif isinstance(event, AttemptEnded):
            busy = {slot: attempt for slot, attempt in busy.items() if attempt != event.attempt}


def _clock(run: Run) -> Iterator[Difference]:
    """Within a session time does not go back: opening, signs of life, closing; start before end."""
    latest = 0.0
    for record in run.records:
        event = record.event
        if isinstance(event, SessionOpened):
            latest = event.t
        elif isinstance(event, AttemptEnded):
            yield from _span(run, event, record)
            latest = max(latest, event.ended_at)
        elif hasattr(event, "t"):
            if event.t < latest:
                yield Difference(record.where, "t", f"not before {latest!r}", repr(event.t))
            latest = max(latest, event.t) if isinstance(event, Alive | SessionLost) else latest


def _span(run: Run, event: AttemptEnded, record: Record) -> Iterator[Difference]:
    opened = [s.opened.t for s in run.sessions if s.first.number < record.number]
    if opened and event.started_at < opened[-1]:
        yield Difference(record.where, "started_at", f"not before its session's {opened[-1]!r}", repr(event.started_at))
    if event.ended_at < event.started_at:
        yield Difference(record.where, "ended_at", f"not before {event.started_at!r}", repr(event.ended_at))
