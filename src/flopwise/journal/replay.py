"""The state of a run as a fold over its events. Live, resumed and reported runs use this same fold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from flopwise.contention import is_contended
from flopwise.errors import JournalDamaged
from flopwise.events import (
    Amended,
    AttemptEnded,
    AttemptStarted,
    DataPrepared,
    Event,
    LateResult,
    LookTaken,
    Measured,
    PackingChosen,
    PackingMeasured,
    PackingStarted,
    PauseAccepted,
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
from flopwise.journal.course import Course
from flopwise.journal.lists import FinalEnds, Shared, Waiting
from flopwise.journal.slot_health import SlotHealth
from flopwise.journal.states import DOUBTED, EXCLUDED, AttemptState, SessionState, TrialState, excludes
from flopwise.objective import Objective
from flopwise.trial import AttemptId, Fidelity, Outcome, Phase, Told, Trial

__all__ = ["AttemptState", "RunState", "SessionState", "TrialState"]


class RunState:
    """Everything known about a run, from its events alone.

    Args:
        events: In journal order.

    Attributes:
        since_phase: Trials proposed since the last phase began.
        open: Trials that have not finished, by number.
        completed: Numbers of finished trials, in the order they finished.
        final_ends: The end that counts of every evaluation, in journal order.
        slots: How the slots of the last session fare.
        quarantined: Slots of the last session on which nothing more is started.
        suspects: Evaluations (trial and seed index) that keepers keep dying with, and that have to be run again.
        looks: At the deciding step so far.
        packings: What each way of cutting the machine gave, in journal order.
        packing_started: The way that is being measured; None when none is.
        packing: The way that was chosen; None before.
        paused: The pause that has not been accepted; None when there is none.
        changed: Whether that policy's options have been amended since.
        amended: Changes of limits and policies, in order.
        excluded: Slots that the user has taken out of the run.
        accepted_at: Policy to the number of final ends when its last pause was accepted.
        noted_at: The same of its last note.
        settled: Questions of a staged search that were not asked to their end, in order.
        stopped: What ended the study before its confirmation was over; None when nothing did.

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
        self.since_phase = 0
        self.trials: dict[int, TrialState] = {}
        self.open: dict[int, TrialState] = {}
        self.completed: list[int] = []
        self.final_ends = FinalEnds(self.trials)
        self.slots = SlotHealth()
        self.quarantined: dict[int, SlotQuarantined] = {}
        self.suspects: set[tuple[int, int]] = set()
        self.packings: list[PackingMeasured] = []
        self.packing_started: PackingStarted | None = None
        self.packing: PackingChosen | None = None
        self._running: dict[AttemptId, AttemptState] = {}
        self._search_completed: list[int] = []
        self._by_phase: dict[Phase, list[TrialState]] = {phase: [] for phase in Phase}
        self._open_in: dict[Phase, dict[int, TrialState]] = {phase: {} for phase in Phase}
        self._waiting = Waiting()
        self._shared = Shared()
        self.raised: list[PolicyRaised] = []
        self.paused: PolicyRaised | None = None
        self.accepted_at: dict[str, int] = {}
        self.looks: list[LookTaken] = []
        self.noted_at: dict[str, int] = {}
        self.changed = False
        self.excluded: list[SlotExcluded] = []
        self.amended: list[dict[str, Any]] = []
        self.stopped: PolicyRaised | None = None
        self.verdict: VerdictReached | None = None
        self.target: TargetChosen | None = None
        self.settled: list[QuestionSettled] = []
        self.events = 0
        for event in events:
            self.apply(event)

    @property
    def objective(self) -> Objective:
        return Objective.from_json(self.study["objective"], self.target.value if self.target else None)

    def apply(self, event: Event) -> None:
        """Fold one more event in."""
        self.events += 1
        handler = getattr(self, f"_on_{type(event).__name__}", None)
        if handler is not None:
            handler(event)

    @property
    def next_number(self) -> int:
        """The number of the trial to be proposed next: trials of all phases are numbered as they come."""
        return len(self.trials)

    def by_phase(self, *phases: Phase) -> list[TrialState]:
        """Trials of some phases, in number order."""
        return [trial for phase in phases for trial in self._by_phase[phase]]

    def unfinished(self, phase: Phase) -> list[TrialState]:
        """Trials of a phase that have not finished, in number order."""
        return list(self._open_in[phase].values())

    def proposed(self, phase: Phase) -> int:
        """How many trials of a phase there are."""
        return len(self._by_phase[phase])

    def unfinished_count(self, phase: Phase) -> int:
        """How many trials of a phase have not finished."""
        return len(self._open_in[phase])

    def waiting(self, *phases: Phase) -> Iterator[tuple[TrialState, int]]:
        """Evaluations of some phases that need an attempt started, as trial and seed index, in that order."""
        for number, seed_index in self._waiting:
            trial = self.trials[number]
            if trial.trial.phase in phases:
                yield trial, seed_index

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

    def let_go(self, *, curve: str | None = None, points: Iterable[int] = ()) -> None:
        """Forget what only a report needs, which reads the journal again: a run's memory stays small.

        Args:
            curve: Attempt whose learning curve is over.
            points: Ordinals of search trials that the searcher has been told; what remains of them is packed.
        """
        if curve is not None:
            self.attempt(curve).rows = ()
        for ordinal in points:
            self._by_phase[Phase.SEARCH][ordinal - 1].pack()

    def ended(self) -> Iterator[AttemptEnded]:
        """All ended attempts, in trial order."""
        for _, trial in sorted(self.trials.items()):
            for attempt in trial.attempts:
                if attempt.ended is not None:
                    yield attempt.ended

    def running(self) -> list[AttemptState]:
        """Attempts started and not ended (or lost with their coordinator)."""
        return list(self._running.values())

    def told(self, start: int = 0) -> list[Told]:
        """Finished search trials in the order they finished, from the ``start``-th on, by their ordinals."""
        objective = self.objective
        finished = [self.trials[number] for number in self._search_completed[start:]]
        return [Told(t.trial.ordinal or 0, t.trial.config, t.trial.point or (), t.loss(objective)) for t in finished]

    def _on_RunCreated(self, event: RunCreated) -> None:
        self.created, self.study, self.study_hash = event, event.study, event.study_hash

    def _on_StudyRevised(self, event: StudyRevised) -> None:
        self.study, self.study_hash = event.study, event.study_hash

    def _on_SessionOpened(self, event: SessionOpened) -> None:
        self.sessions.append(SessionState(event))
        self.slots = SlotHealth(slot["index"] for slot in event.slots)
        self.quarantined = {}
        self._leave_out_excluded()

    def _on_SessionClosed(self, event: SessionClosed | SessionLost) -> None:
        for session in self.sessions:
            if session.opened.session == event.session:
                session.closed = event
                return
        raise JournalDamaged(f"session {event.session} ended but never opened")

    _on_SessionLost = _on_SessionClosed

    def _on_DataPrepared(self, event: DataPrepared) -> None:
        self.data, self.data_ready = event.pin, True

    def _on_TierChosen(self, event: TierChosen) -> None:
        self.tier = event

    def _on_PhaseStarted(self, event: PhaseStarted) -> None:
        self.phase = event
        self.phases[event.phase] = event
        self.since_phase = 0

    def _on_TrialProposed(self, event: TrialProposed) -> None:
        if event.number in self.trials:
            raise JournalDamaged(f"trial {event.number} was proposed twice")
        phase = Phase(event.phase)
        trial = Trial(
            number=event.number,
            phase=phase,
            config=event.config,
            fidelity=self._shared(Fidelity.from_json(event.stop)),
            seeds=self._shared(tuple(event.seeds)),
            point=None if event.point is None else tuple(event.point),
            of=event.of,
            ordinal=len(self._by_phase[phase]) + 1 if phase is Phase.SEARCH else None,
        )
        known = TrialState(trial, int(self.study["execution"]["retries"]))
        self.trials[event.number] = self.open[event.number] = known
        self.since_phase += 1
        self._by_phase[trial.phase].append(known)
        self._open_in[trial.phase][event.number] = known
        for seed_index in range(len(trial.seeds)):
            self._waiting.add((event.number, seed_index))

    def _on_AttemptStarted(self, event: AttemptStarted) -> None:
        number = AttemptId.parse(event.attempt)
        trial = self.trials.get(number.trial)
        if trial is None:
            raise JournalDamaged(f"attempt {event.attempt} belongs to no trial")
        if any(a.id == number for a in trial.attempts):
            raise JournalDamaged(f"attempt {event.attempt} was started twice")
        attempt = AttemptState(number, event, alone=not self._running)
        if len(self._running) == 1:
            next(iter(self._running.values())).alone = False
        trial.add(attempt)
        self._running[number] = attempt
        self._waiting.remove((number.trial, number.seed_index))

    def _on_Measured(self, event: Measured) -> None:
        attempt = self.attempt(event.attempt)
        attempt.rows = [*attempt.rows, *event.rows]
        if self.trials[attempt.id.trial].trial.phase in (Phase.CHOOSE, Phase.DECIDE):
            objective = self.objective
            attempt.course = attempt.course or Course(objective.metric, objective.sign)
            attempt.course.add(event.rows)

    def _on_AttemptEnded(self, event: AttemptEnded) -> None:
        attempt = self.attempt(event.attempt)
        if attempt.ended is not None:
            raise JournalDamaged(f"attempt {event.attempt} ended twice")
        attempt.ended = event
        timed = "target" in self.study.get("objective", {}) and event.outcome == Outcome.OK
        attempt.disturbed = timed and is_contended(event.contention)
        self._running.pop(attempt.id, None)
        trial = self.trials[attempt.id.trial]
        if not event.interrupted:
            self._judge_slot(attempt, trial)
        evaluation = (attempt.id.trial, attempt.id.seed_index)
        if trial.final(attempt.id.seed_index) is event:
            self.final_ends.append(*evaluation)
            self.suspects.discard(evaluation)
        else:
            self._waiting.add(evaluation)
            if trial.suspect(attempt.id.seed_index):
                self.suspects.add(evaluation)
        if trial.finished:
            self._complete(trial)

    def _judge_slot(self, attempt: AttemptState, trial: TrialState) -> None:
        """Is this end the config's, or may it be the slot's? An evaluation's end is doubted once."""
        slot, outcome = attempt.intent.slot, Outcome(attempt.ended.outcome if attempt.ended else "")
        self.slots.ended(slot, attempt.id.trial, str(attempt.id), outcome)
        before = any(a.doubted for a in trial.of_seed(attempt.id.seed_index))
        attempt.doubted = outcome in DOUBTED and not before and self.slots.doubtful(slot)

    def _on_LateResult(self, event: LateResult) -> None:
        attempt = self.attempt(event.attempt)
        if attempt.ended is None:
            raise JournalDamaged(f"attempt {event.attempt} has a late result and has not ended")
        attempt.late = (*attempt.late, event)
        self.trials[attempt.id.trial].put(attempt)

    def _on_SlotQuarantined(self, event: SlotQuarantined) -> None:
        self.quarantined[event.slot] = event
        self.slots.quarantine(event.slot)

    def _on_SlotExcluded(self, event: SlotExcluded) -> None:
        self.excluded.append(event)
        self._leave_out_excluded()

    def _leave_out_excluded(self) -> None:
        """Slots of the last session that have something of what was excluded are out of use in it."""
        if not self.sessions:
            return
        opened = self.sessions[-1].opened
        for slot in opened.slots:
            if any(excludes(event, slot, opened.host) for event in self.excluded):
                self._on_SlotQuarantined(SlotQuarantined(slot["index"], opened.session, EXCLUDED, {}))

    def _on_PackingStarted(self, event: PackingStarted) -> None:
        self.packing_started = event

    def _on_PackingMeasured(self, event: PackingMeasured) -> None:
        self.packings.append(event)
        self.packing_started = None

    def _on_PackingChosen(self, event: PackingChosen) -> None:
        self.packing = event

    def _complete(self, trial: TrialState) -> None:
        number = trial.trial.number
        self.open.pop(number, None)
        self._open_in[trial.trial.phase].pop(number, None)
        self.completed.append(number)
        if trial.trial.phase == Phase.SEARCH:
            self._search_completed.append(number)

    def _on_PolicyRaised(self, event: PolicyRaised) -> None:
        self.raised.append(event)
        if event.action == "pause":
            self.paused, self.changed = event, False
        elif event.action == "stop":
            self.stopped = event
        elif event.action == "note":
            self.noted_at[event.policy] = len(self.final_ends)

    def _on_Amended(self, event: Amended) -> None:
        self.amended += event.changes
        for change in event.changes:
            section, _, name = str(change["key"]).partition(".")
            self.study = {**self.study, section: {**self.study[section], name: change["after"]}}
            if self.paused is not None and (section, name) == ("policies", self.paused.policy):
                self.changed = True

    def _on_PauseAccepted(self, event: PauseAccepted) -> None:
        self.paused = None
        self.accepted_at[event.policy] = len(self.final_ends)

    def _on_LookTaken(self, event: LookTaken) -> None:
        self.looks.append(event)

    def _on_TargetChosen(self, event: TargetChosen) -> None:
        self.target = event

    def _on_QuestionSettled(self, event: QuestionSettled) -> None:
        self.settled.append(event)

    def _on_VerdictReached(self, event: VerdictReached) -> None:
        self.verdict = event
