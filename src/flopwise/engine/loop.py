"""The coordinator's loop: one thread around the executor's poll, the only writer of the journal.

Order of every round: decide what is next, write the intents, sync, start the processes; then wait for
messages, write results, sync, show them. Nothing is started before its intent is on disk, nothing is
shown before its result is.
"""

from __future__ import annotations

from collections.abc import Iterable

from flopwise.budget.admission import Commitment
from flopwise.engine.attempts import STOP_GRACE_S, Attempts
from flopwise.engine.confirm import nothing_to_confirm, out_of_budget, unreported
from flopwise.engine.desk import Closing, Desk
from flopwise.engine.phases import Search, after_search, start_calibration
from flopwise.engine.placing import slot_for
from flopwise.engine.prepare import prepare_data
from flopwise.engine.probes import LIMITS, ended_early
from flopwise.engine.recheck import Rechecks
from flopwise.events import Alive, PhaseStarted, PolicyRaised, TierChosen
from flopwise.journal.replay import TrialState
from flopwise.policies.policy import Action
from flopwise.trial import PROBING, Phase
from flopwise.wire import Job

HEARTBEAT_S = 5.0
"""A crash of the coordinator leaves at most this much of its time unrecorded."""

ROWS_EVERY_S = 1.0
"""Learning-curve rows are journaled at most this often (and always before an attempt's end)."""

ASKED_PER_WAVE = 50
"""How often policies are asked, at most, while every slot ends an evaluation: they look back over all of those."""

POLL_S = 0.25
"""Longest wait for a message; signals wake the loop at once."""


