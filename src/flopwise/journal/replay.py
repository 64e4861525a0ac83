"""The state of a run as a fold over its events. Live, resumed and reported runs use this same fold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from flopwise.errors import JournalDamaged
from flopwise.events import (
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
    StudyRevised,
    TierChosen,
    TrialProposed,
    VerdictReached,
)
from flopwise.objective import Objective
from flopwise.trial import AttemptId, Fidelity, Outcome, Phase, Told, Trial

RETRIED = frozenset({Outcome.KILLED, Outcome.OOM})
"""Outcomes worth another attempt: the same process may live where this one died."""


@dataclass
class AttemptState:
    """One process: its intent, its curve so far, and how it ended."""

    id: AttemptId
    intent: AttemptStarted
    rows: list[dict[str, Any]] = field(default_factory=list)
    ended: AttemptEnded | None = None

    @property
    def outcome(self) -> Outcome | None:
        """None while it runs."""
        return None if self.ended is None else Outcome(self.ended.outcome)


@dataclass
class TrialState:
    """A trial and all attempts made for it, in order."""

    trial: Trial
    retries: int
    attempts: list[AttemptState] = field(default_factory=list)

    def of_seed(self, seed_index: int) -> list[AttemptState]:
        """Attempts of one seed, in order."""
        return [a for a in self.attempts if a.id.seed_index == seed_index]

    def final(self, seed_index: int) -> AttemptEnded | None:
        """The attempt that counts for a seed: ok, failed for good, or out of retries; else None."""
        counted = [a.ended for a in self.of_seed(seed_index) if a.ended is not None and not a.ended.interrupted]
        if not counted:
            return None
        last = counted[-1]
        if Outcome(last.outcome) in RETRIED and len(counted) <= self.retries:
            return None
        return last

    def finals(self) -> list[AttemptEnded | None]:
        """:meth:`final` of every seed, in seed order."""
        return [self.final(index) for index in range(len(self.trial.seeds))]

    @property
    def finished(self) -> bool:
        return all(end is not None for end in self.finals())

    def waiting(self) -> list[int]:
        """Seed indexes that need an attempt started."""
        return [
            index
            for index, end in enumerate(self.finals())
            if end is None and all(a.ended is not None for a in self.of_seed(index))
        ]

    def next_attempt(self, seed_index: int) -> AttemptId:
        """Id of the next attempt of a seed: never one that was used before."""
        return AttemptId(self.trial.number, seed_index, len(self.of_seed(seed_index)) + 1)

    def losses(self, objective: Objective) -> list[float | None]:
        """One loss a seed, smaller is better; None where it failed or has not ended."""
        return [
            objective.loss(end.metrics) if end is not None and end.outcome == Outcome.OK else None
            for end in self.finals()
        ]

    def loss(self, objective: Objective) -> float | None:
        """Mean loss over all seeds; None when any seed failed or has not ended."""
        losses = [loss for loss in self.losses(objective) if loss is not None]
        return sum(losses) / len(losses) if len(losses) == len(self.trial.seeds) else None

    def failure(self) -> AttemptEnded | None:
        """The first seed's end that made the trial fail; None when none did."""
        return next((end for end in self.finals() if end is not None and end.outcome != Outcome.OK), None)


@dataclass
class SessionState:
    """One coordinator's time with the run; ``closed`` is None while it lasts."""

    opened: SessionOpened
    closed: SessionClosed | SessionLost | None = None