class Loop:
    """Runs a session to its closing.

    Args:
        desk: What it works with.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._record = desk.record
        self._attempts = Attempts(desk)
        self._search: Search | None = None
        self._rechecks: Rechecks | None = None
        self._wish: Closing | None = None
        self._deadline: float | None = None
        self._signals_seen = 0
        self._judged = 0
        self._rows_at = self._alive_at = desk.clock.monotonic()

    def run(self) -> Closing:
        """Work until the study is done, paused, interrupted or failed.

        Raises:
            WorkloadError: If the data cannot be prepared.
            RunError: If the data is not what the run was started with.
            ExecutorError: If the keeper keeps dying.
            JournalError: If the journal cannot be written; nothing unwritten was acknowledged.
        """
        if self._desk.has_data and not prepare_data(self._desk):
            return Closing("interrupted", self._desk.signals.last)
        while True:
            self._advance()
            self._launch()
            closing = self._closing()
            if closing is not None:
                return closing
            self._listen()

    # What is next

    def _advance(self) -> None:
        if self._wish is not None:
            return
        state = self._record.state
        phase = state.phase.phase if state.phase else None
        if phase in (None, Phase.CALIBRATE, *PROBING):
            self._record.add(*start_calibration(self._desk.study, state))
            if state.trials[0].finished:
                self._calibrated(state.trials[0])
        elif phase in (Phase.SEARCH, Phase.CHOOSE, Phase.DECIDE):
            self._judge()
            if self._wish is None:
                self._go_on(phase)

    def _calibrated(self, baseline: TrialState) -> None:
        failure = baseline.failure()
        if failure is not None:
            self._wish = Closing("failed", f"the baseline itself ended as {failure.outcome}: {failure.cause}")
            return
        missing = unreported(self._desk.study, baseline)
        if missing:
            self._wish = Closing("failed", missing)
            return
        state = self._record.state
        self._judge_probing()
        self._record.add(*self._desk.probes.next(state))
        if not self._desk.probes.done(state):
            return
        if state.tier is None:
            tier = self._desk.choose_tier()
            if tier is None:
                self._wish = Closing("planned", "calibrated; nothing else was started")
                return
            self._record.add(tier)
        self._record.add(PhaseStarted(Phase.SEARCH))
        self._judged = 0  # what has failed so far is judged anew, now as the beginning of a search

    def _go_on(self, phase: str) -> None:
        state = self._record.state
        assert state.tier is not None
        if phase == Phase.SEARCH and self._searching(state.tier):
            return
        if phase == Phase.SEARCH and not self._attempts.running and self._is_settled():
            self._record.add(*nothing_to_confirm(self._desk.study, state))
        elif not self._attempts.running:
            self._record.add(*after_search(self._desk.study, state))

    def _searching(self, tier: TierChosen) -> bool:
        """Propose what is due; False when the search is over and what it found has been rechecked."""
        state, over = self._record.state, self._search_over(tier)
        assert self._search is not None and self._rechecks is not None
        self._record.add(*(self._search.settled(state) if over else self._search.propose(state)))
        if any(raised.policy == LIMITS for raised in state.raised if raised.action == "end_search"):
            return False
        self._record.add(*self._rechecks.due(state, over=over))
        return not over or state.unfinished_count(Phase.RECHECK) > 0

    def _search_over(self, tier: TierChosen) -> bool:
        if self._search is None:
            self._search = self._desk.make_search(tier)
            self._rechecks = Rechecks(self._desk.study, self._desk.study["tiers"][tier.tier])
        state = self._record.state
        return self._search.complete(state) or any(raised.action == "end_search" for raised in state.raised)

    def _is_settled(self) -> bool:
        """Whether a policy says at the end of the search that there is nothing to confirm."""
        state = self._record.state
        if state.stopped is None:
            self._record.add(
                *(raised for raised in self._desk.guard.judge(state, over=True) if raised.action == "stop")
            )
        return state.stopped is not None

    def _judge(self) -> None:
        """Ask the policies, whenever another evaluation is final; of many slots, whenever a fiftieth of them."""
        state = self._record.state
        news = len(state.final_ends) - self._judged
        if not news or (self._attempts.running and news < len(self._desk.executor.slots) // ASKED_PER_WAVE):
            return
        self._judged = len(state.final_ends)
        for raised in self._desk.guard.judge(state):
            self._record.add(raised)
            if raised.action == "pause":
                self._wish = Closing("paused", f"{raised.policy}: {raised.cause}")

    def _judge_probing(self) -> None:
        """Ask whether to go on probing; whatever else policies would say, they say when there is a search."""
        state = self._record.state
        if not ended_early(state) and len(state.final_ends) != self._judged:
            self._judged = len(state.final_ends)
            self._record.add(*(each for each in self._desk.guard.judge(state) if each.action == Action.END_PROBING))

    # Starting attempts

    def _launch(self) -> None:
        """Start waiting evaluations of the current phase, in trial order, until slots or limits end it."""
        slots = [] if self._wish is not None else self._attempts.free_slots()
        if not slots:
            return
        jobs: list[Job] = []
        state, ledger, guard = self._record.state, self._record.ledger, self._desk.guard
        committed = guard.committed(state, ledger)
        for trial, seed_index in self._attempts.next_up(self._waiting()):
            slot = slot_for((trial, seed_index), slots, state, self._attempts.down)
            if slot is None:
                if not slots:
                    break
                continue
            evaluation = (trial.trial.number, seed_index)
            admission = guard.admit(state, ledger, trial.trial.phase, evaluation, free=len(slots), committed=committed)
            if admission.refused is not None:
                self._refused(admission.refused)
                break
            flops = guard.flops(state, trial.trial.number)
            committed = committed.and_(Commitment(admission.limit_s, ledger.evaluated(*evaluation), flops))
            jobs.append(self._attempts.intend(trial, seed_index, slot, admission.limit_s))
            slots = self._attempts.still_free(slots, slot)
        self._attempts.start(jobs)

    def _waiting(self) -> Iterable[tuple[TrialState, int]]:
        """Evaluations of the current phase that need an attempt, by trial and seed.

        Of the signal first one seed of every config: where none works, that is soon seen.
        """
        phase = self._record.state.phase
        if phase is None or phase.phase == "done":
            return ()
        also = (Phase.RECHECK,) if phase.phase == Phase.SEARCH else ()
        waiting = self._record.state.waiting(Phase(phase.phase), *also)
        return sorted(waiting, key=lambda each: each[1]) if phase.phase == Phase.SIGNAL else waiting

    def _refused(self, cause: str) -> None:
        """A limit allows nothing more: when the running ones have ended, end the phase."""
        if self._attempts.running:
            return
        state = self._record.state
        phase = state.phase.phase if state.phase else ""
        if phase == Phase.SEARCH:
            self._record.add(PolicyRaised(LIMITS, "end_search", cause, {}))
        elif phase in PROBING:
            self._record.add(PolicyRaised(LIMITS, Action.END_PROBING, cause, {}))
        elif phase == Phase.CALIBRATE:
            self._wish = Closing("failed", f"the limits do not even allow the baseline: {cause}")
        else:
            if state.stopped is None:
                self._record.add(PolicyRaised("limits", "stop", cause, {}))
            self._record.add(*out_of_budget(self._desk.study, state, cause))

    # Listening

    def _listen(self) -> None:
        desk = self._desk
        waiting = self._attempts.running or self._attempts.down
        for message in desk.executor.poll(POLL_S if waiting else 0.0, desk.signals.wake):
            self._attempts.hear(message)
        self._obey_signals()
        self._keep_time()
        self._record.commit()
        desk.view.tick(self._record.state, self._record.ledger)

    def _keep_time(self) -> None:
        now = self._desk.clock.monotonic()
        if now - self._rows_at >= ROWS_EVERY_S:
            self._rows_at = now
            self._attempts.flush_rows()
        if now - self._alive_at >= HEARTBEAT_S:
            self._alive_at = now
            self._record.add(Alive(now))

    # Ending

    def _obey_signals(self) -> None:
        signals = self._desk.signals
        if signals.count > self._signals_seen:
            signals.drain()
            self._signals_seen = signals.count
            self._signalled()
        if self._deadline is not None and self._desk.clock.monotonic() >= self._deadline:
            self._deadline = None
            self._attempts.stop_all("the grace after the signal is over", STOP_GRACE_S)

    def _signalled(self) -> None:
        """First signal: start nothing more and let attempts finish. Second: end them now."""
        if self._deadline is not None or self._signals_seen > 1:
            self._deadline = None
            self._attempts.stop_all("second signal", 0.0)
            return
        self._wish = Closing("interrupted", self._desk.signals.last)
        grace_s = float(self._desk.study["execution"]["grace"])
        self._deadline = self._desk.clock.monotonic() + grace_s
        if self._attempts.running:
            self._desk.view.message(
                f"{self._desk.signals.last}: nothing new is started; {self._attempts.running} running "
                f"have {grace_s:g} s to finish. Once more ends them now."
            )

    def _closing(self) -> Closing | None:
        if self._attempts.running:
            return None
        state = self._record.state
        if state.phase is not None and state.phase.phase == "done":
            verdict = state.verdict.verdict if state.verdict else ""
            stopped = state.stopped
            return Closing("stopped", f"{stopped.policy}: {stopped.cause}") if stopped else Closing("finished", verdict)
        return self._wish