class RunState:
    """Everything known about a run, from its events alone.

    Args:
        events: In journal order.

    Attributes:
        open: Trials that have not finished, by number.
        completed: Numbers of finished trials, in the order they finished.
        final_ends: The end that counts of every evaluation, in journal order.

    Raises:
        JournalDamaged: If the events contradict each other (an end without a start, a trial twice).
    """

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self.created: RunCreated | None = None
        self.study: dict[str, Any] = {}
        self.study_hash = ""
        self.sessions: list[SessionState] = []
        self.data: dict[str, Any] = {}
        self.data_ready = False
        self.tier: TierChosen | None = None
        self.phase: PhaseStarted | None = None
        self.phases: dict[str, PhaseStarted] = {}
        self.trials: dict[int, TrialState] = {}
        self.open: dict[int, TrialState] = {}
        self.completed: list[int] = []
        self.final_ends: list[AttemptEnded] = []
        self._search_completed: list[int] = []
        self._by_phase: dict[Phase, list[TrialState]] = {phase: [] for phase in Phase}
        self.raised: list[PolicyRaised] = []
        self.paused: PolicyRaised | None = None
        self.accepted_at: dict[str, int] = {}
        self.verdict: VerdictReached | None = None
        self.events = 0
        for event in events:
            self.apply(event)

    @property
    def objective(self) -> Objective:
        return Objective(**self.study["objective"])

    def apply(self, event: Event) -> None:
        """Fold one more event in."""
        self.events += 1
        handler = getattr(self, f"_on_{type(event).__name__}", None)
        if handler is not None:
            handler(event)

    def by_phase(self, *phases: Phase) -> list[TrialState]:
        """Trials of some phases, in number order."""
        return [trial for phase in phases for trial in self._by_phase[phase]]

    def unfinished(self, phase: Phase) -> list[TrialState]:
        """Trials of a phase that have not finished, in number order."""
        return [trial for trial in self.open.values() if trial.trial.phase == phase]

    def attempt(self, attempt: str) -> AttemptState:
        """One attempt by id.

        Raises:
            JournalDamaged: If no such attempt was started.
        """
        number = AttemptId.parse(attempt)
        trial = self.trials.get(number.trial)
        for known in trial.attempts if trial else ():
            if known.id == number:
                return known
        raise JournalDamaged(f"attempt {attempt} was never started")

    def ended(self) -> Iterator[AttemptEnded]:
        """All ended attempts, in trial order."""
        for _, trial in sorted(self.trials.items()):
            for attempt in trial.attempts:
                if attempt.ended is not None:
                    yield attempt.ended

    def running(self) -> list[AttemptState]:
        """Attempts started and not ended (or lost with their coordinator)."""
        return [a for t in self.open.values() for a in t.attempts if a.ended is None]

    def told(self, start: int = 0) -> list[Told]:
        """Finished search trials in the order they finished, from the ``start``-th on."""
        objective = self.objective
        finished = [self.trials[number] for number in self._search_completed[start:]]
        return [Told(t.trial.number, t.trial.config, t.trial.point or (), t.loss(objective)) for t in finished]

    def _on_RunCreated(self, event: RunCreated) -> None:
        self.created, self.study, self.study_hash = event, event.study, event.study_hash

    def _on_StudyRevised(self, event: StudyRevised) -> None:
        self.study, self.study_hash = event.study, event.study_hash

    def _on_SessionOpened(self, event: SessionOpened) -> None:
        self.sessions.append(SessionState(event))

    def _on_SessionClosed(self, event: SessionClosed) -> None:
        self._close(event)

    def _on_SessionLost(self, event: SessionLost) -> None:
        self._close(event)

    def _close(self, event: SessionClosed | SessionLost) -> None:
        for session in self.sessions:
            if session.opened.session == event.session:
                session.closed = event
                return
        raise JournalDamaged(f"session {event.session} ended but never opened")

    def _on_DataPrepared(self, event: DataPrepared) -> None:
        self.data, self.data_ready = event.pin, True

    def _on_TierChosen(self, event: TierChosen) -> None:
        self.tier = event

    def _on_PhaseStarted(self, event: PhaseStarted) -> None:
        self.phase = event
        self.phases[event.phase] = event

    def _on_TrialProposed(self, event: TrialProposed) -> None:
        if event.number in self.trials:
            raise JournalDamaged(f"trial {event.number} was proposed twice")
        trial = Trial(
            number=event.number,
            phase=Phase(event.phase),
            config=event.config,
            fidelity=Fidelity.from_json(event.stop),
            seeds=tuple(event.seeds),
            point=None if event.point is None else tuple(event.point),
            of=event.of,
        )
        known = TrialState(trial, int(self.study["execution"]["retries"]))
        self.trials[event.number] = self.open[event.number] = known
        self._by_phase[trial.phase].append(known)

    def _on_AttemptStarted(self, event: AttemptStarted) -> None:
        number = AttemptId.parse(event.attempt)
        trial = self.trials.get(number.trial)
        if trial is None:
            raise JournalDamaged(f"attempt {event.attempt} belongs to no trial")
        if any(a.id == number for a in trial.attempts):
            raise JournalDamaged(f"attempt {event.attempt} was started twice")
        trial.attempts.append(AttemptState(number, event))

    def _on_Measured(self, event: Measured) -> None:
        self.attempt(event.attempt).rows.extend(event.rows)

    def _on_AttemptEnded(self, event: AttemptEnded) -> None:
        attempt = self.attempt(event.attempt)
        if attempt.ended is not None:
            raise JournalDamaged(f"attempt {event.attempt} ended twice")
        attempt.ended = event
        trial = self.trials[attempt.id.trial]
        if trial.final(attempt.id.seed_index) is event:
            self.final_ends.append(event)
        if trial.finished:
            self._complete(trial)

    def _complete(self, trial: TrialState) -> None:
        number = trial.trial.number
        self.open.pop(number, None)
        self.completed.append(number)
        if trial.trial.phase == Phase.SEARCH:
            self._search_completed.append(number)

    def _on_PolicyRaised(self, event: PolicyRaised) -> None:
        self.raised.append(event)
        if event.action == "pause":
            self.paused = event

    def _on_PauseAccepted(self, event: PauseAccepted) -> None:
        self.paused = None
        self.accepted_at[event.policy] = len(self.final_ends)

    def _on_VerdictReached(self, event: VerdictReached) -> None:
        self.verdict = event
